"""The jobs about purchases: sending what waits, and searching for what is in doubt."""

from luma_mcp.purchasing.service import PurchaseService
from luma_mcp.work.jobs import JobKind

QUEUE = "queue"
"""Sends what waits for a slot at Luma; the key is the account."""
DOUBT = "doubt"
"""Searches for what is in doubt, if a search is due; the key is `all`."""


def queue_job(purchases: PurchaseService) -> JobKind:
    """Sends what waits at an account, as slots become free."""
    return JobKind(QUEUE, purchases.queue.send_waiting, purchases.queue.waiting_accounts)


def doubt_job(purchases: PurchaseService) -> JobKind:
    """Searches for purchases in doubt. A search of one server holds the lease of what it searches for."""

    async def run(_key: str) -> None:
        await purchases.settle_if_due()

    async def find() -> list[str]:
        return ["all"] if await purchases.ledger.in_state("lost", limit=1) else []

    return JobKind(DOUBT, run, find)
