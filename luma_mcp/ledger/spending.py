"""The sums of the ledger: what is spent and reserved, by day, person and model; and whether an amount is allowed.

Sums are read from the running totals, which the database keeps in the transaction that changes a purchase. What is
reserved is summed over the open purchases of all days: those are few.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from luma_mcp.ledger import caps, consents, waiting_sums
from luma_mcp.ledger.caps import (
    Balance,
    Budget,
    CapReachedError,
    ConsentNeededError,
    ConsentUsedError,
    Spending,
)
from luma_mcp.ledger.states import RESERVATION_SECONDS, RESERVED, SPENT, State
from luma_mcp.ledger.store import Transaction

_QUARTER_SECONDS = 900
# Purchases that wait may be many, so their sum is kept.
_SUMMED = RESERVED - {"waiting"}
# Open reservations of groups that are not abandoned.
_OPEN = (
    "wanted = 1 AND (SELECT updated_at > ? AND updated_at <= ? FROM reservation_groups"
    " WHERE reservation_groups.id = reservations.group_id)"
)


@dataclass(frozen=True, slots=True)
class Total:
    """A running total: the purchases of a person within a quarter of an hour, by model and state."""

    person: str
    started_at: float
    model: str
    state: State
    micros: int
    purchases: int


def check(
    transaction: Transaction,
    budget: Budget,
    micros: int,
    *,
    accounts: Sequence[str],
    person: str,
    balance: Balance | None,
    consent: str | None,
) -> None:
    """Return if an amount may be reserved.

    Args:
        transaction: the transaction that reserves it.
        budget: the limits that the user sets.
        micros: the amount in micro-dollars.
        accounts: the accounts that count together, Dream Machine's first.
        person: the buyer.
        balance: the credit at Luma, if the budget needs it.
        consent: the name of the user's consent.

    Raises:
        BudgetError: a cap forbids it.
        ConsentNeededError: the user's approval is needed first.
        ConsentUsedError: the user's consent was used already.
    """
    now, usd = transaction.now(), micros / 1e6
    try:
        if budget.max_usd_per_day is not None:
            caps.check_day(budget, usd, read_spending(transaction, accounts, now))
        if budget.max_usd_per_person_per_day is not None:
            caps.check_person_day(budget, usd, read_spending(transaction, accounts, now, person))
        if budget.min_credit_usd is not None:
            newest = _newest_balance(transaction, accounts[0], balance, now)
            caps.check_credit(budget, usd, newest, _sent_since(transaction, accounts[0], newest, now))
    except CapReachedError as refusal:
        refusal.person = person
        raise
    if budget.confirm_above_usd is not None and usd > budget.confirm_above_usd:
        if consent is None:
            raise ConsentNeededError(usd, person)
        if consents.is_used(transaction, consent):
            raise ConsentUsedError


def read_spending(transaction: Transaction, accounts: Sequence[str], now: float, person: str | None = None) -> Spending:
    """The day's money, or one person's part of it.

    A row from the future counts as today's, so that setting the clock back does not open the cap again. A purchase that
    is not settled stays reserved beyond midnight.
    """
    condition, values = of_person(person)
    spent = purchases = 0
    for account in accounts:
        result = transaction.execute(
            "SELECT state, sum(micros), sum(purchases) FROM totals"
            f" WHERE account = ?{condition} AND quarter >= ? GROUP BY state",
            (account, *values, _quarter(start_of_day(now))),
        )
        for state, micros, count in result:
            spent += int(micros) if state in SPENT else 0
            purchases += int(count)
    reserved = _sum_in_states(transaction, accounts, person) + reserved_in_groups(transaction, accounts, now, person)
    return Spending(spent / 1e6, reserved / 1e6, purchases)


def read_totals(transaction: Transaction, accounts: Sequence[str], days: int, person: str | None) -> list[Total]:
    """The running totals of today and of some days before, of all persons or of one."""
    condition, values = of_person(person)
    quarter = _quarter(start_of_day(transaction.now(), days))
    return [
        Total(name, number * _QUARTER_SECONDS, model, state, int(micros), int(count))
        for account in accounts
        for name, number, model, state, micros, count in transaction.execute(
            "SELECT person, quarter, model, state, micros, purchases FROM totals"
            f" WHERE account = ?{condition} AND quarter >= ?",
            (account, *values, quarter),
        )
    ]


def reserved_in_groups(transaction: Transaction, accounts: Sequence[str], now: float, person: str | None = None) -> int:
    """The micro-dollars of open reservations."""
    condition, values = of_person(person)
    result = transaction.execute(
        "SELECT coalesce(sum(micros), 0) FROM reservations"
        f" WHERE account IN ({marks(accounts)}){condition} AND {_OPEN}",
        (*accounts, *values, *live_groups(now)),
    ).fetchone()[0]
    return int(result)


def live_groups(now: float) -> tuple[float, float]:
    """The times between which a group that is not abandoned was changed last.

    One from further in the future is from before the clock was set back.
    """
    return now - RESERVATION_SECONDS, now + RESERVATION_SECONDS


def start_of_day(now: float, days_before: int = 0) -> float:
    """Midnight in the time zone of this machine, of today or of some days before."""
    day = date.fromtimestamp(now) - timedelta(days=days_before)  # noqa: DTZ012 - local on purpose
    return datetime.combine(day, datetime.min.time()).timestamp()


def of_person(person: str | None) -> tuple[str, list[object]]:
    """A condition, and its values, for the rows of one person; of all persons for None."""
    return ("", []) if person is None else (" AND person = ?", [person])


def marks(values: Iterable[object]) -> str:
    """As many question marks; for no values, NULL, which nothing equals."""
    return ", ".join("?" for _ in values) or "NULL"


def _quarter(time: float) -> int:
    """The quarter of an hour that a time is in. Midnight starts one in every time zone."""
    return math.floor(time / _QUARTER_SECONDS)


def _sum_in_states(transaction: Transaction, accounts: Sequence[str], person: str | None) -> int:
    """The micro-dollars of purchases whose money is reserved, selected by their states: a person has many more."""
    result = transaction.execute(
        f"SELECT person, micros FROM purchases WHERE account IN ({marks(accounts)}) AND state IN ({marks(_SUMMED)})",
        (*accounts, *sorted(_SUMMED)),
    )
    open_micros = sum(int(micros) for name, micros in result if person in (None, name))
    return open_micros + waiting_sums.reserved(transaction, accounts, person)


def _newest_balance(transaction: Transaction, account: str, balance: Balance | None, now: float) -> Balance | None:
    """The newest balance that any server of this ledger has read.

    One from the future was read before the clock was set back. It proves nothing.
    """
    result = transaction.execute("SELECT usd, read_at FROM balances WHERE account = ?", (account,)).fetchone()
    known = Balance(float(result[0]), float(result[1])) if result and result[1] <= now else None
    if balance is None or (known is not None and known.read_at > balance.read_at):
        return known
    transaction.execute("DELETE FROM balances WHERE account = ?", (account,))
    transaction.execute(
        "INSERT INTO balances (account, usd, read_at) VALUES (?, ?, ?)", (account, balance.usd, balance.read_at)
    )
    return balance


def _sent_since(transaction: Transaction, account: str, balance: Balance | None, now: float) -> float:
    """The dollars that may not show in a balance yet: what was sent since, shortly before, or is reserved."""
    spent = 0
    if balance is not None:
        since = balance.read_at - caps.BALANCE_LAG_SECONDS
        following = _quarter(since) + 1
        for statement, values in (
            ("SELECT coalesce(sum(micros), 0) FROM totals WHERE account = ? AND quarter >= ?", (account, following)),
            (
                "SELECT coalesce(sum(micros), 0) FROM purchases WHERE account = ? AND reserved_at BETWEEN ? AND ?",
                (account, since, math.nextafter(following * _QUARTER_SECONDS, 0)),
            ),
        ):
            result = transaction.execute(f"{statement} AND state IN ({marks(SPENT)})", (*values, *sorted(SPENT)))
            spent += int(result.fetchone()[0])
    reserved = _sum_in_states(transaction, [account], None) + reserved_in_groups(transaction, [account], now)
    return (spent + reserved) / 1e6
