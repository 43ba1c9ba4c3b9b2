"""How every tool that spends ends."""

from luma_mcp.luma.models import Request
from luma_mcp.luma.prices import Footage
from luma_mcp.studio import Studio
from luma_mcp.tools._answers import PurchaseAnswer, of_purchase, of_quote


async def buy(studio: Studio, request: Request, source: Footage | None = None, *, dry_run: bool) -> PurchaseAnswer:
    """Quote, and unless it is a dry run, buy."""
    quote = studio.purchases.quote(request, source)
    return of_quote(quote) if dry_run else of_purchase(await studio.purchases.buy(quote))
