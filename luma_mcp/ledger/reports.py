"""Where the money went: by person, by model, by day."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from luma_mcp.ledger.rows import Row
from luma_mcp.ledger.states import RESERVED, SPENT

Totals = Mapping[str, float]
"""Dollars by name, the most first."""


def usd_by(name_of: Callable[[Row], str], rows: Iterable[Row]) -> Totals:
    """What is spent or reserved, by a name that each row has."""
    micros: dict[str, int] = {}
    for row in rows:
        if row.state in SPENT | RESERVED:
            name = name_of(row)
            micros[name] = micros.get(name, 0) + row.micros
    return {name: sum_ / 1e6 for name, sum_ in sorted(micros.items(), key=lambda item: (-item[1], item[0]))}


def model_of(row: Row) -> str:
    """The model that a purchase pays; for what has none, such as sound, the operation."""
    return str(row.body.get("model") or row.kind)


def day_of(row: Row) -> str:
    """The day of a purchase in the time zone of this machine, which is the caps' too."""
    return datetime.fromtimestamp(row.reserved_at).strftime("%Y-%m-%d")  # noqa: DTZ006 - local on purpose
