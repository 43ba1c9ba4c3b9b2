"""Sends one reserved purchase, and writes down what came of it.

The row is `sending` from the start where nothing has to be done before the POST. Else it becomes `sending` right before
it, if this process still holds its lease. The lease is renewed for as long as Luma has not answered. A caller that
gives up changes nothing from there on: the outcome is written down.
"""

import logging
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import anyio
import anyio.lowlevel

from luma_mcp.backends.base import EncodedRequest, FullBackend
from luma_mcp.domain.clock import Clock
from luma_mcp.domain.errors import AmbiguousPurchaseError, LedgerError, LumaError, RateLimitError
from luma_mcp.domain.generation import Generation
from luma_mcp.ledger.purchases import Ledger
from luma_mcp.ledger.rows import Decision, PurchaseRow
from luma_mcp.ledger.states import RENEW_EVERY_SECONDS, State
from luma_mcp.purchasing.orders import PurchaseRequest

_T = TypeVar("_T")

_log = logging.getLogger(__name__)

# How often, and for how long altogether, a purchase is sent again after a rate limit.
_RATE_LIMIT_TRIES = 5
_LONGEST_RATE_LIMIT_SECONDS = 60.0
_SHORTEST_RATE_LIMIT_PAUSE_SECONDS = 1.0
_RATE_LIMIT_PAUSE_SECONDS = 15.0
_WRITE_TRIES = 3


class Sender:
    """Sends the purchases of one account."""

    def __init__(self, backend: FullBackend, ledger: Ledger, clock: Clock) -> None:
        self._backend = backend
        self._ledger = ledger
        self._clock = clock

    async def send(self, decision: Decision, order: PurchaseRequest) -> Generation:
        """Send a new purchase once, and again only where Luma's rate limit refused it.

        Raises:
            AmbiguousPurchaseError: the answer is lost. The row is `lost`.
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
            # Each further POST is decided anew.
            decided_at = None
            # A caller that is gone is noticed here. The purchase is on disk, for when the same is asked for again.
            await anyio.lowlevel.checkpoint()
            match outcome:
                case Generation():
                    return outcome
                case RateLimitError():
                    pause = _rate_limit_pause(outcome, tries)
                    if tries == _RATE_LIMIT_TRIES or waited + pause > _LONGEST_RATE_LIMIT_SECONDS:
                        await self._write(row, "refused", note="Luma's rate limit")
                        raise outcome
                    await self._pause(row, order, pause, waited)
                    waited, tries = waited + pause, tries + 1
                case _:
                    raise outcome

    async def _pause(self, row: PurchaseRow, order: PurchaseRequest, pause: float, waited: float) -> None:
        """Wait for Luma's rate limit with the lease kept. A caller that leaves leaves nothing reserved."""
        try:
            await order.on_wait(waited, f"Luma's rate limit is reached; trying again in {pause:.0f} s")
            left = pause
            while left > 0:
                step = min(left, RENEW_EVERY_SECONDS)
                await self._clock.sleep(step)
                await self._ledger.renew(row)
                left -= step
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._write(row, "refused", note="it was given up before it was sent")
            raise

    async def _post(
        self, row: PurchaseRow, encoded: EncodedRequest, decided_at: float | None
    ) -> Generation | LumaError:
        """The one POST, and its outcome on disk. A caller that gives up changes nothing from here on."""
        with anyio.CancelScope(shield=True):
            request_id = row.request_id
            if request_id is None or decided_at is None:
                request_id = new_request_id()
                if await self._ledger.advance(row, "sending", request_id=request_id, mine=True) is None:
                    return LumaError(
                        "This server was stopped for so long that another one settled the purchase.",
                        "Nothing was sent. Call again with the same arguments.",
                    )
            return await self._under_lease(row, lambda: self._exchange(row, encoded, request_id, decided_at))
        raise AssertionError("a shield lets nothing out")  # pragma: no cover

    async def _under_lease(self, row: PurchaseRow, work: Callable[[], Awaitable[_T]]) -> _T:
        """Do some work with the lease kept."""
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
        """Write down an outcome, if the ledger can still be written.

        The answer to the caller matters more: without this write the lease runs out, and the purchase is looked for.
        """
        for attempt in range(_WRITE_TRIES):
            try:
                written = await self._ledger.advance(row, state, generation_id=generation_id, note=note)
            except LedgerError:
                if attempt == _WRITE_TRIES - 1:
                    _log.exception("purchase %d is %s (%s) and could not be written down", row.id, state, generation_id)
            else:
                if written is None:
                    _log.warning("purchase %d was settled by another server before it was %s", row.id, state)
                return


def new_request_id() -> str:
    """What names one POST at Luma."""
    return secrets.token_hex(16)


def _rate_limit_pause(error: RateLimitError, tries: int) -> float:
    """At least a second, and longer each time: a `Retry-After: 0` must not make a storm of requests."""
    requested = error.retry_after if error.retry_after is not None else _RATE_LIMIT_PAUSE_SECONDS
    return max(requested, _SHORTEST_RATE_LIMIT_PAUSE_SECONDS * 2 ** (tries - 1))
