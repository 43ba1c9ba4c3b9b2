"""The purchase, which every tool that spends ends with: a quote, and unless it is a dry run, buying."""

from collections.abc import Awaitable, Sequence
from dataclasses import replace
from functools import partial

from luma_mcp.domain.apis import BackendName
from luma_mcp.domain.errors import AmbiguousPurchaseError, LumaError
from luma_mcp.domain.pricing import Footage, Price
from luma_mcp.domain.requests import Request, backend_of
from luma_mcp.domain.text import cleaned
from luma_mcp.mcp.results import PurchaseResult, purchase_result, quote_result
from luma_mcp.mcp.spec import Call
from luma_mcp.mcp.tools.arguments import SpendingArguments
from luma_mcp.mcp.tools.consent import ConsentRequest, buy_with_consent, quote_id_for
from luma_mcp.purchasing.orders import PurchaseRecord, PurchaseRequest, Quote
from luma_mcp.sources.resolver import Resolution

DECLINED = "The person was asked and did not want to buy this."
_MAX_PROMPT_LENGTH = 5000
# The question has these elsewhere, or not at all.
_NOT_OPTIONS = frozenset({"generation_type", "model", "prompt", "callback_url"})


async def purchase(
    call: Call,
    arguments: SpendingArguments,
    request: Request,
    sources: Resolution,
    footage: Footage | None = None,
) -> PurchaseResult:
    """Quote a request, and unless it is a dry run, buy it. The user is asked first if the settings demand it.

    Args:
        call: the call.
        arguments: the arguments that every tool that spends has.
        request: the request to Luma.
        sources: the sources of the request.
        footage: the footage of the clip that it works on, if that is known.
    """
    purchases = call.services.purchases
    quote = purchases.quote(request, footage, sources.generation_ids)
    subject = f"{quote.fingerprint} {arguments.take}"
    if arguments.dry_run:
        return quote_result(quote, quote_id_for(call, quote.price.usd, subject))
    record = await counted(call, backend_of(request), _buy(call, arguments, quote, sources, subject))
    return purchase_result(record)


async def counted(call: Call, backend: BackendName, buying: Awaitable[PurchaseRecord]) -> PurchaseRecord:
    """Wait for the purchase and count its outcome; a question is not counted, for the call comes again."""
    count = partial(call.services.meter.count_purchase, backend, call.person.name)
    try:
        record = await buying
    except LumaError as error:
        count("in doubt" if isinstance(error, AmbiguousPurchaseError) else "refused", 0.0)
        raise
    if record.recovered:
        count("joined", 0.0)
    else:
        count("bought", record.price.usd)
    return record


async def _buy(
    call: Call, arguments: SpendingArguments, quote: Quote, sources: Resolution, subject: str
) -> PurchaseRecord:
    """Buy, with the user's approval if the settings demand it."""
    publish = sources.publish if sources.has_files else None
    order = PurchaseRequest(quote, call.caller.report, take=arguments.take, person=call.person.name, publish=publish)
    request = ConsentRequest(
        subject, quote.price.usd, question(quote, quote.price, [arguments.take]), declined=DECLINED
    )
    return await buy_with_consent(
        call, arguments, request, lambda consent: call.services.purchases.buy(replace(order, consent=consent))
    )


def question(quote: Quote, price: Price, takes: Sequence[int]) -> str:
    """The question to the user: the operation, the price of all takes, the options, the sources and the prompt."""
    body = quote.encoded.body
    with_model = f" with {body['model']}" if "model" in body else ""
    basis = "" if quote.price.basis == "published" else ", an upper estimate"
    sentences = [f"Buy this at Luma ({quote.encoded.request.kind}{with_model}) for {price}{basis}?"]
    if len(takes) > 1:
        sentences.append(f"{len(takes)} takes of it, {quote.price} each.")
    elif takes[0] > 1:
        sentences.append(f"Take {takes[0]} of it.")
    options = {name: value for name, value in body.items() if name not in _NOT_OPTIONS}
    if options:
        sentences.append("; ".join(f"{name}: {cleaned(str(value), 300)}" for name, value in options.items()) + ".")
    if quote.made_from:
        sentences.append(f"Made from: {', '.join(quote.made_from)}.")
    if body.get("prompt"):
        sentences.append(f"Prompt: {cleaned(body['prompt'], _MAX_PROMPT_LENGTH)!r}.")
    return " ".join(sentences)
