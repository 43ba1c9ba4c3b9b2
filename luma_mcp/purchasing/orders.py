"""Requests to buy, and records of purchases."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from pydantic_core import to_json

from luma_mcp.backends.base import EncodedRequest
from luma_mcp.domain.generation import Generation
from luma_mcp.domain.pricing import Price
from luma_mcp.ledger.reservations import ReservationName
from luma_mcp.ledger.rows import MADE_FROM, NewPurchase, PurchaseRow
from luma_mcp.purchasing import fingerprints

OnWait = Callable[[float, str], Awaitable[None]]


@dataclass(frozen=True)
class Quote:
    """A valid request, and its price. `made_from` are the generations that it works on."""

    encoded: EncodedRequest
    price: Price
    made_from: tuple[str, ...] = ()

    @cached_property
    def fingerprint(self) -> str:
        """The same for the same request, in every process."""
        return fingerprints.fingerprint(self.encoded)


@dataclass(frozen=True)
class PurchaseRecord:
    """A purchase that was made.

    Args:
        generation: Luma's response.
        price: its price.
        take: the take of the request.
        age_seconds: its age if it was bought before this call; None if this call bought it.
    """

    generation: Generation
    price: Price
    take: int
    age_seconds: float | None = None

    @property
    def recovered(self) -> bool:
        """Whether it had been bought before this call."""
        return self.age_seconds is not None


@dataclass(frozen=True)
class PurchaseRequest:
    """A request to buy, and the callbacks of the call.

    Args:
        quote: the request and its price.
        take: the number of one of several equal purchases.
        person: the buyer.
        consent: the name of the user's consent, which is valid once.
        publish: uploads local files for Luma; it returns the signed link for each URL of the quote.
        on_wait: called with the seconds waited, and why.
        draws_on: the reservation that pays for it.
    """

    quote: Quote
    on_wait: OnWait
    take: int
    person: str = ""
    consent: str | None = None
    publish: Callable[[], Awaitable[Mapping[str, str]]] | None = None
    draws_on: ReservationName | None = None

    @property
    def fingerprint(self) -> str:
        """Names the purchase: the request, or the reservation that pays for it."""
        if self.draws_on is None:
            return self.quote.fingerprint
        return self.draws_on.fingerprint


def new_purchase(order: PurchaseRequest) -> NewPurchase:
    """The row that a request to buy reserves."""
    quote = order.quote
    body = fingerprints.unsigned_body(quote.encoded)
    return NewPurchase(
        fingerprint=order.fingerprint,
        signature=fingerprints.signature(quote.encoded),
        request=to_json(body | {MADE_FROM: quote.made_from} if quote.made_from else body).decode(),
        kind=quote.encoded.request.kind,
        model=str(body.get("model") or quote.encoded.request.kind),
        micros=round(quote.price.usd * 1e6),
        basis=quote.price.basis,
        take=order.take,
        person=order.person,
        consent=order.consent,
    )


def price_of_row(row: PurchaseRow) -> Price:
    """The price of a purchase in the ledger."""
    return Price.of(row.usd, "published" if row.basis == "published" else "assumed")
