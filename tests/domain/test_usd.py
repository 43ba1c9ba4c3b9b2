"""Money in whole micro-dollars, and the one way to show it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_mcp.domain.usd import Usd


@pytest.mark.parametrize(
    ("dollars", "shown"),
    [
        ("0", "$0.00"), ("0.04", "$0.04"), ("0.040", "$0.04"), ("0.0045", "$0.0045"), ("0.3", "$0.30"),
        ("1234.5", "$1,234.50"), ("0.000001", "$0.000001"), ("-0.5", "-$0.50"),
    ],
)  # fmt: skip
def test_an_amount_is_shown_in_one_way(dollars: str, shown: str) -> None:
    assert str(Usd.of(dollars)) == shown


@pytest.mark.parametrize(("dollars", "micros"), [(0.1, 100_000), ("0.1", 100_000), (0.0404, 40_400), ("0.0000001", 1)])
def test_an_amount_is_whole_micro_dollars_rounded_up(dollars: float | str, micros: int) -> None:
    assert Usd.of(dollars).micros == micros


@given(st.integers(-(10**12), 10**12))
def test_a_number_for_json_comes_back_as_the_same_amount(micros: int) -> None:
    assert Usd.of(Usd(micros).dollars) == Usd(micros)


def test_amounts_add_up_and_compare() -> None:
    assert sum([Usd.of("0.1"), Usd.of("0.2")]) == Usd.of("0.3")
    assert Usd.of("0.3") - Usd.of("0.1") == Usd.of("0.2")
    assert Usd.of("0.1") < Usd.of("0.2")
    assert not Usd(0)
    assert Usd(1)


@given(st.integers(0, 10**9), st.floats(0, 1000))
def test_a_multiple_is_never_less_than_it_is(micros: int, factor: float) -> None:
    product = Usd(micros).times(factor, digits=2)

    assert product.micros % 10_000 == 0
    assert -0.001 <= product.micros - micros * factor <= 10_000


def test_what_is_left_is_rounded_down_to_cents() -> None:
    assert Usd.of("999.2992").rounded_down() == Usd.of("999.29")


def test_what_is_a_hair_above_a_cent_is_that_cent() -> None:
    assert Usd.of("0.1").times(3, digits=2) == Usd.of("0.30")
    assert Usd.of("0.1").times(3.001, digits=2) == Usd.of("0.31")
