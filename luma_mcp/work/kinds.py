"""The kinds of jobs of a server."""

from luma_mcp.purchasing.service import PurchaseService
from luma_mcp.work.jobs import JobKind

QUEUE = "queue"
"""Sends what waits for a slot at Luma; the key is the account."""


def queue_job(purchases: PurchaseService) -> JobKind:
    """Sends what waits at an account, as slots become free."""
    return JobKind(QUEUE, purchases.queue.send_waiting, purchases.queue.waiting_accounts)
