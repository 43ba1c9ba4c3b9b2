"""Other programs of this machine that a test starts and speaks to over HTTP."""

import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import anyio
import httpx

# httpx waits twice as long each time it connects anew: nine times make a minute.
_TIMES_CONNECTED_ANEW = 8


def free_port() -> int:
    with socket.socket() as item:
        item.bind(("127.0.0.1", 0))
        return item.getsockname()[1]


def once_it_listens(method: str, url: str, verify: ssl.SSLContext | bool = True) -> None:
    """Ask a program that was just started; it must answer well, and within a minute. Raises: httpx.HTTPError."""
    with httpx.Client(transport=httpx.HTTPTransport(retries=_TIMES_CONNECTED_ANEW, verify=verify)) as client:
        client.request(method, url).raise_for_status()


async def until_elsewhere(is_so: Callable[[], object]) -> None:
    """Wait for what another process does and reports to nobody; fail if it has not happened after half a minute."""
    with anyio.fail_after(30):
        while not is_so():  # noqa: ASYNC110 - no event of this process comes with it
            await anyio.sleep(0.01)


async def until_delivered(pid: int) -> None:
    """Wait until a process has no signal that it has not received, so that the next one does not merge with it."""
    await until_elsewhere(lambda: not _has_pending_signals(pid))


def _has_pending_signals(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    if not status.exists():  # no process, or no such files on this system
        return False
    lines = dict(line.partition(":")[::2] for line in status.read_text().splitlines())
    return any(int(lines[name], 16) for name in ("SigPnd", "ShdPnd"))
