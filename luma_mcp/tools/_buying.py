"""How every tool that spends ends."""

from collections.abc import Sequence

from luma_mcp.luma import wire
from luma_mcp.luma.errors import BudgetError
from luma_mcp.luma.models import Request
from luma_mcp.luma.prices import Footage
from luma_mcp.studio import Studio
from luma_mcp.studio.media import Sources, generations_in
from luma_mcp.studio.purchases import Quote
from luma_mcp.tools._answers import PurchaseAnswer, of_purchase, of_quote
from luma_mcp.tools._toolset import Caller


def sources_for(studio: Studio, *, dry_run: bool) -> Sources:
    """What finds the sources: a dry run puts no file anywhere."""
    return studio.sources.rehearsed() if dry_run else studio.sources


async def buy(
    studio: Studio,
    caller: Caller,
    request: Request,
    footage: Footage | None = None,
    *,
    sources: Sequence[str | None] = (),
    dry_run: bool,
) -> PurchaseAnswer:
    """Quote, and unless it is a dry run, buy; the person is asked first where the person wants to be.

    Args:
        studio: what tools work with.
        caller: who asked.
        request: what Luma would be sent.
        footage: the clip that it works on, where its measures are known.
        sources: what was named to work on, for the book.
        dry_run: only say what it would be.
    """
    quote = studio.purchases.quote(request, footage, generations_in(*sources))
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
