"""How every tool that spends ends."""

from luma_mcp.luma import wire
from luma_mcp.luma.errors import BudgetError
from luma_mcp.luma.models import Request
from luma_mcp.luma.prices import Footage
from luma_mcp.studio import Studio
from luma_mcp.studio.purchases import Quote
from luma_mcp.tools._answers import PurchaseAnswer, of_purchase, of_quote
from luma_mcp.tools._toolset import Caller


async def buy(
    studio: Studio, caller: Caller, request: Request, source: Footage | None = None, *, dry_run: bool
) -> PurchaseAnswer:
    """Quote, and unless it is a dry run, buy; the person is asked first where the person wants to be."""
    quote = studio.purchases.quote(request, source)
    if dry_run:
        return of_quote(quote)
    studio.purchases.check(quote)
    if studio.purchases.needs_confirmation(quote) and not await caller.confirm(_question(quote)):
        raise BudgetError(
            "The person was asked and did not want to buy this.", "Nothing was bought. Ask what to change."
        )
    return of_purchase(await studio.purchases.buy(quote, on_wait=caller.report))


def _question(quote: Quote) -> str:
    said = wire.body(quote.request)
    of_model = f" with {said['model']}" if "model" in said else ""
    prompt = f" Prompt: {wire.quoted(said['prompt'], 200)!r}." if said.get("prompt") else ""
    basis = "" if quote.price.basis == "published" else ", an upper estimate"
    return f"Buy this at Luma ({said['generation_type']}{of_model}) for {quote.price}{basis}?{prompt}"
