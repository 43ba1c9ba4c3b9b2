"""The ledger: every purchase, what became of it, and what it costs. Every decision about money is one transaction.

A row is on disk before anything is sent, so that a purchase can be found again whatever happens to the process. Several
servers share one ledger. A row that a server works at has a lease, which that server renews every few seconds; a row
whose lease has run out belongs to nobody, on any machine.

The states of a row are in `states`. Money is in whole micro-dollars.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import anyio
import anyio.to_thread

from luma_mcp.domain.clock import suspend_aware_now
from luma_mcp.domain.errors import LedgerError
from luma_mcp.ledger import film_rows, spending
from luma_mcp.ledger.caps import Balance, Budget, Spending
from luma_mcp.ledger.film_rows import ShotName
from luma_mcp.ledger.rows import COLUMNS, Decision, NewPurchase, Row
from luma_mcp.ledger.states import HOLDS_TAKE, SETTLED, UNDER_WAY, State, sources_of
from luma_mcp.ledger.store import NotUniqueError, Store, Transaction

_T = TypeVar("_T")

LEASE_SECONDS = 20.0
RENEW_EVERY_SECONDS = 5.0
# For so long the same request with the same take is the same purchase.
TAKE_SECONDS = 24 * 3600.0
# Of a row that somebody works at; for `_lease_ends`.
_IS_LEASED = "lease_until >= ? AND lease_until <= ?"


class Ledger:
    """The ledger of one person's accounts, one at each API.

    Args:
        store: where the rows are.
        account: the account at Dream Machine, and that of a purchase that names none.
        others: the person's other accounts. All of them count together; rows of other people in the same store are
            neither seen nor counted.
        owner: names this process in the leases that it takes.
        former_accounts: names that earlier versions gave to this account.
        is_shared: whether persons join the purchases of each other.

    Every method raises `LedgerError`s when the store cannot be used.
    """

    def __init__(
        self,
        store: Store,
        *,
        account: str,
        owner: str,
        others: Sequence[str] = (),
        former_accounts: Sequence[str] = (),
        is_shared: bool = False,
    ) -> None:
        self._store = store
        self.accounts = (account, *others)
        """The person's accounts, Dream Machine's first."""
        self._mine = f"account IN ({spending.marks(self.accounts)})"
        self._owner = owner
        self._former_accounts = tuple(former_accounts)
        self.is_shared = is_shared
        """Whether persons join the purchases of each other."""
        self._limiter = anyio.CapacityLimiter(1)

    async def close(self) -> None:
        """Close the store. A later call opens it again."""
        self._store.close()

    async def decide(
        self,
        new: NewPurchase,
        budget: Budget,
        balance: Balance | None = None,
        *,
        request_id: str | None = None,
        shot: ShotName | None = None,
    ) -> Decision:
        """Reserve a purchase, or find the one that it is already; both, and every cap, in one transaction.

        Args:
            new: what somebody wants.
            budget: what the person allows.
            balance: the credit at Luma, if the budget asks for it.
            request_id: the id of the POST that follows at once, and the row is `sending`; None if something has to be
                done before it, and the row is `reserved`.
            shot: the shot of a film that it is. Its money was allowed and reserved with the film, so no cap is checked.

        Raises:
            ShotTakenError: the film has no such shot to buy any more. Nothing is written.
            BudgetError: a cap forbids it. Nothing is written.
            ConsentNeededError: the person wants to be asked first. Nothing is written.
            ConsentUsedError: the person's yes has served already. Nothing is written.
        """
        account = new.account or self.accounts[0]

        def work(transaction: Transaction) -> Decision:
            now = transaction.now()
            self.expire(transaction, now)
            # Within one transaction nobody else writes, so this holds where the index lets each person have one.
            found = self._select(
                transaction,
                "account = ? AND fingerprint = ? AND take = ? AND holds_take = 1 AND (? = 1 OR person = ?)",
                account, new.fingerprint, new.take, int(self.is_shared), new.person,
            )  # fmt: skip
            # What is in doubt holds its take until it is settled, however long ago it was.
            is_young = found and now - found[0].reserved_at < TAKE_SECONDS
            if found and (found[0].state not in SETTLED or is_young or shot is not None):
                return Decision(found[0], is_new=False, now=now, decided_at=suspend_aware_now())
            for row in found:
                transaction.execute("UPDATE purchases SET holds_take = 0 WHERE id = ?", (row.id,))
            if shot is not None:
                film_rows.claim(transaction, shot, new.micros)
            else:
                spending.check(
                    transaction, budget, new.micros, accounts=self.accounts, person=new.person, balance=balance,
                    consent=new.consent,
                    is_used=lambda consent: bool(self._select(transaction, "consent = ?", consent)),
                )  # fmt: skip
            made = transaction.execute(
                "INSERT INTO purchases (account, person, fingerprint, take, holds_take, signature, request, kind,"
                " micros, basis, state, request_id, consent, owner, lease_until, reserved_at, updated_at)"
                " VALUES (?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
                (account, new.person, new.fingerprint, new.take, new.signature, new.request, new.kind, new.micros,
                  new.basis, "sending" if request_id else "reserved", request_id, new.consent, self._owner,
                 now + LEASE_SECONDS, now, now),
            )  # fmt: skip
            row = self._select(transaction, "id = ?", made.fetchone()[0])[0]
            if shot is not None:
                film_rows.bought(transaction, shot, row.id, now)
            return Decision(row, is_new=True, now=now, decided_at=suspend_aware_now())

        return await self.transact(work)

    async def advance(
        self,
        row: Row,
        state: State,
        *,
        generation_id: str | None = None,
        request_id: str | None = None,
        note: str | None = None,
        mine: bool = False,
    ) -> Row | None:
        """Move a purchase to a state, if it is still in one that leads there.

        Args:
            row: the purchase.
            state: the state to enter.
            generation_id: the id that Luma gave.
            request_id: the id of the POST that is about to be sent.
            note: why, for the person.
            mine: only if this process still has the lease.

        Returns:
            The row as it is now; None if another process was quicker, or another row has the generation.
        """
        before = sources_of(state)

        def work(transaction: Transaction) -> Row | None:
            now = transaction.now()
            condition, values = f"id = ? AND state IN ({spending.marks(before)})", [row.id, *before]
            if mine:
                condition += f" AND owner = ? AND {_IS_LEASED}"
                values += [self._owner, *_lease_ends(now)]
            done = transaction.execute(
                "UPDATE purchases SET state = ?, generation_id = coalesce(?, generation_id),"
                " request_id = coalesce(?, request_id), note = coalesce(?, note), updated_at = ?,"
                " holds_take = CASE WHEN ? = 0 THEN 0 ELSE holds_take END,"
                " lost_at = CASE WHEN ? = 'lost' THEN ? ELSE lost_at END,"
                " lease_until = CASE WHEN ? = 1 THEN lease_until ELSE 0 END"
                f" WHERE {self._mine} AND {condition}",
                (state, generation_id, request_id, note, now, int(state in HOLDS_TAKE), state, now,
                 int(state in UNDER_WAY), *self.accounts, *values),
            )  # fmt: skip
            return self._select(transaction, "id = ?", row.id)[0] if done.rowcount == 1 else None

        try:
            return await self.transact(work)
        except NotUniqueError:
            return None

    async def renew(self, row: Row) -> bool:
        """Keep the lease of a row for longer. False if it is no longer this process's."""

        def work(transaction: Transaction) -> bool:
            now = transaction.now()
            done = transaction.execute(
                "UPDATE purchases SET lease_until = ? WHERE id = ? AND owner = ? AND lease_until > 0",
                (now + LEASE_SECONDS, row.id, self._owner),
            )
            return done.rowcount == 1

        return await self.transact(work)

    async def claim(self, row: Row) -> Row | None:
        """Take the lease of a row that nobody works at, to look for its purchase; None if somebody does."""

        def work(transaction: Transaction) -> Row | None:
            now = transaction.now()
            done = transaction.execute(
                f"UPDATE purchases SET owner = ?, lease_until = ? WHERE id = ? AND state = ? AND NOT ({_IS_LEASED})",
                (self._owner, now + LEASE_SECONDS, row.id, row.state, *_lease_ends(now)),
            )
            return self._select(transaction, "id = ?", row.id)[0] if done.rowcount == 1 else None

        return await self.transact(work)

    async def release(self, row: Row, note: str | None = None) -> None:
        """Give back the lease of a row, with what was learned about it. One that was settled keeps its note."""
        await self.transact(
            lambda transaction: transaction.execute(
                "UPDATE purchases SET lease_until = 0, note = coalesce(?, note)"
                " WHERE id = ? AND owner = ? AND lease_until > 0",
                (note, row.id, self._owner),
            )
        )

    async def free_take(self, row: Row) -> None:
        """Let the same request with the same take be bought anew: its generation was deleted."""
        await self.transact(
            lambda transaction: transaction.execute("UPDATE purchases SET holds_take = 0 WHERE id = ?", (row.id,))
        )

    async def get(self, row_id: int) -> Row | None:
        """A purchase by its number in the ledger."""
        rows = await self._rows("id = ?", row_id)
        return rows[0] if rows else None

    async def by_generation(self, generation_ids: Iterable[str]) -> dict[str, Row]:
        """The purchases that these generations came of, by generation id."""
        ids = list(generation_ids)
        rows = await self._rows(f"generation_id IN ({spending.marks(ids)})", *ids)
        return {row.generation_id: row for row in rows if row.generation_id}

    async def in_state(self, *states: State, since: float | None = None) -> list[Row]:
        """Every purchase in one of the states, oldest first; what was left behind is settled first."""

        def work(transaction: Transaction) -> list[Row]:
            self.expire(transaction, transaction.now())
            return self._select(
                transaction, f"state IN ({spending.marks(states)}) AND reserved_at >= ?", *states, since or 0.0
            )

        return await self.transact(work)

    async def known_before(self, row: Row, most: int) -> list[Row]:
        """The newest purchases of its account that had a generation before this one was reserved, newest first."""
        rows = await self._rows(
            "account = ? AND generation_id IS NOT NULL AND reserved_at < ? AND id < ?",
            row.account,
            row.reserved_at,
            row.id,
            newest=most,
        )
        return rows[::-1]

    async def made_from(self, generation_id: str) -> tuple[str, ...]:
        """The generations that one was bought to work on; none if the ledger does not know it or cannot be read."""
        try:
            rows = await self.by_generation([generation_id])
        except LedgerError:
            return ()
        return rows[generation_id].made_from if generation_id in rows else ()

    async def now(self) -> float:
        """The ledger's time."""
        return await self.transact(lambda transaction: transaction.now())

    async def today(self, person: str | None = None) -> Spending:
        """The day's money, or one person's part of it."""
        return await self.transact(
            lambda transaction: spending.read_spending(transaction, self.accounts, transaction.now(), person)
        )

    async def newest_today(self, most: int, person: str | None = None) -> list[Row]:
        """The day's last purchases, oldest first, and before them whatever is still in doubt; all, or one person's."""
        whose, values = spending.of_person(person)

        def work(transaction: Transaction) -> list[Row]:
            begin = spending.begin_of_day(transaction.now())
            doubtful = self._select(
                transaction,
                f"reserved_at < ? AND (state = 'lost' OR state = 'disputed'){whose}",
                begin,
                *values,
                newest=most,
            )
            return [*doubtful, *self._select(transaction, f"reserved_at >= ?{whose}", begin, *values, newest=most)]

        return await self.transact(work)

    async def since_days(self, days: int, person: str | None = None) -> list[Row]:
        """The purchases of today and of so many days before, oldest first; all, or one person's."""
        whose, values = spending.of_person(person)

        def work(transaction: Transaction) -> list[Row]:
            begin = spending.begin_of_day(transaction.now(), days)
            return self._select(transaction, f"reserved_at >= ?{whose}", begin, *values)

        return await self.transact(work)

    async def bought(self, account: str | None = None, person: str | None = None) -> list[Row]:
        """The purchases that have a generation, newest first; all, or those of one account or one person."""
        whose, values = spending.of_person(person)
        if account is not None:
            whose, values = f"{whose} AND account = ?", [*values, account]
        rows = await self._rows(f"generation_id IS NOT NULL{whose}", *values)
        return rows[::-1]

    def select(self, transaction: Transaction, row_ids: Sequence[int]) -> dict[int, Row]:
        """Purchases by their numbers, within a transaction of the caller's."""
        found = self._select(transaction, f"id IN ({spending.marks(row_ids)})", *row_ids)
        return {row.id: row for row in found}

    async def all_rows(self) -> list[Row]:
        """Every purchase, oldest first."""
        return await self._rows("1 = 1")

    async def _rows(self, condition: str, *values: object, newest: int | None = None) -> list[Row]:
        return await self.transact(lambda transaction: self._select(transaction, condition, *values, newest=newest))

    def _select(
        self, transaction: Transaction, condition: str, *values: object, newest: int | None = None
    ) -> list[Row]:
        """The rows that meet a condition, or the newest of them; oldest first."""
        limit = "" if newest is None else f" ORDER BY id DESC LIMIT {newest:d}"
        found = transaction.execute(
            f"SELECT {COLUMNS} FROM purchases WHERE {self._mine} AND {condition}{limit}", (*self.accounts, *values)
        )
        return sorted((Row(*columns) for columns in found), key=lambda row: row.id)

    def expire(self, transaction: Transaction, now: float) -> None:
        """Settle what a server left behind: what was reserved was never sent, what was being sent is lost.

        The reservations of films that were left alone end too.
        """
        over = f"NOT ({_IS_LEASED})"
        values = (*self.accounts, *_lease_ends(now))
        transaction.execute(
            "UPDATE purchases SET state = 'refused', holds_take = 0, note = 'the server stopped before it was sent'"
            f" WHERE {self._mine} AND state = 'reserved' AND {over}",
            values,
        )
        transaction.execute(
            "UPDATE purchases SET state = 'lost', note = 'the server stopped while it was sent', lost_at = ?"
            f" WHERE {self._mine} AND state = 'sending' AND {over}",
            (now, *values),
        )
        film_rows.expire(transaction, self.accounts, now)

    async def transact(self, work: Callable[[Transaction], _T]) -> _T:
        """Do some work in one transaction, in a worker thread. Raises: LedgerError, NotUniqueError."""

        def with_names(transaction: Transaction) -> _T:
            for former in self._former_accounts:
                transaction.execute("UPDATE purchases SET account = ? WHERE account = ?", (self.accounts[0], former))
            return work(transaction)

        result = await anyio.to_thread.run_sync(
            self._store.transaction, with_names if self._former_accounts else work, limiter=self._limiter
        )
        # Once is enough: nobody writes the former names any more.
        self._former_accounts = ()
        return result


def _lease_ends(now: float) -> tuple[float, float]:
    """Between which times the lease of somebody ends. One that ends later is from before the clock was set back."""
    return now, now + 2 * LEASE_SECONDS
