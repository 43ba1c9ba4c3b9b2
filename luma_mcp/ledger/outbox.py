"""Work that is to be done for what the ledger records: films to be continued, generations to be saved.

An entry is written in the transaction that makes it necessary, and deleted once it is done, so that no restart loses
it. Whoever does the work may do it twice.
"""

from luma_mcp.ledger.purchases import Ledger
from luma_mcp.ledger.rows import add_to_outbox
from luma_mcp.ledger.spending import marks
from luma_mcp.ledger.store import Transaction

_MAX_OPEN = 500


class Outbox:
    """The entries of a ledger. Every method raises `LedgerError`s when the ledger cannot be used."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def add(self, kind: str, key: str) -> None:
        """Add an entry, unless it is there."""
        await self._ledger.transact(
            lambda transaction: add_to_outbox(transaction, self._ledger.accounts[0], kind, key, transaction.now())
        )

    async def add_event(self, event_type: str, **names: object) -> None:
        """Record an event, if events are recorded."""
        ledger = self._ledger
        if ledger.events.is_on:
            await ledger.transact(
                lambda transaction: ledger.events.add(transaction, ledger.accounts[0], event_type, **names)
            )

    async def open(self, kind: str) -> list[str]:
        """The keys of the oldest entries of a kind, up to a few hundred."""

        def work(transaction: Transaction) -> list[str]:
            return [
                str(key)
                for account in self._ledger.accounts
                for (key,) in transaction.execute(
                    f"SELECT key FROM outbox WHERE account = ? AND kind = ? ORDER BY since LIMIT {_MAX_OPEN:d}",
                    (account, kind),
                )
            ]

        return await self._ledger.read(work)

    async def counts(self) -> dict[str, int]:
        """The number of entries of each kind."""
        accounts = self._ledger.accounts
        return await self._ledger.read(
            lambda transaction: {
                str(kind): int(count)
                for kind, count in transaction.execute(
                    f"SELECT kind, count(*) FROM outbox WHERE account IN ({marks(accounts)}) GROUP BY kind", accounts
                )
            }
        )

    async def done(self, kind: str, key: str) -> None:
        """Delete an entry."""
        accounts = self._ledger.accounts
        await self._ledger.transact(
            lambda transaction: transaction.execute(
                f"DELETE FROM outbox WHERE account IN ({marks(accounts)}) AND kind = ? AND key = ?",
                (*accounts, kind, key),
            )
        )
