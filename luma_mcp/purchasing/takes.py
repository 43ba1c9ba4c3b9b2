"""Several takes of one request, which are priced and allowed together. Each is bought as a purchase of its own."""

from collections.abc import Sequence
from dataclasses import replace

from luma_mcp.domain.pricing import Price
from luma_mcp.domain.requests import backend_of
from luma_mcp.ledger import caps
from luma_mcp.purchasing.orders import PurchaseRequest, new_purchase
from luma_mcp.purchasing.service import PurchaseService


async def not_bought(purchases: PurchaseService, order: PurchaseRequest, takes: Sequence[int]) -> list[int]:
    """The takes that are not bought yet. Raises: LedgerError."""
    ledger = purchases.ledger
    new = replace(new_purchase(order), account=purchases.account_of(backend_of(order.quote.encoded.request)))
    held = await ledger.held_takes(new, takes, of_all=ledger.is_shared)
    return [take for take in takes if take not in held]


async def check_caps(purchases: PurchaseService, price: Price, person: str) -> None:
    """Check the caps for the sum, so that none is bought if not all may be. Each purchase checks them again.

    Raises: BudgetError, LedgerError.
    """
    budget = purchases.budget
    caps.check_call(budget, price.usd, f"{price} ({price.basis})")

    async def check_day() -> None:
        if budget.max_usd_per_day is not None:
            caps.check_day(budget, price.usd, await purchases.spending())
        if budget.max_usd_per_person_per_day is not None:
            caps.check_person_day(budget, price.usd, await purchases.spending(person))

    await purchases.with_refunds(check_day)
