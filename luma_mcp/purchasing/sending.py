"""Sends one reserved purchase, and records its outcome. A purchase that Luma has no slot for waits in the queue.

The row is `sending` from the start where nothing has to be done before the POST. Else it becomes `sending` right before
it, if this process still holds its lease. The lease is renewed for as long as Luma has not responded. The POST is a
task of the process, not of the call: a caller that is cancelled, or no longer waits, changes nothing from there on,
and the process does not end before the outcome is known. An outcome that cannot be written is kept in memory and
written later.
"""

import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from luma_mcp.backends.base import Backend, Sendable
from luma_mcp.domain.clock import Clock
from luma_mcp.domain.errors import AmbiguousPurchaseError, LedgerError, LumaError, RateLimitError
from luma_mcp.domain.generation import Generation
from luma_mcp.ledger.purchases import Ledger
from luma_mcp.ledger.queue import LimitNews, QueueEntry
from luma_mcp.ledger.rows import Decision, PurchaseRow
from luma_mcp.ledger.states import RENEW_EVERY_SECONDS, State
from luma_mcp.purchasing.orders import PurchaseRequest

_T = TypeVar("_T")

_log = logging.getLogger(__name__)

# The pause after a rate limit without `Retry-After`, and the shortest and the longest one.
_RATE_LIMIT_SECONDS, _MIN_RATE_LIMIT_SECONDS, _MAX_RATE_LIMIT_SECONDS = 15.0, 1.0, 600.0
# After a purchase from the queue could not be sent at all.
_UNREACHABLE_SECONDS = 30.0
# The pauses between attempts to record an outcome; then it is recorded later.
_WRITE_PAUSES = (0.2, 1.0)
_FIRST_LATER_SECONDS, _MAX_LATER_SECONDS = 2.0, 30.0
# The maximum wait of a caller for the response, by the real clock. The response itself is awaited without a limit.
CALLER_SECONDS = 75.0


class StillSendingError(AmbiguousPurchaseError):
    """Luma has not responded yet, and the response is still awaited. The purchase is `sending`."""


@dataclass(frozen=True)
class _Unwritten:
    """An outcome that could not be recorded."""

    row: PurchaseRow
    state: State
    generation_id: str | None
    note: str
    entry: QueueEntry | None = None
    news: LimitNews | None = None


Outcome = Generation | PurchaseRow | LumaError
"""The end of a POST: the generation, the purchase that waits for a slot, or an error."""


@dataclass
class _Post:
    """One POST, and how it ended."""

    done: anyio.Event = field(default_factory=anyio.Event)
    outcome: Outcome | None = None
    failure: Exception | None = None


EntryOf = Callable[[Mapping[str, str]], QueueEntry]
"""How a purchase waits if it has to, by the links of its files."""


OnWaiting = Callable[[str], Awaitable[None]]
"""Called with an account at which something waits. It raises nothing."""


async def _ignore(_account: str) -> None:
    """Nothing runs jobs in this process."""


OnAccepted = Callable[[PurchaseRow], Awaitable[None]]
"""Called with a purchase. It raises nothing."""


async def _ignore_accepted(_row: PurchaseRow) -> None:
    """Nothing runs jobs in this process."""


class Sender:
    """Sends the purchases of one account."""

    def __init__(self, backend: Backend, ledger: Ledger, clock: Clock) -> None:
        self._backend = backend
        self._ledger = ledger
        self._clock = clock
        self._tasks: TaskGroup | None = None
        self._posts: dict[int, str] = {}
        self._unwritten: dict[int, _Unwritten] = {}
        self._per_minute: dict[str, int] = {}
        self.on_waiting: OnWaiting = _ignore
        """Called with the account of each purchase that waits after it was refused for want of a slot."""
        self.on_accepted: OnAccepted = _ignore_accepted
        """Called with each purchase that Luma has accepted."""

    @property
    def accounts_under_way(self) -> frozenset[str]:
        """The accounts of the POSTs that are under way."""
        return frozenset(self._posts.values())

    async def run(self) -> None:
        """Hold the tasks of the POSTs. When this is cancelled, those that are under way are waited for."""
        try:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                await anyio.sleep_forever()
        finally:
            self._tasks = None
            with anyio.CancelScope(shield=True):
                await self.write_unwritten()

    async def send(self, decision: Decision, order: PurchaseRequest, entry_of: EntryOf) -> Generation | PurchaseRow:
        """Send a new purchase once. The purchase itself is returned if it waits for a slot.

        Args:
            decision: the purchase.
            order: the request to buy.
            entry_of: how it waits if it has to, by the links of its files.

        Raises:
            StillSendingError: Luma has not responded yet. The row is `sending`.
            AmbiguousPurchaseError: the response is lost. The row is `lost`.
            LumaError: it was not bought. The row is `refused`.
        """
        row, encoded, entry = decision.row, order.quote.encoded, entry_of({})
        try:
            if order.publish is not None:
                links = await self._under_lease(row, order.publish)
                encoded, entry = encoded.with_links(links), entry_of(links)
            await anyio.lowlevel.checkpoint_if_cancelled()
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._write(row, "refused", note="it was given up before it was sent")
            raise
        outcome = await self._post(row, encoded, decision.decided_at if row.request_id else None, entry)
        # A cancelled caller stops here. The purchase is on disk, for the next request for the same.
        await anyio.lowlevel.checkpoint()
        if isinstance(outcome, LumaError):
            raise outcome
        return outcome

    async def send_queued(self, row: PurchaseRow, request: Sendable, decided_at: float, entry: QueueEntry) -> None:
        """Send a purchase from the queue, in the background if that is possible.

        Args:
            row: the purchase, which is `sending` with a lease of this process.
            request: its request.
            decided_at: when it became so, by `clock.suspend_aware_now`.
            entry: how it waits again, if Luma has no slot after all or cannot be reached.
        """
        post, request_id = _Post(), row.request_id or ""
        self._posts[row.id] = row.account

        async def carry() -> None:
            await self._carry(post, row, request, request_id, decided_at, entry, is_queued=True)

        if self._tasks is None:
            await carry()
        else:
            self._tasks.start_soon(carry)

    async def put_back(self, row: PurchaseRow, entry: QueueEntry, note: str) -> None:
        """Let a purchase of the queue that was not sent wait again; nothing is sent for a while."""
        await self._write(row, "waiting", note=note, entry=entry, news=LimitNews(retry_seconds=_UNREACHABLE_SECONDS))
        await self.on_waiting(row.account)

    async def refuse(self, row: PurchaseRow, note: str) -> None:
        """Give up a purchase that cannot be sent."""
        await self._write(row, "refused", note=note)

    async def _post(self, row: PurchaseRow, encoded: Sendable, decided_at: float | None, entry: QueueEntry) -> Outcome:
        """Send the one POST, and record its outcome. A caller that is cancelled changes nothing from here on."""
        with anyio.CancelScope(shield=True):
            request_id = row.request_id
            if request_id is None or decided_at is None:
                request_id = new_request_id()
                advanced = await self._ledger.advance(
                    row, "sending", request_id=request_id, requires_lease=True, entry=entry
                )
                if advanced is None:
                    return LumaError(
                        "This server was stopped for so long that another one settled the purchase.",
                        "Nothing was sent. Call again with the same arguments.",
                    )
                if advanced.state == "waiting":
                    return advanced
            post = _Post()

            async def carry() -> None:
                await self._carry(post, row, encoded, request_id, decided_at, entry)

            self._posts[row.id] = row.account
            if self._tasks is None:
                await carry()
            else:
                self._tasks.start_soon(carry)
                with anyio.move_on_after(CALLER_SECONDS):
                    await post.done.wait()
            if post.failure is not None:
                raise post.failure
            return post.outcome or StillSendingError(
                f"Luma has not responded for {CALLER_SECONDS:.0f} s. The response is still awaited.",
                "It may be bought. Call again with the same arguments in a minute; nothing is sent twice.",
            )
        raise AssertionError("a shield lets nothing out")  # pragma: no cover

    async def _carry(
        self,
        post: _Post,
        row: PurchaseRow,
        encoded: Sendable,
        request_id: str,
        decided_at: float | None,
        entry: QueueEntry,
        *,
        is_queued: bool = False,
    ) -> None:
        """Send, and record the outcome, also if the caller is cancelled."""
        try:
            with anyio.CancelScope(shield=True):
                post.outcome = await self._under_lease(
                    row, lambda: self._exchange(row, encoded, request_id, decided_at, entry, is_queued=is_queued)
                )
        except Exception as error:  # noqa: BLE001 - the caller raises it
            post.failure = error
            if is_queued:
                _log.exception("a mistake in this server: purchase %d", row.id)
        finally:
            self._posts.pop(row.id, None)
            post.done.set()

    async def _under_lease(self, row: PurchaseRow, work: Callable[[], Awaitable[_T]]) -> _T:
        """Do some work and keep the lease meanwhile."""
        result: list[_T] = []
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._keep_lease, row)
                result.append(await work())
                tasks.cancel_scope.cancel()
        except ExceptionGroup as group:
            # The work's own error: keeping the lease raises none.
            raise group.exceptions[0] from group.exceptions[0].__cause__
        return result[0]

    async def _keep_lease(self, row: PurchaseRow) -> None:
        """Renew the lease by the real clock."""
        while True:
            await anyio.sleep(RENEW_EVERY_SECONDS)
            with suppress(LedgerError):
                await self._ledger.renew(row)

    async def _exchange(
        self,
        row: PurchaseRow,
        encoded: Sendable,
        request_id: str,
        decided_at: float | None,
        entry: QueueEntry,
        *,
        is_queued: bool,
    ) -> Outcome:
        try:
            generation = await self._backend.submit(
                encoded, request_id=request_id, decided_at=decided_at, person=row.person
            )
        except AmbiguousPurchaseError as error:
            await self._write(row, "lost", note=str(error)[:200])
            return error
        except RateLimitError as error:
            note, news = "Luma has no slot for it yet", _news_of(error)
            written = await self._write(row, "waiting", note=note, entry=entry, news=news)
            await self.on_waiting(row.account)
            return written or error
        except LumaError as error:
            if is_queued and error.is_transient:
                await self.put_back(row, entry, str(error)[:200])
            else:
                await self._write(row, "refused", note=str(error)[:200])
            return error
        except BaseException:
            await self._write(row, "lost", note="the server failed while it was sent")
            raise
        news = None
        if generation.per_minute is not None and self._per_minute.get(row.account) != generation.per_minute:
            news = LimitNews(per_minute=generation.per_minute)
            self._per_minute[row.account] = generation.per_minute
        await self._write(row, "accepted", generation_id=generation.id, entry=entry if news else None, news=news)
        await self.on_accepted(row)
        return generation

    async def _write(
        self,
        row: PurchaseRow,
        state: State,
        *,
        generation_id: str | None = None,
        note: str = "",
        entry: QueueEntry | None = None,
        news: LimitNews | None = None,
    ) -> PurchaseRow | None:
        """Record an outcome now, or else later, as soon as the ledger can be written; the row if it is written now.

        The response to the caller matters more than the write.
        """
        outcome = _Unwritten(row, state, generation_id, note, entry, news)
        for pause in (*_WRITE_PAUSES, None):
            try:
                return await self._write_once(outcome)
            except LedgerError:
                if pause is not None:
                    await self._clock.sleep(pause)
        _log.error("purchase %d is %s (%s) and could not be written down", row.id, state, generation_id)
        # After a rate limit it is not sent again from here: the ledger does not record that it may be.
        self._unwritten[row.id] = _Unwritten(row, "refused" if state == "waiting" else state, generation_id, note)
        if self._tasks is not None:
            self._tasks.start_soon(self._write_later, row)
        return None

    async def _write_once(self, outcome: _Unwritten) -> PurchaseRow | None:
        """Raises: LedgerError."""
        row, state = outcome.row, outcome.state
        written = await self._ledger.advance(
            row,
            state,
            generation_id=outcome.generation_id,
            note=outcome.note,
            entry=outcome.entry,
            news=outcome.news,
        )
        if written is None:
            _log.warning("purchase %d was settled by another server before it was %s", row.id, state)
        return written

    async def _write_later(self, row: PurchaseRow) -> None:
        """Try to record an outcome until that succeeds, and keep the lease meanwhile."""
        pause = _FIRST_LATER_SECONDS
        while row.id in self._unwritten:
            await anyio.sleep(pause)
            pause = min(pause * 2, _MAX_LATER_SECONDS)
            with suppress(LedgerError):
                await self._ledger.renew(row)
            await self.write_unwritten()

    async def write_unwritten(self) -> None:
        """Record every outcome that could not be written. An outcome that still cannot be written stays in memory."""
        for row_id, outcome in list(self._unwritten.items()):
            try:
                await self._write_once(outcome)
            except LedgerError:
                return
            self._unwritten.pop(row_id, None)


def new_request_id() -> str:
    """Return a new id that names one POST at Luma."""
    return secrets.token_hex(16)


def _news_of(error: RateLimitError) -> LimitNews:
    """What a refusal states about the limits. `Retry-After: 0` causes no flood of requests."""
    pause = _RATE_LIMIT_SECONDS if error.retry_after is None else error.retry_after
    return LimitNews(
        at_once=error.at_once,
        per_minute=error.per_minute,
        retry_seconds=min(max(pause, _MIN_RATE_LIMIT_SECONDS), _MAX_RATE_LIMIT_SECONDS),
        is_full=error.is_full,
    )
