"""The queue of purchases that Luma has no slot for, and what is known of Luma's limits, within a transaction.

Persons are served in turn: next is the person whose last turn is the longest ago, and of that person's purchases the
oldest. Limits are those of an account and of a family of operations. Luma's own number of slots is learned from its
refusals, and is learned again after an hour, for a plan may change; that of a minute is in the headers of its
responses. A refusal that other programs with the same key caused holds until Luma's `Retry-After`, or until a
generation of ours ends.

The sum and the number of each person's purchases that wait are kept in `queues`, so that a cap reads a row for each
person, however many purchases wait.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from luma_mcp.domain.apis import LimitFamily
from luma_mcp.ledger.spending import marks
from luma_mcp.ledger.states import RUNNING, SENT, WAITING_SECONDS
from luma_mcp.ledger.store import Transaction

MINUTE_SECONDS = 60.0
# Luma drops a slot after an hour at the latest.
SLOT_SECONDS = 3600.0
_LEARNED_SECONDS = 3600.0
# A full account is checked again so soon: a generation of ours, or of another program, may have ended.
FULL_SECONDS = 3.0
_MAX_BACK_OFF_SECONDS = 60.0
# A place is counted up to here.
_MAX_COUNTED = 1_000
# Of those that have waited too long, so many are given up at a time.
_MAX_GIVEN_UP = 100
GIVEN_UP = "It waited 24 hours for a slot at Luma and was given up; nothing was bought."


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """How a purchase waits, if it has to.

    Args:
        family: the operations that share its limits.
        payload: writes the request as it is sent, for any server of this account.
        max_at_once: the slots at Luma, as the user states them; None if that is not known.
    """

    family: LimitFamily
    payload: Callable[[], str]
    max_at_once: int | None = None


@dataclass(frozen=True, slots=True)
class LimitNews:
    """What a response of Luma's states about the limits of an account.

    Args:
        at_once: the slots.
        per_minute: the requests in a minute.
        retry_seconds: how long a refusal holds; 0 for no refusal.
        is_full: whether it was refused for want of a slot, so that the end of a generation ends it too.
    """

    at_once: int | None = None
    per_minute: int | None = None
    retry_seconds: float = 0.0
    is_full: bool = False


def new_queue_id() -> str:
    """A random id of a purchase that waits."""
    return f"purchase-{secrets.token_hex(8)}"


def must_wait(transaction: Transaction, account: str, entry: QueueEntry, now: float) -> bool:
    """Whether a purchase cannot be sent now: others wait already, or there is no slot."""
    known = _known(transaction, account, entry.family)
    if known is None and entry.max_at_once is None:
        return False
    has_others = known is not None and known.purchases > 0
    return has_others or _seconds_until_free(transaction, account, entry.family, entry.max_at_once, known, now) > 0


def seconds_until_free(
    transaction: Transaction, account: str, family: LimitFamily, max_at_once: int | None, now: float
) -> float:
    """The seconds until it is worth while to try to send something; 0 if there is a slot now."""
    known = _known(transaction, account, family)
    return _seconds_until_free(transaction, account, family, max_at_once, known, now)


@dataclass(frozen=True, slots=True)
class _Known:
    """The limits of an account as the ledger has them, and the number of purchases that wait."""

    at_once: int | None
    per_minute: int | None
    learned_at: float
    blocked_until: float
    blocked_running: int
    purchases: int


def _known(transaction: Transaction, account: str, family: LimitFamily) -> _Known | None:
    found = transaction.execute(
        "SELECT at_once, per_minute, learned_at, blocked_until, blocked_running, purchases FROM limits"
        " WHERE account = ? AND family = ?",
        (account, family.name),
    ).fetchone()
    return None if found is None else _Known(*found)


def _seconds_until_free(
    transaction: Transaction,
    account: str,
    family: LimitFamily,
    max_at_once: int | None,
    known: _Known | None,
    now: float,
) -> float:
    known = known or _Known(None, None, 0.0, 0.0, 0, 0)
    is_current = 0 <= now - known.learned_at < _LEARNED_SECONDS
    slots = [slots for slots in (known.at_once if is_current else None, max_at_once) if slots is not None]
    is_blocked = now < known.blocked_until <= now + SLOT_SECONDS
    if slots or is_blocked:
        running = count_running(transaction, account, family, now, max([known.blocked_running, *slots]))
        if slots and running >= min(slots):
            return FULL_SECONDS
        if is_blocked and running >= known.blocked_running:
            pause = known.blocked_until - now
            return min(FULL_SECONDS, pause) if known.blocked_running else pause
    if known.per_minute is not None:
        sent = _sent_since(transaction, account, family, now - MINUTE_SECONDS, known.per_minute)
        if len(sent) >= known.per_minute:
            return max(0.01, sent[known.per_minute - 1] + MINUTE_SECONDS - now)
    return 0.0


def count_running(transaction: Transaction, account: str, family: LimitFamily, now: float, most: int) -> int:
    """The number of purchases that occupy a slot, counted up to a number."""
    condition, values = _of_family(family)
    return sum(
        len(
            transaction.execute(
                f"SELECT 1 FROM purchases WHERE account = ? AND state = ? AND sent_at > ?{condition} LIMIT {most:d}",
                (account, state, now - SLOT_SECONDS, *values),
            ).fetchall()
        )
        for state in sorted(RUNNING)
    )


def _sent_since(transaction: Transaction, account: str, family: LimitFamily, since: float, most: int) -> list[float]:
    """When purchases were sent after a time, the newest first, as many as count."""
    condition, values = _of_family(family)
    times = [
        float(sent_at)
        for state in sorted(SENT)
        for (sent_at,) in transaction.execute(
            f"SELECT sent_at FROM purchases WHERE account = ? AND state = ? AND sent_at > ?{condition}"
            f" ORDER BY sent_at DESC LIMIT {most:d}",
            (account, state, since, *values),
        )
    ]
    return sorted(times, reverse=True)[:most]


def _of_family(family: LimitFamily) -> tuple[str, list[str]]:
    if family.operations is None:
        return "", []
    return f" AND kind IN ({marks(family.operations)})", sorted(family.operations)


def enter(transaction: Transaction, row_id: int, entry: QueueEntry) -> None:
    """Let a purchase wait, in the order of its reservation. Its row says so already."""
    account, person, micros, since = transaction.execute(
        "SELECT account, person, micros, reserved_at FROM purchases WHERE id = ?", (row_id,)
    ).fetchone()
    family = entry.family.name
    transaction.execute(
        "INSERT INTO waiting (purchase_id, account, family, person, micros, since, payload)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (row_id, account, family, person, micros, since, entry.payload()),
    )
    transaction.execute(
        "INSERT INTO queues (account, family, person, purchases, micros, served) VALUES (?, ?, ?, 1, ?, 0)"
        " ON CONFLICT (account, family, person) DO UPDATE SET purchases = queues.purchases + 1,"
        " micros = queues.micros + excluded.micros",
        (account, family, person, micros),
    )
    transaction.execute(
        "INSERT INTO limits (account, family, purchases) VALUES (?, ?, 1)"
        " ON CONFLICT (account, family) DO UPDATE SET purchases = limits.purchases + 1",
        (account, family),
    )


def leave(transaction: Transaction, row_id: int) -> None:
    """Take a purchase out of the queue, if it is in it."""
    found = transaction.execute(
        "DELETE FROM waiting WHERE purchase_id = ? RETURNING account, family, person, micros", (row_id,)
    ).fetchone()
    if found is None:
        return
    account, family, person, micros = found
    transaction.execute(
        "UPDATE queues SET purchases = purchases - 1, micros = micros - ?"
        " WHERE account = ? AND family = ? AND person = ?",
        (micros, account, family, person),
    )
    transaction.execute(
        "UPDATE limits SET purchases = purchases - 1 WHERE account = ? AND family = ?", (account, family)
    )


def waits(transaction: Transaction, account: str, family: LimitFamily) -> bool:
    """Whether something waits."""
    known = _known(transaction, account, family)
    return known is not None and known.purchases > 0


def first(transaction: Transaction, account: str, family: LimitFamily) -> tuple[int, str]:
    """The number and the payload of the purchase that is next, where something waits. It counts as a turn."""
    person = transaction.execute(
        "SELECT person FROM queues WHERE account = ? AND family = ? AND purchases > 0 ORDER BY served, person LIMIT 1",
        (account, family.name),
    ).fetchone()[0]
    row_id, payload = transaction.execute(
        "SELECT purchase_id, payload FROM waiting WHERE account = ? AND family = ? AND person = ?"
        " ORDER BY since, purchase_id LIMIT 1",
        (account, family.name, person),
    ).fetchone()
    turn = transaction.execute(
        "UPDATE limits SET turn = turn + 1 WHERE account = ? AND family = ? RETURNING turn", (account, family.name)
    ).fetchone()[0]
    transaction.execute(
        "UPDATE queues SET served = ? WHERE account = ? AND family = ? AND person = ?",
        (turn, account, family.name, person),
    )
    return int(row_id), str(payload)


def oldest(transaction: Transaction, account: str, family: str, person: str) -> float:
    """Since when the oldest purchase of a person waits."""
    found = transaction.execute(
        "SELECT since FROM waiting WHERE account = ? AND family = ? AND person = ? ORDER BY since LIMIT 1",
        (account, family, person),
    ).fetchone()
    return float(found[0])


def learn(transaction: Transaction, account: str, family: LimitFamily, news: LimitNews, now: float) -> None:
    """Record what Luma states about its limits. What it does not state stays as it is known."""
    blocked_until, blocked_seconds, blocked_running = 0.0, 0.0, 0
    if news.retry_seconds:
        blocked_seconds = news.retry_seconds
        before = transaction.execute(
            "SELECT blocked_until, blocked_seconds FROM limits WHERE account = ? AND family = ?",
            (account, family.name),
        ).fetchone()
        if before is not None and _is_refused_again(transaction, account, family, before[0], now):
            # `Retry-After: 0` must cause no flood of requests.
            blocked_seconds = max(blocked_seconds, min(2 * before[1], _MAX_BACK_OFF_SECONDS))
        blocked_until = now + blocked_seconds
        blocked_running = count_running(transaction, account, family, now, _MAX_COUNTED) if news.is_full else 0
    transaction.execute(
        "INSERT INTO limits (account, family, at_once, per_minute, learned_at, blocked_until, blocked_seconds,"
        " blocked_running) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (account, family) DO UPDATE SET"
        " at_once = coalesce(excluded.at_once, limits.at_once),"
        " per_minute = coalesce(excluded.per_minute, limits.per_minute),"
        " learned_at = CASE WHEN excluded.at_once IS NULL THEN limits.learned_at ELSE excluded.learned_at END,"
        " blocked_until = excluded.blocked_until, blocked_seconds = excluded.blocked_seconds,"
        " blocked_running = excluded.blocked_running",
        (account, family.name, news.at_once, news.per_minute, now, blocked_until, blocked_seconds, blocked_running),
    )


def _is_refused_again(
    transaction: Transaction, account: str, family: LimitFamily, blocked_until: float, now: float
) -> bool:
    """Whether the last refusal ended less than a minute ago, and nothing was accepted since."""
    return now - blocked_until < MINUTE_SECONDS and not _sent_since(transaction, account, family, blocked_until, 1)


def may_check(transaction: Transaction, account: str, family: LimitFamily, now: float) -> bool:
    """Whether this server checks the account's generations now; one server does so every few seconds."""
    done = transaction.execute(
        "UPDATE limits SET checked_at = ? WHERE account = ? AND family = ? AND (checked_at <= ? OR checked_at > ?)",
        (now, account, family.name, now - FULL_SECONDS + 0.5, now),
    )
    return done.rowcount == 1


def place_of(transaction: Transaction, row_id: int) -> int | None:
    """The place of a purchase in its queue, from 1; None if it does not wait."""
    found = transaction.execute(
        "SELECT account, family, person, since FROM waiting WHERE purchase_id = ?", (row_id,)
    ).fetchone()
    if found is None:
        return None
    account, family, person, since = found
    before = len(
        transaction.execute(
            "SELECT 1 FROM waiting WHERE account = ? AND family = ? AND person = ? AND (since, purchase_id) < (?, ?)"
            f" LIMIT {_MAX_COUNTED:d}",
            (account, family, person, since, row_id),
        ).fetchall()
    )
    persons = transaction.execute(
        "SELECT person, purchases FROM queues WHERE account = ? AND family = ? AND purchases > 0"
        " ORDER BY served, person",
        (account, family),
    ).fetchall()
    turn = [name for name, _ in persons].index(person)
    others = (
        min(int(count), before + int(number < turn)) for number, (_, count) in enumerate(persons) if number != turn
    )
    return before + sum(others) + 1


def given_up(transaction: Transaction, accounts: Sequence[str], now: float) -> list[int]:
    """The numbers of some purchases that have waited too long."""
    return [
        int(row_id)
        for account in accounts
        for (row_id,) in transaction.execute(
            f"SELECT purchase_id FROM waiting WHERE account = ? AND since < ? LIMIT {_MAX_GIVEN_UP:d}",
            (account, now - WAITING_SECONDS),
        )
    ]
