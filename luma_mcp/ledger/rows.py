"""Purchases as the ledger holds them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from pydantic_core import from_json

from luma_mcp.ledger.states import SETTLED, TAKE_SECONDS, State
from luma_mcp.ledger.store import Transaction

# The request in the ledger also names the generations that it works on; Luma gets links only.
MADE_FROM = "made_from"


@dataclass(frozen=True)
class _Purchase:
    fingerprint: str
    signature: str
    request: str
    kind: str
    micros: int
    basis: str
    take: int = 1
    person: str = ""
    account: str = ""
    model: str = ""


@dataclass(frozen=True)
class NewPurchase(_Purchase):
    """A purchase that the caller wants.

    Args:
        fingerprint: the request; the same in every process.
        signature: the request as it appears in Luma's list.
        request: the unsigned body and the generations that it works on, as JSON.
        kind: the operation.
        micros: the price in micro-dollars.
        basis: whether the price is published or assumed.
        take: the number of one of several equal purchases.
        person: the buyer; others do not join it.
        account: the account that pays; that of Dream Machine if it is empty.
        model: the model that it pays for; the operation if it is empty.
        consent: the name of the user's consent, which is valid once.
    """

    consent: str | None = None


@dataclass(frozen=True)
class PurchaseRow(_Purchase):
    """A purchase in the ledger. Times are Unix time."""

    id: int = 0
    is_live: bool = False
    state: State = "reserved"
    generation_id: str | None = None
    request_id: str | None = None
    owner: str = ""
    lease_until: float = 0.0
    reserved_at: float = 0.0
    lost_at: float | None = None
    updated_at: float = 0.0
    note: str = ""
    queue_id: str | None = None
    sent_at: float | None = None

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

    def holds_take(self, now: float) -> bool:
        """Whether the same request with the same take is this purchase. One in doubt holds its take at any age."""
        return self.state not in SETTLED or now - self.reserved_at < TAKE_SECONDS

    @property
    def position(self) -> tuple[float, int]:
        """Its position in a list: by time, then by number."""
        return self.reserved_at, self.id


_NAMES = tuple(field.name for field in fields(PurchaseRow))
_IS_LIVE = _NAMES.index("is_live")
_COLUMNS = ", ".join(_NAMES)


def select(transaction: Transaction, condition: str, values: Sequence[object]) -> list[PurchaseRow]:
    """The purchases that meet a condition, which may order and limit them."""
    matches = transaction.execute(f"SELECT {_COLUMNS} FROM purchases WHERE {condition}", values)
    return [_row(columns) for columns in matches]


def select_by_id(transaction: Transaction, accounts: Sequence[str], ids: Iterable[int]) -> dict[int, PurchaseRow]:
    """Purchases of some accounts by their numbers."""
    rows = (row for purchase_id in ids for row in select(transaction, "id = ?", [purchase_id]))
    return {row.id: row for row in rows if row.account in accounts}


def by_queue_id(transaction: Transaction, accounts: Sequence[str], ids: Iterable[str]) -> dict[str, PurchaseRow]:
    """Purchases of some accounts by their ids in the queue."""
    found = (row for queue_id in ids for row in select(transaction, "queue_id = ?", [queue_id]))
    return {row.queue_id: row for row in found if row.queue_id and row.account in accounts}


def add_to_outbox(transaction: Transaction, account: str, kind: str, key: str, now: float) -> None:
    """Record that something is to be done for a key, unless that is recorded; `outbox` reads it."""
    transaction.execute(
        "INSERT INTO outbox (account, kind, key, since) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (account, kind, key, now),
    )


def _row(columns: Sequence[Any]) -> PurchaseRow:
    values = list(columns)
    values[_IS_LIVE] = bool(values[_IS_LIVE])
    return PurchaseRow(*values)


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome of the deciding transaction: it wrote a new row, or matched an existing row.

    Args:
        row: the purchase.
        is_new: whether it was written.
        now: the ledger's time.
        decided_at: the time of this process, by `clock.suspend_aware_now`.
    """

    row: PurchaseRow
    is_new: bool
    now: float
    decided_at: float
