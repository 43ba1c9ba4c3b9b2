"""Credits, prices, and a list of every charge and refund. Tests assert from that list."""

from dataclasses import dataclass, field
from typing import Literal

from luma_mcp.emulator.dream_machine.catalogue import FRAMES_PER_SECOND

# US dollars per million pixels. Those of Ray 2 reproduce the published price list to the cent.
VIDEO_RATES = {"ray-2": 0.0064, "ray-flash-2": 0.0022}
MODIFY_RATES = {"ray-2": 0.01582, "ray-flash-2": 0.00544}
IMAGE_RATES = {"photon-1": 0.0073, "photon-flash-1": 0.0019}
# Luma publishes no price for sound. This one is invented.
AUDIO_USD_PER_SECOND = 0.02


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


def clip_cents(rate: float, size: tuple[int, int], seconds: float) -> float:
    """The price of a clip in US cents."""
    megapixels = size[0] * size[1] * FRAMES_PER_SECOND * seconds / 1e6
    return round(megapixels * rate * 100, 2)


def image_cents(rate: float, size: tuple[int, int]) -> float:
    """The price of an image in US cents."""
    return round(size[0] * size[1] / 1e6 * rate * 100, 4)
