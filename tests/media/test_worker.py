"""The child process: limited, kept, and killed when it overruns."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import anyio
import av
import pytest

from luma_mcp.domain.errors import FileError, InternalError
from luma_mcp.media import functions, wire, worker
from tests.support.media_child import (
    TEST_FUNCTIONS,
    call_wrongly,
    crash,
    environment,
    fail,
    fill,
    hang,
    missing,
    pid,
    refuse,
    return_a_wrong_field,
    return_a_wrong_type,
    spin,
)

pytestmark = [pytest.mark.anyio, pytest.mark.child_process, pytest.mark.slow]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")


@pytest.fixture(params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(autouse=True)
def test_child(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Children that also call the functions of the tests."""
    code = worker._CODE.replace("luma_mcp.media.child", "tests.support.media_child")
    monkeypatch.setattr(worker, "_CODE", code)
    monkeypatch.setattr(worker, "FUNCTIONS", {**functions.FUNCTIONS, **TEST_FUNCTIONS})
    monkeypatch.setattr(worker, "_CHILDREN", {False: worker._Child(), True: worker._Child()})
    yield
    for child in worker._CHILDREN.values():
        child.kill()


def read_no_such_attribute() -> None:
    _ = object().attribute  # type: ignore[attr-defined]


def use_no_such_name() -> None:
    _ = no_such_name  # type: ignore[name-defined]  # noqa: F821


def import_no_such_module() -> None:
    import no_such_module  # type: ignore[import-not-found] # noqa: F401


def memory() -> None:
    raise MemoryError


async def test_the_child_is_another_process_and_is_kept() -> None:
    first, second = await worker.run(pid), await worker.run(pid)

    assert first == second != os.getpid()


async def test_our_errors_come_whole_and_a_decoder_s_become_ours() -> None:
    with pytest.raises(FileError, match="no good") as caught:
        await worker.run(refuse, "no good")
    assert caught.value.hint == "a hint"
    with pytest.raises(FileError, match="cannot be read"):
        await worker.run(fail)
    with pytest.raises(FileNotFoundError):
        await worker.run(missing)


@LINUX
def test_what_a_decoder_raises_is_an_error_of_the_file() -> None:
    assert worker.translated(str.upper, "a") == "A"
    with pytest.raises(FileError, match="cannot be read"):
        worker.translated(fail)
    for function, kind in ((missing, FileNotFoundError), (memory, MemoryError)):
        with pytest.raises(kind):
            worker.translated(function)


@pytest.mark.parametrize("function", [call_wrongly, read_no_such_attribute, use_no_such_name, import_no_such_module])
def test_an_error_that_no_file_can_cause_is_a_mistake_of_this_server(function: Callable[[], None]) -> None:
    with pytest.raises(InternalError, match="a mistake in this server") as caught:
        worker.translated(function)

    assert f"PyAV {av.__version__}" in str(caught.value)
    assert "The file is not at fault" in caught.value.hint
    assert function.__name__ in caught.value.traceback_text
    assert not isinstance(caught.value, FileError)


async def test_the_log_has_the_traceback_of_the_child(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InternalError) as caught:
        await worker.run(call_wrongly)

    assert "no_such_argument" not in caught.value.full_text
    assert "in call_wrongly" in caplog.text
    assert "no_such_argument" in caplog.text


async def test_a_file_that_needs_much_memory_ends_the_child_and_not_the_server() -> None:
    before = await worker.run(pid)
    with pytest.raises(FileError, match="more memory or time"):
        await worker.run(fill, 2048)

    assert await worker.run(fill, 64) == 64 * 1024**2
    assert await worker.run(pid) != before


async def test_a_crash_is_an_error_of_the_file() -> None:
    with pytest.raises(FileError, match="more memory or time"):
        await worker.run(crash)
    assert await worker.run(pid)


async def test_what_takes_too_long_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_START_SECONDS", 0.5)
    child = await worker.run(pid)
    with anyio.fail_after(20), pytest.raises(FileError, match="more memory or time"):
        await worker.run(hang, seconds=0.5)

    assert not Path(f"/proc/{child}").exists() or sys.platform != "linux"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows limits no CPU time")
async def test_what_spins_is_ended_by_the_operating_system() -> None:
    with pytest.raises(FileError, match="more memory or time"):
        await worker.run(spin, seconds=1.0)


async def test_one_file_at_a_time() -> None:
    pids: set[int] = set()

    async def ask() -> None:
        pids.add(await worker.run(pid))

    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(ask)

    assert len(pids) == 1


async def test_time_in_line_is_not_the_file_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others' hostile files take their whole time, and the one behind them is read all the same."""
    monkeypatch.setattr(worker, "_START_SECONDS", 1.5)
    outcomes: list[str] = []

    async def overrun() -> None:
        with pytest.raises(FileError, match="more memory or time"):
            await worker.run(hang, seconds=0.5)
        outcomes.append("refused")

    async def innocent() -> None:
        await worker.run(pid, seconds=0.5)
        outcomes.append("read")

    async with anyio.create_task_group() as tasks:
        for function in (overrun, overrun, innocent):
            tasks.start_soon(function)
            await anyio.lowlevel.checkpoint()

    assert sorted(outcomes) == ["read", "refused", "refused"]


async def test_the_child_has_no_secret_in_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "LUMA_TOKEN",
        "LUMA_AGENTS_API_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "HOME",
    ):
        monkeypatch.setenv(name, "a secret")

    assert set(await worker.run(environment)) <= worker._ENVIRONMENT


@pytest.mark.parametrize("function", [return_a_wrong_type, return_a_wrong_field])
async def test_a_child_that_returns_what_it_may_not_is_not_believed(function: Callable[[], object]) -> None:
    with pytest.raises(FileError, match="more memory or time"):
        await worker.run(function)
    assert await worker.run(pid)


async def test_a_function_that_is_not_listed_is_not_called() -> None:
    with pytest.raises(LookupError, match="getpid"):
        await worker.run(os.getpid)


async def test_a_call_that_is_cancelled_ends_its_child() -> None:
    before = await worker.run(pid)
    with anyio.move_on_after(0.3):
        await worker.run(hang)

    assert await worker.run(pid) != before


def test_the_child_ends_with_the_server(tmp_path: Path) -> None:
    code = (
        "import anyio, sys; from pathlib import Path; from luma_mcp.media import worker\n"
        "from luma_mcp.media.self_test import check_libraries\n"
        "anyio.run(worker.run, check_libraries); print(worker._CHILDREN[False]._process.pid)"
    )
    child = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)

    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


LIMITED = """
import resource
from luma_mcp.media import worker
worker.limit(700 * 1024**2, 5)
print(resource.getrlimit(resource.RLIMIT_DATA)[0], resource.getrlimit(resource.RLIMIT_CPU)[0])
resource.setrlimit(resource.RLIMIT_DATA, (600 * 1024**2, 600 * 1024**2))
worker.limit(700 * 1024**2, 5)
print(resource.getrlimit(resource.RLIMIT_DATA)[0])
"""


@LINUX
def test_the_limits_are_set_and_never_above_those_of_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, check=True)
    memory, cpu, lower = map(int, done.stdout.split())

    assert memory == 700 * 1024**2
    assert 5 < cpu < 20
    assert lower == 600 * 1024**2


def test_a_thread_that_cannot_be_started_is_a_lack_of_memory() -> None:
    def starts_no_thread() -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    with pytest.raises(MemoryError):
        worker.translated(starts_no_thread)


def test_the_child_returns_a_result_or_an_error_for_each_call_until_its_input_ends() -> None:
    calls = BytesIO()
    for name, *arguments in (("fill", 1), ("refuse", "no good"), ("missing",), ("call_wrongly",), ("fill", 2)):
        wire.write(calls, (name, tuple(arguments), worker.MEMORY_BYTES, 20.0))
    code = "from tests.support.media_child import main; main()"
    done = subprocess.run([sys.executable, "-c", code], input=calls.getvalue(), capture_output=True, check=True)
    responses = BytesIO(done.stdout)

    assert wire.read(responses) == ("returned", 1024**2)
    assert wire.read(responses) == ("FileError", "no good", "a hint")
    assert wire.read(responses) == ("OSError", 2, "No such file or directory")
    kind, message, hint, traceback_text = wire.read(responses)
    assert (kind, "a mistake in this server" in message) == ("InternalError", True)
    assert "The file is not at fault" in hint
    assert "no_such_argument" in traceback_text
    assert wire.read(responses) == ("returned", 2 * 1024**2)
    with pytest.raises(EOFError):
        wire.read(responses)
