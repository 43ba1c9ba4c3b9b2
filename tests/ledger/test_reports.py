"""Where the money went."""

import time
from dataclasses import replace
from typing import Any

from luma_mcp.ledger.reports import day_of, model_of, person_of, usd_by
from luma_mcp.ledger.spending import Total
from luma_mcp.ledger.states import STATES


def total(**changes: Any) -> Total:
    return replace(Total("", 0.0, "ray-2", "completed", 500_000, 1), **changes)


def test_the_most_is_first_and_equal_sums_are_in_the_order_of_their_names() -> None:
    rows = [total(person="ben"), total(person="carl", micros=200_000), total(person="anna"), total(person="carl")]

    assert list(usd_by(lambda item: item.person, rows).items()) == [("carl", 0.7), ("anna", 0.5), ("ben", 0.5)]


def test_what_was_refunded_or_never_bought_is_no_money() -> None:
    counted = {state for state in STATES if usd_by(lambda item: item.model, [total(state=state)])}

    assert counted == {"reserved", "waiting", "sending", "lost", "accepted", "completed", "disputed"}


def test_the_owner_has_no_name_of_a_person() -> None:
    assert [person_of(total()), person_of(total(person="anna"))] == ["owner", "anna"]
    assert model_of(total()) == "ray-2"


def test_a_day_is_one_of_this_machine() -> None:
    noon = time.mktime((2026, 11, 30, 12, 0, 0, 0, 0, -1))

    assert [day_of(total(started_at=noon + hours * 3600)) for hours in (-24, 0, 24)] == [
        "2026-11-29", "2026-11-30", "2026-12-01",
    ]  # fmt: skip
