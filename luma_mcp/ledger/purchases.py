"""The ledger: every purchase, its state and its price. Every decision about money is one transaction.

A row is on disk before anything is sent, so that a purchase can be found again after any failure of the process.
Several servers share one ledger. A row that a server processes has a lease, which that server renews every few seconds;
a row whose lease has expired has no owner, on any machine.

The states of a row are in `states`. Money is in whole micro-dollars.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import anyio
import anyio.to_thread

from luma_mcp.domain.clock import suspend_aware_now
from luma_mcp.ledger import consents, queue, reservations, rows, spending
from luma_mcp.ledger.caps import Balance, Budget, CapReachedError, ConsentNeededError
from luma_mcp.ledger.events import EventLog
from luma_mcp.ledger.queue import LimitNews, QueueEntry
from luma_mcp.ledger.reading import MAX_ROWS, LedgerReader
from luma_mcp.ledger.reservations import ReservationName
from luma_mcp.ledger.rows import Decision, NewPurchase, PurchaseRow
from luma_mcp.ledger.spending import marks
from luma_mcp.ledger.states import (
    EXPIRES_TO,
    IS_LIVE,
    LEASE_SECONDS,
    UNBOUGHT,
    UNDER_WAY,
    State,
    lease_ends,
    sources_of,
)
from luma_mcp.ledger.store import NotUniqueError, Store, Transaction

_T = TypeVar("_T")

SAVE = "save"
"""The kind of entry of the outbox for a purchase that is to be saved; the key is its number."""

# Of a row that a server works at; for `lease_ends`.
_IS_LEASED = "lease_until >= ? AND lease_until <= ?"


class Ledger(LedgerReader):
    """The ledger of one person's accounts, one at each API.

    Args:
        store: the store of the rows.
        account: the account at Dream Machine, and that of a purchase that names none.
        others: the other accounts of the user. All of them count together; rows of other accounts in the same store are
            neither read nor counted.
        owner: names this process in the leases that it holds.
        former_accounts: names that earlier versions gave to this account.
        is_shared: whether persons join the purchases of each other.
        saves: whether what is bought is to be saved, or watched until its end.
        has_events: whether events are recorded.

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
        saves: bool = False,
        has_events: bool = False,
    ) -> None:
        super().__init__(store, (account, *others))
        self._owner = owner
        self._former_accounts = tuple(former_accounts)
        self.is_shared = is_shared
        """Whether persons join the purchases of each other."""
        self._saves = saves
        self.events = EventLog(is_on=has_events)
        """The events of this process."""
        self._writing = anyio.CapacityLimiter(1)

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
        draws_on: ReservationName | None = None,
        entry: QueueEntry | None = None,
    ) -> Decision:
        """Reserve a purchase, or return the existing one; in one transaction with the check of every cap.

        Args:
            new: the purchase that the caller wants.
            budget: the limits that the user sets.
            balance: the credit at Luma, if the budget needs it.
            request_id: the id of the POST that follows at once, and the row is `sending`; None if something has to be
                done before it, and the row is `reserved`.
            draws_on: the reservation that pays for it. That money was allowed with its group, so no cap is checked.
            entry: how it waits if Luma has no slot for it, and the row is `waiting`; None to send it in any case.

        Raises:
            ReservationUnavailableError: the reservation cannot be drawn on any more. Nothing is written.
            BudgetError: a cap forbids it. Nothing is written.
            ConsentNeededError: the user's approval is needed first. Nothing is written.
            ConsentUsedError: the user's consent was used already. Nothing is written.
        """
        account = new.account or self.accounts[0]
        is_person, person = ("", []) if self.is_shared else (" AND person = ?", [new.person])

        def work(transaction: Transaction) -> Decision:
            now = transaction.now()
            self.expire(transaction, now)
            # No other transaction decides meanwhile, so this is safe where the index allows one row for each person.
            matches = rows.select(
                transaction,
                f"account = ? AND fingerprint = ? AND take = ? AND is_live = 1{is_person} ORDER BY id",
                (account, new.fingerprint, new.take, *person),
            )
            if matches and (matches[0].holds_take(now) or draws_on is not None):
                return Decision(matches[0], is_new=False, now=now, decided_at=suspend_aware_now())
            for row in matches:
                transaction.execute("UPDATE purchases SET is_live = 0 WHERE id = ?", (row.id,))
            if draws_on is not None:
                reservations.check_open(transaction, draws_on, new.micros)
            else:
                spending.check(
                    transaction, budget, new.micros, accounts=self.accounts, person=new.person, balance=balance,
                    consent=new.consent,
                )  # fmt: skip
            is_due = request_id is not None
            waits = is_due and entry is not None and queue.must_wait(transaction, account, entry, now)
            state: State = "waiting" if waits else "sending" if is_due else "reserved"
            inserted = transaction.execute(
                "INSERT INTO purchases (account, person, fingerprint, take, is_live, signature, request, kind, model,"
                " micros, basis, state, request_id, owner, lease_until, reserved_at, updated_at, queue_id, sent_at)"
                " VALUES (?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
                (account, new.person, new.fingerprint, new.take, new.signature, new.request, new.kind,
                 new.model or new.kind, new.micros, new.basis, state, None if waits else request_id, self._owner,
                 0.0 if waits else now + LEASE_SECONDS, now, now, queue.new_queue_id() if waits else None,
                 now if state == "sending" else None),
            )  # fmt: skip
            row_id = int(inserted.fetchone()[0])
            if waits and entry is not None:
                queue.enter(transaction, row_id, entry)
            consents.use(transaction, new.consent, f"purchase {row_id}")
            if draws_on is not None:
                reservations.draw(transaction, draws_on, row_id, now)
            return Decision(self._row(transaction, row_id), is_new=True, now=now, decided_at=suspend_aware_now())

        return await self.transact(work)

    async def advance(
        self,
        row: PurchaseRow,
        state: State,
        *,
        generation_id: str | None = None,
        request_id: str | None = None,
        note: str | None = None,
        requires_lease: bool = False,
        entry: QueueEntry | None = None,
        news: LimitNews | None = None,
    ) -> PurchaseRow | None:
        """Move a purchase to a state, if its present state allows that.

        Args:
            row: the purchase.
            state: the state to enter. Instead of `sending` it enters `waiting` if Luma has no slot and there is an
                entry.
            generation_id: Luma's id of the generation.
            request_id: the id of the POST that is about to be sent.
            note: the reason, for the user.
            requires_lease: whether it moves only if this process still has the lease.
            entry: how it waits; needed to enter `waiting`.
            news: what Luma's response states about the limits of its account; with an entry.

        Returns:
            The row as it is now; None if another process was quicker, or another row has the generation.
        """

        def work(transaction: Transaction) -> PurchaseRow | None:
            now = transaction.now()
            after: State = state
            if state == "sending" and entry is not None and queue.must_wait(transaction, row.account, entry, now):
                after = "waiting"
            before = sources_of(after)
            condition, values = f"id = ? AND state IN ({marks(before)})", [row.id, *before]
            if requires_lease:
                condition += f" AND owner = ? AND {_IS_LEASED}"
                values += [self._owner, *lease_ends(now)]
            done = transaction.execute(
                "UPDATE purchases SET state = ?, generation_id = coalesce(?, generation_id),"
                " request_id = coalesce(?, request_id), note = coalesce(?, note), updated_at = ?,"
                " is_live = CASE WHEN ? = 0 THEN 0 ELSE is_live END,"
                " lost_at = CASE WHEN ? = 'lost' THEN ? ELSE lost_at END,"
                " sent_at = CASE WHEN ? = 'sending' THEN ? ELSE sent_at END,"
                " queue_id = coalesce(queue_id, ?),"
                " lease_until = CASE WHEN ? = 1 THEN lease_until ELSE 0 END"
                f" WHERE {condition} AND {self._in_accounts}",
                (after, generation_id, request_id, note, now, int(after in IS_LIVE), after, now, after, now,
                 queue.new_queue_id() if after == "waiting" else None, int(after in UNDER_WAY), *values,
                 *self.accounts),
            )  # fmt: skip
            if done.rowcount != 1:
                return None
            self.events.state(transaction, row.id, after)
            if after == "accepted" and self._saves:
                rows.add_to_outbox(transaction, row.account, SAVE, str(row.id), now)
            if after == "waiting" and entry is not None:
                queue.enter(transaction, row.id, entry)
            elif row.queue_id is not None and after in ("sending", "refused"):
                queue.leave(transaction, row.id)
            if after in UNBOUGHT or UNBOUGHT.intersection(before):
                reservations.follow(transaction, row.id, after)
            if entry is not None and news is not None:
                queue.learn(transaction, row.account, entry.family, news, now)
            if row.state == "absent" and after == "accepted":
                self._occupy_take_again(transaction, row, now)
            return self._row(transaction, row.id)

        try:
            return await self.transact(work)
        except NotUniqueError:
            return None

    def _occupy_take_again(self, transaction: Transaction, row: PurchaseRow, now: float) -> None:
        """Let a purchase that turned up late occupy its take again, in place of an equal one that still waits.

        An equal purchase that was sent since stays the one of that take.
        """
        same = "account = ? AND fingerprint = ? AND take = ?" + ("" if self.is_shared else " AND person = ?")
        values = [row.account, row.fingerprint, row.take, *([] if self.is_shared else [row.person])]
        equal = rows.select(transaction, f"{same} AND is_live = 1", values)
        if any(other.state != "waiting" for other in equal):
            return
        for other in equal:
            self.refuse_waiting(transaction, other.id, "An equal purchase turned up at Luma.", now)
            transaction.execute("UPDATE reservations SET note = '', wanted = 1 WHERE purchase_id = ?", (other.id,))
        transaction.execute("UPDATE purchases SET is_live = 1 WHERE id = ?", (row.id,))
        reservations.relink(transaction, row.fingerprint, row.id)

    async def renew(self, row: PurchaseRow) -> bool:
        """Keep the lease of a row for longer. False if it is no longer this process's."""

        def work(transaction: Transaction) -> bool:
            done = transaction.execute(
                "UPDATE purchases SET lease_until = ? WHERE id = ? AND owner = ? AND lease_until > 0",
                (transaction.now() + LEASE_SECONDS, row.id, self._owner),
            )
            return done.rowcount == 1

        return await self.transact(work)

    async def claim(self, row: PurchaseRow) -> PurchaseRow | None:
        """Claim the lease of a row, to search for its purchase; None if another server holds the lease."""

        def work(transaction: Transaction) -> PurchaseRow | None:
            now = transaction.now()
            done = transaction.execute(
                f"UPDATE purchases SET owner = ?, lease_until = ? WHERE id = ? AND state = ? AND NOT ({_IS_LEASED})",
                (self._owner, now + LEASE_SECONDS, row.id, row.state, *lease_ends(now)),
            )
            return self._row(transaction, row.id) if done.rowcount == 1 else None

        return await self.transact(work)

    async def release(self, row: PurchaseRow, note: str | None = None) -> None:
        """Release the lease of a row, with a note about it. A row that was settled keeps its note."""
        await self.transact(
            lambda transaction: transaction.execute(
                "UPDATE purchases SET lease_until = 0, note = coalesce(?, note)"
                " WHERE id = ? AND owner = ? AND lease_until > 0",
                (note, row.id, self._owner),
            )
        )

    async def free_take(self, row: PurchaseRow) -> None:
        """Let the same request with the same take be bought again: its generation was deleted."""
        await self.transact(
            lambda transaction: transaction.execute("UPDATE purchases SET is_live = 0 WHERE id = ?", (row.id,))
        )

    async def in_state(self, *states: State, since: float | None = None, limit: int = MAX_ROWS) -> list[PurchaseRow]:
        """The newest purchases in some states, oldest first. Abandoned purchases are settled first."""

        def work(transaction: Transaction) -> tuple[list[PurchaseRow], bool]:
            matches = self._in_state(transaction, states, since or 0.0, limit)
            return matches, self._has_abandoned(transaction, transaction.now())

        matches, has_abandoned = await self.read(work)
        if not has_abandoned:
            return matches

        def settle(transaction: Transaction) -> list[PurchaseRow]:
            self.expire(transaction, transaction.now())
            return work(transaction)[0]

        return await self.transact(settle)

    def expire(self, transaction: Transaction, now: float) -> None:
        """Settle abandoned purchases, and release the reservations of abandoned groups."""
        for before, (after, note) in EXPIRES_TO.items():
            expired_rows = transaction.execute(
                "UPDATE purchases SET state = ?, note = ?, is_live = CASE WHEN ? = 0 THEN 0 ELSE is_live END,"
                " lost_at = CASE WHEN ? = 'lost' THEN ? ELSE lost_at END"
                f" WHERE {self._in_accounts} AND state = ? AND NOT ({_IS_LEASED}) RETURNING id",
                (after, note, int(after in IS_LIVE), after, now, *self.accounts, before, *lease_ends(now)),
            ).fetchall()
            for (row_id,) in expired_rows:
                self.events.state(transaction, row_id, after)
                reservations.follow(transaction, row_id, after)
        for row_id in queue.given_up(transaction, self.accounts, now):
            self.refuse_waiting(transaction, row_id, queue.GIVEN_UP, now)
        reservations.expire(transaction, self.accounts, now)

    def refuse_waiting(self, transaction: Transaction, row_id: int, note: str, now: float) -> bool:
        """Give up a purchase that waits, and release its money; False if it does not wait any more."""
        done = transaction.execute(
            "UPDATE purchases SET state = 'refused', note = ?, is_live = 0, updated_at = ?"
            f" WHERE id = ? AND state = 'waiting' AND {self._in_accounts}",
            (note, now, row_id, *self.accounts),
        )
        queue.leave(transaction, row_id)
        if done.rowcount != 1:
            return False
        self.events.state(transaction, row_id, "refused")
        reservations.release_of(transaction, row_id, note)
        return True

    async def transact(self, work: Callable[[Transaction], _T]) -> _T:
        """Do some work in one transaction, in a worker thread. Raises: LedgerError, NotUniqueError."""

        def with_names(transaction: Transaction) -> _T:
            for former in self._former_accounts:
                names = (self.accounts[0], former)
                transaction.execute("UPDATE purchases SET account = ? WHERE account = ?", names)
                transaction.execute(
                    "UPDATE reservations SET account = ? WHERE group_id IN"
                    " (SELECT id FROM reservation_groups WHERE account = ?)",
                    names,
                )
                transaction.execute("UPDATE reservation_groups SET account = ? WHERE account = ?", names)
            return work(transaction)

        try:
            result = await anyio.to_thread.run_sync(
                self._store.transaction,
                with_names if self._former_accounts else work,
                (*self.accounts, *self._former_accounts),
                limiter=self._writing,
            )
        except (CapReachedError, ConsentNeededError) as refusal:
            reason = refusal
            if self.events.is_on:
                await self.transact(lambda transaction: self.events.refusal(transaction, self.accounts[0], reason))
            raise
        # Once is enough: no program writes the former names any more.
        self._former_accounts = ()
        await self.events.committed()
        return result

    async def read(self, work: Callable[[Transaction], _T]) -> _T:
        """Read one state of all rows, in a worker thread, without waiting for a writer. Raises: LedgerError."""
        if self._former_accounts:
            return await self.transact(work)
        return await super().read(work)

    def start_sending(self, transaction: Transaction, row_id: int, request_id: str, now: float) -> PurchaseRow:
        """Make a purchase that waits `sending`, with a lease of this server."""
        transaction.execute(
            "UPDATE purchases SET state = 'sending', request_id = ?, owner = ?, lease_until = ?, sent_at = ?,"
            " updated_at = ? WHERE id = ? AND state = 'waiting'",
            (request_id, self._owner, now + LEASE_SECONDS, now, now, row_id),
        )
        queue.leave(transaction, row_id)
        return self._row(transaction, row_id)

    def _row(self, transaction: Transaction, row_id: int) -> PurchaseRow:
        return rows.select_by_id(transaction, self.accounts, [row_id])[row_id]

    def _has_abandoned(self, transaction: Transaction, now: float) -> bool:
        """Whether a purchase is under way whose lease has expired."""
        matches = transaction.execute(
            f"SELECT 1 FROM purchases WHERE {self._in_accounts} AND state IN ({marks(EXPIRES_TO)}) AND NOT"
            f" ({_IS_LEASED}) LIMIT 1",
            (*self.accounts, *EXPIRES_TO, *lease_ends(now)),
        )
        return matches.fetchone() is not None
