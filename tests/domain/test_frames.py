"""The first and the last picture of a clip go as keyframes where their API has no other form."""

from typing import Any

import pytest

from luma_mcp.domain.frames import with_keyframes
from luma_mcp.domain.requests import (
    FrameKeyframe,
    GenerationKeyframe,
    ImageKeyframe,
    ImageRequest,
    ModifyVideoRequest,
    Request,
    TimedKeyframe,
    VideoRequest,
)

START, END, CLIP = ImageKeyframe("https://a.example/a.png"), ImageKeyframe("https://a.example/b.png"), "ab"
TEN: dict[str, Any] = {"model": "ray-3.2", "prompt": "a boat", "duration": "10s"}
FIVE: dict[str, Any] = {"model": "ray-3.2", "prompt": "a boat"}


def at(frame: ImageKeyframe, seconds: float) -> TimedKeyframe:
    return TimedKeyframe(frame.url, seconds)


@pytest.mark.parametrize(
    ("request_", "keyframes"),
    [
        (VideoRequest(**TEN, start=START), (at(START, 0),)),
        (VideoRequest(**TEN, end=END), (at(END, 10),)),
        (VideoRequest(**TEN, start=START, end=END), (at(START, 0), at(END, 10))),
        (VideoRequest(**FIVE, hdr=True, start=START, end=END), (at(START, 0), at(END, 5))),
        (VideoRequest(**FIVE, end=END, keyframes=(at(START, 2),)), (at(START, 2), at(END, 5))),
    ],
)
def test_pictures_go_as_keyframes_in_a_long_clip_in_hdr_and_beside_others(
    request_: VideoRequest, keyframes: tuple[TimedKeyframe, ...]
) -> None:
    sent = with_keyframes(request_)

    assert (sent.start, sent.end, sent.keyframes) == (None, None, keyframes)


@pytest.mark.parametrize(
    "request_",
    [
        VideoRequest(**FIVE, start=START, end=END),
        VideoRequest(**FIVE, start=START, loop=True),
        VideoRequest(**TEN, start=GenerationKeyframe(CLIP), end=END),
        VideoRequest(model="ray-2", duration="9s", start=START, end=END),
        VideoRequest(model="sold no more", duration="10s", start=START),
        ModifyVideoRequest(model="ray-3.2", media="u", first_frame="v"),
        ImageRequest(model="uni-1", prompt="a boat"),
    ],
    ids=["5 s", "a loop", "a clip", "ray-2", "an old model", "a first frame alone", "a picture"],
)
def test_other_requests_stay_as_they_are(request_: Request) -> None:
    assert with_keyframes(request_) == request_


def test_the_order_of_keyframes_makes_no_other_request() -> None:
    early, late = at(START, 1), at(END, 4)
    first, last = FrameKeyframe("u", 3), FrameKeyframe("v", 40)

    assert with_keyframes(VideoRequest(**FIVE, keyframes=(late, early))).keyframes == (early, late)
    changed = with_keyframes(ModifyVideoRequest(model="ray-3.2", media="m", first_frame="w", keyframes=(last, first)))
    assert (changed.first_frame, changed.keyframes) == (None, (FrameKeyframe("w", 0), first, last))
    assert with_keyframes(changed) == changed
