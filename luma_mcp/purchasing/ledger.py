"""The ledger: what was sent, what became of it, what it costs.

A row is on disk before anything is sent, so that a purchase can be found again whatever happens to the process. Several
servers share one book; each decision about money is one transaction. The states of a row:

::

    sending -> accepted -> completed        the usual way; `accepted` has a generation id
                        -> failed           refunded by Luma
            -> refused                      Luma said no, or it was never sent; costs nothing
            -> unknown  -> accepted         its generation was found in Luma's list
                        -> absent           it was looked for and is not there; costs nothing
                        -> disputed         several generations look like it; counts as spent

Money is in whole micro-dollars.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import anyio
import anyio.to_thread
from pydantic_core import from_json

from luma_mcp.domain.errors import BudgetError, LedgerError
from luma_mcp.purchasing.store import NotUniqueError, Store, Transaction

State = Literal["sending", "accepted", "completed", "failed", "refused", "unknown", "absent", "disputed"]
_T = TypeVar("_T")

# What still holds money of the day, and what has been spent of it.
_RESERVED = ("sending", "unknown")
_SPENT = ("accepted", "completed", "disputed")

# What a row may become, and from what. Two processes that settle the same row cannot undo each other.
_FROM: dict[State, tuple[State, ...]] = {
    "accepted": ("sending", "unknown"),
    "refused": ("sending",),
    "unknown": ("sending",),
    "absent": ("unknown",),
    "disputed": ("unknown",),
    "completed": ("accepted",),
    "failed": ("accepted",),
}

# What a request was made from stands in the book beside what was said to Luma, which hears of it only by links.
MADE_FROM = "made_from"
_COLUMNS = "fingerprint, signature, request, kind, micros, basis, id, state, generation_id, delivered, process, sent_at"


@dataclass(frozen=True)
class Entry:
    """A purchase that is about to be sent."""

    fingerprint: str
    signature: str
    request: str
    kind: str
    micros: int
    basis: str


@dataclass(frozen=True)
class Row(Entry):
    """A purchase as the book has it. Times are Unix time."""

    id: int
    state: str
    generation_id: str | None
    delivered: int
    process: str
    sent_at: float

    @property
    def usd(self) -> float:
        return self.micros / 1e6


@dataclass(frozen=True)
class Spending:
    """A day's money in dollars, and how many purchases it holds, of whatever outcome."""

    spent_usd: float
    reserved_usd: float
    purchases: int


class Ledger:
    """The book of one account.

    Args:
        book: where the rows are kept.
        account: who pays; rows of others in the same book are neither seen nor counted.
        process: names this process in the rows it writes.
        now: Unix time; a test hands in its own.

    Raises `LedgerError`s, from every method, when the book cannot be used.
    """

    def __init__(self, book: Store, *, account: str, process: str, now: Callable[[], float] = time.time) -> None:
        self._book = book
        self._account = account
        self._process = process
        self._now = now
        self._limiter = anyio.CapacityLimiter(1)

    async def close(self) -> None:
        """Let go of the book. A later call opens it again."""
        self._book.close()

    async def reserve(self, entry: Entry, *, most_micros_per_day: int | None) -> Row:
        """Write down a purchase before it is sent, if the day's cap allows it; both in one transaction.

        Raises:
            BudgetError: the cap forbids it; nothing is written.
        """

        def work(book: Transaction) -> Row:
            spending = self._spending(book)
            total = entry.micros + round((spending.spent_usd + spending.reserved_usd) * 1e6)
            if most_micros_per_day is not None and total > most_micros_per_day:
                raise BudgetError(
                    f"This costs ${entry.micros / 1e6:.2f}, and today's cap (LUMA_MAX_USD_PER_DAY) of "
                    f"${most_micros_per_day / 1e6:.2f} has ${spending.spent_usd:.2f} spent and "
                    f"${spending.reserved_usd:.2f} reserved.",
                    "Nothing was bought. Only the person can change the cap, in this server's environment.",
                )
            now = self._now()
            made = book.execute(
                "INSERT INTO purchases (account, fingerprint, signature, request, kind, micros, basis, state, process,"
                " sent_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, 'sending', ?, ?, ?) RETURNING id",
                (self._account, entry.fingerprint, entry.signature, entry.request, entry.kind, entry.micros,
                 entry.basis, self._process, now, now),
            )  # fmt: skip
            return self._select(book, "id = ?", made.fetchone()[0])[0]

        return await self._transaction(work)

    async def record(self, row: Row, state: State, generation_id: str | None = None) -> bool:
        """Write down what became of a purchase.

        False if that cannot be: another row has claimed the generation, or somebody else settled this one.
        """
        before = _FROM[state]

        def work(book: Transaction) -> bool:
            done = book.execute(
                "UPDATE purchases SET state = ?, generation_id = coalesce(?, generation_id), updated_at = ?"
                f" WHERE id = ? AND state IN ({_marks(before)})",
                (state, generation_id, self._now(), row.id, *before),
            )
            return done.rowcount == 1

        try:
            return await self._transaction(work)
        except NotUniqueError:
            return False

    async def deliver(self, row: Row) -> None:
        """Write down that the caller has the id for certain."""
        await self._transaction(
            lambda book: book.execute(
                "UPDATE purchases SET delivered = 1, updated_at = ? WHERE id = ?", (self._now(), row.id)
            )
        )

    async def take_over(self, row: Row) -> bool:
        """Let this process hand over what another one bought. False if somebody else was quicker."""

        def work(book: Transaction) -> bool:
            done = book.execute(
                "UPDATE purchases SET process = ?, updated_at = ? WHERE id = ? AND delivered = 0 AND process = ?",
                (self._process, self._now(), row.id, row.process),
            )
            return done.rowcount == 1

        return await self._transaction(work)

    async def undelivered(self, fingerprint: str, *, since_seconds: float) -> list[Row]:
        """What was bought by the same request lately and never reached its caller, oldest first.

        Lately counts from when it was known to be bought. A time in the future counts too: the clock was set back.
        """
        return await self._rows(
            "fingerprint = ? AND delivered = 0 AND state IN ('accepted', 'completed') AND ? - updated_at < ?",
            fingerprint, self._now(), since_seconds,
        )  # fmt: skip

    async def in_state(self, *states: State) -> list[Row]:
        """Every row in one of the states, oldest first."""
        return await self._rows(f"state IN ({_marks(states)})", *states)

    async def claimed(self, generation_ids: Sequence[str]) -> set[str]:
        """Those of the ids that a row has already."""
        rows = await self._rows(f"generation_id IN ({_marks(generation_ids)})", *generation_ids)
        return {row.generation_id for row in rows if row.generation_id}

    async def made_from(self, generation_id: str) -> tuple[str, ...]:
        """The generations that one was bought to work on; none if it is not in the book, or the book cannot be read."""
        try:
            rows = await self._rows("generation_id = ?", generation_id)
        except LedgerError:
            return ()
        return tuple(one for row in rows for one in from_json(row.request).get(MADE_FROM, ()))

    def age_seconds(self, row: Row) -> float:
        """How long ago it was sent; negative if the clock was set back since."""
        return self._now() - row.sent_at

    async def today(self) -> Spending:
        """The day's money."""
        return await self._transaction(self._spending)

    async def newest_today(self, most: int) -> list[Row]:
        """The day's last rows, oldest first."""
        return await self._rows("sent_at >= ?", self._begin_of_day(), newest=most)

    async def _rows(self, condition: str, *values: object, newest: int | None = None) -> list[Row]:
        return await self._transaction(lambda book: self._select(book, condition, *values, newest=newest))

    def _select(self, book: Transaction, condition: str, *values: object, newest: int | None = None) -> list[Row]:
        """The rows that meet a condition, or the newest of them; oldest first."""
        limit = "" if newest is None else f" ORDER BY id DESC LIMIT {newest:d}"
        found = book.execute(
            f"SELECT {_COLUMNS} FROM purchases WHERE account = ? AND {condition}{limit}",
            (self._account, *values),
        )
        return sorted((Row(*columns) for columns in found), key=lambda row: row.id)

    def _spending(self, book: Transaction) -> Spending:
        """A row from the future counts as today's: a clock that was set back must not open the purse again."""
        found = book.execute(
            "SELECT state, sum(micros), count(*) FROM purchases WHERE account = ? AND sent_at >= ? GROUP BY state",
            (self._account, self._begin_of_day()),
        ).fetchall()
        sums: dict[str, int] = {state: int(micros) for state, micros, _ in found}
        # What is not settled stays reserved beyond midnight.
        older = book.execute(
            "SELECT coalesce(sum(micros), 0) FROM purchases WHERE account = ? AND sent_at < ?"
            f" AND state IN ({_marks(_RESERVED)})",
            (self._account, self._begin_of_day(), *_RESERVED),
        ).fetchone()[0]
        return Spending(
            sum(sums.get(state, 0) for state in _SPENT) / 1e6,
            (sum(sums.get(state, 0) for state in _RESERVED) + int(older)) / 1e6,
            sum(int(count) for _, _, count in found),
        )

    def _begin_of_day(self) -> float:
        """Midnight in the person's own time zone."""
        now = time.localtime(self._now())
        return time.mktime((now.tm_year, now.tm_mon, now.tm_mday, 0, 0, 0, 0, 0, -1))

    async def _transaction(self, work: Callable[[Transaction], _T]) -> _T:
        """Do some work in one transaction, in a worker thread; nobody else writes meanwhile."""
        return await anyio.to_thread.run_sync(self._book.transaction, work, limiter=self._limiter)


def _marks(values: Sequence[str]) -> str:
    """As many question marks; where there is nothing to look for, what nothing equals."""
    return ", ".join("?" * len(values)) or "NULL"
