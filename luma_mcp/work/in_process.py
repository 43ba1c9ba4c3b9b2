"""The runner of jobs in the serving process, for as long as that lives. After a restart the ledger names what to do."""

import logging
import math

import anyio
from anyio.abc import TaskGroup

from luma_mcp.domain.clock import Clock
from luma_mcp.domain.errors import LumaError
from luma_mcp.work.jobs import RETRY_SECONDS, SWEEP_SECONDS, JobKind, Jobs

_log = logging.getLogger(__name__)

# Of a kind, so that long jobs of one kind delay no other kind.
_AT_ONCE = 4
# A host waits for the start of its servers, so the first search comes later. By the real clock.
_FIRST_SWEEP_SECONDS = 3.0


class InProcessRunner:
    """Runs jobs as tasks. A job runs once at a time for each key; a start meanwhile runs it again afterwards.

    Args:
        jobs: the kinds of jobs.
        clock: the clock.
        first_sweep_seconds: until the first search for what there is to do, by the real clock.
        sweep_seconds: between two searches, by the real clock.
    """

    def __init__(
        self,
        jobs: Jobs,
        clock: Clock,
        *,
        first_sweep_seconds: float = _FIRST_SWEEP_SECONDS,
        sweep_seconds: float = SWEEP_SECONDS,
    ) -> None:
        self._jobs = jobs
        self._clock = clock
        self._first_sweep_seconds = first_sweep_seconds
        self._sweep_seconds = sweep_seconds
        self._due: dict[tuple[str, str], float] = {}
        self._running: set[tuple[str, str]] = set()
        self._changed = anyio.Event()

    @property
    def open(self) -> dict[str, int]:
        """The number of jobs that run or are due, by kind."""
        counts = {kind.name: 0 for kind in self._jobs.kinds}
        for name, _ in self._due.keys() | self._running:
            counts[name] += 1
        return counts

    async def start(self, name: str, key: str, *, after_seconds: float = 0.0) -> None:
        """Run a job soon, or after some seconds."""
        job = (self._jobs.kind(name).name, key)
        self._due[job] = min(self._due.get(job, math.inf), self._clock.now() + after_seconds)
        self._changed.set()

    async def run(self) -> None:
        """Run jobs until this is cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._sweep)
            while True:
                self._changed = anyio.Event()
                self._start_due(tasks)
                waiting = [due for job, due in self._due.items() if self._may_run(job)]
                if not waiting:
                    await self._changed.wait()
                else:
                    await self._sleep(min(waiting) - self._clock.now())

    def _may_run(self, job: tuple[str, str]) -> bool:
        """Whether a job may run now: it does not run already, and few of its kind do."""
        return job not in self._running and sum(name == job[0] for name, _ in self._running) < _AT_ONCE

    async def _sleep(self, seconds: float) -> None:
        """Sleep so long, or until something changes."""

        async def wake(sleep: anyio.CancelScope) -> None:
            await self._changed.wait()
            sleep.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wake, tasks.cancel_scope)
            await self._clock.sleep(max(0.0, seconds))
            tasks.cancel_scope.cancel()

    async def _sweep(self) -> None:
        """Find what there is to do, again and again."""
        pause = self._first_sweep_seconds
        while True:
            await anyio.sleep(pause)
            pause = self._sweep_seconds
            for kind in self._jobs.kinds:
                for key in await find_open(kind):
                    await self.start(kind.name, key)

    def _start_due(self, tasks: TaskGroup) -> None:
        now = self._clock.now()
        for job, due in sorted(self._due.items(), key=lambda item: item[1]):
            if due <= now and self._may_run(job):
                del self._due[job]
                self._running.add(job)
                tasks.start_soon(self._run, self._jobs.kind(job[0]), job[1])

    async def _run(self, kind: JobKind, key: str) -> None:
        pause: float | None = None
        try:
            pause = await run_once(kind, key)
        finally:
            self._running.discard((kind.name, key))
            if pause is not None:
                await self.start(kind.name, key, after_seconds=pause)
            self._changed.set()


async def find_open(kind: JobKind) -> list[str]:
    """The keys for which there is something to do; none if they cannot be read now. An error is logged."""
    try:
        return list(await kind.find())
    except LumaError as error:
        _log.info("what there is to do for %s cannot be read now: %s", kind.name, error)
    except Exception:  # noqa: BLE001 - the search for the others continues
        _log.exception("a mistake in this server: the search for %s failed", kind.name)
    return []


async def run_once(kind: JobKind, key: str) -> float | None:
    """Run a job once; the seconds until it runs again. An error is logged."""
    try:
        return await kind.run(key)
    except LumaError as error:
        _log.info("the job %s of %s failed: %s", kind.name, key, error)
    except Exception:  # noqa: BLE001 - logged, and the job runs again
        _log.exception("a mistake in this server: the job %s of %s failed", kind.name, key)
    return RETRY_SECONDS
