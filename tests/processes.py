"""Other programs of this machine that a test starts and speaks to over HTTP."""

import json
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def port_told(log: Path, process: "subprocess.Popen[Any]") -> int:
    """The port that our server says it serves on, in its log, within a minute."""
    for _ in range(1200):
        for line in log.read_text().splitlines():
            if '"serving"' in line:
                return json.loads(line)["port"]
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    raise AssertionError(log.read_text())


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
