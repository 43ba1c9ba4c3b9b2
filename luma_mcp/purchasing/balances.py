"""The credit at Luma, where the API reports one."""

from contextlib import suppress

from luma_mcp.backends.base import AccountBackend
from luma_mcp.domain.apis import APIS, BackendName
from luma_mcp.domain.errors import BudgetError, LumaError
from luma_mcp.ledger import caps
from luma_mcp.ledger.caps import Balance, Budget
from luma_mcp.ledger.purchases import Ledger


class Balances:
    """Reads the credit of an account."""

    def __init__(self, backend: AccountBackend, ledger: Ledger, budget: Budget) -> None:
        self._backend = backend
        self._ledger = ledger
        self._budget = budget

    async def read(self, backend: BackendName) -> Balance | None:
        """The credit at Luma, if the budget needs it. It is read before the transaction that decides.

        Raises:
            BudgetError: the API reports no balance.
        """
        if self._budget.min_credit_usd is None:
            return None
        if not APIS[backend].reports_balance:
            raise BudgetError(
                f"LUMA_MIN_CREDIT_USD is set, and {APIS[backend].name} tells no balance, so it cannot be checked.",
                caps.ONLY_THE_PERSON,
            )
        return await self._balance()

    async def known(self, backend: BackendName) -> Balance | None:
        """The credit at Luma, where the API reports one and can be reached."""
        if APIS[backend].reports_balance:
            with suppress(LumaError):
                return await self._balance()
        return None

    async def _balance(self) -> Balance:
        read_at = await self._ledger.now()
        return Balance(await self._backend.get_credit_usd(), read_at)
