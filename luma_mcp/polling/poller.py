"""Waiting for generations: one task polls for everybody who waits.

The task sleeps on an event while nothing is tracked. A generation is tracked while somebody waits for it. From a
handful of generations on, the list is asked instead of each generation. All times are of a monotonic clock, so a change
of the time of day changes nothing.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import anyio

from luma_mcp.backends.base import Backend, Listing
from luma_mcp.domain.apis import APIS
from luma_mcp.domain.clock import Clock
from luma_mcp.domain.errors import (
    AuthenticationError,
    InvalidRequestError,
    LumaError,
    NotFoundError,
    RateLimitError,
    UnreachableError,
)
from luma_mcp.domain.generation import NOT_FOUND, Generation
from luma_mcp.polling.schedule import jitter, schedule_of

Until = Literal["all", "any"]

# From this many on, the list is cheaper than single requests. A page serves fifty; a limit of 100 is known to fail.
_HANDFUL = 3
_PAGE = 50
# While a handful is tracked already, a new one waits so long for others to be polled with.
_GATHER_SECONDS = 2.0
_REQUESTS_AT_ONCE = 5
# What falls due so soon is polled together with what is due now.
_TOGETHER_SECONDS = 1.5
# Errors that do not pass by themselves.
_FINAL_ERRORS = (AuthenticationError, InvalidRequestError)
# One answer of one replica of Luma's proves little: a generation is not found after so many.
_NOT_FOUND_LOOKS = 2
_AFTER_ERROR_SECONDS = 5.0
_AFTER_NOT_FOUND_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The generations of one wait as they were last seen. `elapsed_seconds` counts from the begin of the wait."""

    generations: tuple[Generation, ...]
    elapsed_seconds: float
    stalled: tuple[str, ...] = ()
    """Ids of those that have been in one state for unusually long."""
    problem: str | None = None
    """The last error, if the last request failed."""


OnSnapshot = Callable[[Snapshot], Awaitable[None]]


@dataclass
class _Tracked:
    """A generation that somebody waits for. Times are of the clock."""

    waiters: int = 0
    generation: Generation | None = None
    error: LumaError | None = None
    due: float = 0.0
    state_since: float = 0.0
    first_seen: float | None = None
    not_found: int = 0

    @property
    def is_final(self) -> bool:
        return self.generation is not None and self.generation.is_final


IsYoung = Callable[[str], Awaitable[bool]]


async def _never_young(_generation_id: str) -> bool:
    return False


class Poller:
    """Polls on behalf of waiters. A wait that is cancelled ends at once; the generation continues at Luma.

    Args:
        backend: what is asked.
        clock: how time passes.
        listing: the list that tells of many at once; None if there is none.
        is_young: whether a generation was bought so short a time ago that Luma may not know it everywhere yet.
    """

    def __init__(
        self, backend: Backend, clock: Clock, is_young: IsYoung = _never_young, *, listing: Listing | None
    ) -> None:
        self._backend = backend
        self._listing = listing
        self._is_young = is_young
        self._clock = clock
        self._is_running = False
        self._is_ending = False
        self._tracked: dict[str, _Tracked] = {}
        self._deadlines: dict[object, float] = {}
        self._not_before = 0.0
        self._problem: LumaError | None = None
        self._jitter = 1.0
        self._published_at = 0.0
        self._published = anyio.Event()
        self._changed = anyio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Poll while this is entered. Waits are possible only meanwhile."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._run)
            self._is_running = True
            try:
                yield
            finally:
                self._is_running = False
                tasks.cancel_scope.cancel()

    def end_waits(self) -> None:
        """Answer every wait at once with what is known: the server is about to stop."""
        self._is_ending = True
        self._published.set()

    @property
    def is_ending(self) -> bool:
        """Whether the server is about to stop, so that no wait may go on."""
        return self._is_ending

    @property
    def tracked(self) -> int:
        """How many generations somebody waits for."""
        return len(self._tracked)

    def hint(self, generation_id: str) -> None:
        """Poll a generation at once, if somebody waits for it: there is word that it has changed."""
        tracked = self._tracked.get(generation_id)
        if tracked is not None:
            tracked.due = min(tracked.due, self._clock.now())
            self._changed.set()

    async def wait(
        self, ids: Sequence[str], *, until: Until, timeout_seconds: float, on_snapshot: OnSnapshot
    ) -> Snapshot:
        """Wait until all, or any, generations are final, or until the timeout.

        Every snapshot is given to `on_snapshot`, also the last one. An error that may pass does not end the wait. A
        generation that Luma does not know is `not found`; the wait for the others continues.

        Raises:
            NotFoundError: no generation has any of the ids.
            LumaError: Luma answered nothing about any of them before the timeout.
        """
        ids = list(dict.fromkeys(ids))
        began = self._clock.now()
        with self.track(ids, until=began + timeout_seconds):
            while True:
                published = self._published
                snapshot = self._snapshot(ids, began)
                is_timed_out = snapshot.elapsed_seconds >= timeout_seconds and self._was_polled(ids)
                is_over = is_timed_out or self._is_ending
                if snapshot.generations or is_over:
                    await on_snapshot(snapshot)
                final = [self._tracked[generation_id].is_final for generation_id in ids]
                if any(final) if until == "any" else all(final):
                    return self._ended(ids, snapshot)
                if is_over:
                    return self._timed_out(ids, snapshot)
                await published.wait()

    @contextmanager
    def track(self, ids: Sequence[str], *, until: float) -> Generator[None]:
        """Have generations polled while this is entered; waiters are woken at that time of the clock at the latest."""
        if not self._is_running:
            raise RuntimeError("the poller is not running: enter Poller.running() first")
        waiter = object()
        self._deadlines[waiter] = until
        now = self._clock.now()
        due = now if len(self._tracked) < _HANDFUL else min(now + _GATHER_SECONDS, until)
        for generation_id in ids:
            self._tracked.setdefault(generation_id, _Tracked(due=due)).waiters += 1
        self._changed.set()
        try:
            yield
        finally:
            del self._deadlines[waiter]
            for generation_id in ids:
                self._tracked[generation_id].waiters -= 1
                if not self._tracked[generation_id].waiters:
                    del self._tracked[generation_id]
            # The poller may be asleep until a time that nobody waits for any more.
            self._changed.set()

    def _snapshot(self, ids: Sequence[str], began: float) -> Snapshot:
        """Raises: the error that ends the wait for one of them."""
        now = self._clock.now()
        generations: list[Generation] = []
        stalled: list[str] = []
        for generation_id in ids:
            tracked = self._tracked[generation_id]
            if isinstance(tracked.error, _FINAL_ERRORS):
                raise tracked.error
            generation = tracked.generation
            if generation is None:
                continue
            generations.append(generation)
            if not generation.is_final and now - tracked.state_since > schedule_of(generation).stalled_after:
                stalled.append(generation.id)
        problem = str(self._problem) if self._problem else None
        return Snapshot(tuple(generations), now - began, tuple(stalled), problem)

    def _was_polled(self, ids: Sequence[str]) -> bool:
        """Whether each was asked for at least once, or may not be asked for now."""
        tracked = [self._tracked[generation_id] for generation_id in ids]
        return all(entry.generation or entry.error for entry in tracked) or self._clock.now() < self._not_before

    def _ended(self, ids: Sequence[str], snapshot: Snapshot) -> Snapshot:
        """Raises: NotFoundError, if nothing was found at all."""
        if all(generation.state == NOT_FOUND for generation in snapshot.generations):
            raise self._tracked[ids[0]].error or NotFoundError(f"No generation has the id {ids[0]}.")
        return snapshot

    def _timed_out(self, ids: Sequence[str], snapshot: Snapshot) -> Snapshot:
        """The last snapshot, with those unknown that Luma answered nothing about. Raises: if those are all."""
        if not snapshot.generations:
            raise self._tracked[ids[0]].error or self._problem or UnreachableError("Luma was not reached.")
        known = {generation.id: generation for generation in snapshot.generations}
        generations = tuple(known.get(generation_id) or Generation(id=generation_id) for generation_id in ids)
        return replace(snapshot, generations=generations)

    async def _run(self) -> None:
        """Poll whatever is due, and wake the waiters after each poll and at their deadlines."""
        while True:
            self._changed = anyio.Event()
            wake_at = self._next_wake()
            if wake_at is None:
                await self._changed.wait()
                continue
            pause = wake_at - self._clock.now()
            if pause > 0:
                await self._sleep(pause)
                continue
            await self._poll()
            self._published_at = self._clock.now()
            published, self._published = self._published, anyio.Event()
            published.set()
            # A waiter that is done leaves before the next time is computed.
            await anyio.lowlevel.checkpoint()

    def _next_wake(self) -> float | None:
        """When something is due or a deadline comes; None if neither is to come."""
        due = [tracked.due for tracked in self._tracked.values() if not tracked.is_final]
        times = [max(min(due), self._not_before)] if due else []
        # Each deadline wakes the waiters once: a waiter that is slow to leave must not keep this task busy.
        times += [deadline for deadline in self._deadlines.values() if deadline > self._published_at]
        return min(times, default=None)

    async def _sleep(self, seconds: float) -> None:
        """Sleep that long, or until something else is tracked."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._wake_when_changed, tasks.cancel_scope)
            await self._clock.sleep(seconds)
            tasks.cancel_scope.cancel()

    async def _wake_when_changed(self, sleep: anyio.CancelScope) -> None:
        await self._changed.wait()
        sleep.cancel()

    async def _poll(self) -> None:
        """Ask for all that is due."""
        now = self._clock.now()
        if now < self._not_before:
            return
        running = [generation_id for generation_id, tracked in self._tracked.items() if not tracked.is_final]
        due = [
            generation_id for generation_id in running if self._tracked[generation_id].due <= now + _TOGETHER_SECONDS
        ]
        # One factor for a whole poll, so that what is polled together falls due together.
        self._jitter = jitter(1.0)
        # A page of the list tells about all that are on it, so all that run are read from it.
        listed = [generation_id for generation_id in running if self._may_be_listed(generation_id)]
        unlisted = [generation_id for generation_id in due if generation_id not in listed]
        missing = [generation_id for generation_id in due if generation_id in listed]
        if self._listing is not None and len(missing) >= _HANDFUL and _page_count(listed) < len(missing):
            missing = await self._poll_list(self._listing, listed)
        await self._poll_each([*missing, *unlisted])

    def _may_be_listed(self, generation_id: str) -> bool:
        """Whether an API that has a list may have made it."""
        generation = self._tracked[generation_id].generation
        return generation is None or APIS[generation.backend].has_list

    async def _poll_list(self, listing: Listing, ids: Sequence[str]) -> list[str]:
        """Read pages of the list; the ids that are not on them, or all if the list fails."""
        missing = dict.fromkeys(ids)
        for number in range(_page_count(ids)):
            try:
                page = await listing.list_generations(limit=_PAGE, offset=number * _PAGE)
            except LumaError as error:
                self._record_error(error)
                break
            for generation in page.generations:
                if generation.id in missing:
                    del missing[generation.id]
                    self._record(generation.id, generation)
            if not missing or not page.has_more:
                break
        return list(missing) if self._clock.now() >= self._not_before else []

    async def _poll_each(self, ids: Sequence[str]) -> None:
        limiter = anyio.CapacityLimiter(_REQUESTS_AT_ONCE)

        async def poll(generation_id: str) -> None:
            async with limiter:
                if self._clock.now() < self._not_before:
                    return
                try:
                    self._record(generation_id, await self._backend.get_generation(generation_id))
                except NotFoundError as error:
                    await self._record_not_found(error, generation_id)
                except LumaError as error:
                    self._record_error(error, generation_id)

        async with anyio.create_task_group() as tasks:
            for generation_id in ids:
                tasks.start_soon(poll, generation_id)

    def _record(self, generation_id: str, generation: Generation) -> None:
        tracked = self._tracked.get(generation_id)
        if tracked is None:
            return  # its last waiter left meanwhile
        now = self._clock.now()
        if tracked.first_seen is None:
            tracked.first_seen = now
        if tracked.generation is None or tracked.generation.state != generation.state:
            tracked.state_since = now
        tracked.generation, tracked.error, tracked.not_found = generation, None, 0
        self._problem = None
        tracked.due = now + schedule_of(generation).interval(now - tracked.first_seen) * self._jitter

    async def _record_not_found(self, error: NotFoundError, generation_id: str) -> None:
        tracked = self._tracked.get(generation_id)
        if tracked is None:
            return
        if await self._is_young(generation_id):
            self._record(generation_id, Generation(id=generation_id))
            return
        tracked.not_found += 1
        if tracked.not_found >= _NOT_FOUND_LOOKS:
            self._record(generation_id, Generation(id=generation_id, state=NOT_FOUND))
            tracked.error = error
        else:
            tracked.error, tracked.due = error, self._clock.now() + jitter(_AFTER_NOT_FOUND_SECONDS)

    def _record_error(self, error: LumaError, generation_id: str | None = None) -> None:
        self._problem = error
        now = self._clock.now()
        if isinstance(error, RateLimitError):
            wait = error.retry_after if error.retry_after is not None else _AFTER_ERROR_SECONDS
            self._not_before = max(self._not_before, now + wait)
        for tracked_id, tracked in self._tracked.items():
            # A refused token concerns them all.
            if tracked_id == generation_id or isinstance(error, AuthenticationError):
                tracked.error = error
                tracked.due = now + jitter(_AFTER_ERROR_SECONDS)


def _page_count(ids: Sequence[str]) -> int:
    """How many pages of the list hold so many, if nothing else is on them."""
    return -(-len(ids) // _PAGE)
