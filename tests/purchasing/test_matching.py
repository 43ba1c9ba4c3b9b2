"""Whether a generation in Luma's list came of a request."""

from typing import Any

import pytest

from luma_mcp.backends.dream_machine.wire import encode
from luma_mcp.domain.generation import Generation
from luma_mcp.domain.requests import VideoRequest
from luma_mcp.purchasing.matching import echoes, unsigned_body

SAID = unsigned_body(encode(VideoRequest(model="ray-2", prompt="a boat", duration="9s")))


@pytest.mark.parametrize(
    ("difference", "is_it"),
    [
        ({}, True),
        ({"model": None}, True),
        ({"aspect_ratio": "16:9", "loop": False, "callback_url": "https://a.example"}, True),
        ({"model": "ray-flash-2"}, False),
        ({"generation_type": "image"}, False),
        ({"prompt": "a ship"}, False),
        ({"loop": True}, False),
        ({"duration": "5s"}, False),
    ],
)
def test_an_echo_is_told_from_another_s(difference: dict[str, Any], is_it: bool) -> None:
    echo = {"generation_type": "video", "model": "ray-2", "prompt": "a boat", "duration": "9s"} | difference

    assert echoes(SAID, Generation(id="a", state="completed", request=echo)) == is_it
