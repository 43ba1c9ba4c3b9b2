"""Time as a parameter, so that no test sleeps and no change of the wall clock matters."""

from typing import Protocol


class Clock(Protocol):
    """A monotonic clock that can sleep. Seconds."""

    def now(self) -> float:
        """Seconds since some moment. They never fall."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...
