"""Functions that a media child calls in tests: they fail, crash and overrun as decoders of hostile files do."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from luma_mcp.domain.errors import FileError
from luma_mcp.media import child
from luma_mcp.media.functions import FUNCTIONS
from luma_mcp.media.probe import ClipInfo


def pid() -> int:
    return os.getpid()


def environment() -> list[str]:
    return sorted(os.environ)


def refuse(message: str) -> None:
    raise FileError(message, "a hint")


def fail() -> None:
    raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "of a library")


def call_wrongly() -> None:
    int(no_such_argument=1)  # type: ignore[call-arg]


def fill(megabytes: int) -> int:
    return len(bytearray(b"x") * (megabytes * 1024**2))


def hang() -> None:
    threading.Event().wait()


def spin() -> None:
    while True:
        pass


def crash() -> None:
    os.abort()


def missing() -> None:
    Path("/no/such/file").read_bytes()


def return_a_wrong_type() -> Any:
    return "text"


def return_a_wrong_field() -> Any:
    return ClipInfo("wide", 1, 1.0, 1.0, has_sound=False)  # type: ignore[arg-type]


TEST_FUNCTIONS: dict[str, tuple[Callable[..., Any], type | None]] = {
    function.__name__: (function, kind)
    for function, kind in (
        (pid, int), (environment, list), (refuse, None), (fail, None), (call_wrongly, None), (fill, int), (hang, None),
        (spin, None), (crash, None), (missing, None), (return_a_wrong_type, int), (return_a_wrong_field, ClipInfo),
    )
}  # fmt: skip


def main() -> None:
    FUNCTIONS.update(TEST_FUNCTIONS)
    child.main()
