"""The counters of a running server. They never hold a prompt, a link or a token."""

from typing import Literal, Protocol

from luma_mcp.domain.apis import BackendName

Outcome = Literal["done", "refused", "failed"]
"""The call succeeded; it was refused with a message; this server failed."""
PurchaseOutcome = Literal["bought", "joined", "refused", "in doubt"]
"""It is a new purchase; it had been made before; it was not made; it is not known."""


class Meter(Protocol):
    """Counts calls, purchases and responses."""

    def count_call(self, tool: str, person: str, outcome: Outcome, seconds: float) -> None:
        """Count a call of a tool."""
        ...

    def count_purchase(self, backend: BackendName, person: str, outcome: PurchaseOutcome, usd: float) -> None:
        """Count an attempt to buy; `usd` is the price if it is bought now, else 0."""
        ...

    def count_response(self, backend: BackendName, method: str, status: int, seconds: float) -> None:
        """Count a response of one of Luma's APIs; `status` is 0 if there was none."""
        ...


class NoMeter:
    """Counts nothing."""

    def count_call(self, tool: str, person: str, outcome: Outcome, seconds: float) -> None:
        """Count nothing."""

    def count_purchase(self, backend: BackendName, person: str, outcome: PurchaseOutcome, usd: float) -> None:
        """Count nothing."""

    def count_response(self, backend: BackendName, method: str, status: int, seconds: float) -> None:
        """Count nothing."""


NO_METER = NoMeter()
