"""What every conversation pays does not grow by accident."""

import pytest

from benchmarks.sizes import MAX_TOKENS, measured, tokens

pytestmark = pytest.mark.slow


def test_what_a_model_reads_stays_as_short_as_it_is() -> None:
    found = {what: tokens(text) for what, text in measured()}

    assert found.keys() == MAX_TOKENS.keys()
    assert {what: size for what, size in found.items() if size > MAX_TOKENS[what]} == {}


def test_what_is_counted_are_the_tokens_of_o200k() -> None:
    """Two that OpenAI's own pages count."""
    assert tokens("antidisestablishmentarianism") == 6
    assert tokens("2 + 2 = 4") == 7
