"""Time as a parameter: a test holds it, and a change of the wall clock ends no wait."""

import sys
import time
from typing import Protocol


class Clock(Protocol):
    """All that the server knows about time. Seconds."""

    def now(self) -> float:
        """Seconds since some moment. They never fall."""
        ...

    def wall(self) -> float:
        """The time of day, in Unix time."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


def suspend_aware_now() -> float:
    """Seconds since some moment, also counted while the machine sleeps.

    `time.monotonic` stands still in sleep on Linux and macOS. There CLOCK_BOOTTIME and CLOCK_MONOTONIC continue;
    Windows has one clock, which continues.
    """
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    if sys.platform == "darwin":  # pragma: no cover - macOS only
        return time.clock_gettime(time.CLOCK_MONOTONIC)
    return time.monotonic()  # pragma: no cover - elsewhere
