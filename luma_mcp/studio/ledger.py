"""The book of purchases: what was sent, what became of it, what it costs. The only module that knows SQL.

A row is on disk before anything is sent, so that a purchase can be found again whatever happens to the process. Several
servers share one book; each decision about money is one transaction. The states of a row:

::

    sending -> accepted -> completed        the usual way; `accepted` has a generation id
                        -> failed           refunded by Luma
            -> refused                      Luma said no, or it was never sent; costs nothing
            -> unknown  -> accepted         its generation was found in Luma's list
                        -> absent           it was looked for and is not there; costs nothing
                        -> disputed         several generations look like it; counts as spent

SQLite in WAL mode with full synchronisation: a committed row survives a power cut. Money is in whole micro-dollars.
"""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import anyio
import anyio.to_thread
from pydantic_core import from_json

from luma_mcp.luma.errors import BudgetError, LedgerError

if TYPE_CHECKING:
    import sqlite3

State = Literal["sending", "accepted", "completed", "failed", "refused", "unknown", "absent", "disputed"]
_T = TypeVar("_T")

VERSION = 1
_BUSY_SECONDS = 15.0
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

_SCHEMA = """
CREATE TABLE purchases (
    id INTEGER PRIMARY KEY,
    account TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    signature TEXT NOT NULL,
    request TEXT NOT NULL,
    kind TEXT NOT NULL,
    micros INTEGER NOT NULL,
    basis TEXT NOT NULL,
    state TEXT NOT NULL,
    generation_id TEXT,
    delivered INTEGER NOT NULL DEFAULT 0,
    process TEXT NOT NULL,
    sent_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    UNIQUE (account, generation_id)
) STRICT;
CREATE INDEX purchases_by_state ON purchases (account, state, sent_at);
CREATE INDEX purchases_by_fingerprint ON purchases (account, fingerprint, sent_at);
"""
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
    """A day's money, in dollars."""

    spent_usd: float
    reserved_usd: float


class Ledger:
    """The book of one account.

    Args:
        path: the file, made when the first purchase comes; a function, for finding the default costs time.
        account: who pays; rows of others in the same file are neither seen nor counted.
        process: names this process in the rows it writes.
        now: Unix time; a test hands in its own.

    Raises `LedgerError`s, from every method, when the book cannot be used.
    """

    def __init__(
        self, path: Callable[[], Path], *, account: str, process: str, now: Callable[[], float] = time.time
    ) -> None:
        self._path = path
        self._account = account
        self._process = process
        self._now = now
        self._connection: sqlite3.Connection | None = None
        self._hand = anyio.CapacityLimiter(1)

    async def close(self) -> None:
        """Let go of the file. A later call opens it again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    async def reserve(self, entry: Entry, *, most_micros_per_day: int | None) -> Row:
        """Write down a purchase before it is sent, if the day's cap allows it; both in one transaction.

        Raises:
            BudgetError: the cap forbids it; nothing is written.
        """

        def work(book: "sqlite3.Connection") -> Row:
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
            book.execute(
                "INSERT INTO purchases (account, fingerprint, signature, request, kind, micros, basis, state, process,"
                " sent_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, 'sending', ?, ?, ?)",
                (self._account, entry.fingerprint, entry.signature, entry.request, entry.kind, entry.micros,
                 entry.basis, self._process, now, now),
            )  # fmt: skip
            return self._row(book, "id = last_insert_rowid()")[0]

        return await self._transaction(work)

    async def record(self, row: Row, state: State, generation_id: str | None = None) -> bool:
        """Write down what became of a purchase.

        False if that cannot be: another row has claimed the generation, or somebody else settled this one.
        """
        before = _FROM[state]

        def work(book: "sqlite3.Connection") -> bool:
            import sqlite3  # noqa: PLC0415 - loaded with the first purchase, not at the start

            try:
                done = book.execute(
                    "UPDATE purchases SET state = ?, generation_id = coalesce(?, generation_id), updated_at = ?"
                    f" WHERE id = ? AND state IN ({_marks(before)})",
                    (state, generation_id, self._now(), row.id, *before),
                )
            except sqlite3.IntegrityError:
                return False
            return done.rowcount == 1

        return await self._transaction(work)

    async def deliver(self, row: Row) -> None:
        """Write down that the caller has the id for certain."""
        await self._transaction(
            lambda book: book.execute(
                "UPDATE purchases SET delivered = 1, updated_at = ? WHERE id = ?", (self._now(), row.id)
            )
        )

    async def take_over(self, row: Row) -> bool:
        """Let this process hand over what another one bought. False if somebody else was quicker."""

        def work(book: "sqlite3.Connection") -> bool:
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

    async def today(self) -> tuple[Spending, list[Row]]:
        """The day's money and its rows."""

        def work(book: "sqlite3.Connection") -> tuple[Spending, list[Row]]:
            return self._spending(book), self._row(book, "sent_at >= ?", self._begin_of_day())

        return await self._transaction(work)

    async def _rows(self, condition: str, *values: object) -> list[Row]:
        return await self._transaction(lambda book: self._row(book, condition, *values))

    def _row(self, book: "sqlite3.Connection", condition: str, *values: object) -> list[Row]:
        found = book.execute(
            f"SELECT {_COLUMNS} FROM purchases WHERE account = ? AND {condition} ORDER BY id",
            (self._account, *values),
        )
        return [Row(*columns) for columns in found]

    def _spending(self, book: "sqlite3.Connection") -> Spending:
        """A row from the future counts as today's: a clock that was set back must not open the purse again."""
        sums: dict[str, int] = dict(
            book.execute(
                "SELECT state, sum(micros) FROM purchases WHERE account = ? AND sent_at >= ? GROUP BY state",
                (self._account, self._begin_of_day()),
            )
        )
        # What is not settled stays reserved beyond midnight.
        older = book.execute(
            "SELECT coalesce(sum(micros), 0) FROM purchases WHERE account = ? AND sent_at < ?"
            f" AND state IN ({_marks(_RESERVED)})",
            (self._account, self._begin_of_day(), *_RESERVED),
        ).fetchone()[0]
        return Spending(
            sum(sums.get(state, 0) for state in _SPENT) / 1e6,
            (sum(sums.get(state, 0) for state in _RESERVED) + older) / 1e6,
        )

    def _begin_of_day(self) -> float:
        """Midnight in the person's own time zone."""
        now = time.localtime(self._now())
        return time.mktime((now.tm_year, now.tm_mon, now.tm_mday, 0, 0, 0, 0, 0, -1))

    async def _transaction(self, work: Callable[["sqlite3.Connection"], _T]) -> _T:
        """Do some work in one transaction, in a worker thread; nobody else writes meanwhile."""

        def run() -> _T:
            import sqlite3  # noqa: PLC0415

            try:
                book = self._connection = self._connection or self._open()
                book.execute("BEGIN IMMEDIATE")
                try:
                    done = work(book)
                    book.execute("COMMIT")
                except BaseException:
                    with suppress(sqlite3.Error):
                        book.execute("ROLLBACK")
                    raise
            except (sqlite3.Error, OSError) as error:
                raise self._unusable(error) from error
            return done

        return await anyio.to_thread.run_sync(run, limiter=self._hand)

    def _open(self) -> "sqlite3.Connection":
        import sqlite3  # noqa: PLC0415

        path = self._path()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Made by ourselves so that nobody else may read it, not even for a moment.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        book = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            # A network drive may refuse WAL; the older way is slower and as safe.
            with suppress(sqlite3.OperationalError):
                book.execute("PRAGMA journal_mode = WAL")
            book.execute("PRAGMA synchronous = FULL")
            self._bring_up_to_date(book, path)
        except BaseException:
            book.close()
            raise
        return book

    def _bring_up_to_date(self, book: "sqlite3.Connection", path: Path) -> None:
        book.execute("BEGIN IMMEDIATE")
        try:
            version = book.execute("PRAGMA user_version").fetchone()[0]
            _check_version(version, path)
            if version == 0:
                for statement in _SCHEMA.split(";"):
                    book.execute(statement)
                book.execute(f"PRAGMA user_version = {VERSION}")
            book.execute("COMMIT")
        except BaseException:
            book.execute("ROLLBACK")
            raise

    def _unusable(self, error: Exception) -> LedgerError:
        return LedgerError(
            f"The book of purchases at {self._path()} cannot be used: {error}.",
            "Nothing is bought without it. Free disk space, mend the permissions, or set LUMA_LEDGER to another file.",
        )


def _marks(values: Sequence[str]) -> str:
    """As many question marks."""
    return ", ".join("?" * len(values))


def _check_version(version: int, path: Path) -> None:
    if version > VERSION:
        raise LedgerError(
            f"The book of purchases at {path} was written by a newer version of dream-machine-mcp.",
            "Nothing was bought. Update dream-machine-mcp, or set LUMA_LEDGER to another file.",
        )
