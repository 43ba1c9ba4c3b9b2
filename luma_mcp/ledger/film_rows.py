"""Films as the ledger holds them: a plan, and its shots, each with its money reserved until it is bought.

A film and its reservation are one transaction. Each shot is bought as a purchase of its own, named by the film and the
shot; the transaction that writes the purchase links it to the shot, so a shot is bought once, whoever tries. A shot
whose purchase was refused, or is not at Luma, is free to be bought again, and its money is reserved again.

===========================================================  =======================  ==================
a shot is                                                    its money                it may be bought
===========================================================  =======================  ==================
wanted, without a purchase                                   reserved here            yes
wanted, its purchase is `refused` or `absent`                reserved here            yes
wanted, its purchase is in another state                     as the purchase says     no
not wanted: its source failed, it was refused, left out,     as the purchase says     no
or the film was left alone for a day
===========================================================  =======================  ==================
"""

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from luma_mcp.ledger import spending
from luma_mcp.ledger.rows import Row
from luma_mcp.ledger.states import UNBOUGHT
from luma_mcp.ledger.store import Transaction

# For so long the money of a film is reserved after its last purchase.
RESERVATION_SECONDS = 24 * 3600.0
LEFT_ALONE = "The film was left alone for 24 hours, so its reservation ended."
FILM_ID = re.compile(r"film-[0-9a-f]{16}")
"""The form of a film's id."""


def new_film_id() -> str:
    """An id that nobody can guess."""
    return f"film-{secrets.token_hex(8)}"


class ShotTakenError(Exception):
    """A shot is not to be bought any more: somebody bought it, or the plan changed. Nothing was written."""


@dataclass(frozen=True, slots=True)
class ShotName:
    """What names a shot of a film."""

    film_id: str
    key: str


@dataclass(frozen=True, slots=True)
class NewShot:
    """A shot that somebody plans, by its key, and the most that it can cost in micro-dollars."""

    key: str
    micros: int


@dataclass(frozen=True, slots=True)
class NewFilm:
    """A film that somebody plans.

    Args:
        fingerprint: the plan; the same in every process.
        plan: the plan, as its maker reads it again.
        shots: the shots.
        account: whose money it is.
        take: which of several equal films is meant.
        person: who plans it.
    """

    fingerprint: str
    plan: str
    shots: tuple[NewShot, ...]
    account: str
    take: int = 1
    person: str = ""


@dataclass(frozen=True, slots=True)
class FilmShotRow:
    """A shot in the ledger.

    Args:
        key: its key.
        micros: the most that it can cost.
        is_wanted: whether it is to be made.
        note: why it is not.
        purchase: its purchase, if there is one.
    """

    key: str
    micros: int
    is_wanted: bool
    note: str = ""
    purchase: Row | None = None

    @property
    def is_bought(self) -> bool:
        """Whether a purchase is, or may be, this shot."""
        return self.purchase is not None and self.purchase.holds_take == 1


@dataclass(frozen=True, slots=True)
class FilmRow:
    """A film in the ledger. Times are Unix time."""

    id: str
    account: str
    person: str
    take: int
    plan: str
    created_at: float
    updated_at: float
    shots: Mapping[str, FilmShotRow] = field(default_factory=dict[str, FilmShotRow])


def unpaid_shots(film: FilmRow, shots: Sequence[NewShot]) -> list[NewShot]:
    """The shots of a plan whose money a film has neither reserved nor spent."""
    paid = {key for key, shot in film.shots.items() if shot.is_bought or (shot.is_wanted and _is_reserved(shot))}
    return [shot for shot in shots if shot.key not in paid]


def _is_reserved(shot: FilmShotRow) -> bool:
    return shot.purchase is None or shot.purchase.state in UNBOUGHT


def claim(transaction: Transaction, shot: ShotName, micros: int) -> None:
    """Return if a shot is to be bought now, for at most what is reserved for it. Raises: ShotTakenError."""
    found = transaction.execute(
        f"SELECT 1 FROM film_shots WHERE film_id = ? AND key = ? AND micros >= ? AND {spending.PLANNED}",
        (shot.film_id, shot.key, micros),
    ).fetchone()
    if found is None:
        raise ShotTakenError


def bought(transaction: Transaction, shot: ShotName, purchase_id: int, now: float) -> None:
    """Link a shot to its purchase, which holds the money from here on."""
    transaction.execute(
        "UPDATE film_shots SET purchase_id = ? WHERE film_id = ? AND key = ?", (purchase_id, shot.film_id, shot.key)
    )
    transaction.execute("UPDATE films SET updated_at = ? WHERE id = ?", (now, shot.film_id))


def expire(transaction: Transaction, accounts: Sequence[str], now: float) -> None:
    """Give back the money of films that were left alone. One from the future is from before the clock was set back."""
    transaction.execute(
        f"UPDATE film_shots SET wanted = 0, note = ? WHERE {spending.PLANNED} AND film_id IN (SELECT id FROM"
        f" films WHERE account IN ({spending.marks(accounts)}) AND (updated_at <= ? OR updated_at > ?))",
        (LEFT_ALONE, *accounts, now - RESERVATION_SECONDS, now + RESERVATION_SECONDS),
    )


def want(transaction: Transaction, film_id: str, shot: NewShot) -> None:
    """Reserve the money of a shot, which is not bought or no longer counts."""
    transaction.execute("DELETE FROM film_shots WHERE film_id = ? AND key = ?", (film_id, shot.key))
    transaction.execute(
        "INSERT INTO film_shots (film_id, key, micros, wanted) VALUES (?, ?, ?, 1)", (film_id, shot.key, shot.micros)
    )


def stop(transaction: Transaction, shot: ShotName, note: str) -> None:
    """Give back the money of a shot that is not bought, and say why."""
    transaction.execute(
        f"UPDATE film_shots SET wanted = 0, note = ? WHERE film_id = ? AND key = ? AND {spending.PLANNED}",
        (note, shot.film_id, shot.key),
    )


def is_used_in(transaction: Transaction) -> Callable[[str], bool]:
    """Whether a yes has served for a film, by its name."""

    def is_used(consent: str) -> bool:
        found = transaction.execute("SELECT 1 FROM film_consents WHERE consent = ?", (consent,))
        return found.fetchone() is not None

    return is_used


def use(transaction: Transaction, film_id: str, consent: str | None) -> None:
    """Use up the person's yes."""
    if consent is not None:
        transaction.execute("INSERT INTO film_consents (consent, film_id) VALUES (?, ?)", (consent, film_id))
