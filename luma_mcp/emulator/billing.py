"""Credits, and a list of every charge and refund. Tests assert from that list."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Entry:
    """A charge or a refund in US cents, as on the wire."""

    what: Literal["charge", "refund"]
    generation_id: str
    cents: float


@dataclass
class Billing:
    """Credits go down when a generation is accepted and come back when it fails."""

    credit_cents: float
    entries: list[Entry] = field(default_factory=list[Entry])

    @property
    def balance_cents(self) -> float:
        charged = sum(entry.cents for entry in self.entries if entry.what == "charge")
        refunded = sum(entry.cents for entry in self.entries if entry.what == "refund")
        return round(self.credit_cents - charged + refunded, 4)

    def can_pay(self, cents: float) -> bool:
        return self.balance_cents >= cents

    def charge(self, generation_id: str, cents: float) -> None:
        self.entries.append(Entry("charge", generation_id, cents))

    def refund(self, generation_id: str) -> None:
        paid = sum(entry.cents for entry in self.entries if entry.generation_id == generation_id)
        self.entries.append(Entry("refund", generation_id, paid))

    def purchases(self) -> list[str]:
        """The ids of everything bought, oldest first, whether or not it was refunded later."""
        return [entry.generation_id for entry in self.entries if entry.what == "charge"]
