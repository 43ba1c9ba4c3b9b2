"""The reads of the ledger: each touches as many rows as it returns, by an index.

Lists are by time, then by number. A list of several accounts is read one account after the other, so that each is read
in the order of an index, and merged.
"""

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import anyio
import anyio.to_thread

from luma_mcp.domain.errors import LedgerError
from luma_mcp.ledger import rows, spending
from luma_mcp.ledger.caps import Spending
from luma_mcp.ledger.rows import NewPurchase, PurchaseRow
from luma_mcp.ledger.spending import Total, marks
from luma_mcp.ledger.states import IN_DOUBT, State
from luma_mcp.ledger.store import Store, Transaction

_T = TypeVar("_T")

MAX_ROWS = 1_000
"""The maximum length of a list; a longer one is read by pages."""
_PAGE = 500
_MAX_REMEMBERED = 512


class LedgerReader:
    """Reads the purchases of one user's accounts. Every method raises `LedgerError`s when the store cannot be used.

    Args:
        store: the store of the rows.
        accounts: the accounts, Dream Machine's first. All of them count together; rows of other accounts in the same
            store are neither read nor counted.
    """

    def __init__(self, store: Store, accounts: Sequence[str]) -> None:
        self._store = store
        self.accounts = tuple(accounts)
        """The user's accounts, Dream Machine's first."""
        self._in_accounts = f"account IN ({marks(self.accounts)})"
        self._reading, self._pinging = anyio.CapacityLimiter(1), anyio.CapacityLimiter(1)
        # The purchase of a generation never changes, except for its state.
        self._remembered: OrderedDict[str, PurchaseRow] = OrderedDict()

    async def read(self, work: Callable[[Transaction], _T]) -> _T:
        """Read one state of all rows, in a worker thread, without waiting for a writer. Raises: LedgerError."""
        return await anyio.to_thread.run_sync(self._store.read, work, limiter=self._reading)

    async def ping(self) -> None:
        """Check that the store responds. Its thread may outlive a cancellation. Raises: LedgerError."""
        await anyio.to_thread.run_sync(self._store.ping, abandon_on_cancel=True, limiter=self._pinging)

    async def get(self, row_id: int) -> PurchaseRow | None:
        """A purchase by its number in the ledger."""
        matches = await self.read(lambda transaction: rows.select_by_id(transaction, self.accounts, [row_id]))
        return matches.get(row_id)

    async def by_generation(self, generation_ids: Iterable[str]) -> dict[str, PurchaseRow]:
        """The purchases of these generations, by generation id."""
        ids = tuple(dict.fromkeys(generation_ids))

        def work(transaction: Transaction) -> dict[str, PurchaseRow]:
            condition = f"{self._in_accounts} AND generation_id IN ({marks(ids)})"
            matches = rows.select(transaction, condition, (*self.accounts, *ids))
            return {row.generation_id: row for row in matches if row.generation_id}

        if not ids:
            return {}
        matches = await self.read(work)
        self.remember(matches)
        return matches

    async def by_queue_id(self, queue_ids: Iterable[str]) -> dict[str, PurchaseRow]:
        """Purchases by their ids in the queue, also those that wait no more."""
        ids = tuple(dict.fromkeys(queue_ids))
        return await self.read(lambda transaction: rows.by_queue_id(transaction, self.accounts, ids))

    async def held_takes(self, new: NewPurchase, takes: Iterable[int], *, of_all: bool) -> set[int]:
        """The takes of a request that the same call would not buy again; of the person, or of all persons."""
        wanted = tuple(takes)
        is_person, person = ("", []) if of_all else (" AND person = ?", [new.person])

        def work(transaction: Transaction) -> set[int]:
            now = transaction.now()
            matches = rows.select(
                transaction,
                f"account = ? AND fingerprint = ? AND take IN ({marks(wanted)}) AND is_live = 1{is_person}",
                (new.account, new.fingerprint, *wanted, *person),
            )
            return {row.take for row in matches if row.holds_take(now)}

        return await self.read(work)

    async def origin_of(self, generation_id: str) -> PurchaseRow | None:
        """The purchase of a generation as it was read last: its state may be outdated."""
        if generation_id not in self._remembered:
            return (await self.by_generation([generation_id])).get(generation_id)
        return self._remembered[generation_id]

    def remember(self, matches: Mapping[_T, PurchaseRow]) -> Mapping[_T, PurchaseRow]:
        """Keep some purchases for `origin_of`."""
        for row in matches.values():
            if row.generation_id:
                self._remembered[row.generation_id] = row
                self._remembered.move_to_end(row.generation_id)
        while len(self._remembered) > _MAX_REMEMBERED:
            self._remembered.popitem(last=False)
        return matches

    async def made_from(self, generation_id: str) -> tuple[str, ...]:
        """The generations that one was bought to work on; none if the ledger does not know it or cannot be read."""
        try:
            row = await self.origin_of(generation_id)
        except LedgerError:
            return ()
        return row.made_from if row is not None else ()

    async def known_before(self, row: PurchaseRow, limit: int) -> list[PurchaseRow]:
        """The newest purchases of its account that had a generation before this one was reserved, newest first."""
        return await self.read(
            lambda transaction: rows.select(
                transaction,
                "account = ? AND generation_id IS NOT NULL AND reserved_at < ? AND id < ?"
                f" ORDER BY reserved_at DESC, id DESC LIMIT {limit:d}",
                (row.account, row.reserved_at, row.id),
            )
        )

    async def now(self) -> float:
        """The ledger's time."""
        return await self.read(lambda transaction: transaction.now())

    async def today(self, person: str | None = None) -> Spending:
        """The day's money, or one person's part of it."""
        return await self.read(
            lambda transaction: spending.read_spending(transaction, self.accounts, transaction.now(), person)
        )

    async def totals(self, days: int, person: str | None = None) -> list[Total]:
        """The running totals of today and of some days before, of all persons or of one."""
        return await self.read(lambda transaction: spending.read_totals(transaction, self.accounts, days, person))

    async def newest_today(self, limit: int, person: str | None = None) -> list[PurchaseRow]:
        """The day's last purchases, oldest first, and before them those in doubt; all, or one person's."""
        condition, values = spending.of_person(person)

        def work(transaction: Transaction) -> list[PurchaseRow]:
            start = spending.start_of_day(transaction.now())
            doubtful = [
                row
                for state in sorted(IN_DOUBT)
                for row in self._newest(transaction, MAX_ROWS, "state = ? AND reserved_at < ?", (state, start))
                if person in (None, row.person)
            ][:limit]
            of_today = self._newest(transaction, limit, f"reserved_at >= ?{condition}", (start, *values))
            return sorted([*doubtful, *of_today], key=lambda row: row.position)

        return await self.read(work)

    async def bought(
        self,
        limit: int,
        *,
        account: str | None = None,
        person: str | None = None,
        before: tuple[float, int] | None = None,
    ) -> list[PurchaseRow]:
        """The purchases that have a generation, newest first; all, or those of one account or one person.

        Args:
            limit: the maximum number.
            account: the account; None for all.
            person: the person; None for all.
            before: the position of the last purchase of the previous page; None for the first page.
        """
        condition, values = spending.of_person(person)
        after, position = ("", ()) if before is None else (" AND (reserved_at, id) < (?, ?)", before)
        accounts = self.accounts if account is None else (account,)
        return await self.read(
            lambda transaction: self._newest(
                transaction, limit, f"generation_id IS NOT NULL{condition}{after}", (*values, *position), accounts
            )
        )

    async def pages(self, *, person: str | None = None, in_doubt: bool = False) -> AsyncIterator[list[PurchaseRow]]:
        """Every purchase, oldest first, by pages; all, or one person's, or those that are in doubt."""
        condition, values = ("", []) if in_doubt else spending.of_person(person)
        position: tuple[float, int] = (-1.0, -1)
        states = sorted(IN_DOUBT) if in_doubt else [None]

        def work(transaction: Transaction) -> list[PurchaseRow]:
            matches: list[PurchaseRow] = []
            for account in self.accounts:
                for state in states:
                    is_state, of_state = ("", ()) if state is None else (" AND state = ?", (state,))
                    matches += rows.select(
                        transaction,
                        f"account = ?{is_state}{condition} AND (reserved_at, id) > (?, ?)"
                        f" ORDER BY reserved_at, id LIMIT {_PAGE:d}",
                        (account, *of_state, *values, *position),
                    )
            return sorted(matches, key=lambda row: row.position)[:_PAGE]

        while page := await self.read(work):
            yield [row for row in page if person in (None, row.person)]
            position = page[-1].position

    def _newest(
        self,
        transaction: Transaction,
        limit: int,
        condition: str,
        values: Sequence[object],
        accounts: Sequence[str] | None = None,
    ) -> list[PurchaseRow]:
        """The newest purchases that meet a condition, newest first."""
        matches = [
            row
            for account in accounts or self.accounts
            for row in rows.select(
                transaction,
                f"account = ? AND {condition} ORDER BY reserved_at DESC, id DESC LIMIT {limit:d}",
                (account, *values),
            )
        ]
        return sorted(matches, key=lambda row: row.position, reverse=True)[:limit]

    def _in_state(
        self, transaction: Transaction, states: Sequence[State], since: float, limit: int
    ) -> list[PurchaseRow]:
        """The newest purchases in some states, oldest first."""
        matches = [
            row
            for state in states
            for row in self._newest(transaction, limit, "state = ? AND reserved_at >= ?", (state, since))
        ]
        return sorted(matches, key=lambda row: row.position)[-limit:]
