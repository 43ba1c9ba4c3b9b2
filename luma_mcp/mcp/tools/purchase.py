"""How every tool that spends ends: a quote, and unless it is a dry run, a purchase."""

from luma_mcp.domain.errors import BudgetError
from luma_mcp.domain.pricing import Footage
from luma_mcp.domain.requests import Request
from luma_mcp.domain.text import cleaned
from luma_mcp.mcp.results import PurchaseResult, purchase_result, quote_result
from luma_mcp.mcp.tool_spec import Call
from luma_mcp.purchasing.service import Quote
from luma_mcp.sources.resolver import Resolution


async def purchase(
    call: Call,
    request: Request,
    sources: Resolution,
    footage: Footage | None = None,
    *,
    dry_run: bool,
) -> PurchaseResult:
    """Quote a request, and unless it is a dry run, buy it. The person is asked first where the person wants to be.

    Args:
        call: the call.
        request: what Luma would be sent.
        sources: what the request was made from.
        footage: the footage of the clip that it works on, where that is known.
        dry_run: only answer request and price.
    """
    purchases = call.services.purchases
    quote = purchases.quote(request, footage, sources.generation_ids)
    if dry_run:
        return quote_result(quote)
    purchases.check(quote)
    if purchases.needs_confirmation(quote) and not await call.caller.confirm(_question(quote)):
        raise BudgetError(
            "The person was asked and did not want to buy this.", "Nothing was bought. Ask what to change."
        )
    return purchase_result(await purchases.buy(quote, links=await sources.publish(), on_wait=call.caller.report))


def _question(quote: Quote) -> str:
    body = quote.encoded.body
    with_model = f" with {body['model']}" if "model" in body else ""
    prompt = f" Prompt: {cleaned(body['prompt'], 200)!r}." if body.get("prompt") else ""
    basis = "" if quote.price.basis == "published" else ", an upper estimate"
    return f"Buy this at Luma ({quote.encoded.request.kind}{with_model}) for {quote.price}{basis}?{prompt}"
