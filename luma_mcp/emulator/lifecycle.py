"""How a generation lives: queued, then dreaming, then completed or failed.

The lives are a table and the state is a function of age, so nothing runs in the background, and a test that holds the
clock can look at any moment of a life.
"""

from dataclasses import dataclass
from typing import Literal

Running = Literal["queued", "dreaming"]
Ended = Literal["completed", "failed"]


@dataclass(frozen=True)
class Life:
    """Seconds that a generation spends in each state, at the speed of the real Dream Machine."""

    queued: float
    dreaming: float
    preview_after: float | None = None
    """Seconds after which a dreaming generation offers `progress_video`; None where there is none."""

    @property
    def total(self) -> float:
        return self.queued + self.dreaming


# Averages that clients of the real API report: a clip about a minute, a picture about ten seconds.
LIVES = {
    "video": Life(queued=3, dreaming=57, preview_after=20),
    "image": Life(queued=1, dreaming=9),
    "reframe_image": Life(queued=1, dreaming=9),
    "reframe_video": Life(queued=3, dreaming=57),
    "modify_video": Life(queued=3, dreaming=87),
    "upscale_video": Life(queued=3, dreaming=42),
    "add_audio": Life(queued=3, dreaming=27),
}


def is_over(life: Life, age: float) -> bool:
    """Whether a generation of that age has come to its end."""
    return age >= life.total


def running_state(life: Life, age: float) -> Running:
    """The state before the end."""
    return "queued" if age < life.queued else "dreaming"


def has_preview(life: Life, age: float) -> bool:
    """Whether a generation that still runs shows a preview clip."""
    return life.preview_after is not None and life.preview_after <= age < life.total
