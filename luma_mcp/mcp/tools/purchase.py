"""How every tool that spends ends: a quote, and unless it is a dry run, a purchase."""

from collections.abc import Awaitable
from dataclasses import replace
from functools import partial

from luma_mcp.domain.apis import BackendName
from luma_mcp.domain.errors import AmbiguousPurchaseError, BudgetError, LumaError
from luma_mcp.domain.pricing import Footage
from luma_mcp.domain.requests import Request, backend_of
from luma_mcp.domain.text import cleaned
from luma_mcp.ledger.caps import ConsentNeededError
from luma_mcp.mcp.client.caller import UnansweredError
from luma_mcp.mcp.results import PurchaseResult, purchase_result, quote_result
from luma_mcp.mcp.spec import Call
from luma_mcp.mcp.tools.arguments import SpendingArguments
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
    count = partial(call.services.meter.count_purchase, backend, call.person.name)
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
    """Buy, with the person's yes where it is wanted."""
    purchases = call.services.purchases
    publish = sources.publish if sources.has_files else None
    order = PurchaseRequest(quote, call.caller.report, take=arguments.take, person=call.person.name, publish=publish)
    try:
        return await purchases.buy(order)
    except ConsentNeededError:
        consent = await consent_for(call, arguments, quote.price.usd, subject, _question(quote, arguments.take))
        if consent is None:
            raise BudgetError(
                "The person was asked and did not want to buy this.", "Nothing was bought. Ask what to change."
            ) from None
        return await purchases.buy(replace(order, consent=consent))


def quote_id_for(call: Call, usd: float, subject: str) -> str | None:
    """The quote that a dry run answers, where the settings allow it and the price needs a yes."""
    limit = call.services.purchases.budget.confirm_above_usd
    if not call.services.quotes.in_dry_runs or limit is None or usd <= limit:
        return None
    return call.services.quotes.of(subject, usd, call.person)


async def consent_for(call: Call, arguments: SpendingArguments, usd: float, subject: str, question: str) -> str | None:
    """The name of the person's yes: by a button that was pressed, by a question, or by a quote; None for a no.

    Args:
        call: the call.
        arguments: what every tool that spends takes.
        usd: the price in US dollars.
        subject: what the yes is for.
        question: what the person is asked, where the client can ask.

    Raises:
        BudgetError: there is no way to ask, or the quote is none for this.
    """
    quotes, quote_id = call.services.quotes, arguments.quote_id
    if quote_id:
        sent = arguments.model_dump(mode="json", exclude_unset=True)
        consent = quotes.consent_by_button(quote_id, call.tool, sent, usd, call.person)
        if consent is not None:
            return consent
    if call.caller.can_ask or not quotes.in_dry_runs:
        try:
            return await call.caller.confirm(question, subject)
        except UnansweredError:
            if not quotes.in_dry_runs:
                raise
    consent = quotes.consent(quote_id, subject, usd, call.person) if quote_id else None
    if consent is None:
        problem = "This quote_id is not for this request, this take and this price, or it is older than 15 minutes."
        raise BudgetError(
            problem if quote_id else "The person wants to be asked before this is bought (LUMA_CONFIRM_ABOVE_USD).",
            "Nothing was bought. Call it with dry_run=true, tell the person the price, and with the person's yes call "
            "it again with the quote_id of that answer.",
        )
    return consent


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
