"""How every tool that spends ends: a quote, and unless it is a dry run, a purchase."""

from collections.abc import Awaitable
from dataclasses import replace
from functools import partial

from luma_mcp.domain.apis import BackendName
from luma_mcp.domain.errors import AmbiguousPurchaseError, LumaError
from luma_mcp.domain.pricing import Footage
from luma_mcp.domain.requests import Request, backend_of
from luma_mcp.domain.text import cleaned
from luma_mcp.mcp.results import PurchaseResult, purchase_result, quote_result
from luma_mcp.mcp.spec import Call
from luma_mcp.mcp.tools.arguments import SpendingArguments
from luma_mcp.mcp.tools.consent import ConsentRequest, buy_with_consent, quote_id_for
from luma_mcp.purchasing.orders import PurchaseRecord, PurchaseRequest, Quote
from luma_mcp.sources.resolver import Resolution

_MAX_PROMPT_LENGTH = 5000
# What a question shows of a request in addition to operation, model, price and prompt.
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
    subject = f"{quote.fingerprint} {arguments.take}"
    if arguments.dry_run:
        return quote_result(quote, quote_id_for(call, quote.price.usd, subject))
    bought = await _counted(call, backend_of(request), _buy(call, arguments, quote, sources, subject))
    return purchase_result(bought)


async def _counted(call: Call, backend: BackendName, buying: Awaitable[PurchaseRecord]) -> PurchaseRecord:
    """What was bought; how it ends is counted, but for a question, after which the call comes again."""
    count = partial(call.services.meter.purchased, backend, call.person.name)
    try:
        bought = await buying
    except LumaError as error:
        count("in doubt" if isinstance(error, AmbiguousPurchaseError) else "refused", 0.0)
        raise
    if bought.recovered:
        count("joined", 0.0)
    else:
        count("bought", bought.price.usd)
    return bought


async def _buy(
    call: Call, arguments: SpendingArguments, quote: Quote, sources: Resolution, subject: str
) -> PurchaseRecord:
    """Buy, with the user's approval if the settings demand it."""
    publish = sources.publish if sources.has_files else None
    order = PurchaseRequest(quote, call.caller.report, take=arguments.take, person=call.person.name, publish=publish)
    request = ConsentRequest(
        subject,
        quote.price.usd,
        _question(quote, arguments.take),
        declined="The person was asked and did not want to buy this.",
    )
    return await buy_with_consent(
        call, arguments, request, lambda consent: call.services.purchases.buy(replace(order, consent=consent))
    )


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
