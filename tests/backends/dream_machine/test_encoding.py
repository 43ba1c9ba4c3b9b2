"""Requests as they are sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_mcp.backends.dream_machine import encoding
from luma_mcp.domain.errors import (
    InvalidRequestError,
)
from luma_mcp.domain.requests import AddAudioRequest, ReframeVideoRequest, UpscaleRequest, VideoRequest

ID = "15b7abb1-3741-4b7e-9615-1f9a16c7442d"


@pytest.mark.parametrize("generation_id", ["", "../credits", "a b", "-x", "a/b", "é", "a" * 101, "a\n"])
def test_what_could_name_another_path_is_no_id(generation_id: str) -> None:
    with pytest.raises(InvalidRequestError, match="is not a generation id"):
        encoding.generation_path(generation_id)


@given(st.text(max_size=40))
def test_no_text_leaves_the_path_of_generations(text: str) -> None:
    try:
        path = encoding.generation_path(text)
    except InvalidRequestError:
        return
    assert path == f"/generations/{text}"
    assert "/" not in text
    assert "." not in text


def test_a_body_holds_only_what_was_said() -> None:
    assert encoding.encode(VideoRequest(model="ray-2", prompt="a boat")).body == {
        "generation_type": "video",
        "model": "ray-2",
        "prompt": "a boat",
    }
    assert encoding.encode(UpscaleRequest(generation_id=ID)).body == {"generation_type": "upscale_video"}
    assert encoding.encode(AddAudioRequest(generation_id=ID, prompt="")).body == {
        "generation_type": "add_audio",
        "prompt": "",
    }
    reframe = ReframeVideoRequest(model="ray-2", media="https://a.example/a.mp4", aspect_ratio="1:1")
    assert "x_start" not in encoding.encode(reframe).body
