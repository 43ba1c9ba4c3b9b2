"""Reservations: money that is set aside as a group, for purchases that come later.

A group and its money are one transaction. Each reservation is drawn on by one purchase; the transaction that writes the
purchase links it, so a reservation is drawn on once, by any caller. `states` has the states of a reservation. The
ledger does not know the purpose of a group: its creator stores a document in it, and reads it again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from luma_mcp.ledger.rows import PurchaseRow
from luma_mcp.ledger.spending import live_groups, marks
from luma_mcp.ledger.states import UNBOUGHT, State
from luma_mcp.ledger.store import Transaction

EXPIRED = "expired"
"""The note of a reservation of an abandoned group."""
REMOVED = "left out"
"""The note of a reservation that a change of its group has removed."""


class ReservationUnavailableError(Exception):
    """A reservation cannot be drawn on: a purchase drew on it, or it was released. Nothing was written."""


@dataclass(frozen=True, slots=True)
class ReservationName:
    """The name of a reservation: its group, and its key within the group."""

    group_id: str
    key: str

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the purchases that draw on it."""
        return f"{self.group_id} {self.key}"


@dataclass(frozen=True, slots=True)
class NewReservation:
    """Money to be set aside: its key within the group, and the most that is needed, in micro-dollars."""

    key: str
    micros: int


@dataclass(frozen=True, slots=True)
class NewGroup:
    """A group of reservations that the caller wants.

    Args:
        id: its id, a random text that cannot be guessed.
        fingerprint: identifies its purpose; the same in every process.
        document: a text that its creator reads again.
        reservations: the money.
        account: the account that pays; that of Dream Machine if it is empty.
        take: the number of one of several equal groups.
        person: the creator.
        consent: the name of the user's consent, which is valid once.
    """

    id: str
    fingerprint: str
    document: str
    reservations: tuple[NewReservation, ...]
    account: str = ""
    take: int = 1
    person: str = ""
    consent: str | None = None


@dataclass(frozen=True, slots=True)
class Reservation:
    """Money that was set aside.

    Args:
        key: its key within the group.
        micros: the most that a purchase may draw.
        is_wanted: whether the money is reserved here, and a purchase may draw on it.
        note: why it was released.
        purchase: the last purchase that drew on it, if any.
    """

    key: str
    micros: int
    is_wanted: bool
    note: str = ""
    purchase: PurchaseRow | None = None

    @property
    def is_bought(self) -> bool:
        """Whether a purchase holds, or may hold, this money."""
        return self.purchase is not None and self.purchase.is_live


@dataclass(frozen=True, slots=True)
class ReservationGroup:
    """A group of reservations in the ledger. Times are Unix time."""

    id: str
    account: str
    person: str
    fingerprint: str
    take: int
    is_live: bool
    document: str
    created_at: float
    updated_at: float
    reservations: Mapping[str, Reservation] = field(default_factory=dict[str, Reservation])

    def unpaid(self, wanted: Sequence[NewReservation]) -> list[NewReservation]:
        """Those of some reservations whose money the group has neither set aside nor spent."""
        paid = {key for key, item in self.reservations.items() if item.is_bought or item.is_wanted}
        return [item for item in wanted if item.key not in paid]


def check_open(transaction: Transaction, name: ReservationName, micros: int) -> None:
    """Return if a purchase may draw that much on a reservation. Raises: ReservationUnavailableError."""
    row = transaction.execute(
        "SELECT 1 FROM reservations WHERE group_id = ? AND key = ? AND micros >= ? AND wanted = 1",
        (name.group_id, name.key, micros),
    ).fetchone()
    if row is None:
        raise ReservationUnavailableError


def draw(transaction: Transaction, name: ReservationName, purchase_id: int, now: float) -> None:
    """Link a reservation to its purchase, which holds the money from here on."""
    transaction.execute(
        "UPDATE reservations SET purchase_id = ?, wanted = 0 WHERE group_id = ? AND key = ?",
        (purchase_id, name.group_id, name.key),
    )
    transaction.execute("UPDATE reservation_groups SET updated_at = ? WHERE id = ?", (now, name.group_id))


def follow(transaction: Transaction, purchase_id: int, state: State) -> None:
    """Open a reservation again if its purchase was not made; close it if the purchase was made."""
    transaction.execute(
        "UPDATE reservations SET wanted = ? WHERE purchase_id = ? AND note = ''", (int(state in UNBOUGHT), purchase_id)
    )


def relink(transaction: Transaction, fingerprint: str, purchase_id: int) -> None:
    """Link the open reservation of a fingerprint, if there is one, to a purchase that was made after all."""
    group_id, _, key = fingerprint.partition(" ")
    transaction.execute(
        "UPDATE reservations SET purchase_id = ?, wanted = 0 WHERE group_id = ? AND key = ? AND wanted = 1",
        (purchase_id, group_id, key),
    )


def release_of(transaction: Transaction, purchase_id: int, note: str) -> None:
    """Release the reservation of a purchase that is not to be made, so that no other purchase draws on it."""
    transaction.execute("UPDATE reservations SET wanted = 0, note = ? WHERE purchase_id = ?", (note, purchase_id))


def expire(transaction: Transaction, accounts: Sequence[str], now: float) -> None:
    """Release the reservations of abandoned groups."""
    transaction.execute(
        f"UPDATE reservations SET wanted = 0, note = ? WHERE account IN ({marks(accounts)}) AND wanted = 1"
        " AND NOT (SELECT updated_at > ? AND updated_at <= ? FROM reservation_groups"
        " WHERE reservation_groups.id = reservations.group_id)",
        (EXPIRED, *accounts, *live_groups(now)),
    )


def reserve(transaction: Transaction, group_id: str, account: str, person: str, item: NewReservation) -> None:
    """Set money aside, for a key that has none or whose purchase no longer counts."""
    transaction.execute("DELETE FROM reservations WHERE group_id = ? AND key = ?", (group_id, item.key))
    transaction.execute(
        "INSERT INTO reservations (group_id, key, account, person, micros, wanted) VALUES (?, ?, ?, ?, ?, 1)",
        (group_id, item.key, account, person, item.micros),
    )


def release(transaction: Transaction, group_id: str, key: str, note: str) -> None:
    """Release a reservation, if it is open."""
    transaction.execute(
        "UPDATE reservations SET wanted = 0, note = ? WHERE group_id = ? AND key = ? AND wanted = 1",
        (note, group_id, key),
    )
