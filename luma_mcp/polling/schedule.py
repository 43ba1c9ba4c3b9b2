"""The intervals between polls of a generation, by its kind and its age."""

import random
from dataclasses import dataclass

from luma_mcp.domain.generation import WAITING, Generation


@dataclass(frozen=True, slots=True)
class Schedule:
    """The intervals for one kind of generation, in seconds.

    Luma's documentation polls images every 2 s and videos every 3 s. The usual times are those that clients report.

    Args:
        first: until the first poll after a generation was first reported, while it is recent.
        then: between later polls.
        slower_after: the age from which it is polled less often.
        slow: the interval from then on.
        stalled_after: the time in one state that is unusually long.
        usual: the usual time, as a sentence for the user.
    """

    first: float
    then: float
    slower_after: float
    slow: float
    stalled_after: float
    usual: str

    def interval(self, age: float) -> float:
        """Seconds until the next poll of a generation that was first reported `age` seconds ago."""
        if age < self.first:
            return self.first
        return self.then if age < self.slower_after else self.slow


IMAGE = Schedule(
    first=2, then=2, slower_after=60, slow=5, stalled_after=180, usual="a picture usually takes 5-15 s"
)  # fmt: skip
VIDEO = Schedule(
    first=8, then=4, slower_after=180, slow=10, stalled_after=900, usual="a clip usually takes 1-2 minutes"
)  # fmt: skip
# The ledger is read, and no request is sent.
QUEUED = Schedule(
    first=1, then=2, slower_after=600, slow=5, stalled_after=24 * 3600,
    usual="Luma has no slot for it yet; it is sent when one is free",
)  # fmt: skip


def schedule_of(generation: Generation) -> Schedule:
    """The schedule for a generation."""
    if generation.state == WAITING:
        return QUEUED
    return IMAGE if generation.makes_image else VIDEO


def jitter(seconds: float) -> float:
    """The seconds, changed by up to 15 %, so that many processes do not poll in step."""
    return seconds * random.uniform(0.85, 1.15)  # noqa: S311 - no secret
