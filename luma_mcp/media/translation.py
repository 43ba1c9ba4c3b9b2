"""Errors of decoders, translated to those of this server."""

import traceback
from collections.abc import Callable
from typing import TypeVar

from luma_mcp.domain.errors import FileError, InternalError, LumaError
from luma_mcp.media import libav

T = TypeVar("T")

# Errors of a call that the program makes wrongly, for example of an argument that a version of PyAV does not have. No
# file causes them: Pillow and PyAV raise none of them for 800,000 damaged pictures.
_PROGRAM_ERRORS = (TypeError, AttributeError, NameError, ImportError)


def translated(function: Callable[..., T], *arguments: object) -> T:
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
