"""The life of a generation: queued, then dreaming, then completed or failed.

A lifecycle is data and the state is a function of age. So nothing runs in the background, and a test that controls the
clock can look at any moment.
"""

from dataclasses import dataclass
from typing import Literal

Running = Literal["queued", "dreaming"]
Ended = Literal["completed", "failed"]


@dataclass(frozen=True)
class Lifecycle:
    """The seconds that a generation spends in each state, at Luma's own speed.

    Args:
        queued: in the state `queued`.
        dreaming: in the state `dreaming`.
        preview_after: the age from which a running generation offers a preview clip; None if it never does.
    """

    queued: float
    dreaming: float
    preview_after: float | None = None

    @property
    def total(self) -> float:
        return self.queued + self.dreaming

    def is_over(self, age: float) -> bool:
        """Return whether a generation of that age has ended."""
        return age >= self.total

    def running_state(self, age: float) -> Running:
        """The state before the end."""
        return "queued" if age < self.queued else "dreaming"

    def has_preview(self, age: float) -> bool:
        """Return whether a running generation of that age offers a preview clip."""
        return self.preview_after is not None and self.preview_after <= age < self.total
