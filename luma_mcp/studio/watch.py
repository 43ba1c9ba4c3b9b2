"""Waiting for generations: one poller for everybody who waits.

Nothing runs in the background. Of all that wait, one looks on behalf of all; when it leaves, the next takes over, and
when nobody waits nobody looks. From a handful of generations upwards the list is asked instead of each by itself.
All times are of a clock that only rises, so a change of the time of day changes nothing.
"""

import random
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import anyio

from luma_mcp.luma.client import LumaClient
from luma_mcp.luma.errors import (
    AuthenticationError,
    InvalidRequestError,
    LumaError,
    NotFoundError,
    RateLimitError,
    UnreachableError,
)
from luma_mcp.luma.models import Generation
from luma_mcp.studio.clock import Clock

Until = Literal["all", "any"]

# From so many on the list is cheaper than single looks. One page of it serves fifty; a limit of 100 is known to fail.
_HANDFUL = 3
_PAGE = 50
# While a handful is followed already, a newcomer waits so long for others to be looked at with.
_GATHER_SECONDS = 2.0
_LOOKS_AT_ONCE = 5
# What is due so soon is looked at together with what is due now.
_TOGETHER_SECONDS = 1.5
# An error of these kinds will not pass by itself.
_FINAL_ERRORS = (NotFoundError, AuthenticationError, InvalidRequestError)
_AFTER_TROUBLE_SECONDS = 5.0


@dataclass(frozen=True)
class Pace:
    """How often to look at a kind of generation, in seconds, and what is usual for it.

    Luma's documentation polls pictures every 2 s and clips every 3 s; the usual times are what clients report.
    """

    first: float
    then: float
    slower_after: float
    slow: float
    stalled_after: float
    usual: str


PICTURE = Pace(first=2, then=2, slower_after=60, slow=5, stalled_after=180, usual="a picture usually takes 5-15 s")
CLIP = Pace(first=8, then=4, slower_after=180, slow=10, stalled_after=900, usual="a clip usually takes 1-2 minutes")


def pace_of(generation: Generation) -> Pace:
    return PICTURE if generation.is_picture else CLIP


@dataclass(frozen=True)
class Look:
    """How things stand. `elapsed_seconds` is the time since the wait began."""

    generations: tuple[Generation, ...]
    elapsed_seconds: float
    stalled: tuple[str, ...] = ()
    """Ids of those that have been in one state for much longer than is usual."""
    trouble: str | None = None


OnLook = Callable[[Look], Awaitable[None]]


@dataclass
class _Followed:
    """A generation that somebody waits for."""

    waiters: int = 0
    generation: Generation | None = None
    error: LumaError | None = None
    due: float = 0.0
    since: float = 0.0
    """When it was first seen in the state that it is in."""
    first_seen: float | None = None


class Watch:
    """Waits on behalf of callers. A wait that is cancelled ends at once; the generation goes on at Luma."""

    def __init__(self, luma: LumaClient, clock: Clock) -> None:
        self._luma = luma
        self._clock = clock
        self._followed: dict[str, _Followed] = {}
        self._deadlines: dict[object, float] = {}
        self._not_before = 0.0
        self._trouble: LumaError | None = None
        self._somebody_looks = False
        self._unevenness = 1.0
        self._news = anyio.Event()
        self._joined = anyio.Event()

    async def wait(self, ids: Sequence[str], *, until: Until, patience_seconds: float, on_look: OnLook) -> Look:
        """Wait until all, or any, of them are final; at the longest for `patience_seconds`.

        Every look is handed to `on_look`, also the last one. An error that may pass does not end the wait.

        Raises:
            NotFoundError: no generation has one of the ids.
            LumaError: nothing at all was heard of them while patience lasted.
        """
        ids = list(dict.fromkeys(ids))
        began = self._clock.now()
        with self._following(ids, began + patience_seconds):
            while True:
                look = self._as_it_stands(ids, began)
                over = look.elapsed_seconds >= patience_seconds and self._was_looked_at(ids)
                if look.generations or over:
                    await on_look(look)
                if self._is_over(ids, until):
                    return look
                if over:
                    return self._out_of_patience(ids, look)
                await self._next_news()

    @contextmanager
    def _following(self, ids: Sequence[str], deadline: float) -> Generator[None]:
        """Have these looked at until this is left. What nobody follows any more is forgotten."""
        me = object()
        self._deadlines[me] = deadline
        now = self._clock.now()
        due = now if len(self._followed) < _HANDFUL else min(now + _GATHER_SECONDS, deadline)
        for one in ids:
            self._followed.setdefault(one, _Followed(due=due)).waiters += 1
        self._joined.set()
        try:
            yield
        finally:
            del self._deadlines[me]
            for one in ids:
                self._followed[one].waiters -= 1
                if not self._followed[one].waiters:
                    del self._followed[one]

    def _as_it_stands(self, ids: Sequence[str], began: float) -> Look:
        """Raises: the error that ends the wait for one of them."""
        followed = [self._followed[one] for one in ids]
        for one in followed:
            if isinstance(one.error, _FINAL_ERRORS):
                raise one.error
        now = self._clock.now()
        known = tuple(one.generation for one in followed if one.generation is not None)
        stalled = tuple(
            one.generation.id
            for one in followed
            if one.generation is not None
            and not one.generation.is_final
            and now - one.since > pace_of(one.generation).stalled_after
        )
        return Look(known, now - began, stalled, str(self._trouble) if self._trouble else None)

    def _is_over(self, ids: Sequence[str], until: Until) -> bool:
        final = [_is_final(self._followed[one].generation) for one in ids]
        return any(final) if until == "any" else all(final)

    def _was_looked_at(self, ids: Sequence[str]) -> bool:
        """Whether each was asked for at least once, or may not be asked for now."""
        tried = (self._followed[one] for one in ids)
        return all(one.generation or one.error for one in tried) or self._clock.now() < self._not_before

    def _out_of_patience(self, ids: Sequence[str], look: Look) -> Look:
        """The last look; what nothing was heard of stands in it as unknown. Raises: if nothing was heard at all."""
        if not look.generations:
            raise self._followed[ids[0]].error or self._trouble or UnreachableError("Luma was not reached.")
        known = {one.id: one for one in look.generations}
        return replace(look, generations=tuple(known.get(one) or Generation(id=one) for one in ids))

    async def _next_news(self) -> None:
        """Wait until something was looked at, or somebody's patience is over."""
        if self._somebody_looks:
            await self._news.wait()
            return
        self._somebody_looks = True
        try:
            await self._sleep_until_due()
            await self._look()
        finally:
            # Also when this one leaves in the middle: the others wake, and one of them looks on.
            self._somebody_looks = False
            self._news.set()
            self._news = anyio.Event()

    async def _sleep_until_due(self) -> None:
        """Until a look is due or somebody's patience is over; a newcomer may make that sooner."""
        while (pause := self._seconds_until_due()) > 0:
            self._joined = anyio.Event()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._until_joined, tasks.cancel_scope)
                await self._clock.sleep(pause)
                tasks.cancel_scope.cancel()

    async def _until_joined(self, sleep: anyio.CancelScope) -> None:
        await self._joined.wait()
        sleep.cancel()

    def _seconds_until_due(self) -> float:
        running = [one.due for one in self._followed.values() if not _is_final(one.generation)]
        due = max(min(running, default=0.0), self._not_before)
        return min(due, *self._deadlines.values()) - self._clock.now()

    async def _look(self) -> None:
        """Look at all that is due."""
        now = self._clock.now()
        if now < self._not_before:
            return
        running = [one for one, followed in self._followed.items() if not _is_final(followed.generation)]
        due = [one for one in running if self._followed[one].due <= now + _TOGETHER_SECONDS]
        # One for all of this round, so that those which are looked at together fall due together.
        self._unevenness = _uneven(1.0)
        # A page of the list tells of all that are on it, so they may as well all be news.
        by_list = len(due) >= _HANDFUL and _pages(running) < len(due)
        unlisted = await self._look_at_list(running) if by_list else due
        await self._look_at_each(unlisted)

    async def _look_at_list(self, ids: Sequence[str]) -> list[str]:
        """Ask for pages of the list; answers the ids that were not on them, all of them if it fails."""
        missing = dict.fromkeys(ids)
        for number in range(_pages(ids)):
            try:
                page = await self._luma.list_generations(limit=_PAGE, offset=number * _PAGE)
            except LumaError as error:
                self._hear_trouble(error)
                break
            for generation in page.generations:
                if generation.id in missing:
                    del missing[generation.id]
                    self._hear(generation.id, generation)
            if not missing or not page.has_more:
                break
        return list(missing) if self._clock.now() >= self._not_before else []

    async def _look_at_each(self, ids: Sequence[str]) -> None:
        hands = anyio.CapacityLimiter(_LOOKS_AT_ONCE)

        async def look(generation_id: str) -> None:
            async with hands:
                if self._clock.now() < self._not_before:
                    return
                try:
                    self._hear(generation_id, await self._luma.get_generation(generation_id))
                except LumaError as error:
                    self._hear_trouble(error, generation_id)

        async with anyio.create_task_group() as tasks:
            for generation_id in ids:
                tasks.start_soon(look, generation_id)

    def _hear(self, generation_id: str, generation: Generation) -> None:
        followed = self._followed.get(generation_id)
        if followed is None:
            return  # its last waiter left while it was being looked at
        now = self._clock.now()
        if followed.first_seen is None:
            followed.first_seen = now
        if followed.generation is None or followed.generation.state != generation.state:
            followed.since = now
        followed.generation, followed.error = generation, None
        self._trouble = None
        followed.due = now + _pause(pace_of(generation), now - followed.first_seen) * self._unevenness

    def _hear_trouble(self, error: LumaError, generation_id: str | None = None) -> None:
        self._trouble = error
        now = self._clock.now()
        if isinstance(error, RateLimitError):
            asked = error.retry_after if error.retry_after is not None else _AFTER_TROUBLE_SECONDS
            self._not_before = max(self._not_before, now + asked)
        for one, followed in self._followed.items():
            # A refused token concerns them all.
            if one == generation_id or isinstance(error, AuthenticationError):
                followed.error = error
                followed.due = now + _uneven(_AFTER_TROUBLE_SECONDS)


def _pages(ids: Sequence[str]) -> int:
    """How many pages of the list hold so many, if nothing else is on them."""
    return -(-len(ids) // _PAGE)


def _is_final(generation: Generation | None) -> bool:
    return generation is not None and generation.is_final


def _pause(pace: Pace, age: float) -> float:
    """Until the next look: soon in the time when it usually ends, seldom when it is late."""
    if age < pace.first:
        return pace.first
    return pace.then if age < pace.slower_after else pace.slow


def _uneven(seconds: float) -> float:
    """A little off, so that many who wait do not ask in step."""
    return seconds * random.uniform(0.85, 1.15)  # noqa: S311 - no secret
