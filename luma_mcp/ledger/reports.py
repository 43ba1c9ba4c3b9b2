"""Reports of the money: by person, by model, by day. They are computed from running totals, never from purchases."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from luma_mcp.ledger.spending import Total
from luma_mcp.ledger.states import RESERVED, SPENT

Totals = Mapping[str, float]
"""Dollars by name, the largest first."""


def usd_by(name_of: Callable[[Total], str], totals: Iterable[Total]) -> Totals:
    """The money that is spent or reserved, grouped by a name of each total."""
    micros: dict[str, int] = {}
    for total in totals:
        if total.state in SPENT | RESERVED:
            name = name_of(total)
            micros[name] = micros.get(name, 0) + total.micros
    return {name: sum_ / 1e6 for name, sum_ in sorted(micros.items(), key=lambda item: (-item[1], item[0]))}


def person_of(total: Total) -> str:
    """The name of the person in a report."""
    return total.person or "owner"


def model_of(total: Total) -> str:
    """The model; for a purchase that has none, such as sound, the operation."""
    return total.model


def day_of(total: Total) -> str:
    """The day in the time zone of this machine, which is the caps' too."""
    return datetime.fromtimestamp(total.started_at).strftime("%Y-%m-%d")  # noqa: DTZ006 - local on purpose
