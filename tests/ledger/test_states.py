"""The table of states holds its invariants."""

import pytest

from luma_mcp.ledger.states import (
    IN_DOUBT,
    IS_LIVE,
    RESERVED,
    SPENT,
    STATES,
    UNDER_WAY,
    State,
    may_become,
    sources_of,
)

EDGES = {
    ("reserved", "sending"), ("reserved", "refused"), ("sending", "accepted"), ("sending", "refused"),
    ("sending", "lost"), ("sending", "waiting"),
    ("reserved", "waiting"), ("waiting", "sending"), ("waiting", "refused"),
    ("lost", "accepted"), ("lost", "absent"), ("lost", "disputed"),
    ("absent", "accepted"), ("disputed", "accepted"), ("disputed", "absent"), ("accepted", "completed"),
    ("accepted", "failed"), ("failed", "completed"), ("lost", "refused"), ("disputed", "refused"),
}  # fmt: skip


def test_these_edges_and_no_others() -> None:
    assert {(before, after) for before in STATES for after in STATES if may_become(before, after)} == EDGES


@pytest.mark.parametrize("state", STATES)
def test_what_leads_to_a_state_is_what_may_become_it(state: State) -> None:
    assert set(sources_of(state)) == {before for before, after in EDGES if after == state}


def test_a_purchase_is_sent_only_from_reserved_or_waiting() -> None:
    assert sources_of("sending") == ("reserved", "waiting")


def test_only_these_states_let_the_same_take_be_bought_anew() -> None:
    assert set(STATES) - IS_LIVE == {"failed", "refused", "absent"}
    assert IS_LIVE == RESERVED | SPENT
    assert not RESERVED & SPENT


def test_what_may_have_been_charged_holds_its_money() -> None:
    assert UNDER_WAY <= RESERVED
    assert IN_DOUBT <= RESERVED | SPENT
    for before, after in EDGES:
        if before in IN_DOUBT and after not in RESERVED | SPENT:
            assert after in ("absent", "refused"), "money in doubt is freed by absence, or by who sent nothing"
