"""The operations, by name."""

from typing import get_args

from luma_mcp.domain.requests import KINDS, Request


def test_every_operation_has_its_name_in_the_list() -> None:
    assert sorted(request.kind for request in get_args(Request)) == sorted(KINDS)
