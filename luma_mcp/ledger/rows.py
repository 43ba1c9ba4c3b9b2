"""Purchases as the ledger holds them."""

from dataclasses import dataclass, fields
from typing import Any

from pydantic_core import from_json

from luma_mcp.ledger.states import State

# The request in the ledger also names the generations that it works on; Luma gets links only.
MADE_FROM = "made_from"


@dataclass(frozen=True)
class NewPurchase:
    """A purchase that somebody wants.

    Args:
        fingerprint: the request; the same in every process.
        signature: what the request looks like in Luma's list.
        request: the unsigned body and what it was made from, as JSON.
        kind: the operation.
        micros: the price in micro-dollars.
        basis: whether the price is published or assumed.
        take: which of several equal purchases is meant.
        person: who buys; others do not join it.
        consent: names the person's yes, which serves for one purchase only.
        account: whose money it is; that of Dream Machine if it is empty.
    """

    fingerprint: str
    signature: str
    request: str
    kind: str
    micros: int
    basis: str
    take: int = 1
    person: str = ""
    consent: str | None = None
    account: str = ""


@dataclass(frozen=True)
class Row(NewPurchase):
    """A purchase in the ledger. Times are Unix time."""

    id: int = 0
    holds_take: int = 0
    state: State = "reserved"
    generation_id: str | None = None
    request_id: str | None = None
    owner: str = ""
    lease_until: float = 0.0
    reserved_at: float = 0.0
    lost_at: float | None = None
    updated_at: float = 0.0
    note: str = ""

    @property
    def usd(self) -> float:
        return self.micros / 1e6

    @property
    def body(self) -> dict[str, Any]:
        """The unsigned body of the request."""
        content: dict[str, Any] = from_json(self.request)
        return {name: value for name, value in content.items() if name != MADE_FROM}

    @property
    def made_from(self) -> tuple[str, ...]:
        """The generations that the request works on."""
        return tuple(from_json(self.request).get(MADE_FROM, ()))


COLUMNS = ", ".join(field.name for field in fields(Row))


@dataclass(frozen=True, slots=True)
class Decision:
    """What the deciding transaction did: it wrote a new row, or found one that is this purchase already.

    Args:
        row: the purchase.
        is_new: whether it was written.
        now: the ledger's time.
        decided_at: the time of this process, by `clock.suspend_aware_now`.
    """

    row: Row
    is_new: bool
    now: float
    decided_at: float
