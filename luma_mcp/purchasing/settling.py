"""Settles open purchases: those in doubt, and accepted ones that have ended since. By API, and on a schedule.

A read of the ledger sends no request to Luma. A pass runs soon after the start, soon after a loss, and then more and
more rarely. Each pass sends a bounded number of requests to each API; accepted purchases are requested in turn, so that
all of them are settled in time. An API that fails does not delay the other.
"""

import logging
from collections.abc import Collection, Mapping
from contextlib import suppress

import anyio

from luma_mcp.backends.base import Backend, Listing
from luma_mcp.domain.clock import Clock
from luma_mcp.domain.errors import LedgerError, LumaError, NotFoundError
from luma_mcp.domain.generation import FINAL_STATES, Generation
from luma_mcp.ledger.purchases import Ledger
from luma_mcp.ledger.rows import PurchaseRow
from luma_mcp.ledger.states import State
from luma_mcp.purchasing.reconcile import Reconciler

_log = logging.getLogger(__name__)

_PAGE = 25
# The maximum number of purchases that one pass requests singly at each API.
MAX_SINGLY = 10
# How often it is checked whether a pass is due, by the real clock.
_TICK_SECONDS = 10.0
# Between passes, by the clock: after the start or a loss, and at most.
_FIRST_SECONDS, _MAX_LOST_SECONDS, _MAX_SECONDS = 30.0, 300.0, 1800.0
# A caller still waits for a purchase of this age.
_RECENT_SECONDS = 60.0


class Settler:
    """Records how purchases ended.

    Args:
        backend: the APIs.
        ledger: the ledger.
        clock: the clock.
        reconciler: searches for purchases in doubt.
        listings: the lists of those APIs that have one, by the ledger's account.
    """

    def __init__(
        self,
        backend: Backend,
        ledger: Ledger,
        clock: Clock,
        reconciler: Reconciler,
        listings: Mapping[str, Listing],
    ) -> None:
        self._backend = backend
        self._ledger = ledger
        self._clock = clock
        self._reconciler = reconciler
        self._listings = listings
        self._turn = 0
        self._turns: dict[int, int] = {}
        self._interval = _FIRST_SECONDS
        self._due_at = clock.now()

    @property
    def listed_accounts(self) -> Collection[str]:
        """The accounts of the APIs that have a list."""
        return self._listings.keys()

    def settle_soon(self) -> None:
        """Start the schedule again after a loss."""
        self._interval = _FIRST_SECONDS
        self._due_at = min(self._due_at, self._clock.now() + _FIRST_SECONDS)

    async def run(self) -> None:
        """Run the passes that are due. An error is logged, and the next pass follows."""
        while True:
            await anyio.sleep(_TICK_SECONDS)
            await self.settle_if_due()

    async def settle_if_due(self) -> None:
        """Run a pass, if one is due."""
        if self._clock.now() < self._due_at:
            return
        has_lost = False
        try:
            has_lost = await self._reconciler.settle_all()
            await self.settle_states(min_age_seconds=_RECENT_SECONDS)
        except LumaError:
            _log.info("what is open cannot be settled now", exc_info=True)
        except Exception:  # noqa: BLE001 - the schedule continues
            _log.exception("a mistake in this server: what is open was not settled")
        max_interval = _MAX_LOST_SECONDS if has_lost else _MAX_SECONDS
        self._due_at = self._clock.now() + min(self._interval, max_interval)
        self._interval = min(self._interval * 2, _MAX_SECONDS)

    async def settle_states(self, *, limit: int = MAX_SINGLY, min_age_seconds: float = 0.0) -> None:
        """Record how accepted purchases ended; Luma refunds failed ones. Those that cannot be requested stay open.

        Args:
            limit: the maximum number that is requested singly at each API.
            min_age_seconds: their minimum age.

        Raises:
            LedgerError: the ledger cannot be used.
        """
        rows = await self._ledger.in_state("accepted")
        if not rows:
            self._turns.clear()
            return
        now = await self._ledger.now()
        by_account: dict[str, list[PurchaseRow]] = {}
        for row in reversed(rows):
            if now - row.reserved_at >= min_age_seconds:
                by_account.setdefault(row.account, []).append(row)
        ids = {row.id for row in rows}
        self._turns = {row_id: turn for row_id, turn in self._turns.items() if row_id in ids}
        async with anyio.create_task_group() as tasks:
            for account, account_rows in by_account.items():
                tasks.start_soon(self._settle_account, account, account_rows, limit)

    async def _settle_account(self, account: str, rows: list[PurchaseRow], limit: int) -> None:
        """Settle the purchases of one API, newest first."""
        listed: dict[str, Generation] = {}
        try:
            if account in self._listings:
                page = await self._listings[account].list_generations(limit=_PAGE)
                listed = {generation.id: generation for generation in page.generations}
            unlisted = [row for row in rows if row.generation_id not in listed]
            for row in rows:
                if row.generation_id in listed:
                    await self.note_end(row, listed[row.generation_id])
            # Those with the longest wait come first; of equals the newest.
            unlisted.sort(key=lambda row: self._turns.get(row.id, 0))
            for row in unlisted[:limit]:
                self._turn += 1
                self._turns[row.id] = self._turn
                with suppress(NotFoundError):
                    await self.note_end(row, await self._backend.get_generation(row.generation_id or ""))
        except LumaError:
            _log.info("how purchases of one API ended cannot be asked now", exc_info=True)

    async def settle_running(self, account: str, rows: list[PurchaseRow]) -> None:
        """Record which of some accepted purchases have ended, so that their slots are free."""
        await self._settle_account(account, rows, len(rows))

    async def record_final_states(self, *generations: Generation) -> bool:
        """Record how purchases ended, as the generations of a caller's read show; whether the ledger has changed."""
        final = [generation for generation in generations if generation.state in FINAL_STATES]
        has_changed = False
        if final:
            with suppress(LedgerError):
                rows = await self._ledger.by_generation(generation.id for generation in final)
                for generation in final:
                    if row := rows.get(generation.id):
                        has_changed = await self.note_end(row, generation) or has_changed
        return has_changed

    async def note_end(self, row: PurchaseRow, generation: Generation) -> bool:
        """Record how a generation ended; whether that is new.

        A failed one frees its take and its money, if Luma refunds it. One that is completed later is paid.
        """
        if generation.state not in FINAL_STATES:
            return False
        is_free = generation.state == "failed" and generation.is_refunded
        state: State = "failed" if is_free else "completed"
        if row.state == state:
            return False
        note = generation.failure_reason if generation.state == "failed" else None
        if generation.state == "failed" and not is_free:
            note = f"failed, and Luma does not say that it was refunded: {note or 'no reason'}"
        return await self._ledger.advance(row, state, note=note) is not None
