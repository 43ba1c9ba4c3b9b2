"""Money: whole micro-dollars, and the one way to show them."""

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

_MICROS = 1_000_000


@dataclass(frozen=True, slots=True, order=True)
class Usd:
    """An amount in US dollars, counted in whole micro-dollars."""

    micros: int

    @classmethod
    def of(cls, dollars: str | float | Decimal) -> Self:
        """The amount for a text such as `0.0404`, or for a number. What is less than a micro-dollar rounds up."""
        # A float is read as it is printed: 0.1 is a tenth, not the binary fraction above it.
        return cls(math.ceil(Decimal(str(dollars)) * _MICROS))

    @property
    def dollars(self) -> float:
        """The amount as a number of dollars, for JSON."""
        return self.micros / _MICROS

    def times(self, factor: float, *, digits: int = 6) -> "Usd":
        """The amount times a number, rounded up to a number of digits after the point.

        What is a hair above a round amount is that amount: floating-point factors have such hairs.
        """
        step: int = 10 ** (6 - digits)
        return Usd(math.ceil(self.micros * factor / step - 1e-9) * step)

    def rounded_down(self) -> "Usd":
        """The whole cents in it, for what is left of an account."""
        return Usd(self.micros // 10_000 * 10_000)

    def __add__(self, other: "Usd") -> "Usd":
        return Usd(self.micros + other.micros)

    def __sub__(self, other: "Usd") -> "Usd":
        return Usd(self.micros - other.micros)

    def __radd__(self, other: int) -> "Usd":
        """Let `sum` add amounts; it starts with 0."""
        return Usd(self.micros + other * _MICROS)

    def __bool__(self) -> bool:
        return self.micros != 0

    def __str__(self) -> str:
        """The amount with two digits after the point, or as many as it has: `$0.04`, `$0.0045`."""
        sign, whole = "-" if self.micros < 0 else "", abs(self.micros)
        fraction = f"{whole % _MICROS:06}"
        return f"{sign}${whole // _MICROS:,}.{fraction[:2]}{fraction[2:].rstrip('0')}"


ZERO = Usd(0)
