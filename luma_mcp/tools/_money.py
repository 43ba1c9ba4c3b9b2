"""What tools say of the day's money."""

from typing import TypedDict

from luma_mcp.luma.errors import LedgerError
from luma_mcp.studio import Studio


class Money(TypedDict, total=False):
    """The fields of an answer that tell of it."""

    spent_today_usd: float
    reserved_usd: float


async def spending(studio: Studio) -> Money:
    """What was spent today and what is reserved; nothing if the book cannot be read."""
    try:
        today = await studio.purchases.spending()
    except LedgerError:
        return {}
    return {"spent_today_usd": round(today.spent_usd, 4), "reserved_usd": round(today.reserved_usd, 4)}
