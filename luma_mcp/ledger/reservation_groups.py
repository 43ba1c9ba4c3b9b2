"""The reservation groups of a ledger: a group is allowed once, and all its money is reserved in that transaction."""

from collections.abc import Mapping, Sequence

from luma_mcp.ledger import consents, rows, spending
from luma_mcp.ledger.caps import Balance, Budget
from luma_mcp.ledger.purchases import Ledger
from luma_mcp.ledger.reservations import (
    EXPIRED,
    REMOVED,
    NewGroup,
    NewReservation,
    Reservation,
    ReservationGroup,
    release,
    reserve,
)
from luma_mcp.ledger.rows import PurchaseRow, add_to_outbox
from luma_mcp.ledger.spending import live_groups, marks
from luma_mcp.ledger.states import TAKE_SECONDS, UNDER_WAY, lease_ends
from luma_mcp.ledger.store import Transaction

_COLUMNS = "id, account, person, fingerprint, take, is_live, document, created_at, updated_at"


OPEN_GROUP = "group"
"""The kind of entry of the outbox for a group whose purchases are to be made; the key is its id."""


class GroupChangedError(Exception):
    """A change of a group costs more than was approved, for the group has changed meanwhile. Nothing was written."""


class ReservationGroups:
    """The reservations of a ledger. Every method raises `LedgerError`s when the ledger cannot be used."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def create(
        self, new: NewGroup, budget: Budget, balance: Balance | None = None
    ) -> tuple[ReservationGroup, bool]:
        """Reserve the money of a group, or return the existing group; and whether it is new.

        Raises:
            BudgetError: a cap forbids it. Nothing is written.
            ConsentNeededError: the user's approval is needed first. Nothing is written.
            ConsentUsedError: the user's consent was used already. Nothing is written.
        """
        account = new.account or self._ledger.accounts[0]
        is_person, person = ("", []) if self._ledger.is_shared else (" AND person = ?", [new.person])

        def work(transaction: Transaction) -> tuple[ReservationGroup, bool]:
            now = transaction.now()
            self._ledger.expire(transaction, now)
            for group_id, created_at in transaction.execute(
                "SELECT id, created_at FROM reservation_groups WHERE account = ? AND fingerprint = ? AND take = ?"
                f" AND is_live = 1{is_person}",
                (account, new.fingerprint, new.take, *person),
            ).fetchall():
                if now - created_at < TAKE_SECONDS:
                    return self._read(transaction, group_id), False
                transaction.execute("UPDATE reservation_groups SET is_live = 0 WHERE id = ?", (group_id,))
            self._allow(transaction, new.reservations, new.person, budget, balance, new.consent)
            transaction.execute(
                f"INSERT INTO reservation_groups ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?)",
                (new.id, account, new.person, new.fingerprint, new.take, new.document, now, now),
            )
            for item in new.reservations:
                reserve(transaction, new.id, account, new.person, item)
            add_to_outbox(transaction, account, OPEN_GROUP, new.id, now)
            consents.use(transaction, new.consent, new.id)
            return self._read(transaction, new.id), True

        return await self._ledger.transact(work)

    async def change(
        self,
        group: ReservationGroup,
        document: str,
        wanted: Sequence[NewReservation],
        *,
        max_micros: int,
        budget: Budget,
        balance: Balance | None = None,
        consent: str | None = None,
    ) -> ReservationGroup:
        """Replace the document and the reservations of a group. Existing reservations stay; the others are reserved.

        Args:
            group: the group.
            document: the text that its creator reads again.
            wanted: the reservations of the new document.
            max_micros: the price that the user approved.
            budget: the limits that the user sets.
            balance: the credit at Luma, if the budget needs it.
            consent: the name of the user's consent.

        Raises:
            GroupChangedError: it would cost more than was approved.
            BudgetError, ConsentNeededError, ConsentUsedError: as `create`.
        """

        def work(transaction: Transaction) -> ReservationGroup:
            now = transaction.now()
            self._ledger.expire(transaction, now)
            current = self._read(transaction, group.id)
            unpaid = current.unpaid(wanted)
            if sum(item.micros for item in unpaid) > max_micros:
                raise GroupChangedError
            if unpaid:
                self._allow(transaction, unpaid, group.person, budget, balance, consent)
                consents.use(transaction, consent, group.id)
            add_to_outbox(transaction, group.account, OPEN_GROUP, group.id, now)
            for item in unpaid:
                reserve(transaction, group.id, group.account, group.person, item)
            for key in current.reservations.keys() - {item.key for item in wanted}:
                release(transaction, group.id, key, REMOVED)
            transaction.execute(
                "UPDATE reservation_groups SET document = ?, updated_at = ? WHERE id = ?", (document, now, group.id)
            )
            return self._read(transaction, group.id)

        return await self._ledger.transact(work)

    async def get(self, group_id: str) -> ReservationGroup | None:
        """A group with its reservations and their purchases; None if no group has that id.

        It writes only if one of the purchases is abandoned: that purchase is settled.
        """

        def work(transaction: Transaction) -> tuple[ReservationGroup | None, bool]:
            result = transaction.execute(
                f"SELECT id FROM reservation_groups WHERE id = ? AND account IN ({marks(self._ledger.accounts)})",
                (group_id, *self._ledger.accounts),
            ).fetchone()
            if result is None:
                return None, False
            now, group = transaction.now(), self._read(transaction, group_id)
            purchases = [item.purchase for item in group.reservations.values() if item.purchase]
            return group, any(_is_abandoned(purchase, now) for purchase in purchases)

        group, has_abandoned = await self._ledger.read(work)
        if not has_abandoned:
            return group

        def settle(transaction: Transaction) -> ReservationGroup | None:
            self._ledger.expire(transaction, transaction.now())
            return work(transaction)[0]

        return await self._ledger.transact(settle)

    async def newest(self, limit: int, person: str | None = None) -> list[ReservationGroup]:
        """The last groups, newest first; all, or one person's."""
        condition, values = spending.of_person(person)

        def work(transaction: Transaction) -> list[ReservationGroup]:
            result = [
                (created_at, group_id)
                for account in self._ledger.accounts
                for created_at, group_id in transaction.execute(
                    f"SELECT created_at, id FROM reservation_groups WHERE account = ?{condition}"
                    f" ORDER BY created_at DESC, id DESC LIMIT {limit:d}",
                    (account, *values),
                ).fetchall()
            ]
            newest = sorted(result, reverse=True)[:limit]
            return [self._read(transaction, group_id) for _, group_id in newest]

        return await self._ledger.read(work)

    async def release(self, group_id: str, notes: Mapping[str, str]) -> None:
        """Release reservations, each with the reason. Reservations that were bought stay."""

        def work(transaction: Transaction) -> None:
            for key, note in notes.items():
                release(transaction, group_id, key, note)

        await self._ledger.transact(work)

    def _allow(
        self,
        transaction: Transaction,
        wanted: Sequence[NewReservation],
        person: str,
        budget: Budget,
        balance: Balance | None,
        consent: str | None,
    ) -> None:
        micros = sum(item.micros for item in wanted)
        spending.check(
            transaction, budget, micros, accounts=self._ledger.accounts, person=person, balance=balance, consent=consent
        )

    def _read(self, transaction: Transaction, group_id: str) -> ReservationGroup:
        (id_, account, person, fingerprint, take, is_live, document, created_at, updated_at) = transaction.execute(
            f"SELECT {_COLUMNS} FROM reservation_groups WHERE id = ?", (group_id,)
        ).fetchone()
        result = transaction.execute(
            "SELECT key, micros, wanted, note, purchase_id FROM reservations WHERE group_id = ?", (group_id,)
        ).fetchall()
        ids = [purchase_id for *_, purchase_id in result if purchase_id is not None]
        purchases = self._ledger.remember(rows.select_by_id(transaction, self._ledger.accounts, ids))
        after, until = live_groups(transaction.now())
        is_expired = not after < updated_at <= until
        reservations: dict[str, Reservation] = {}
        for key, micros, wanted, note, purchase_id in result:
            # An expired reservation may not be recorded as released yet.
            is_wanted = bool(wanted) and not is_expired
            text = EXPIRED if wanted and is_expired else note
            reservations[key] = Reservation(key, micros, is_wanted, text, purchases.get(purchase_id))
        return ReservationGroup(
            id_, account, person, fingerprint, take, bool(is_live), document, created_at, updated_at, reservations
        )


def _is_abandoned(purchase: PurchaseRow, now: float) -> bool:
    """Whether the lease of a purchase that is under way has expired."""
    start, end = lease_ends(now)
    return purchase.state in UNDER_WAY and not start <= purchase.lease_until <= end
