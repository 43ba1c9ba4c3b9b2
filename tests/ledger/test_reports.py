"""Where the money went."""

import time
from typing import Any

from luma_mcp.ledger.reports import day_of, model_of, usd_by
from luma_mcp.ledger.rows import Row
from luma_mcp.ledger.states import STATES


def row(**changes: Any) -> Row:
    facts = {
        "fingerprint": "f", "signature": "s", "request": '{"model":"ray-2"}', "kind": "video", "micros": 500_000,
        "basis": "published", "state": "completed",
    }  # fmt: skip
    return Row(**{**facts, **changes})


def test_the_most_is_first_and_equal_sums_are_in_the_order_of_their_names() -> None:
    rows = [row(person="ben"), row(person="carl", micros=200_000), row(person="anna"), row(person="carl")]

    assert list(usd_by(lambda item: item.person, rows).items()) == [("carl", 0.7), ("anna", 0.5), ("ben", 0.5)]


def test_what_was_refunded_or_never_bought_is_no_money() -> None:
    counted = {state for state in STATES if usd_by(lambda item: item.kind, [row(state=state)])}

    assert counted == {"reserved", "sending", "lost", "accepted", "completed", "disputed"}


def test_a_purchase_without_a_model_is_named_by_its_operation() -> None:
    assert model_of(row()) == "ray-2"
    assert model_of(row(request="{}", kind="add_audio")) == "add_audio"


def test_a_day_is_one_of_this_machine() -> None:
    noon = time.mktime((2026, 11, 30, 12, 0, 0, 0, 0, -1))

    assert [day_of(row(reserved_at=noon + hours * 3600)) for hours in (-24, 0, 24)] == [
        "2026-11-29", "2026-11-30", "2026-12-01",
    ]  # fmt: skip
