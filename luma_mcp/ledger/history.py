"""The ledger's knowledge of generations, for APIs that have no echo and no list."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress

from luma_mcp.backends.luma_apis import Bought
from luma_mcp.domain.apis import BackendName
from luma_mcp.domain.errors import LedgerError
from luma_mcp.domain.generation import Generation
from luma_mcp.ledger.purchase_queue import PurchaseQueue, described
from luma_mcp.ledger.purchases import Ledger
from luma_mcp.ledger.rows import PurchaseRow

_PAGE = 50

# For this time after its purchase, some of Luma's servers may not know a generation.
RECENT_SECONDS = 10 * 60.0


class PurchaseHistory:
    """The purchases of a ledger by generation.

    Args:
        ledger: the ledger.
        accounts: the account of each API.
    """

    def __init__(self, ledger: Ledger, accounts: Mapping[BackendName, str]) -> None:
        self._ledger = ledger
        self._accounts = accounts
        self._queue = PurchaseQueue(ledger)
        self._names: dict[str, BackendName] = {account: name for name, account in accounts.items()}

    async def of(self, generation_id: str) -> Bought | None:
        """The purchase of a generation; None if the ledger does not know it or cannot be read."""
        try:
            row = await self._ledger.origin_of(generation_id)
        except LedgerError:
            return None
        return self._bought(row) if row is not None else None

    async def recent(self, generation_id: str) -> Bought | None:
        """The same, if it was bought so recently that some of Luma's servers may not know it yet."""
        with suppress(LedgerError):
            rows = await self._ledger.by_generation([generation_id])
            row = rows.get(generation_id)
            # A deleted generation no longer occupies its take.
            if row is not None and row.is_live and await self._ledger.now() - row.updated_at < RECENT_SECONDS:
                return self._bought(row)
        return None

    async def queued(self, queue_id: str) -> Generation | str | None:
        """A purchase by its id in the queue: as a generation while it is none, or the id of its generation.

        None if the ledger does not know it. Raises: LedgerError.
        """
        found = (await self._queue.get([queue_id])).get(queue_id)
        if found is None:
            return None
        return found.row.generation_id or described(found, self._name(found.row.account))

    async def waiting(self, limit: int, person: str | None) -> list[Generation]:
        """The purchases that wait, the newest first, of all persons or of one; none if the ledger cannot be read."""
        with suppress(LedgerError):
            return [
                described(found, self._name(found.row.account)) for found in await self._queue.newest(limit, person)
            ]
        return []

    def _name(self, account: str) -> BackendName:
        return self._names.get(account, "dream_machine")

    def newest(self, backend: BackendName) -> AsyncGenerator[Bought]:
        """The purchases at one API that have a generation, newest first. Pages are read as they are needed."""
        return self._pages(account=self._accounts[backend])

    def of_person(self, person: str) -> AsyncGenerator[Bought]:
        """The purchases of one person that have a generation, newest first, read like `newest`."""
        return self._pages(person=person)

    async def _pages(self, *, account: str | None = None, person: str | None = None) -> AsyncGenerator[Bought]:
        position: tuple[float, int] | None = None
        while page := await self._ledger.bought(_PAGE, account=account, person=person, before=position):
            for row in page:
                yield self._bought(row)
            position = page[-1].position

    def _bought(self, row: PurchaseRow) -> Bought:
        return Bought(row.generation_id or "", self._name(row.account), row.body, row.usd, row.reserved_at, row.kind)
