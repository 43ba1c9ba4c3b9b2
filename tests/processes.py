"""Other programs of this machine that a test starts and speaks to over HTTP."""

import socket
import subprocess
import time
from collections.abc import Callable
from typing import Any

import httpx


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def until_it_answers(
    ask: Callable[[], httpx.Response], *processes: "subprocess.Popen[Any]", log: Callable[[], str] = str
) -> None:
    """Ask until there is a good answer, for a minute at the most and while the processes live."""
    for _ in range(1200):
        try:
            ask().raise_for_status()
        except httpx.HTTPError:
            assert all(one.poll() is None for one in processes), log()
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"it never came: {log()}")
