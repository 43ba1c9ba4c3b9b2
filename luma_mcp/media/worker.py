"""A child process for pictures and clips that others made.

What decodes a hostile file may need any amount of memory and time, or crash. So it happens in a process of its own that
has limits of memory and CPU, is started for the first file and kept, and is killed when it overruns. One file is worked
on at a time, and one that takes long beside.

The limits of memory and CPU are those of the operating system: Linux has both, macOS the CPU's, Windows neither. The
limit of time holds everywhere.
"""

import logging
import os
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import anyio
import anyio.lowlevel
import anyio.to_process

from luma_mcp.domain.errors import FileError, InternalError, LumaError
from luma_mcp.media import libav

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")

# What a sheet of nine frames of a 4k clip needs, four times over.
MEMORY_BYTES = 768 * 1024**2
SECONDS = 20.0
# The child needs some time to start, and to import what it works with.
_START_SECONDS = 10.0

# Errors of a call that the program makes wrongly, for example of an argument that a version of PyAV does not have. No
# file causes them: Pillow and PyAV raise none of them for 800,000 damaged pictures.
_PROGRAM_ERRORS = (TypeError, AttributeError, NameError, ImportError)

_Limiters = dict[bool, anyio.CapacityLimiter]
_limiters: anyio.lowlevel.RunVar[_Limiters] = anyio.lowlevel.RunVar("media workers")


async def run(
    function: Callable[..., _T],
    *arguments: object,
    seconds: float = SECONDS,
    memory_bytes: int = MEMORY_BYTES,
    is_long: bool = False,
) -> _T:
    """What a function of this package answers, called in the child process.

    Args:
        function: a function of a module; it and its arguments are pickled.
        arguments: its arguments.
        seconds: how long it may take.
        memory_bytes: how much memory it may need.
        is_long: whether it takes so long that others shall not wait for it; it has a child of its own then.

    Raises:
        FileError: the file cannot be read, or needs too much memory or time.
        InternalError: this server is at fault, or a library; its traceback is logged.
        OSError: the function could not open or write a file.
    """
    try:
        with anyio.fail_after(seconds + _START_SECONDS):
            return await anyio.to_process.run_sync(
                _limited, function, arguments, memory_bytes, seconds, cancellable=True, limiter=_limiter(is_long)
            )
    except TimeoutError:
        raise _too_much() from None
    except anyio.BrokenWorkerProcess as error:
        raise _too_much() from error
    except InternalError as error:
        _LOG.error("%s\n%s", error, error.traceback_text)
        raise


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


def _limited(  # pragma: no cover - in a process that is killed, so that nothing is written down of it
    function: Callable[..., _T], arguments: tuple[object, ...], memory_bytes: int, seconds: float
) -> _T:
    """In the child: the function under the limits."""
    limit(memory_bytes, seconds)
    try:
        return translated(function, *arguments)
    except MemoryError:
        # What is left of the memory is not known, so the child ends.
        os._exit(1)


def translated(function: Callable[..., _T], *arguments: object) -> _T:
    """Call a function. Every error of a decoder becomes a FileError, here and nowhere else.

    Raises:
        FileError: the file cannot be read.
        InternalError: this server is at fault, or a library.
        OSError: the function could not open or write a file.
        MemoryError: it needs too much memory.
    """
    try:
        return function(*arguments)
    except BlockingIOError as error:
        # libav could not start a thread.
        raise MemoryError from error
    except (LumaError, OSError, MemoryError):
        raise
    except _PROGRAM_ERRORS as error:
        raise InternalError(
            f"Media cannot be read through a mistake in this server ({type(error).__name__}, PyAV {libav.version()}).",
            "The file is not at fault. dream-machine-mcp doctor checks the libraries.",
            traceback.format_exc(),
        ) from error
    except Exception as error:
        raise FileError(
            "The file cannot be read.", "It may be damaged, or of a form that is not known here."
        ) from error


def limit(memory_bytes: int, seconds: float) -> None:
    """Limit this process from now on: its memory, and its CPU time from what it has used until now."""
    try:
        import resource  # noqa: PLC0415 - Windows has none
    except ImportError:  # pragma: no cover - not on this system
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu_seconds = int(used.ru_utime + used.ru_stime + seconds) + 1
    # Memory that is mapped from files, such as libraries, does not count.
    for kind, value in ((resource.RLIMIT_CPU, cpu_seconds), (resource.RLIMIT_DATA, memory_bytes)):
        _, hardest = resource.getrlimit(kind)
        allowed = value if hardest == resource.RLIM_INFINITY else min(value, hardest)
        with suppress(ValueError, OSError):  # a system may have the limit and refuse to set it
            resource.setrlimit(kind, (allowed, hardest))
