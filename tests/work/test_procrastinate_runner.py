"""The runner of jobs on procrastinate, in this process."""

import functools
import logging
from collections.abc import Awaitable, Callable

import anyio
import psycopg
import pytest

from luma_mcp.work import procrastinate_runner
from luma_mcp.work.jobs import JobKind, Jobs, Run
from luma_mcp.work.procrastinate_runner import ProcrastinateRunner, is_installed
from tests.support.agent import until as until_so
from tests.support.processes import free_port

pytestmark = [
    pytest.mark.services,
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", ["asyncio"]),
]


def kind(run: Run, *found: str, again: bool = False) -> JobKind:
    """A job whose search finds some keys: at the start only, or each time."""
    keys = list(found)

    async def find() -> list[str]:
        found_now = list(keys)
        if not again:
            keys.clear()
        return found_now

    return JobKind("paint", run, find)


async def until(runner: ProcrastinateRunner, work: Callable[[], Awaitable[None]]) -> None:
    """Run jobs until some work is done."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(runner.run)
        with anyio.fail_after(60):
            await work()
        tasks.cancel_scope.cancel()


class Runs:
    """A job that records its runs."""

    def __init__(self, *pauses: float) -> None:
        self._pauses = list(pauses)
        self.keys: list[str] = []
        self._changed = anyio.Event()

    async def run(self, key: str) -> float | None:
        self.keys.append(key)
        self._changed.set()
        return self._pauses.pop(0) if self._pauses else None

    async def reach(self, number: int) -> None:
        while len(self.keys) < number:
            self._changed = anyio.Event()
            await self._changed.wait()


def execute(database: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(database, autocommit=True) as connection:
        found = connection.execute(statement.encode())
        return found.fetchall() if found.description else []


async def test_it_is_installed() -> None:
    assert is_installed()


async def test_what_the_ledger_names_runs_and_runs_again_after_its_pause(database: str) -> None:
    runs = Runs(0.5)
    await until(ProcrastinateRunner(Jobs(kind(runs.run, "a")), database), lambda: runs.reach(2))
    assert runs.keys == ["a", "a"]


async def test_a_job_that_is_started_twice_waits_once(database: str) -> None:
    runs = Runs()
    runner = ProcrastinateRunner(Jobs(kind(runs.run, "first")), database)

    async def work() -> None:
        await runs.reach(1)
        await runner.start("paint", "b", after_seconds=3600)
        await runner.start("paint", "b", after_seconds=3600)
        await runner.start("paint", "c")
        await runs.reach(2)

    await until(runner, work)
    assert runs.keys == ["first", "c"]
    assert execute(database, "SELECT count(*) FROM procrastinate_jobs WHERE queueing_lock = 'paint b'") == [(1,)]


async def test_the_job_of_a_worker_that_died_is_taken_over(database: str) -> None:
    runs = Runs()
    runner = ProcrastinateRunner(Jobs(kind(runs.run, "first")), database)

    async def work() -> None:
        await runs.reach(1)
        await runner.start("paint", "b", after_seconds=3600)
        execute(database, "UPDATE procrastinate_jobs SET status = 'doing' WHERE queueing_lock = 'paint b'")
        execute(
            database,
            "INSERT INTO procrastinate_jobs (task_name, queue_name, status, args)"
            " VALUES ('sweep', 'luma', 'doing', '{\"timestamp\": 1}')",
        )
        await runs.reach(2)

        async def is_gone() -> bool:
            await anyio.sleep(0.1)
            return not execute(
                database, "SELECT 1 FROM procrastinate_jobs WHERE status = 'doing' AND args->>'timestamp' = '1'"
            )

        await until_so(is_gone)

    await until(runner, work)
    assert "b" in runs.keys


async def test_what_the_ledger_names_later_is_found_within_a_minute(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(procrastinate_runner, "_EVERY_MINUTE", "* * * * * *")
    runs = Runs()
    await until(ProcrastinateRunner(Jobs(kind(runs.run, "a", again=True)), database), lambda: runs.reach(3))
    assert set(runs.keys) == {"a"}


async def test_a_database_that_cannot_be_used_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(procrastinate_runner, "_PAUSE_SECONDS", 0.01)
    runs = Runs()
    url = f"postgresql://me:the-password@127.0.0.1:{free_port()}/none"
    runner = ProcrastinateRunner(Jobs(kind(runs.run)), url)

    async def work() -> None:
        async def is_tried_twice() -> bool:
            await anyio.sleep(0.01)
            return caplog.text.count("jobs cannot be run now") >= 2

        await until_so(is_tried_twice)
        await runner.start("paint", "a")

    with caplog.at_level(logging.WARNING):
        await until(runner, work)
    assert runs.keys == []
    assert "the-password" not in caplog.text


async def test_a_job_that_cannot_be_recorded_is_left_to_the_search(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    runs = Runs()
    runner = ProcrastinateRunner(Jobs(kind(runs.run, "a")), database)

    async def work() -> None:
        await runs.reach(1)
        # No text of PostgreSQL has such a character.
        await runner.start("paint", "\x00")

    with caplog.at_level(logging.WARNING):
        await until(runner, work)
    assert "cannot be recorded now" in caplog.text


async def test_a_second_runner_uses_the_tables_of_the_first(database: str) -> None:
    for _ in range(2):
        runs = Runs()
        await until(ProcrastinateRunner(Jobs(kind(runs.run, "a")), database), functools.partial(runs.reach, 1))
        assert runs.keys == ["a"]
