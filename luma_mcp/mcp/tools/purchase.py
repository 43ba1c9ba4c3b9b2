"""How every tool that spends ends: a quote, and unless it is a dry run, a purchase."""

from dataclasses import replace

from luma_mcp.domain.errors import BudgetError
from luma_mcp.domain.pricing import Footage
from luma_mcp.domain.requests import Request
from luma_mcp.domain.text import cleaned
from luma_mcp.mcp.results import PurchaseResult, purchase_result, quote_result
from luma_mcp.mcp.tool_spec import Call
from luma_mcp.mcp.tools.arguments import SpendingArguments
from luma_mcp.purchasing.budget import ConsentNeededError
from luma_mcp.purchasing.orders import Order, Quote
from luma_mcp.sources.resolver import Resolution

_MAX_PROMPT_LENGTH = 5000
# What a question tells of a request beside operation, model, price and prompt.
_NOT_FORM = frozenset({"generation_type", "model", "prompt", "callback_url"})


async def purchase(
    call: Call,
    arguments: SpendingArguments,
    request: Request,
    sources: Resolution,
    footage: Footage | None = None,
) -> PurchaseResult:
    """Quote a request, and unless it is a dry run, buy it. The person is asked first where the person wants to be.

    Args:
        call: the call.
        arguments: what every tool that spends takes.
        request: what Luma would be sent.
        sources: what the request was made from.
        footage: the footage of the clip that it works on, where that is known.
    """
    purchases = call.services.purchases
    quote = purchases.quote(request, footage, sources.generation_ids)
    if arguments.dry_run:
        return quote_result(quote)
    publish = sources.publish if sources.has_files else None
    order = Order(quote, call.caller.report, take=arguments.take, person=call.person.name, publish=publish)
    try:
        bought = await purchases.buy(order)
    except ConsentNeededError:
        consent = await call.caller.confirm(_question(quote, arguments.take), f"{quote.fingerprint} {arguments.take}")
        if consent is None:
            raise BudgetError(
                "The person was asked and did not want to buy this.", "Nothing was bought. Ask what to change."
            ) from None
        bought = await purchases.buy(replace(order, consent=consent))
    return purchase_result(bought)


def _question(quote: Quote, take: int) -> str:
    """The question that a person answers: what is bought, for how much, in what form, from what, by which prompt."""
    body = quote.encoded.body
    with_model = f" with {body['model']}" if "model" in body else ""
    basis = "" if quote.price.basis == "published" else ", an upper estimate"
    parts = [f"Buy this at Luma ({quote.encoded.request.kind}{with_model}) for {quote.price}{basis}?"]
    if take > 1:
        parts.append(f"Take {take} of it.")
    form = {name: value for name, value in body.items() if name not in _NOT_FORM}
    if form:
        parts.append("; ".join(f"{name}: {cleaned(str(value), 300)}" for name, value in form.items()) + ".")
    if quote.made_from:
        parts.append(f"Made from: {', '.join(quote.made_from)}.")
    if body.get("prompt"):
        parts.append(f"Prompt: {cleaned(body['prompt'], _MAX_PROMPT_LENGTH)!r}.")
    return " ".join(parts)
