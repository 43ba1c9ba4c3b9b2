"""The only way to spend. A request is priced, allowed, written down, and sent once.

1. It is priced, and the caps that the person set are asked.
2. What was bought by the same request lately and never reached its caller is handed over instead.
3. A row in the book is on disk before the one POST.
4. If the answer is lost the generation is looked for in Luma's own list and recovered. It is never bought again unseen.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import anyio
import anyio.lowlevel
from pydantic_core import to_json

from luma_mcp.backends.base import EncodedRequest, FullBackend
from luma_mcp.domain import validation
from luma_mcp.domain.clock import Clock
from luma_mcp.domain.errors import AmbiguousPurchaseError, BudgetError, LedgerError, LumaError, RateLimitError
from luma_mcp.domain.generation import Generation
from luma_mcp.domain.pricing import Basis, Footage, Price, price_of
from luma_mcp.domain.requests import Request
from luma_mcp.purchasing import matching
from luma_mcp.purchasing.budget import Budget
from luma_mcp.purchasing.ledger import MADE_FROM, Entry, Ledger, Row, Spending, State
from luma_mcp.purchasing.reconcile import Finding, Reconciler, may_be_alive, this_process

_log = logging.getLogger(__name__)

# A caller that gave up asks again within this time, and means the same purchase.
_SAME_PURCHASE_SECONDS = 15 * 60.0
# The shortest time after which a client is known to give up on a call.
_CLIENT_LIMIT_SECONDS = 20.0
# How long a purchase may be put off by rate limits before the caller hears of it.
_LONGEST_RATE_LIMIT_SECONDS = 60.0
_RATE_LIMIT_PAUSE_SECONDS = 15.0
_ONLY_THE_PERSON = "Nothing was bought. Only the person can change that, in this server's environment."


@dataclass(frozen=True)
class Quote:
    """A request that Luma would take, and what it would cost. `made_from` are the generations that it works on."""

    encoded: EncodedRequest
    price: Price
    made_from: tuple[str, ...] = ()

    def with_links(self, links: Mapping[str, str]) -> "Quote":
        """The same with URLs replaced by signed ones."""
        return replace(self, encoded=self.encoded.with_links(links)) if links else self


@dataclass(frozen=True)
class Purchase:
    """What was bought; `recovered` if it had been bought before and was found again."""

    generation: Generation
    price: Price
    recovered: bool = False


@dataclass(frozen=True)
class _HandedOver:
    """A purchase whose answer was given; `late` if perhaps nobody was listening any more."""

    row: Row
    late: bool


OnWait = Callable[[float, str], Awaitable[None]]


class PurchaseService:
    """Buys at Luma for one account, within a budget."""

    def __init__(
        self,
        backend: FullBackend,
        ledger: Ledger,
        clock: Clock,
        reconciler: Reconciler,
        *,
        budget: Budget,
    ) -> None:
        self._backend = backend
        self._ledger = ledger
        self._clock = clock
        self._reconciler = reconciler
        self.budget = budget
        self._under_way: set[int] = set()
        self._limitered_over: dict[str, _HandedOver] = {}

    def quote(self, request: Request, source: Footage | None = None, made_from: tuple[str, ...] = ()) -> Quote:
        """Say what a request would cost; nothing is sent.

        Raises:
            InvalidRequestError: Luma would refuse it.
        """
        validation.check(request)
        return Quote(self._backend.encode(request), price_of(request, source), made_from)

    def check(self, quote: Quote) -> None:
        """Raises: BudgetError, if the cap for one call forbids it."""
        most = self.budget.max_usd_per_call
        if most is not None and quote.price.usd > most:
            raise BudgetError(
                f"This costs {quote.price} ({quote.price.basis}), and the cap for one call (LUMA_MAX_USD_PER_CALL) is "
                f"${most:.2f}.",
                _ONLY_THE_PERSON,
            )

    def needs_confirmation(self, quote: Quote) -> bool:
        """Whether the person wants to be asked first."""
        above = self.budget.confirm_above_usd
        return above is not None and quote.price.usd > above

    async def buy(self, quote: Quote, *, on_wait: OnWait, links: Mapping[str, str] | None = None) -> Purchase:
        """Buy what was quoted, once.

        Raises:
            BudgetError: a cap forbids it.
            AmbiguousPurchaseError: what became of it is not known; it is looked for again before it is sent again.
            LumaError: it was not bought.
        """
        self.check(quote)
        began = self._clock.now()
        entry = _entry(quote)
        await self._note_delivery(entry)
        await self._reconciler.settle_leftovers(frozenset(self._under_way))
        earlier = await self._earlier(entry)
        if earlier is not None:
            return earlier
        await self._check_unknown(entry)
        await self._check_credit(quote)
        row, purchase = await self._send(entry, quote.with_links(links or {}), on_wait)
        took = self._clock.now() - began
        self._limitered_over[purchase.generation.id] = _HandedOver(row, late=took > _CLIENT_LIMIT_SECONDS)
        return purchase

    async def spending(self) -> Spending:
        """Today's money, with purchases brought up to their final states; what was lost is looked for."""
        await self._reconciler.settle_leftovers(frozenset(self._under_way))
        await self._reconciler.settle_states()
        return await self._ledger.today()

    async def newest_today(self, most: int) -> list[Row]:
        """Today's last purchases as the book has them, oldest first."""
        return await self._ledger.newest_today(most)

    async def observe(self, *generations: Generation) -> None:
        """Note what a caller's own question shows: it knows the ids that it asks about, and how they ended."""
        for generation in generations:
            handed = self._limitered_over.get(generation.id)
            if handed is None:
                continue
            with suppress(LedgerError):
                await self._ledger.deliver(handed.row)
                if generation.is_final:
                    await self._reconciler.note_end(handed.row, generation)
                    self._limitered_over.pop(generation.id, None)

    async def made_from(self, generation: Generation) -> tuple[str, ...]:
        """The generations that one was made from, as far as Luma's echo and the book tell."""
        noted = await self._ledger.made_from(generation.id)
        return tuple(dict.fromkeys((*matching.generations_named_in(generation.request), *noted)))

    async def close(self) -> None:
        """What was handed over has arrived: the client has closed in good order."""
        with suppress(LedgerError):
            await self._note_delivery()
        await self._ledger.close()

    async def _note_delivery(self, entry: Entry | None = None) -> None:
        """A client that goes on has had its answers. A process that is killed before that leaves them undelivered.

        Not so if an answer came late and the same is asked for again: then the client may have given up waiting.
        Several calls may note the same ones at once.
        """
        for generation_id, handed in list(self._limitered_over.items()):
            if entry is None or not handed.late or handed.row.fingerprint != entry.fingerprint:
                await self._ledger.deliver(handed.row)
            self._limitered_over.pop(generation_id, None)

    async def _check_credit(self, quote: Quote) -> None:
        least = self.budget.min_credit_usd
        if least is None:
            return
        credit = await self._backend.get_credit_usd()
        # What others have under way may not show in the balance yet.
        today = await self._ledger.today()
        if credit - today.reserved_usd - quote.price.usd < least:
            raise BudgetError(
                f"This costs {quote.price}, the account has ${credit:.2f}, and ${least:.2f} must stay in it "
                "(LUMA_MIN_CREDIT_USD).",
                _ONLY_THE_PERSON,
            )

    async def _earlier(self, entry: Entry) -> Purchase | None:
        """What the same request bought lately without its caller hearing of it."""
        for row in await self._ledger.undelivered(entry.fingerprint, since_seconds=_SAME_PURCHASE_SECONDS):
            if row.id in self._under_way or (row.process != this_process() and may_be_alive(row.process)):
                continue  # its caller may still get it
            if row.generation_id is not None and await self._ledger.take_over(row):
                self._limitered_over[row.generation_id] = _HandedOver(row, late=False)
                # If Luma does not answer just now, at least the id.
                known = await self._reconciler.asked(row.generation_id)
                return Purchase(known or Generation(id=row.generation_id), _price(row), recovered=True)
        return None

    async def _check_unknown(self, entry: Entry) -> None:
        """Do not buy again what may be bought already."""
        for row in await self._ledger.in_state("unknown"):
            if row.fingerprint == entry.fingerprint and row.id not in self._under_way:
                raise _ambiguous(await self._reconciler.look(row))

    async def _send(self, entry: Entry, quote: Quote, on_wait: OnWait) -> tuple[Row, Purchase]:
        waited = 0.0
        while True:
            row = await self._reserve(entry)
            self._under_way.add(row.id)
            try:
                outcome = await self._post(row, quote.encoded)
                # If the caller is gone this is where it shows: the row stays undelivered, for when it asks again.
                await anyio.lowlevel.checkpoint()
                purchase = await self._outcome(row, quote, outcome)
            finally:
                self._under_way.discard(row.id)
            if isinstance(purchase, Purchase):
                return row, purchase
            pause = purchase.retry_after if purchase.retry_after is not None else _RATE_LIMIT_PAUSE_SECONDS
            if waited + pause > _LONGEST_RATE_LIMIT_SECONDS:
                raise purchase
            await on_wait(waited, f"Luma's rate limit is reached; trying again in {pause:.0f} s")
            await self._clock.sleep(pause)
            waited += pause

    async def _outcome(self, row: Row, quote: Quote, outcome: Generation | LumaError) -> Purchase | RateLimitError:
        match outcome:
            case Generation():
                return Purchase(outcome, quote.price)
            case AmbiguousPurchaseError():
                try:
                    finding = await self._reconciler.find(row)
                except LedgerError:
                    raise outcome from None  # that it may have been bought matters more than that the book fails
                if finding.what != "recovered":
                    raise _ambiguous(finding)
                return Purchase(finding.generations[0], quote.price, recovered=True)
            case RateLimitError():
                return outcome
            case _:
                raise outcome

    async def _reserve(self, entry: Entry) -> Row:
        most = self.budget.max_usd_per_day
        micros = None if most is None else round(most * 1e6)
        try:
            return await self._ledger.reserve(entry, most_micros_per_day=micros)
        except BudgetError:
            # Something may have failed and been refunded since it was written down.
            await self._reconciler.settle_states()
            return await self._ledger.reserve(entry, most_micros_per_day=micros)

    async def _post(self, row: Row, encoded: EncodedRequest) -> Generation | LumaError:
        """The one POST, and what became of it written down. From here on a caller that gives up changes nothing."""
        try:
            await anyio.lowlevel.checkpoint_if_cancelled()
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._ledger.record(row, "refused")
            raise
        with anyio.CancelScope(shield=True):
            return await self._exchange(row, encoded)
        raise AssertionError("a shield lets nothing out")  # pragma: no cover

    async def _exchange(self, row: Row, encoded: EncodedRequest) -> Generation | LumaError:
        try:
            generation = await self._backend.submit(encoded)
        except AmbiguousPurchaseError as error:
            await self._write_down(row, "unknown")
            return error
        except LumaError as error:
            await self._write_down(row, "refused")
            return error
        except BaseException:
            await self._write_down(row, "unknown")
            raise
        await self._write_down(row, "accepted", generation.id)
        return generation

    async def _write_down(self, row: Row, state: State, generation_id: str | None = None) -> None:
        """What became of it, if the book can still be written.

        What the caller hears matters more: the row stays `sending`, and the next purchase finds out.
        """
        try:
            await self._ledger.record(row, state, generation_id)
        except LedgerError:
            _log.exception("purchase %d is %s (%s) and could not be written down", row.id, state, generation_id)


def _entry(quote: Quote) -> Entry:
    body = matching.unsigned_body(quote.encoded)
    return Entry(
        fingerprint=matching.fingerprint(quote.encoded),
        signature=matching.signature(quote.encoded),
        request=to_json(body | {MADE_FROM: quote.made_from} if quote.made_from else body).decode(),
        kind=quote.encoded.request.kind,
        micros=round(quote.price.usd * 1e6),
        basis=quote.price.basis,
    )


def _price(row: Row) -> Price:
    basis: Basis = "published" if row.basis == "published" else "assumed"
    return Price(row.usd, basis)


def _ambiguous(finding: Finding) -> AmbiguousPurchaseError:
    if finding.what == "several":
        ids = ", ".join(one.id for one in finding.generations)
        return AmbiguousPurchaseError(
            f"The answer to this purchase was lost, and it may be one of these generations: {ids}.",
            "Use one of them instead of buying again. For 15 minutes the same request is not sent.",
        )
    if finding.what == "buried":
        return AmbiguousPurchaseError(
            "The answer to this purchase was lost, and too much was made in this account since to look for it. It may "
            "have been charged.",
            "Look for it with list_generations before buying again. For 15 minutes the same request is not sent.",
        )
    return AmbiguousPurchaseError(
        "The answer to this purchase was lost, and it is not in Luma's list so far. It may have been charged.",
        "Call again in a minute: it is looked for first, and sent only if it is not there. get_credits tells the rest.",
    )
