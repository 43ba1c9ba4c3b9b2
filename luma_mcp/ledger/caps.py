"""The limits that the user sets for spending, and the checks of a purchase against them."""

from dataclasses import dataclass

from luma_mcp.domain.errors import BudgetError

ONLY_THE_PERSON = "Nothing was bought. Only the person can change that, in this server's environment."
# A charge may show in Luma's balance later than the purchase.
BALANCE_LAG_SECONDS = 120.0


class ConsentNeededError(Exception):
    """The user's approval is needed before this is bought. Nothing was written."""

    def __init__(self, usd: float = 0.0, person: str = "") -> None:
        super().__init__()
        self.usd = usd
        """The price."""
        self.person = person
        """The buyer."""


class CapReachedError(BudgetError):
    """A cap of a day, or of the credit, forbids the purchase. Nothing was written."""

    def __init__(self, message: str, hint: str, cap: str) -> None:
        super().__init__(message, hint)
        self.cap = cap
        """The setting."""
        self.person = ""
        """The buyer."""


class ConsentUsedError(BudgetError):
    """The user's consent was used already. Nothing was written."""

    def __init__(self) -> None:
        super().__init__(
            "The person's yes has served for an earlier purchase.", "Nothing was bought. Call again to ask anew."
        )


@dataclass(frozen=True)
class Budget:
    """Limits in US dollars. None is no limit."""

    max_usd_per_call: float | None = None
    max_usd_per_day: float | None = None
    max_usd_per_person_per_day: float | None = None
    min_credit_usd: float | None = None
    confirm_above_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Balance:
    """The credit at Luma in dollars, and when it was read, in the ledger's time."""

    usd: float
    read_at: float


@dataclass(frozen=True, slots=True)
class Spending:
    """A day's money in dollars, and the number of its purchases with any outcome."""

    spent_usd: float
    reserved_usd: float
    purchases: int


def check_call(budget: Budget, usd: float, price_text: str) -> None:
    """Raises: BudgetError, if the cap for one call forbids it. `price_text` is the price as a person reads it."""
    limit = budget.max_usd_per_call
    if limit is not None and usd > limit:
        raise BudgetError(
            f"This costs {price_text}, and the cap for one call (LUMA_MAX_USD_PER_CALL) is ${limit:.2f}.",
            ONLY_THE_PERSON,
        )


def check_day(budget: Budget, usd: float, spending: Spending) -> None:
    """Raises: BudgetError, if the day's cap forbids it."""
    _check_limit(
        budget.max_usd_per_day, usd, spending,
        "today's cap", "LUMA_MAX_USD_PER_DAY", "Only the person can change the cap, in this server's environment.",
    )  # fmt: skip


def check_person_day(budget: Budget, usd: float, spending: Spending) -> None:
    """Raises: BudgetError, if the day's cap of one person forbids it. `spending` is that person's."""
    _check_limit(
        budget.max_usd_per_person_per_day, usd, spending,
        "your cap for today", "LUMA_MAX_USD_PER_PERSON_PER_DAY", "Only who runs this server can change the cap.",
    )  # fmt: skip


def _check_limit(limit: float | None, usd: float, spending: Spending, name: str, cap: str, hint: str) -> None:
    """Raises: CapReachedError, if a purchase would pass a day's limit. Sums are in whole micro-dollars, so exact."""
    if limit is not None and round((usd + spending.spent_usd + spending.reserved_usd) * 1e6) > round(limit * 1e6):
        raise CapReachedError(
            f"This costs ${usd:.2f}, and {name} ({cap}) of ${limit:.2f} has ${spending.spent_usd:.2f} spent and "
            f"${spending.reserved_usd:.2f} reserved.",
            f"Nothing was bought. {hint}",
            cap,
        )


def check_credit(budget: Budget, usd: float, balance: Balance | None, sent_since_usd: float) -> None:
    """Raises: BudgetError, if too little credit would be left.

    Args:
        budget: the limits that the user sets.
        usd: the price.
        balance: the newest known balance.
        sent_since_usd: the dollars that were sent since that balance was read, or may not be in it yet.
    """
    min_credit = budget.min_credit_usd
    if min_credit is None or balance is None:
        return
    if round((balance.usd - sent_since_usd - usd) * 1e6) < round(min_credit * 1e6):
        under_way = f" less ${sent_since_usd:.2f} that was sent since" if sent_since_usd else ""
        floor = f", and ${min_credit:.2f} must stay in it (LUMA_MIN_CREDIT_USD)" if min_credit else ""
        hint = (
            ONLY_THE_PERSON
            if min_credit
            else "Nothing was bought. API credit is bought at https://platform.lumalabs.ai."
        )
        message = f"This costs ${usd:.2f}, the account has ${balance.usd:.2f}{under_way}{floor}."
        raise CapReachedError(message, hint, "LUMA_MIN_CREDIT_USD")
