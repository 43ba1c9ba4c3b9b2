"""Sends one reserved purchase, and records its outcome.

The row is `sending` from the start where nothing has to be done before the POST. Else it becomes `sending` right before
it, if this process still holds its lease. The lease is renewed for as long as Luma has not responded. The POST is a
task of the process, not of the call: a caller that is cancelled, or no longer waits, changes nothing from there on,
and the process does not end before the outcome is known. An outcome that cannot be written is kept in memory and
written later.
"""

import logging
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from luma_mcp.backends.base import Backend, EncodedRequest
from luma_mcp.domain.clock import Clock
from luma_mcp.domain.errors import AmbiguousPurchaseError, LedgerError, LumaError, RateLimitError
from luma_mcp.domain.generation import Generation
from luma_mcp.ledger.purchases import Ledger
from luma_mcp.ledger.rows import Decision, PurchaseRow
from luma_mcp.ledger.states import RENEW_EVERY_SECONDS, State
from luma_mcp.purchasing.orders import PurchaseRequest

_T = TypeVar("_T")

_log = logging.getLogger(__name__)

# The maximum number of POSTs of a purchase under a rate limit, and the maximum sum of the pauses.
_RATE_LIMIT_TRIES = 5
_MAX_RATE_LIMIT_SECONDS = 60.0
_MIN_RATE_LIMIT_PAUSE_SECONDS = 1.0
_RATE_LIMIT_PAUSE_SECONDS = 15.0
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


@dataclass
class _Post:
    """One POST, and how it ended."""

    done: anyio.Event = field(default_factory=anyio.Event)
    outcome: Generation | LumaError | None = None
    failure: Exception | None = None


class Sender:
    """Sends the purchases of one account."""

    def __init__(self, backend: Backend, ledger: Ledger, clock: Clock) -> None:
        self._backend = backend
        self._ledger = ledger
        self._clock = clock
        self._tasks: TaskGroup | None = None
        self._posts: dict[int, str] = {}
        self._unwritten: dict[int, _Unwritten] = {}

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

    async def send(self, decision: Decision, order: PurchaseRequest) -> Generation:
        """Send a new purchase once, and again only where Luma's rate limit refused it.

        Raises:
            StillSendingError: Luma has not responded yet. The row is `sending`.
            AmbiguousPurchaseError: the response is lost. The row is `lost`.
            LumaError: it was not bought. The row is `refused`.
        """
        row, encoded = decision.row, order.quote.encoded
        try:
            if order.publish is not None:
                encoded = encoded.with_links(await self._under_lease(row, order.publish))
            await anyio.lowlevel.checkpoint_if_cancelled()
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._write(row, "refused", note="it was given up before it was sent")
            raise
        waited, tries = 0.0, 1
        decided_at = decision.decided_at if row.request_id else None
        while True:
            outcome = await self._post(row, encoded, decided_at)
            # Each further POST needs a new decision.
            decided_at = None
            # A cancelled caller stops here. The purchase is on disk, for the next request for the same.
            await anyio.lowlevel.checkpoint()
            match outcome:
                case Generation():
                    return outcome
                case RateLimitError():
                    pause = _rate_limit_pause(outcome, tries)
                    if tries == _RATE_LIMIT_TRIES or waited + pause > _MAX_RATE_LIMIT_SECONDS:
                        await self._write(row, "refused", note="Luma's rate limit")
                        raise outcome
                    await self._pause(row, order, pause, waited)
                    waited, tries = waited + pause, tries + 1
                case _:
                    raise outcome

    async def _pause(self, row: PurchaseRow, order: PurchaseRequest, pause: float, waited: float) -> None:
        """Wait for Luma's rate limit and keep the lease. If the caller is cancelled, nothing stays reserved."""
        try:
            await order.on_wait(waited, f"Luma's rate limit is reached; trying again in {pause:.0f} s")
            remaining = pause
            while remaining > 0:
                step = min(remaining, RENEW_EVERY_SECONDS)
                await self._clock.sleep(step)
                await self._ledger.renew(row)
                remaining -= step
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._write(row, "refused", note="it was given up before it was sent")
            raise

    async def _post(
        self, row: PurchaseRow, encoded: EncodedRequest, decided_at: float | None
    ) -> Generation | LumaError:
        """Send the one POST, and record its outcome. A caller that is cancelled changes nothing from here on."""
        with anyio.CancelScope(shield=True):
            request_id = row.request_id
            if request_id is None or decided_at is None:
                request_id = new_request_id()
                if await self._ledger.advance(row, "sending", request_id=request_id, requires_lease=True) is None:
                    return LumaError(
                        "This server was stopped for so long that another one settled the purchase.",
                        "Nothing was sent. Call again with the same arguments.",
                    )
            post = _Post()

            async def carry() -> None:
                await self._carry(post, row, encoded, request_id, decided_at)

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
        self, post: _Post, row: PurchaseRow, encoded: EncodedRequest, request_id: str, decided_at: float | None
    ) -> None:
        """Send, and record the outcome, also if the caller is cancelled."""
        try:
            with anyio.CancelScope(shield=True):
                post.outcome = await self._under_lease(
                    row, lambda: self._exchange(row, encoded, request_id, decided_at)
                )
        except Exception as error:  # noqa: BLE001 - the caller raises it
            post.failure = error
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
        self, row: PurchaseRow, encoded: EncodedRequest, request_id: str, decided_at: float | None
    ) -> Generation | LumaError:
        try:
            generation = await self._backend.submit(encoded, request_id=request_id, decided_at=decided_at)
        except AmbiguousPurchaseError as error:
            await self._write(row, "lost", note=str(error)[:200])
            return error
        except RateLimitError as error:
            await self._write(row, "reserved", note="Luma's rate limit")
            return error
        except LumaError as error:
            await self._write(row, "refused", note=str(error)[:200])
            return error
        except BaseException:
            await self._write(row, "lost", note="the server failed while it was sent")
            raise
        await self._write(row, "accepted", generation_id=generation.id)
        return generation

    async def _write(self, row: PurchaseRow, state: State, *, generation_id: str | None = None, note: str = "") -> None:
        """Record an outcome now, or else later, as soon as the ledger can be written.

        The response to the caller matters more than the write.
        """
        outcome = _Unwritten(row, state, generation_id, note)
        for pause in (*_WRITE_PAUSES, None):
            try:
                await self._write_once(outcome)
            except LedgerError:
                if pause is not None:
                    await self._clock.sleep(pause)
            else:
                return
        _log.error("purchase %d is %s (%s) and could not be written down", row.id, state, generation_id)
        # After a rate limit it is not sent again from here: the ledger does not record that it may be.
        self._unwritten[row.id] = _Unwritten(row, "refused" if state == "reserved" else state, generation_id, note)
        if self._tasks is not None:
            self._tasks.start_soon(self._write_later, row)

    async def _write_once(self, outcome: _Unwritten) -> None:
        """Raises: LedgerError."""
        row, state = outcome.row, outcome.state
        written = await self._ledger.advance(row, state, generation_id=outcome.generation_id, note=outcome.note)
        if written is None:
            _log.warning("purchase %d was settled by another server before it was %s", row.id, state)

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


def _rate_limit_pause(error: RateLimitError, tries: int) -> float:
    """The pause: at least a second, and longer each time, so that `Retry-After: 0` causes no flood of requests."""
    requested = error.retry_after if error.retry_after is not None else _RATE_LIMIT_PAUSE_SECONDS
    return max(requested, _MIN_RATE_LIMIT_PAUSE_SECONDS * 2 ** (tries - 1))
