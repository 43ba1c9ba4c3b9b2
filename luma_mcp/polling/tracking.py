"""The state of a generation that is waited for and of an API that is polled, and the snapshots of a wait."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from luma_mcp.domain.apis import BackendName
from luma_mcp.domain.errors import LumaError
from luma_mcp.domain.generation import Generation

# A refusal that is not transient counts once it was repeated this much later. One replica of Luma's, or something
# on the way to it, may be wrong for a moment.
CONFIRM_AFTER_SECONDS = 1.0
_REFUSALS = 2
# A page of the list serves fifty; a limit of 100 is known to fail.
PAGE = 50
# Refusals of requests that were sent together count as one.
_TOGETHER_SECONDS = 0.5


MayExist = Callable[[str], Awaitable[bool]]
ApiOf = Callable[[str], Awaitable[BackendName | None]]


async def never(_generation_id: str) -> bool:
    """A generation that Luma denied twice does not exist."""
    return False


async def unknown(_generation_id: str) -> BackendName | None:
    """The API that made it is not known."""
    return None


@dataclass
class ApiState:
    """One API. Times are of the clock.

    Args:
        not_before: when it may be polled again.
        problem: the last error, if the last request failed.
        is_polling: whether a poll of it is under way.
        is_slow: whether that poll is slow, so that no other poll waits for it.
    """

    not_before: float = 0.0
    problem: LumaError | None = None
    is_polling: bool = False
    is_slow: bool = False


@dataclass
class Tracked:
    """A generation that a caller waits for. Times are of the clock.

    Args:
        due: when it is polled next.
        api: the API that made it; None while that is not known.
        is_assigned: whether that API was determined.
        error: the last error; one that is not transient counts only once it `is_refused`.
    """

    due: float
    api: BackendName | None = None
    is_assigned: bool = False
    waiters: int = 0
    generation: Generation | None = None
    error: LumaError | None = None
    state_since: float = 0.0
    first_reported: float | None = None
    refusals: int = 0
    refused_at: float = 0.0

    @property
    def is_refused(self) -> bool:
        """Whether an error that is not transient was repeated."""
        return self.refusals >= _REFUSALS

    @property
    def is_over(self) -> bool:
        """Whether another poll returns nothing new."""
        return self.is_refused or (self.generation is not None and self.generation.is_final)

    @property
    def is_pollable(self) -> bool:
        """Whether it may be polled once it is due."""
        return self.is_assigned and not self.is_over

    @property
    def is_known(self) -> bool:
        """Whether it has a state to report, or a reason for its absence. A first refusal is not enough."""
        has_transient_error = self.error is not None and self.error.is_transient
        return self.generation is not None or self.is_refused or has_transient_error

    def refuse(self, error: LumaError, now: float) -> None:
        """Record an error that is not transient."""
        self.error = error
        if not self.refusals or now - self.refused_at >= _TOGETHER_SECONDS:
            self.refusals += 1
            self.refused_at = now

    def clear(self) -> None:
        """Discard errors: Luma has sent a state, or a 404 proves nothing."""
        self.error, self.refusals = None, 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The generations of one wait as they were last reported. `elapsed_seconds` counts from the start of the wait."""

    generations: tuple[Generation, ...]
    elapsed_seconds: float
    stalled: tuple[str, ...] = ()
    """Ids of those that have been in one state for unusually long."""
    problem: str | None = None
    """The last error, if the last request failed."""


Until = Literal["all", "any"]
OnSnapshot = Callable[[Snapshot], Awaitable[None]]


def is_reached(tracked: Sequence[Tracked], until: Until) -> bool:
    """Whether a wait is over: the states that it waits for are reached, or cannot be reached."""
    is_any_final = any(entry.is_over and not entry.is_refused for entry in tracked)
    return all(entry.is_over for entry in tracked) or (until == "any" and is_any_final)


def with_unknown(ids: Sequence[str], tracked: Mapping[str, Tracked], snapshot: Snapshot) -> Snapshot:
    """The snapshot with each generation, in the order of the ids."""
    generations = (tracked[generation_id].generation or Generation(id=generation_id) for generation_id in ids)
    return replace(snapshot, generations=tuple(generations))


def page_count(ids: Sequence[str]) -> int:
    """The number of pages of the list that hold these, if nothing else is on them."""
    return -(-len(ids) // PAGE)
