"""Waiting for generations: one scheduler polls for all callers that wait.

It sleeps on an event while nothing is tracked. A generation is tracked while a caller waits for it. From a handful of
generations on, the list is read instead of each generation. Each API has a state of its own: while one refuses, limits
or hangs, generations of the other are polled as always. All times are of a monotonic clock.
"""

from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager

import anyio
from anyio.abc import TaskGroup

from luma_mcp.backends.base import Backend, Listing
from luma_mcp.domain.apis import APIS, BackendName
from luma_mcp.domain.clock import Clock
from luma_mcp.domain.errors import (
    AuthenticationError,
    GoneError,
    LumaError,
    NotFoundError,
    RateLimitError,
    UnreachableError,
)
from luma_mcp.domain.generation import NOT_FOUND, Generation
from luma_mcp.polling.schedule import jitter, schedule_of
from luma_mcp.polling.tracking import (
    CONFIRM_AFTER_SECONDS,
    PAGE,
    ApiOf,
    ApiState,
    MayExist,
    OnSnapshot,
    Snapshot,
    Tracked,
    Until,
    is_reached,
    never,
    page_count,
    unknown,
    with_unknown,
)

# From this number on, the list is cheaper than single requests.
_HANDFUL = 3
# While a handful is tracked already, a new one waits this long to be polled with others.
_GATHER_SECONDS = 2.0
_REQUESTS_AT_ONCE = 5
# A poll that is due within this time runs together with those that are due now.
_TOGETHER_SECONDS = 1.5
# These concern every generation of the API.
_OF_THE_API = (AuthenticationError, GoneError)
_AFTER_ERROR_SECONDS = 5.0
# The scheduler waits this long once, by the real clock, for a running poll before it polls other APIs.
_POLL_PATIENCE_SECONDS = 5.0
# A wait ends this long after its timeout, also if Luma has sent nothing by then.
_OVERDUE_SECONDS = 20.0


class Poller:
    """Polls on behalf of waiters. A wait that is cancelled ends at once; the generation continues at Luma.

    Args:
        backend: the APIs.
        clock: the clock.
        may_exist: whether a generation may exist though Luma reported twice that it does not.
        listing: the list that returns many at once; None if no API has one.
        api_of: the API that made a generation, if that is known without a request to Luma.
    """

    def __init__(
        self,
        backend: Backend,
        clock: Clock,
        may_exist: MayExist = never,
        *,
        listing: Listing | None,
        api_of: ApiOf = unknown,
    ) -> None:
        self._backend = backend
        self._listing = listing
        self._may_exist = may_exist
        self._api_of = api_of
        self._clock = clock
        self._is_running = False
        self._is_ending = False
        self._is_assigning = False
        self._tracked: dict[str, Tracked] = {}
        self._apis: dict[BackendName | None, ApiState] = {}
        self._deadlines: dict[object, float] = {}
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
        """End every wait at once with the known states: the server is about to stop."""
        self._is_ending = True
        self._published.set()

    @property
    def is_ending(self) -> bool:
        """Whether the server is about to stop, so that no wait may continue."""
        return self._is_ending

    @property
    def tracked(self) -> int:
        """The number of generations that callers wait for."""
        return len(self._tracked)

    def poll_now(self, generation_id: str) -> None:
        """Poll a generation at once, if a caller waits for it: Luma has called back."""
        tracked = self._tracked.get(generation_id)
        if tracked is not None:
            tracked.due = min(tracked.due, self._clock.now())
            self._changed.set()

    async def wait(
        self, ids: Sequence[str], *, until: Until, timeout_seconds: float, on_snapshot: OnSnapshot
    ) -> Snapshot:
        """Wait until all, or any, generations are final, or until the timeout.

        Every snapshot is passed to `on_snapshot`, also the last one. A transient error does not end the wait, nor does
        a single refusal. A generation that Luma does not know is `not found`; the wait for the others continues, also
        if an API refuses.

        Raises:
            NotFoundError: no generation has any of the ids.
            LumaError: Luma refused all of them, or sent nothing before the timeout.
        """
        ids = list(dict.fromkeys(ids))
        started_at = self._clock.now()
        with self.track(ids, until=started_at + timeout_seconds):
            while True:
                published = self._published
                snapshot = self._snapshot(ids, started_at)
                overdue = snapshot.elapsed_seconds - timeout_seconds
                is_over = self._is_ending or (overdue >= 0 and (self._is_known(ids) or overdue >= _OVERDUE_SECONDS))
                if snapshot.generations or is_over:
                    await on_snapshot(snapshot)
                if is_reached([self._tracked[generation_id] for generation_id in ids], until):
                    return self._ended(ids, snapshot)
                if is_over:
                    return self._timed_out(ids, snapshot)
                await published.wait()

    @contextmanager
    def track(self, ids: Sequence[str], *, until: float) -> Generator[None]:
        """Poll generations while this is entered; waiters are woken at that time of the clock at the latest."""
        if not self._is_running:
            raise RuntimeError("the poller is not running: enter Poller.running() first")
        waiter, overdue = object(), object()
        self._deadlines |= {waiter: until, overdue: until + _OVERDUE_SECONDS}
        now = self._clock.now()
        due = now if len(self._tracked) < _HANDFUL else min(now + _GATHER_SECONDS, until)
        for generation_id in ids:
            self._tracked.setdefault(generation_id, Tracked(due=due)).waiters += 1
        self._changed.set()
        try:
            yield
        finally:
            del self._deadlines[waiter], self._deadlines[overdue]
            for generation_id in ids:
                self._tracked[generation_id].waiters -= 1
                if not self._tracked[generation_id].waiters:
                    del self._tracked[generation_id]
            # The scheduler may sleep until a time that no caller waits for any more.
            self._changed.set()

    def _snapshot(self, ids: Sequence[str], started_at: float) -> Snapshot:
        now = self._clock.now()
        generations: list[Generation] = []
        stalled: list[str] = []
        problems: list[str] = []
        for generation_id in ids:
            tracked = self._tracked[generation_id]
            if problem := (tracked.error if tracked.is_refused else self._api(tracked).problem):
                problems.append(str(problem))
            generation = tracked.generation
            if generation is None:
                continue
            generations.append(generation)
            if not generation.is_final and now - tracked.state_since > schedule_of(generation).stalled_after:
                stalled.append(generation.id)
        return Snapshot(tuple(generations), now - started_at, tuple(stalled), problems[0] if problems else None)

    def _api(self, tracked: Tracked) -> ApiState:
        return self._apis.setdefault(tracked.api, ApiState())

    def _is_known(self, ids: Sequence[str]) -> bool:
        """Whether each was polled at least once, or may not be polled now."""
        tracked = [self._tracked[generation_id] for generation_id in ids]
        return all(entry.is_known or self._clock.now() < self._api(entry).not_before for entry in tracked)

    def _ended(self, ids: Sequence[str], snapshot: Snapshot) -> Snapshot:
        """The last snapshot of a wait that has ended. Raises: the first error, if no generation exists."""
        if all(generation.state == NOT_FOUND for generation in snapshot.generations):
            raise self._tracked[ids[0]].error or NotFoundError(f"No generation has the id {ids[0]}.")
        return with_unknown(ids, self._tracked, snapshot)

    def _timed_out(self, ids: Sequence[str], snapshot: Snapshot) -> Snapshot:
        """The last snapshot; a generation without a state is unknown. Raises: LumaError, if none has a state."""
        if not snapshot.generations:
            first = self._tracked[ids[0]]
            # A first refusal does not count yet.
            error = first.error if first.is_known else self._api(first).problem
            raise error or UnreachableError("Luma was not reached.")
        return with_unknown(ids, self._tracked, snapshot)

    async def _run(self) -> None:
        """Start the polls that are due, and wake the waiters after each poll and at their deadlines."""
        async with anyio.create_task_group() as polls:
            while True:
                self._changed = anyio.Event()
                self._start_polls(polls)
                wake_at = self._next_wake()
                polled = [api for api in self._apis.values() if api.is_polling and not api.is_slow]
                if polled or self._is_assigning:
                    with anyio.move_on_after(_POLL_PATIENCE_SECONDS):
                        await self._changed.wait()
                    if self._changed.is_set():
                        continue
                    for api in polled:
                        api.is_slow = True
                if wake_at is None:
                    await self._changed.wait()
                    continue
                pause = wake_at - self._clock.now()
                if pause > 0:
                    await self._sleep(pause)
                    continue
                await self._publish()

    def _start_polls(self, polls: TaskGroup) -> None:
        """Start a poll of each API of which something is due, unless one is under way."""
        if not self._is_assigning and any(not tracked.is_assigned for tracked in self._tracked.values()):
            self._is_assigning = True
            polls.start_soon(self._assign)
        now = self._clock.now()
        due: set[BackendName | None] = {
            entry.api for entry in self._tracked.values() if entry.is_pollable and entry.due <= now
        }
        for name in due:
            api = self._apis.setdefault(name, ApiState())
            if not api.is_polling and now >= api.not_before:
                api.is_polling = True
                polls.start_soon(self._poll, name, api)

    async def _assign(self) -> None:
        """Determine the API of each new generation."""
        for generation_id, tracked in list(self._tracked.items()):
            if not tracked.is_assigned:
                tracked.api = await self._api_of(generation_id)
                tracked.is_assigned = True
        self._is_assigning = False
        self._changed.set()

    async def _publish(self) -> None:
        """Wake the waiters. A waiter that is done leaves before the next time is computed."""
        self._published_at = self._clock.now()
        published, self._published = self._published, anyio.Event()
        published.set()
        await anyio.lowlevel.checkpoint()

    def _next_wake(self) -> float | None:
        """The time of the next poll or deadline; None if there is neither."""
        times = [
            max(tracked.due, api.not_before)
            for tracked in self._tracked.values()
            if tracked.is_pollable and not (api := self._api(tracked)).is_polling
        ]
        # Each deadline wakes the waiters once: a waiter that is slow to leave must not keep this task busy.
        times += [deadline for deadline in self._deadlines.values() if deadline > self._published_at]
        return min(times, default=None)

    async def _sleep(self, seconds: float) -> None:
        """Sleep that long, or until something changes."""

        async def wake(sleep: anyio.CancelScope) -> None:
            await self._changed.wait()
            sleep.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wake, tasks.cancel_scope)
            await self._clock.sleep(seconds)
            tasks.cancel_scope.cancel()

    async def _poll(self, name: BackendName | None, api: ApiState) -> None:
        """Poll all that is due of one API, and wake the waiters."""
        try:
            now = self._clock.now()
            running = [key for key, entry in self._tracked.items() if entry.api == name and entry.is_pollable]
            due = [key for key in running if self._tracked[key].due <= now + _TOGETHER_SECONDS]
            # One factor for a whole poll, so that what is polled together falls due together.
            factor = jitter(1.0)
            # A page of the list shows all that are on it, so all that run are read from it.
            is_worth_a_list = len(due) >= _HANDFUL and page_count(running) < len(due)
            if self._listing is not None and (name is None or APIS[name].has_list) and is_worth_a_list:
                missing = await self._poll_list(self._listing, api, running, factor)
                due = [key for key in due if key in missing]
            await self._poll_each(api, due, factor)
        finally:
            api.is_polling = api.is_slow = False
        await self._publish()
        self._changed.set()

    async def _poll_list(self, listing: Listing, api: ApiState, ids: Sequence[str], factor: float) -> list[str]:
        """Read pages of the list; the ids that are not on them, or all if the list fails."""
        missing = dict.fromkeys(ids)
        for number in range(page_count(ids)):
            try:
                page = await listing.list_generations(limit=PAGE, offset=number * PAGE)
            except LumaError as error:
                self._record_error(api, error)
                break
            for generation in page.generations:
                if generation.id in missing:
                    del missing[generation.id]
                    self._record(api, generation.id, generation, factor)
            if not missing or not page.has_more:
                break
        return list(missing)

    async def _poll_each(self, api: ApiState, ids: Sequence[str], factor: float) -> None:
        limiter = anyio.CapacityLimiter(_REQUESTS_AT_ONCE)

        async def poll(generation_id: str) -> None:
            async with limiter:
                if self._clock.now() < api.not_before:
                    return
                try:
                    generation = await self._backend.get_generation(generation_id)
                except NotFoundError as error:
                    await self._record_not_found(api, error, generation_id, factor)
                except LumaError as error:
                    self._record_error(api, error, generation_id)
                else:
                    self._record(api, generation_id, generation, factor)

        async with anyio.create_task_group() as tasks:
            for generation_id in ids:
                tasks.start_soon(poll, generation_id)

    def _record(self, api: ApiState, generation_id: str, generation: Generation, factor: float) -> None:
        tracked = self._tracked.get(generation_id)
        if tracked is None:
            return  # its last waiter has ended
        now = self._clock.now()
        if tracked.first_reported is None:
            tracked.first_reported = now
        if tracked.generation is None or tracked.generation.state != generation.state:
            tracked.state_since = now
        if tracked.generation is None and generation.state != NOT_FOUND and tracked.api is None:
            tracked.api = generation.backend
        tracked.generation = generation
        tracked.clear()
        api.problem = None
        tracked.due = now + schedule_of(generation).interval(now - tracked.first_reported) * factor

    def _record_error(self, api: ApiState, error: LumaError, generation_id: str | None = None) -> None:
        now = self._clock.now()
        if isinstance(error, RateLimitError):
            wait = _AFTER_ERROR_SECONDS if error.retry_after is None else error.retry_after
            api.not_before = max(api.not_before, now + wait)
        if not isinstance(error, NotFoundError):
            api.problem = error
        for tracked_id, tracked in self._tracked.items():
            is_of_the_api = isinstance(error, _OF_THE_API) and self._apis.get(tracked.api) is api
            if tracked_id != generation_id and not is_of_the_api:
                continue
            if error.is_transient:
                tracked.error, tracked.due = error, now + jitter(_AFTER_ERROR_SECONDS)
            else:
                tracked.refuse(error, now)
                tracked.due = now + jitter(CONFIRM_AFTER_SECONDS)

    async def _record_not_found(self, api: ApiState, error: NotFoundError, generation_id: str, factor: float) -> None:
        """Decide on a generation that Luma does not know, once it has reported that twice."""
        tracked = self._tracked.get(generation_id)
        if tracked is None or not tracked.refusals:
            self._record_error(api, error, generation_id)
        elif await self._may_exist(generation_id):
            self._record(api, generation_id, tracked.generation or Generation(id=generation_id), factor)
        else:
            self._record(api, generation_id, Generation(id=generation_id, state=NOT_FOUND), factor)
            tracked.error = error
