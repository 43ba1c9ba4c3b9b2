"""What the ledger knows of generations, for APIs that echo nothing and list nothing."""

from collections.abc import Mapping, Sequence

from luma_mcp.backends.luma_apis import Bought
from luma_mcp.domain.apis import BackendName
from luma_mcp.domain.errors import LedgerError
from luma_mcp.ledger.purchases import Ledger
from luma_mcp.ledger.rows import Row


class PurchaseHistory:
    """The purchases of a ledger by generation.

    Args:
        ledger: the ledger.
        accounts: the account of each API.
    """

    def __init__(self, ledger: Ledger, accounts: Mapping[BackendName, str]) -> None:
        self._ledger = ledger
        self._accounts = accounts
        self._names: dict[str, BackendName] = {account: name for name, account in accounts.items()}

    async def of(self, generation_id: str) -> Bought | None:
        """The purchase that a generation came of; None if the ledger does not know it or cannot be read."""
        try:
            rows = await self._ledger.by_generation([generation_id])
        except LedgerError:
            return None
        return self._bought(rows[generation_id]) if generation_id in rows else None

    async def newest(self, backend: BackendName) -> Sequence[Bought]:
        """The purchases at one API that came to a generation, newest first."""
        return [self._bought(row) for row in await self._ledger.bought(self._accounts[backend])]

    async def of_person(self, person: str) -> Sequence[Bought]:
        """The purchases of one person that came to a generation, newest first."""
        return [self._bought(row) for row in await self._ledger.bought(person=person)]

    def _bought(self, row: Row) -> Bought:
        name: BackendName = self._names.get(row.account, "dream_machine")
        return Bought(row.generation_id or "", name, row.body, row.usd, row.reserved_at)
