"""The user's approval of a purchase: by a button of the player, by a question, or by the quote of a dry run."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from luma_mcp.domain.errors import BudgetError
from luma_mcp.ledger.caps import ConsentNeededError
from luma_mcp.mcp.client.caller import UnansweredError
from luma_mcp.mcp.spec import Call
from luma_mcp.mcp.tools.arguments import SpendingArguments

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ConsentRequest:
    """A purchase that may need the user's approval.

    Args:
        subject: names the purchase; an approval is valid for this subject only.
        usd: the price in US dollars.
        question: the question to the user, for clients that can ask.
        declined: the sentence for a user who declines.
    """

    subject: str
    usd: float
    question: str
    declined: str


async def buy_with_consent(
    call: Call, arguments: SpendingArguments, request: ConsentRequest, buy: Callable[[str | None], Awaitable[_T]]
) -> _T:
    """Buy; if the settings demand the user's approval, get it first.

    Args:
        call: the call.
        arguments: the arguments that every tool that spends has.
        request: the purchase.
        buy: buys with the name of an approval, or without one.

    Raises:
        BudgetError: there is no way to ask, the quote is not for this purchase, or the user declined.
    """
    try:
        return await buy(None)
    except ConsentNeededError:
        consent = await _consent(call, arguments, request)
        if consent is None:
            raise BudgetError(request.declined, "Nothing was bought. Ask what to change.") from None
        return await buy(consent)


def quote_id_for(call: Call, usd: float, subject: str) -> str | None:
    """The quote in the result of a dry run; None unless the settings allow it and the price needs an approval."""
    limit = call.services.purchases.budget.confirm_above_usd
    if not call.services.approvals.in_dry_runs or limit is None or usd <= limit:
        return None
    return call.services.approvals.quote(subject, usd, call.person)


async def _consent(call: Call, arguments: SpendingArguments, request: ConsentRequest) -> str | None:
    """The name of the approval: by a pressed button, by a question, or by a quote; None if the user declines.

    Raises:
        BudgetError: there is no way to ask, or the quote is not for this purchase.
    """
    approvals, quote_id = call.services.approvals, arguments.quote_id
    if quote_id:
        sent = arguments.model_dump(mode="json", exclude_unset=True)
        consent = approvals.consent_by_button(quote_id, call.tool, sent, request.usd, call.person)
        if consent is not None:
            return consent
    if call.caller.can_ask or not approvals.in_dry_runs:
        try:
            return await call.caller.confirm(request.question, request.subject)
        except UnansweredError:
            if not approvals.in_dry_runs:
                raise
    consent = approvals.consent_by_quote(quote_id, request.subject, request.usd, call.person) if quote_id else None
    if consent is None:
        problem = "This quote_id is not for this request, this take and this price, or it is older than 15 minutes."
        raise BudgetError(
            problem if quote_id else "The person wants to be asked before this is bought (LUMA_CONFIRM_ABOVE_USD).",
            "Nothing was bought. Call it with dry_run=true, tell the person the price, and with the person's yes call "
            "it again with the quote_id of that answer.",
        )
    return consent
