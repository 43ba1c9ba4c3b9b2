"""What the person allows to be spent."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """Limits in US dollars. None is no limit."""

    max_usd_per_call: float | None = None
    max_usd_per_day: float | None = None
    min_credit_usd: float | None = None
    confirm_above_usd: float | None = None
