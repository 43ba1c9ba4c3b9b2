"""The purchases of an account that wait for a slot at Luma: the next one, their places, and their end.

The next purchase becomes `sending` in the transaction that selects it, with the lease of the server that sends it, so
that it is sent once at any server, whatever died.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from luma_mcp.domain.apis import BackendName, LimitFamily
from luma_mcp.domain.clock import suspend_aware_now
from luma_mcp.domain.generation import IN_DOUBT, WAITING, Generation
from luma_mcp.ledger import queue, rows
from luma_mcp.ledger.purchases import Ledger
from luma_mcp.ledger.rows import PurchaseRow
from luma_mcp.ledger.spending import marks, of_person
from luma_mcp.ledger.states import UNBOUGHT, State
from luma_mcp.ledger.store import Transaction

_STATES: Mapping[State, str] = {"lost": "lost", "disputed": IN_DOUBT, "refused": "failed", "absent": "failed"}
CANCELLED = "It was cancelled before it was sent; nothing was bought."
_MAX_RUNNING = 64


@dataclass(frozen=True, slots=True)
class NextPurchase:
    """A purchase that this server sends now. `decided_at` is of `clock.suspend_aware_now`."""

    row: PurchaseRow
    payload: str
    decided_at: float


@dataclass(frozen=True, slots=True)
class QueuePause:
    """Nothing can be sent now.

    Args:
        seconds: until it is worth while to try again; None if nothing waits.
        may_check: whether this server shall check now which generations have ended.
    """

    seconds: float | None
    may_check: bool = False


@dataclass(frozen=True, slots=True)
class QueuedPurchase:
    """A purchase that waits, or has waited. `place` is its place in the queue, from 1; None if it waits no more."""

    row: PurchaseRow
    place: int | None


def described(found: QueuedPurchase, backend: BackendName) -> Generation:
    """A purchase that has no generation, as a generation. One that was not made has failed, and costs nothing."""
    row = found.row
    prompt = row.body.get("prompt")
    return Generation(
        id=row.queue_id or "",
        state=_STATES.get(row.state, WAITING),
        kind=row.kind,
        failure_reason=row.note or None if row.state in (*UNBOUGHT, "disputed") else None,
        created_at=datetime.fromtimestamp(row.reserved_at, UTC),
        model=None if row.model == row.kind else row.model,
        prompt=prompt if isinstance(prompt, str) else None,
        price_usd=row.usd,
        backend=backend,
        place=found.place,
    )


@dataclass(frozen=True, slots=True)
class QueueLength:
    """The purchases of a person that wait at an account, and since when the oldest of them does."""

    account: str
    family: str
    person: str
    purchases: int
    oldest_at: float


class PurchaseQueue:
    """The queue of a ledger. Every method raises `LedgerError`s when the ledger cannot be used."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def send_next(
        self, account: str, family: LimitFamily, *, max_at_once: int | None, request_id: str
    ) -> NextPurchase | QueuePause:
        """Make the next purchase `sending`, if there is a slot; this server has its lease.

        Args:
            account: the account.
            family: the operations that share its limits.
            max_at_once: the slots at Luma, as the user states them.
            request_id: the id of the POST that follows at once.
        """

        def work(transaction: Transaction) -> NextPurchase | QueuePause:
            now = transaction.now()
            self._ledger.expire(transaction, now)
            if not queue.waits(transaction, account, family):
                return QueuePause(None)
            seconds = queue.seconds_until_free(transaction, account, family, max_at_once, now)
            if seconds > 0:
                return QueuePause(seconds, queue.may_check(transaction, account, family, now))
            row_id, payload = queue.first(transaction, account, family)
            row = self._ledger.start_sending(transaction, row_id, request_id, now)
            return NextPurchase(row, payload, suspend_aware_now())

        return await self._ledger.transact(work)

    async def cancel(self, queue_id: str) -> PurchaseRow | None:
        """Cancel a purchase that waits; its row as it is now, None if there is none of that id."""

        def work(transaction: Transaction) -> PurchaseRow | None:
            row = rows.by_queue_id(transaction, self._ledger.accounts, [queue_id]).get(queue_id)
            if row is None or row.state != "waiting":
                return row
            self._ledger.refuse_waiting(transaction, row.id, CANCELLED, transaction.now())
            return rows.by_queue_id(transaction, self._ledger.accounts, [queue_id])[queue_id]

        return await self._ledger.transact(work)

    async def get(self, queue_ids: Iterable[str]) -> dict[str, QueuedPurchase]:
        """Purchases by their ids in the queue, those that the ledger knows."""
        ids = tuple(dict.fromkeys(queue_ids))

        def work(transaction: Transaction) -> dict[str, QueuedPurchase]:
            return {
                queue_id: QueuedPurchase(row, queue.place_of(transaction, row.id) if row.state == "waiting" else None)
                for queue_id, row in rows.by_queue_id(transaction, self._ledger.accounts, ids).items()
            }

        return await self._ledger.read(work)

    async def newest(self, limit: int, person: str | None) -> list[QueuedPurchase]:
        """The purchases that wait, the newest first; of all persons, or of one."""
        condition, values = of_person(person)

        def work(transaction: Transaction) -> list[QueuedPurchase]:
            found = [
                row
                for account in self._ledger.accounts
                for row in rows.select(
                    transaction,
                    f"id IN (SELECT purchase_id FROM waiting WHERE account = ?{condition}"
                    f" ORDER BY since DESC, purchase_id DESC LIMIT {limit:d})",
                    (account, *values),
                )
            ]
            newest = sorted(found, key=lambda row: row.position, reverse=True)[:limit]
            return [QueuedPurchase(row, queue.place_of(transaction, row.id)) for row in newest]

        return await self._ledger.read(work)

    async def running(self, account: str) -> list[PurchaseRow]:
        """The purchases that Luma is making, as far as the ledger knows, the oldest first."""
        return await self._ledger.read(
            lambda transaction: rows.select(
                transaction,
                f"account = ? AND state = 'accepted' AND sent_at > ? ORDER BY sent_at LIMIT {_MAX_RUNNING:d}",
                (account, transaction.now() - queue.SLOT_SECONDS),
            )
        )

    async def lengths(self) -> list[QueueLength]:
        """The number of purchases that wait, by account, family and person."""

        def work(transaction: Transaction) -> list[QueueLength]:
            found = transaction.execute(
                "SELECT account, family, person, purchases FROM queues"
                f" WHERE account IN ({marks(self._ledger.accounts)}) AND purchases > 0",
                self._ledger.accounts,
            ).fetchall()
            return [
                QueueLength(account, family, person, int(purchases), queue.oldest(transaction, account, family, person))
                for account, family, person, purchases in found
            ]

        return await self._ledger.read(work)

    async def accounts(self) -> list[str]:
        """The accounts at which something waits."""
        return list(dict.fromkeys(length.account for length in await self.lengths()))
