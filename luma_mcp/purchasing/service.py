"""The only way to spend. A purchase has a name, is allowed and reserved in one transaction, and is sent once.

1. A request is priced, and the cap for one call is checked (`quote`, `check`).
2. One transaction returns the existing purchase, or records a new one within every cap (`Ledger.decide`).
3. Local files are uploaded for Luma; then the row becomes `sending`, if this server still has its lease. Without such
   files it is `sending` from the start.
4. Luma's response is recorded. If the response is lost, the purchase is searched for, and never sent again unchecked.
"""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TypeVar

import anyio

from luma_mcp.backends.base import AccountBackend, Listing
from luma_mcp.domain import validation
from luma_mcp.domain.apis import BackendName
from luma_mcp.domain.clock import Clock
from luma_mcp.domain.errors import AmbiguousPurchaseError, BudgetError, LedgerError, LumaError, NotFoundError
from luma_mcp.domain.generation import PURCHASE_ID, Generation
from luma_mcp.domain.pricing import Footage, price_of
from luma_mcp.domain.requests import Request, backend_of, generations_named_in
from luma_mcp.ledger import caps
from luma_mcp.ledger.caps import Balance, Budget, ConsentUsedError, Spending
from luma_mcp.ledger.history import RECENT_SECONDS
from luma_mcp.ledger.purchases import Ledger
from luma_mcp.ledger.rows import Decision, PurchaseRow
from luma_mcp.ledger.spending import Total
from luma_mcp.ledger.states import UNDER_WAY
from luma_mcp.purchasing.balances import Balances
from luma_mcp.purchasing.errors import ambiguous_error, disputed_error
from luma_mcp.purchasing.orders import PurchaseRecord, PurchaseRequest, Quote, new_purchase, price_of_row
from luma_mcp.purchasing.payloads import Payloads
from luma_mcp.purchasing.queue import PurchaseQueueService, QueueOptions
from luma_mcp.purchasing.reconcile import LookupResult, Reconciler
from luma_mcp.purchasing.sending import Sender, StillSendingError, new_request_id
from luma_mcp.purchasing.settling import Settler

_T = TypeVar("_T")

_JOIN_POLL_SECONDS = 0.5
# A caller that joins a purchase waits for its outcome as long as one request may last.
_MAX_JOIN_SECONDS = 90.0
# Luma may not know a generation yet that it has just accepted.
_SECOND_CHECK_SECONDS = 1.0
# The maximum number of purchases that are checked for refunds at each API, when a cap forbids another one.
_MAX_REFUNDS = 40


@dataclass
class _InFlight:
    """A purchase that this process is sending, for callers of the same process who want the same."""

    done: anyio.Event = field(default_factory=anyio.Event)
    purchase: PurchaseRecord | None = None
    error: LumaError | None = None


class PurchaseService:
    """Buys at Luma for one account, within a budget.

    `accounts` are the ledger's accounts by API; without them all is Dream Machine's. `listings` are the lists of the
    APIs that have one. `queueing` is how purchases wait for a slot at Luma.
    """

    def __init__(
        self,
        backend: AccountBackend,
        ledger: Ledger,
        clock: Clock,
        reconciler: Reconciler,
        *,
        budget: Budget,
        accounts: Mapping[BackendName, str] | None = None,
        listings: Mapping[BackendName, Listing] | None = None,
        queueing: QueueOptions | None = None,
    ) -> None:
        self._backend = backend
        self._ledger = self.ledger = ledger
        self._clock = clock
        self._reconciler = reconciler
        self._sender = Sender(backend, ledger, clock)
        self.budget = budget
        self.balances = Balances(backend, ledger, budget)
        """The credit at Luma."""
        self._accounts = accounts or {}
        self._in_flight: dict[tuple[str, str, int], _InFlight] = {}
        by_account = {self.account_of(name): listing for name, listing in (listings or {}).items()}
        self._settler = Settler(backend, ledger, clock, reconciler, by_account)
        self.queue = PurchaseQueueService(
            backend,
            ledger,
            self._sender,
            self._settler,
            queueing or QueueOptions(Payloads(secrets.token_bytes(32))),
            accounts=self._accounts,
        )
        """The purchases that wait for a slot at Luma."""

    async def run(self) -> None:
        """Run the POSTs, and settle open purchases on a schedule."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._sender.run)
            tasks.start_soon(self._settler.run)

    @property
    def must_not_end(self) -> bool:
        """Whether a purchase is under way at an API without a list, where only the response names its generation."""
        return any(account not in self._settler.listed_accounts for account in self._sender.accounts_under_way)

    def quote(self, request: Request, source: Footage | None = None, made_from: tuple[str, ...] = ()) -> Quote:
        """Price a request; nothing is sent.

        Raises:
            InvalidRequestError: Luma would refuse it.
        """
        validation.check(request)
        return Quote(self._backend.encode(request), price_of(request, source), made_from)

    def check(self, quote: Quote) -> None:
        """Raises: BudgetError, if the cap for one call forbids it."""
        caps.check_call(self.budget, quote.price.usd, f"{quote.price} ({quote.price.basis})")

    async def buy(self, order: PurchaseRequest) -> PurchaseRecord:
        """Buy a quoted request, once: the same request with the same take is the same purchase for 24 hours.

        Raises:
            BudgetError: a cap forbids it.
            ConsentNeededError: the user's approval is needed first.
            AmbiguousPurchaseError: it may have been bought. The same call searches for it again, and does not send it.
            ReservationUnavailableError: the reservation that pays for it cannot be drawn on any more.
            LumaError: it was not bought.
        """
        self.check(order.quote)
        key = ("" if self._ledger.is_shared else order.person, order.fingerprint, order.take)
        waited = 0.0
        while True:
            flight = self._in_flight.get(key)
            if flight is not None:
                await flight.done.wait()
                if flight.purchase is not None:
                    return replace(flight.purchase, age_seconds=flight.purchase.age_seconds or 0.0)
                if flight.error is not None:
                    raise flight.error
            flight = self._in_flight[key] = _InFlight()
            try:
                flight.purchase = await self._decide(order)
            except LumaError as error:
                flight.error = error
                raise
            finally:
                flight.done.set()
                self._in_flight.pop(key, None)
            if flight.purchase is not None:
                return flight.purchase
            # Another server is processing it.
            if waited >= _MAX_JOIN_SECONDS:
                raise AmbiguousPurchaseError(
                    "Another server is still sending this purchase.", "Call again with the same arguments in a minute."
                )
            await order.on_wait(waited, "The same purchase is under way at another server")
            await self._clock.sleep(_JOIN_POLL_SECONDS)
            waited += _JOIN_POLL_SECONDS

    def account_of(self, backend: BackendName) -> str:
        """The ledger's account of an API."""
        return self._accounts.get(backend, "")

    async def spending(self, person: str | None = None) -> Spending:
        """Today's money, or one person's, as the ledger has it. No request is sent to Luma."""
        return await self._ledger.today(person)

    async def newest_today(self, limit: int, person: str | None = None) -> list[PurchaseRow]:
        """Today's last purchases, oldest first, after older ones that are still in doubt; all, or one person's."""
        return await self._ledger.newest_today(limit, person)

    async def ping_ledger(self) -> None:
        """Check that the ledger responds. Raises: LedgerError."""
        await self._ledger.ping()

    async def totals(self, days: int, person: str | None = None) -> list[Total]:
        """The running totals of today and of some days before; of all, or of one person."""
        return await self._ledger.totals(days, person)

    async def row(self, row_id: int) -> PurchaseRow | None:
        """A purchase by its number in the ledger."""
        return await self._ledger.get(row_id)

    async def get_generation(self, generation_id: str) -> Generation:
        """Request a generation. One that may exist though Luma denies it is unknown, not "not found".

        Raises:
            NotFoundError: no generation has that id.
        """
        try:
            generation = await self._backend.get_generation(generation_id)
        except NotFoundError:
            generation = await self._ask_again(generation_id)
        await self.record_final_states(generation)
        return generation

    async def _ask_again(self, generation_id: str) -> Generation:
        """Request a generation again: one response of one of Luma's replicas proves little. Raises: NotFoundError."""
        await self._clock.sleep(_SECOND_CHECK_SECONDS)
        try:
            return await self._backend.get_generation(generation_id)
        except NotFoundError:
            if await self.may_exist(generation_id):
                return Generation(id=generation_id)
            raise

    async def may_exist(self, generation_id: str) -> bool:
        """Whether a generation may exist though Luma reported twice that it does not know it.

        It may if it was bought here and not deleted here: just now, or at an API whose list does not prove the
        contrary. While the ledger cannot be read, it may.
        """
        try:
            row = await self._live_row(generation_id)
            return row is not None and (await self._is_row_recent(row) or not await self._reconciler.is_gone(row))
        except LedgerError:
            return True

    async def api_of(self, generation_id: str) -> BackendName | None:
        """The API at which a generation was bought here; None if the ledger does not know it or cannot be read."""
        with suppress(LedgerError):
            is_queued = PURCHASE_ID.fullmatch(generation_id) is not None
            rows = await (self._ledger.by_queue_id if is_queued else self._ledger.by_generation)([generation_id])
            if generation_id in rows:
                account = rows[generation_id].account
                return next((name for name, own_account in self._accounts.items() if own_account == account), None)
        return None

    async def _live_row(self, generation_id: str) -> PurchaseRow | None:
        """The purchase of a generation; None also if the generation was deleted here, which frees its take."""
        row = (await self._ledger.by_generation([generation_id])).get(generation_id)
        return row if row is not None and row.is_live else None

    async def _is_row_recent(self, row: PurchaseRow) -> bool:
        return await self._ledger.now() - row.updated_at < RECENT_SECONDS

    async def record_final_states(self, *generations: Generation) -> bool:
        """Record how purchases ended, as the generations of a caller's read show; whether the ledger has changed."""
        return await self._settler.record_final_states(*generations)

    async def deleted(self, generation_id: str) -> None:
        """Let the request of a deleted generation be bought again."""
        with suppress(LedgerError):
            rows = await self._ledger.by_generation([generation_id])
            for row in rows.values():
                await self._ledger.free_take(row)

    async def made_from(self, generation: Generation) -> tuple[str, ...]:
        """The generations that one was made from, by Luma's echo and the ledger."""
        noted = await self._ledger.made_from(generation.id)
        return tuple(dict.fromkeys((*generations_named_in(generation.request), *noted)))

    async def settle_states(self) -> None:
        """Record how accepted purchases ended; Luma refunds failed ones. Those that cannot be requested stay open."""
        await self._settler.settle_states()

    async def settle_if_due(self) -> None:
        """Search for purchases in doubt and settle those that have ended, if a pass is due."""
        await self._settler.settle_if_due()

    async def search_for(self, row: PurchaseRow) -> None:
        """Search once for a purchase whose response was lost, and record the result. Raises: LumaError."""
        await self._reconciler.search(row)

    async def close(self) -> None:
        """Close the ledger."""
        await self._ledger.close()

    async def _decide(self, order: PurchaseRequest) -> PurchaseRecord | None:
        """Buy, or return the existing purchase; None while another server processes it."""
        await self._sender.write_unwritten()
        # The money of a film's shot was allowed with the film.
        balance = await self.balances.read(backend_of(order.quote.encoded.request)) if order.draws_on is None else None
        decision = await self._reserve(order, balance)
        if decision.is_new:
            return await self._send(decision, order)
        row = decision.row
        if row.state in UNDER_WAY:
            return None
        if row.state == "waiting":
            return await self._waiting(row, max(0.0, decision.now - row.reserved_at))
        if row.state == "lost":
            return await self._recover(await self._reconciler.search(row), row, order)
        if row.state == "disputed":
            raise disputed_error(row)
        return await self._join(row, decision.now, order)

    async def _reserve(self, order: PurchaseRequest, balance: Balance | None) -> Decision:
        new = replace(new_purchase(order), account=self.account_of(backend_of(order.quote.encoded.request)))
        # With nothing to do before the POST, the transaction that decides is the last one before it.
        request_id = new_request_id() if order.publish is None else None
        entry = self.queue.entry(order.quote.encoded, {})
        return await self.with_refunds(
            lambda: self._ledger.decide(
                new, self.budget, balance, request_id=request_id, draws_on=order.draws_on, entry=entry
            )
        )

    async def with_refunds(self, decide: Callable[[], Awaitable[_T]]) -> _T:
        """Decide; again after a cap forbade it and refunds were collected."""
        try:
            return await decide()
        except ConsentUsedError:
            raise
        except BudgetError:
            await self._settler.settle_states(limit=_MAX_REFUNDS)
            return await decide()

    async def _join(self, row: PurchaseRow, now: float, order: PurchaseRequest) -> PurchaseRecord | None:
        """The existing purchase. If it failed, it is bought again; None while another server buys it."""
        generation_id = row.generation_id or ""
        try:
            generation = await self._backend.get_generation(generation_id)
        except NotFoundError:
            generation = Generation(id=generation_id)
            if now - row.updated_at >= RECENT_SECONDS and await self._is_deleted(row):
                await self._ledger.free_take(row)
                raise NotFoundError(
                    f"This was bought already, as generation {generation_id}, which was deleted at Luma since.",
                    "Nothing was bought now. The same call again buys it once more.",
                ) from None
        except LumaError:
            # The id is known at least.
            generation = Generation(id=generation_id)
        await self._settler.note_end(row, generation)
        if generation.state == "failed":
            current = await self._ledger.get(row.id)
            # A completed purchase stays paid, also if Luma reports another state later.
            if current is None or not current.is_live:
                return await self._decide(order)
        return PurchaseRecord(generation, price_of_row(row), take=row.take, age_seconds=max(0.0, now - row.reserved_at))

    async def _is_deleted(self, row: PurchaseRow) -> bool:
        """Whether Luma reports a second time that it has no such generation, and its list lacks it too."""
        await self._clock.sleep(_SECOND_CHECK_SECONDS)
        try:
            await self._backend.get_generation(row.generation_id or "")
        except NotFoundError:
            return await self._reconciler.is_gone(row)
        except LumaError:
            return False
        return False

    async def _recover(self, result: LookupResult, row: PurchaseRow, order: PurchaseRequest) -> PurchaseRecord | None:
        """Return the purchase that a search found; buy an absent one again; raise an error for one in doubt."""
        if result.outcome == "found":
            return await self._recovered(result, row)
        if result.outcome == "absent":
            return await self._decide(order)
        raise ambiguous_error(result, await self._ledger.get(row.id) or row)

    async def _recovered(self, result: LookupResult, row: PurchaseRow) -> PurchaseRecord:
        age = max(0.0, await self._ledger.now() - row.reserved_at)
        return PurchaseRecord(result.generations[0], price_of_row(row), take=row.take, age_seconds=age)

    async def _send(self, decision: Decision, order: PurchaseRequest) -> PurchaseRecord:
        row = decision.row
        if row.state == "waiting":
            return await self._waiting(row, None)
        encoded = order.quote.encoded
        try:
            outcome = await self._sender.send(decision, order, lambda links: self.queue.entry(encoded, links))
        except StillSendingError:
            raise
        except AmbiguousPurchaseError as lost:
            self._settler.settle_soon()
            return await self._search_for_lost(row, lost)
        if isinstance(outcome, PurchaseRow):
            return await self._waiting(outcome, None)
        self._reconciler.observe_echo(row, outcome)
        return PurchaseRecord(outcome, order.quote.price, take=row.take)

    async def _waiting(self, row: PurchaseRow, age_seconds: float | None) -> PurchaseRecord:
        """A purchase that waits for a slot. It is sent by any server of the account."""
        return PurchaseRecord(
            await self.queue.described(row), price_of_row(row), take=row.take, age_seconds=age_seconds
        )

    async def _search_for_lost(self, row: PurchaseRow, lost: AmbiguousPurchaseError) -> PurchaseRecord:
        try:
            current = await self._ledger.get(row.id) or row
            result = await self._reconciler.search_repeatedly(current)
            if result.outcome == "found":
                return await self._recovered(result, current)
            current = await self._ledger.get(row.id) or row
        except LedgerError:
            raise lost from None  # that it may have been bought matters more than that the ledger fails
        raise ambiguous_error(result, current)
