"""Several takes of one request by one call: one price, one approval, and an id for each."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated

import anyio
from pydantic import Field

from luma_mcp.domain.errors import AmbiguousPurchaseError, BudgetError, LumaError
from luma_mcp.domain.pricing import Footage, Price
from luma_mcp.domain.requests import Request, backend_of
from luma_mcp.ledger.caps import ConsentNeededError
from luma_mcp.mcp.results import PurchaseResult, PurchasesResult, price_is_assumed, shown_state
from luma_mcp.mcp.spec import Call
from luma_mcp.mcp.tools.arguments import SpendingArguments, without_limits
from luma_mcp.mcp.tools.consent import ConsentRequest, buy_with_consent, quote_id_for
from luma_mcp.mcp.tools.purchase import DECLINED, counted, purchase, question
from luma_mcp.purchasing import takes as several
from luma_mcp.purchasing.orders import PurchaseRecord, PurchaseRequest, Quote
from luma_mcp.sources.resolver import Resolution

_MAX_COUNT = 8
_AT_ONCE = 4


class CandidateArguments(SpendingArguments):
    """The arguments of a tool that can make several takes at once."""

    count: Annotated[
        int,
        Field(ge=1, le=_MAX_COUNT, description=f"Takes at once, up to {_MAX_COUNT}.", json_schema_extra=without_limits),
    ] = 1


async def purchase_candidates(
    call: Call,
    arguments: CandidateArguments,
    request: Request,
    sources: Resolution,
    footage: Footage | None = None,
) -> PurchaseResult:
    """Quote a request for as many takes as are wanted, and unless it is a dry run, buy those that are not bought yet.

    The arguments are those of `purchase`.
    """
    if arguments.count == 1:
        return await purchase(call, arguments, request, sources, footage)
    purchases = call.services.purchases
    quote = purchases.quote(request, footage, sources.generation_ids)
    publish = sources.publish if sources.has_files else None
    order = PurchaseRequest(quote, call.caller.report, take=arguments.take, person=call.person.name, publish=publish)
    takes = range(arguments.take, arguments.take + arguments.count)
    missing = await several.not_bought(purchases, order, takes)
    price = Price(quote.price.amount.times(len(missing)), quote.price.basis)
    subject = f"{quote.fingerprint} {arguments.take} x{arguments.count}"
    if arguments.dry_run:
        return _quoted(quote, price, takes, missing, quote_id_for(call, price.usd, subject))

    async def buy(consent: str | None) -> tuple[dict[int, PurchaseRecord], dict[int, LumaError]]:
        if missing:
            await several.check(purchases, price, call.person.name, consent)
        return await _buy(call, order, takes, missing, consent)

    asked = ConsentRequest(subject, price.usd, question(quote, price, missing or takes), declined=DECLINED)
    records, errors = await buy_with_consent(call, arguments, asked, buy)
    if not records:
        raise errors[min(errors)]
    return _bought(quote, records, errors)


async def _buy(
    call: Call, order: PurchaseRequest, takes: Sequence[int], missing: Sequence[int], consent: str | None
) -> tuple[dict[int, PurchaseRecord], dict[int, LumaError]]:
    """Join the takes that are bought, and buy those that are missing; what is bought and what is not, by take.

    The first one that is missing goes ahead: what refuses it refuses the others too, unless the reason is its own.
    """
    records: dict[int, PurchaseRecord] = {}
    errors: dict[int, LumaError] = {}
    limiter = anyio.CapacityLimiter(_AT_ONCE)

    async def buy(take: int) -> None:
        # An approval is valid once, for as many purchases as its price was for, whatever their takes.
        is_approved = consent is not None and take in missing
        name = f"{consent} {missing.index(take)}" if is_approved else None
        async with limiter:
            try:
                buying = call.services.purchases.buy(replace(order, take=take, consent=name))
                records[take] = await counted(call, backend_of(order.quote.encoded.request), buying)
            except LumaError as error:
                errors[take] = error
            except ConsentNeededError:
                # It seemed to be bought, and has failed since.
                errors[take] = BudgetError(
                    "The person wants to be asked before it is bought again.",
                    f"Call it with take={take}, without count.",
                )

    async def buy_all(chosen: Sequence[int]) -> None:
        async with anyio.create_task_group() as tasks:
            for take in chosen:
                tasks.start_soon(buy, take)

    await buy_all([take for take in takes if take not in missing[1:]])
    if all(take in records or isinstance(errors[take], AmbiguousPurchaseError) for take in missing[:1]):
        await buy_all(missing[1:])
    return records, errors


def _quoted(
    quote: Quote, price: Price, takes: Sequence[int], missing: Sequence[int], quote_id: str | None
) -> PurchasesResult:
    count = f"{len(takes)} takes" if len(missing) == len(takes) else f"{len(missing)} of {len(takes)} takes"
    with_id = "tell the person the price; with the person's yes, call again with this quote_id and without dry_run."
    return PurchasesResult(
        dry_run=True,
        price_usd=price.usd,
        price_is_assumed=price_is_assumed(price),
        request=f"{count} of {quote.encoded}",
        quote_id=quote_id,
        next=with_id if quote_id else "call again without dry_run to buy it.",
    )


def _bought(quote: Quote, records: Mapping[int, PurchaseRecord], errors: Mapping[int, LumaError]) -> PurchasesResult:
    takes = sorted(records)
    ids = [records[take].generation.id for take in takes]
    earlier = [take for take in takes if records[take].recovered]
    price = Price(quote.price.amount.times(len(takes)), quote.price.basis)
    named = ", ".join(f'"{generation_id}"' for generation_id in ids)
    sentences = [f"wait_for_generation(generation_ids=[{named}])."]
    if earlier and len(earlier) < len(takes):
        sentences.append(f"Bought before: take {', '.join(map(str, earlier))}.")
    sentences += [f"Take {take} failed: {errors[take].full_text}" for take in sorted(errors)]
    return PurchasesResult(
        dry_run=False,
        price_usd=price.usd,
        price_is_assumed=price_is_assumed(price),
        generation_id=ids[0],
        generation_ids=ids,
        state=shown_state(records[takes[0]].generation),
        recovered=len(earlier) == len(takes) or None,
        next=" ".join(sentences),
    )
