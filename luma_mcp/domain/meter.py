"""What is counted while the server runs. Never a prompt, a link or a token."""

from typing import Literal, Protocol

from luma_mcp.domain.apis import BackendName

Outcome = Literal["done", "refused", "failed"]
"""A call that did what it should; one that was refused with a sentence; a mistake of this server."""
Buying = Literal["bought", "joined", "refused", "in doubt"]
"""A new purchase; one that had been made before; none; nobody can say."""


class Meter(Protocol):
    """Counts."""

    def count_call(self, tool: str, person: str, outcome: Outcome, seconds: float) -> None:
        """A tool was called."""
        ...

    def count_purchase(self, backend: BackendName, person: str, outcome: Buying, usd: float) -> None:
        """Somebody wanted to buy something; `usd` is the price of what was bought now, else 0."""
        ...

    def count_response(self, backend: BackendName, method: str, status: int, seconds: float) -> None:
        """An API of Luma's answered; `status` is 0 if it did not."""
        ...


class NoMeter:
    """Counts nothing."""

    def count_call(self, tool: str, person: str, outcome: Outcome, seconds: float) -> None:
        """Count nothing."""

    def count_purchase(self, backend: BackendName, person: str, outcome: Buying, usd: float) -> None:
        """Count nothing."""

    def count_response(self, backend: BackendName, method: str, status: int, seconds: float) -> None:
        """Count nothing."""


NO_METER = NoMeter()
