"""The errors of purchases whose answer was lost, in every state that the row may have come to meanwhile."""

import pytest

from luma_mcp.domain.generation import Generation
from luma_mcp.ledger.rows import PurchaseRow
from luma_mcp.ledger.states import STATES, State
from luma_mcp.purchasing.errors import ambiguous_error
from luma_mcp.purchasing.reconcile import LookupResult

REASON = "Another server has just settled it."


def row(state: State) -> PurchaseRow:
    return PurchaseRow(
        fingerprint="f", signature="s", request="{}", kind="video", micros=710_000, basis="published", take=3, id=7,
        state=state, request_id="r7", note="This API has no list.",
    )  # fmt: skip


@pytest.mark.parametrize("state", STATES)
def test_only_what_is_disputed_is_left_to_the_person(state: State) -> None:
    error = ambiguous_error(LookupResult("cannot say", reason=REASON), row(state))

    if state == "disputed":
        assert str(error) == (
            "The answer to this purchase was lost, and nobody can say whether it was bought. This API has no list. "
            "It counts as spent ($0.71, purchase 7, X-Request-Id r7)."
        )
        assert "purchases settle 7 --bought ID, or --not-bought" in error.hint
    else:
        assert str(error) == f"The answer to this purchase was lost. {REASON} It may have been charged."
        assert error.hint.startswith("Call again in a minute. The same call looks for it again and does not send it")
    assert error.hint.endswith("For another one say take=4." if state == "disputed" else "for another one say take=4.")


def test_ten_candidates_are_named_at_most() -> None:
    candidates = tuple(Generation(id=f"g{number}") for number in range(12))
    error = ambiguous_error(LookupResult("cannot say", candidates), row("lost"))

    assert "g0, g1, g2, g3, g4, g5, g6, g7, g8, g9." in str(error)
    assert error.hint.startswith("Look whether one of them is it.")
