"""Several takes of one request, which are priced and allowed together. Each is bought as a purchase of its own."""

from collections.abc import Sequence
from dataclasses import replace

from luma_mcp.domain.pricing import Price
from luma_mcp.domain.requests import backend_of
from luma_mcp.ledger import caps, spending
from luma_mcp.ledger.store import Transaction
from luma_mcp.purchasing.orders import PurchaseRequest, new_purchase
from luma_mcp.purchasing.service import PurchaseService


async def not_bought(purchases: PurchaseService, order: PurchaseRequest, takes: Sequence[int]) -> list[int]:
    """The takes that are not bought yet. Raises: LedgerError."""
    ledger = purchases.ledger
    new = replace(new_purchase(order), account=purchases.account_of(backend_of(order.quote.encoded.request)))
    held = await ledger.held_takes(new, takes, of_all=ledger.is_shared)
    return [take for take in takes if take not in held]


async def check(purchases: PurchaseService, price: Price, person: str, consent: str | None) -> None:
    """Check the sum, so that none is bought if not all may be. Each purchase is checked again.

    Raises:
        BudgetError: a cap forbids it.
        ConsentNeededError: the user's approval is needed first.
        LedgerError: the ledger cannot be used.
    """
    ledger, budget = purchases.ledger, purchases.budget
    caps.check_call(budget, price.usd, f"{price} ({price.basis})")

    def work(transaction: Transaction) -> None:
        spending.check(
            transaction, budget, price.amount.micros, accounts=ledger.accounts, person=person, balance=None,
            consent=consent,
        )  # fmt: skip

    await purchases.with_refunds(lambda: ledger.transact(work))
