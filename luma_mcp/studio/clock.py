"""Time, handed in, so that a test never sleeps and a change of the wall clock changes nothing."""

import time
from typing import Protocol

import anyio


class Clock(Protocol):
    """Seconds that only rise, and a way to let them pass."""

    def now(self) -> float:
        """Seconds since some moment."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let that many pass."""
        ...


class MonotonicClock:
    """The real one."""

    def now(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)
