"""A child process for pictures and clips that others made.

What decodes a hostile file may need any amount of memory and time, or crash. So it happens in a process of its own that
has limits of memory and CPU, is started for the first file and kept, and is killed when it overruns. One file is worked
on at a time, and one that takes long beside. The time in line is not the file's own.

The child has none of this server's secrets in its environment. It is asked by the name of a function, and answers with
plain data (`wire`), so that what a hostile file does to it stays there.

The limits of memory and CPU are those of the operating system: Linux has both, macOS the CPU's, Windows neither. The
limit of time holds everywhere.
"""

import atexit
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar, cast

import anyio
import anyio.lowlevel
import anyio.to_thread

from luma_mcp.domain.errors import FileError, InternalError
from luma_mcp.media import wire
from luma_mcp.media.functions import FUNCTIONS, name_of
from luma_mcp.media.limits import limit
from luma_mcp.media.translation import translated

__all__ = ["MEMORY_BYTES", "SECONDS", "limit", "run", "translated"]

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")

# The need of a sheet of nine frames of a 4k clip, four times over.
MEMORY_BYTES = 768 * 1024**2
SECONDS = 20.0
# The child needs some time to start, and to import its libraries.
_START_SECONDS = 10.0

# The child imports from the folders of its parent, and from no other: neither the working folder nor PYTHONPATH counts.
_CODE = "import sys; sys.path[:] = sys.argv[1:]; from luma_mcp.media.child import main; main()"
# The variables that programs and their libraries need to run at all.
_ENVIRONMENT = frozenset(
    {
        "PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "WINDIR", "TEMP", "TMP", "TMPDIR", "LANG",
        "LC_ALL", "LC_CTYPE", "TZ", "COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START",
    }
)  # fmt: skip

_Limiters = dict[bool, anyio.CapacityLimiter]
_limiters: anyio.lowlevel.RunVar[_Limiters] = anyio.lowlevel.RunVar("media workers")


async def run(
    function: Callable[..., _T],
    *arguments: object,
    seconds: float = SECONDS,
    memory_bytes: int = MEMORY_BYTES,
    is_long: bool = False,
) -> _T:
    """Call a function of this package in the child process and return its result.

    Args:
        function: one of the functions that the child calls (`functions`).
        arguments: its arguments, of the types that are sent (`wire`).
        seconds: the time that it may take, from when its turn comes.
        memory_bytes: the memory that it may need.
        is_long: whether it takes so long that others shall not wait for it; it has a child of its own then.

    Raises:
        FileError: the file cannot be read, or needs too much memory or time.
        InternalError: this server is at fault, or a library; its traceback is logged.
        OSError: the function could not open or write a file.
    """
    name = name_of(function, FUNCTIONS)
    child = _CHILDREN[is_long]
    async with _limiter(is_long):
        try:
            with anyio.fail_after(seconds + _START_SECONDS):
                response = await anyio.to_thread.run_sync(
                    child.call, (name, arguments, memory_bytes, seconds), abandon_on_cancel=True
                )
        except TimeoutError:
            child.kill()
            raise _too_much() from None
        except anyio.get_cancelled_exc_class():
            child.kill()
            raise
        except (EOFError, OSError, wire.WireError) as error:
            child.kill()
            raise _too_much() from error
    return cast("_T", _result(name, response))


def _result(name: str, response: Any) -> Any:
    """Return the result that the child sent. Raises: as `run`."""
    match response:
        case ("returned", result) if isinstance(result, FUNCTIONS[name][1] or type(None)):
            return result
        case ("FileError", str(message), str(hint)):
            raise FileError(message, hint)
        case ("OSError", int(number), str(message)):
            raise OSError(number, message)
        case ("InternalError", str(message), str(hint), str(traceback_text)):
            error = InternalError(message, hint, traceback_text)
            _LOG.error("%s\n%s", error, traceback_text)
            raise error
        case _:
            raise _too_much()


def _limiter(is_long: bool) -> anyio.CapacityLimiter:
    try:
        limiters = _limiters.get()
    except LookupError:
        limiters = {False: anyio.CapacityLimiter(1), True: anyio.CapacityLimiter(1)}
        _limiters.set(limiters)
    return limiters[is_long]


def _too_much() -> FileError:
    return FileError(
        "The file needs more memory or time to be read than a picture or a clip may.",
        "It may be damaged. Nothing was done.",
    )


class _Child:
    """A child process, started for the first call and after it has ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        atexit.register(self.kill)

    def call(self, request: tuple[Any, ...]) -> object:
        """Send a call and return what comes back. Raises: EOFError, OSError, WireError, if the child ends."""
        with self._lock:
            process = self._process
            if process is None or process.poll() is not None:
                self._close()
                process = self._process = _started()
            if process.stdin is None or process.stdout is None:  # pragma: no cover - both are pipes
                raise EOFError
            wire.write(cast("Any", process.stdin), request)
            return wire.read(cast("Any", process.stdout))

    def kill(self) -> None:
        """End the process. A call that waits for it ends, too."""
        if self._process is not None:
            self._process.kill()
        with self._lock:
            self._close()

    def _close(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in filter(None, (process.stdin, process.stdout)):
            with suppress(OSError):  # what was not sent is lost with the process
                pipe.close()


def _started() -> "subprocess.Popen[bytes]":
    environment = {name: value for name, value in os.environ.items() if name.upper() in _ENVIRONMENT}
    command = [sys.executable, "-I", "-X", "utf8", "-c", _CODE, *filter(None, sys.path)]
    return subprocess.Popen(  # noqa: S603 - our own program
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    )


_CHILDREN = {False: _Child(), True: _Child()}
