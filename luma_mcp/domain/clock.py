"""Time as a parameter: a test holds it, and a change of the wall clock ends no wait."""

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
