"""Whether the ledger allows an amount: what is spent and reserved, the caps, the credit floor, and the person's yes.

Every function reads within the transaction that decides, so that nothing changes between the look and the row.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta

from luma_mcp.ledger import caps
from luma_mcp.ledger.caps import Balance, Budget, ConsentNeededError, ConsentUsedError, Spending
from luma_mcp.ledger.states import RESERVED, SPENT, UNBOUGHT
from luma_mcp.ledger.store import Transaction

# Shots of films that are allowed and not bought: their money is reserved, and no purchase holds it.
PLANNED = (
    "wanted = 1 AND (purchase_id IS NULL OR purchase_id IN (SELECT id FROM purchases WHERE state IN"
    f" ({', '.join(repr(state) for state in sorted(UNBOUGHT))})))"
)


def check(
    transaction: Transaction,
    budget: Budget,
    micros: int,
    *,
    accounts: Sequence[str],
    person: str,
    balance: Balance | None,
    consent: str | None,
    is_used: Callable[[str], bool],
) -> None:
    """Return if an amount may be reserved.

    Args:
        transaction: the transaction that reserves it.
        budget: what the person allows.
        micros: the amount in micro-dollars.
        accounts: the accounts that count together, Dream Machine's first.
        person: who spends it.
        balance: the credit at Luma, if the budget asks for it.
        consent: names the person's yes.
        is_used: whether a yes has served.

    Raises:
        BudgetError: a cap forbids it.
        ConsentNeededError: the person wants to be asked first.
        ConsentUsedError: the person's yes has served already.
    """
    now, usd = transaction.now(), micros / 1e6
    if budget.max_usd_per_day is not None:
        caps.check_day(budget, usd, read_spending(transaction, accounts, now))
    if budget.max_usd_per_person_per_day is not None:
        caps.check_person_day(budget, usd, read_spending(transaction, accounts, now, person))
    if budget.min_credit_usd is not None:
        newest = _newest_balance(transaction, accounts[0], balance)
        caps.check_credit(budget, usd, newest, _sent_since(transaction, accounts[0], newest))
    if budget.confirm_above_usd is not None and usd > budget.confirm_above_usd:
        if consent is None:
            raise ConsentNeededError
        if is_used(consent):
            raise ConsentUsedError


def read_spending(transaction: Transaction, accounts: Sequence[str], now: float, person: str | None = None) -> Spending:
    """The day's money, or one person's part of it.

    A row from the future counts as today's, so that setting the clock back does not open the cap again.
    """
    begin = begin_of_day(now)
    whose, values = of_person(person)
    mine = f"account IN ({marks(accounts)})"
    found = transaction.execute(
        f"SELECT state, sum(micros), count(*) FROM purchases WHERE {mine} AND reserved_at >= ?{whose} GROUP BY state",
        (*accounts, begin, *values),
    ).fetchall()
    sums: Mapping[str, int] = {state: int(micros) for state, micros, _ in found}
    # What is not settled stays reserved beyond midnight.
    older = transaction.execute(
        f"SELECT coalesce(sum(micros), 0) FROM purchases WHERE {mine} AND reserved_at < ?"
        f" AND state IN ({marks(RESERVED)}){whose}",
        (*accounts, begin, *sorted(RESERVED), *values),
    ).fetchone()[0]
    reserved = sum(sums.get(state, 0) for state in RESERVED) + int(older) + planned(transaction, accounts, person)
    return Spending(
        sum(sums.get(state, 0) for state in SPENT) / 1e6, reserved / 1e6, sum(int(count) for _, _, count in found)
    )


def planned(transaction: Transaction, accounts: Sequence[str], person: str | None = None) -> int:
    """The micro-dollars of films that are allowed and not bought yet."""
    whose, values = ("", []) if person is None else (" AND films.person = ?", [person])
    found = transaction.execute(
        f"SELECT coalesce(sum(micros), 0) FROM film_shots JOIN films ON films.id = film_id WHERE {PLANNED}"
        f" AND films.account IN ({marks(accounts)}){whose}",
        (*accounts, *values),
    ).fetchone()[0]
    return int(found)


def begin_of_day(now: float, days_before: int = 0) -> float:
    """Midnight in the person's own time zone, of today or of so many days before."""
    day = date.fromtimestamp(now) - timedelta(days=days_before)  # noqa: DTZ012 - local on purpose
    return datetime.combine(day, datetime.min.time()).timestamp()


def of_person(person: str | None) -> tuple[str, list[object]]:
    """A condition, and its values, for the rows of one person; of everybody for None."""
    return ("", []) if person is None else (" AND person = ?", [person])


def marks(values: Iterable[object]) -> str:
    """As many question marks; where there is nothing to look for, what nothing equals."""
    return ", ".join("?" for _ in values) or "NULL"


def _newest_balance(transaction: Transaction, account: str, balance: Balance | None) -> Balance | None:
    """The newest balance that any server of this ledger has read."""
    found = transaction.execute("SELECT usd, read_at FROM balances WHERE account = ?", (account,)).fetchone()
    known = Balance(float(found[0]), float(found[1])) if found else None
    if balance is None or (known is not None and known.read_at > balance.read_at):
        return known
    transaction.execute("DELETE FROM balances WHERE account = ?", (account,))
    transaction.execute(
        "INSERT INTO balances (account, usd, read_at) VALUES (?, ?, ?)", (account, balance.usd, balance.read_at)
    )
    return balance


def _sent_since(transaction: Transaction, account: str, balance: Balance | None) -> float:
    """The dollars that may not show in a balance yet: what was sent since, shortly before, or is reserved."""
    since = balance.read_at - caps.BALANCE_LAG_SECONDS if balance else math.inf
    found = transaction.execute(
        "SELECT coalesce(sum(micros), 0) FROM purchases WHERE account = ?"
        f" AND (state IN ({marks(RESERVED)}) OR (reserved_at >= ? AND state IN ({marks(SPENT)})))",
        (account, *sorted(RESERVED), since, *sorted(SPENT)),
    ).fetchone()[0]
    return (int(found) + planned(transaction, [account])) / 1e6
