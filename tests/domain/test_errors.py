"""Which errors pass by themselves."""

import pytest

from luma_mcp.domain import errors
from luma_mcp.domain.clock import suspend_aware_now
from luma_mcp.domain.errors import LumaError

TRANSIENT = {
    "UnreachableError", "NoResponseError", "RateLimitError", "ServerError", "UnexpectedResponseError", "LedgerError",
    "TransientFileError",
}  # fmt: skip
KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, LumaError)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_says_whether_it_is_transient(kind: type[LumaError]) -> None:
    assert kind("").is_transient is (kind.__name__ in TRANSIENT)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_table_of_errors_marks_the_transient_ones(kind: type[LumaError]) -> None:
    assert errors.__doc__ is not None
    (line,) = [line for line in errors.__doc__.splitlines() if line.split()[:1] == [kind.__name__]]

    assert ("*" in line) is kind.is_transient


def test_the_clock_that_counts_sleep_never_falls() -> None:
    first, second = suspend_aware_now(), suspend_aware_now()

    assert second >= first
