"""The runner of jobs in the serving process."""

from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel
import pytest

from luma_mcp.domain.errors import LedgerError
from luma_mcp.work.in_process import InProcessRunner
from luma_mcp.work.jobs import JobKind, Jobs, NoRunner, Run
from tests.support.agent import HeldClock

pytestmark = pytest.mark.anyio


async def _nothing() -> list[str]:
    return []


def _kind(run: Run, *found: str) -> JobKind:
    async def find() -> list[str]:
        return list(found)

    return JobKind("paint", run, find)


async def _until(runner: InProcessRunner, work: Callable[[], Awaitable[None]]) -> None:
    """Run jobs until some work is done."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(runner.run)
        with anyio.fail_after(20):
            await work()
        tasks.cancel_scope.cancel()


async def test_what_the_ledger_names_is_run_at_the_start(clock: HeldClock) -> None:
    done, ran = anyio.Event(), list[str]()

    async def run(key: str) -> None:
        ran.append(key)
        if len(ran) == 2:
            done.set()

    await _until(InProcessRunner(Jobs(_kind(run, "a", "b")), clock, first_sweep_seconds=0), done.wait)
    assert sorted(ran) == ["a", "b"]


async def test_a_job_runs_once_at_a_time_and_again_if_it_was_started_meanwhile(clock: HeldClock) -> None:
    entered, released, done = anyio.Event(), anyio.Event(), anyio.Event()
    running, runs, most = 0, 0, 0

    async def run(_key: str) -> None:
        nonlocal running, runs, most
        running, runs = running + 1, runs + 1
        most = max(most, running)
        entered.set()
        await released.wait()
        running -= 1
        if runs == 2:
            done.set()

    runner = InProcessRunner(Jobs(_kind(run)), clock)

    async def work() -> None:
        await runner.start("paint", "a")
        await entered.wait()
        await runner.start("paint", "a")
        await runner.start("paint", "a")
        assert runner.open == {"paint": 1}
        released.set()
        await done.wait()

    await _until(runner, work)
    assert (runs, most) == (2, 1)


@pytest.mark.parametrize("error", [LedgerError("closed"), ZeroDivisionError()], ids=["of Luma", "of ours"])
async def test_a_job_that_fails_runs_again_and_stops_no_other(error: Exception, clock: HeldClock) -> None:
    done, ran = anyio.Event(), list[str]()

    async def run(key: str) -> None:
        ran.append(key)
        if ran.count(key) == 1 and key == "bad":
            raise error
        if ran.count("bad") == 2 and "good" in ran:
            done.set()

    runner = InProcessRunner(Jobs(_kind(run)), clock)

    async def work() -> None:
        await runner.start("paint", "bad")
        await runner.start("paint", "good")
        await done.wait()

    await _until(runner, work)
    assert ran.count("bad") == 2
    assert sum(clock.sleeps) >= 30


async def test_a_job_with_more_to_do_runs_again(clock: HeldClock) -> None:
    done, runs = anyio.Event(), 0

    async def run(_key: str) -> float | None:
        nonlocal runs
        runs += 1
        if runs < 3:
            return 0.0
        done.set()
        return None

    await _until(InProcessRunner(Jobs(_kind(run, "a")), clock, first_sweep_seconds=0), done.wait)
    assert runs == 3


@pytest.mark.parametrize("error", [LedgerError("closed"), ZeroDivisionError()], ids=["of Luma", "of ours"])
async def test_a_search_that_fails_hides_no_other_kind(error: Exception, clock: HeldClock) -> None:
    done = anyio.Event()

    async def run(_key: str) -> None:
        done.set()

    async def find() -> list[str]:
        raise error

    await _until(
        InProcessRunner(Jobs(JobKind("draw", run, find), _kind(run, "a")), clock, first_sweep_seconds=0), done.wait
    )


async def test_no_more_than_four_jobs_of_a_kind_run_at_once(clock: HeldClock) -> None:
    running, most, done, ended = 0, 0, anyio.Event(), 0

    async def run(_key: str) -> None:
        nonlocal running, most, ended
        running += 1
        most = max(most, running)
        await anyio.lowlevel.checkpoint()
        running -= 1
        ended += 1
        if ended == 20:
            done.set()

    await _until(InProcessRunner(Jobs(_kind(run, *map(str, range(20)))), clock, first_sweep_seconds=0), done.wait)
    assert most == 4


async def test_two_kinds_of_one_name_are_refused() -> None:
    async def run(_key: str) -> None:
        return None

    with pytest.raises(ValueError, match="there is a job paint already"):
        Jobs(JobKind("paint", run, _nothing), JobKind("paint", run, _nothing))


async def test_a_process_of_one_call_runs_nothing() -> None:
    await NoRunner().start("paint", "a")
    await NoRunner().run()
