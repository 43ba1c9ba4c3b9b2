"""The runner of jobs on procrastinate, for any number of processes that share the ledger's database (extra `worker`).

Each kind of job is a task of procrastinate. A job waits in the database once for each key, and runs at one worker at a
time. The job of a worker that was killed or stopped is run by another one, once its heartbeat has been missing for
some seconds. Nothing depends on a session of the database, so it works behind a pool of connections.
"""

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import anyio

from luma_mcp.work.in_process import find_open, run_once
from luma_mcp.work.jobs import JobKind, Jobs

if TYPE_CHECKING:
    import procrastinate

_log = logging.getLogger(__name__)

_QUEUE = "luma"
_AT_ONCE = 10
_POLL_SECONDS = 1.0
_HEARTBEAT_SECONDS, _STALLED_SECONDS = 2.0, 8.0
_GRACE_SECONDS = 3.0
# After the database could not be used.
_PAUSE_SECONDS = 5.0
# A purchase waits for it.
_DEFER_SECONDS = 2.0
_EVERY_MINUTE, _EVERY_FIVE_SECONDS = "* * * * *", "* * * * * */5"
# An arbitrary number that no other program is likely to lock, so that one process at a time makes the tables.
_SCHEMA_LOCK = 0x6C756D62


def is_installed() -> bool:
    """Whether procrastinate is installed."""
    return find_spec("procrastinate") is not None


class ProcrastinateRunner:
    """Runs jobs of a database.

    Args:
        jobs: the kinds of jobs.
        url: the database.
    """

    def __init__(self, jobs: Jobs, url: str) -> None:
        self._jobs = jobs
        self._url = url
        self._app: procrastinate.App | None = None

    async def start(self, name: str, key: str, *, after_seconds: float = 0.0) -> None:
        """Run a job soon, at any worker. If the database cannot be used now, the next search finds the job."""
        kind = self._jobs.kind(name)
        if self._app is None:
            return
        try:
            with anyio.move_on_after(_DEFER_SECONDS):
                await self._defer(self._app, kind, key, after_seconds)
        except Exception:  # noqa: BLE001 - whatever the database fails with, the next search finds the job
            _log.warning("the job %s of %s cannot be recorded now", name, key, exc_info=True)

    async def run(self) -> None:
        """Run jobs until this is cancelled. While the database cannot be used, it is tried again and again."""
        while True:
            try:
                await self._work()
            except Exception:  # noqa: BLE001 - the database may be back in a moment
                _log.warning("jobs cannot be run now", exc_info=True)
            await anyio.sleep(_PAUSE_SECONDS)

    async def _work(self) -> None:
        app = self._make_app()
        await _make_tables(self._url, app.schema_manager.get_schema())
        async with app.open_async():
            self._app = app
            try:
                for kind in self._jobs.kinds:
                    await self._sweep(app, kind)
                await app.run_worker_async(
                    queues=[_QUEUE],
                    concurrency=_AT_ONCE,
                    listen_notify=False,
                    fetch_job_polling_interval=_POLL_SECONDS,
                    abort_job_polling_interval=_POLL_SECONDS,
                    update_heartbeat_interval=_HEARTBEAT_SECONDS,
                    stalled_worker_timeout=_STALLED_SECONDS,
                    shutdown_graceful_timeout=_GRACE_SECONDS,
                    delete_jobs="always",
                    install_signal_handlers=False,
                )
            finally:
                self._app = None

    def _make_app(self) -> "procrastinate.App":
        import procrastinate  # noqa: PLC0415 - an extra
        from procrastinate.jobs import Status  # noqa: PLC0415

        app = procrastinate.App(
            connector=procrastinate.PsycopgConnector(
                conninfo=self._url, min_size=1, max_size=4, kwargs={"prepare_threshold": None}
            )
        )
        for kind in self._jobs.kinds:
            app.task(name=kind.name, queue=_QUEUE)(self._task_of(app, kind))

        @app.periodic(cron=_EVERY_FIVE_SECONDS)
        @app.task(name="take over", queue=_QUEUE, queueing_lock="take over")
        async def take_over(timestamp: int) -> None:
            """Run the jobs of workers that have died again."""
            del timestamp
            for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=_STALLED_SECONDS):
                # The same job may wait already, and cannot start before this one has ended.
                await app.job_manager.finish_job(job, Status.FAILED, delete_job=True)
                key = job.task_kwargs.get("key")
                _log.info("the job %s of %s is taken over", job.task_name, key)
                if isinstance(key, str):
                    await self._defer(app, self._jobs.kind(job.task_name), key, 0.0)

        @app.periodic(cron=_EVERY_MINUTE)
        @app.task(name="sweep", queue=_QUEUE, queueing_lock="sweep")
        async def sweep(timestamp: int) -> None:
            """Find what there is to do."""
            del timestamp
            for kind in self._jobs.kinds:
                await self._sweep(app, kind)

        return app

    def _task_of(self, app: "procrastinate.App", kind: JobKind) -> Callable[..., Awaitable[None]]:
        async def run(key: str) -> None:
            pause = await run_once(kind, key)
            if pause is not None:
                await self._defer(app, kind, key, pause)

        return run

    async def _sweep(self, app: "procrastinate.App", kind: JobKind) -> None:
        for key in await find_open(kind):
            await self._defer(app, kind, key, 0.0)

    async def _defer(self, app: "procrastinate.App", kind: JobKind, key: str, after_seconds: float) -> None:
        """Record a job, unless the same one waits already."""
        from procrastinate.exceptions import AlreadyEnqueued  # noqa: PLC0415

        name = f"{kind.name} {key}"
        options: dict[str, Any] = {"schedule_in": {"seconds": after_seconds}} if after_seconds > 0 else {}
        with suppress(AlreadyEnqueued):
            await app.configure_task(kind.name, lock=name, queueing_lock=name, **options).defer_async(key=key)


async def _make_tables(url: str, schema: str) -> None:
    """Make procrastinate's tables, unless they are there."""
    import psycopg  # noqa: PLC0415 - an extra

    async with await psycopg.AsyncConnection.connect(url, prepare_threshold=None) as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_SCHEMA_LOCK,))
        found = await connection.execute("SELECT to_regclass('procrastinate_jobs')")
        if await found.fetchone() == (None,):
            await connection.execute(schema.encode())
