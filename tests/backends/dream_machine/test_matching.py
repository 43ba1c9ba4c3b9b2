"""Whether a generation came of a request: surely, surely not, or it cannot be said."""

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_mcp.backends.base import Verdict
from luma_mcp.backends.dream_machine import decoding, encoding
from luma_mcp.backends.dream_machine.matching import COMPARED, compare
from luma_mcp.domain.generation import Generation
from luma_mcp.domain.requests import (
    AddAudioRequest,
    GenerationKeyframe,
    ImageKeyframe,
    ImageReference,
    ImageRequest,
    ModifyVideoRequest,
    Placement,
    ReframeImageRequest,
    ReframeVideoRequest,
    Request,
    UpscaleRequest,
    VideoRequest,
    generations_named_in,
)
from luma_mcp.purchasing.fingerprints import unsigned_body

ID = "15b7abb1-3741-4b7e-9615-1f9a16c7442d"
URL = "https://a.example/a.png"
SURELY, SURELY_NOT, CANNOT_SAY = Verdict.SURELY, Verdict.SURELY_NOT, Verdict.CANNOT_SAY
VIDEO = VideoRequest(
    model="ray-2", prompt="A boat, at dawn", aspect_ratio="16:9", resolution="720p", duration="5s",
    start=ImageKeyframe(URL), end=GenerationKeyframe(ID), concepts=("orbit_left",),
)  # fmt: skip
REQUESTS: list[Request] = [
    VIDEO,
    VideoRequest(model="ray-2", prompt="a boat", loop=True),
    ImageRequest(
        model="photon-1", prompt="a boat", format="png", image_references=(ImageReference(URL, 0.5),),
        style_references=(ImageReference(URL),), character_images=(URL,), modify_image=ImageReference(URL, 0),
    ),
    ReframeVideoRequest(
        model="ray-2", media=URL, aspect_ratio="1:1", first_frame=URL, placement=Placement(0, 0.25, 1, 0.5)
    ),
    ReframeImageRequest(model="photon-1", media=URL, aspect_ratio="1:1", prompt="sky", format="jpg"),
    ModifyVideoRequest(model="ray-2", media=URL, mode="flex_1", prompt="in oil", first_frame=URL),
    UpscaleRequest(generation_id=ID, resolution="4k"),
    AddAudioRequest(generation_id=ID, prompt="waves", negative_prompt="voices"),
]  # fmt: skip


def body_of(request: Request) -> dict[str, Any]:
    return unsigned_body(encoding.encode(request))


def listed(echo: Any, **fields: Any) -> Generation:
    """A generation of Luma's list, with that echo, as it is read off the wire."""
    return decoding.read_generation(json.dumps({"id": "a", "state": "queued", "request": echo, **fields}).encode())


def verdict(change: dict[str, Any] | None = None, request: Request = VIDEO) -> Verdict:
    body = body_of(request)
    return compare(body, listed({**body, **(change or {})}))


def test_every_field_of_every_request_is_compared() -> None:
    assert {type(request) for request in REQUESTS} == set(get_args(Request))
    for request in REQUESTS:
        assert set(body_of(request)) <= COMPARED


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: request.kind)
def test_a_faithful_echo_is_surely_it(request_: Request) -> None:
    assert verdict(request=request_) is SURELY


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: request.kind)
def test_every_field_that_differs_beyond_spelling_is_noticed(request_: Request) -> None:
    other = {
        "model": "ray-flash-2", "prompt": "a ship", "negative_prompt": "birds", "aspect_ratio": "9:21",
        "resolution": "540p", "duration": "9s", "loop": False, "concepts": [{"key": "push_in"}], "format": "gif",
        "mode": "adhere_3", "keyframes": {"frame0": {"type": "generation", "id": ID[::-1]}},
        "generation_type": "something_else",
    }  # fmt: skip
    for field in body_of(request_):
        change = other.get(field)
        if field in ("media", "first_frame", "modify_image_ref", "image_ref", "style_ref", "character_ref"):
            copies = json.loads(json.dumps(body_of(request_)[field]).replace(URL, "https://cdn.example/b.png"))
            assert verdict({field: copies}, request_) is CANNOT_SAY, field
        elif isinstance(body_of(request_)[field], int) and field != "loop":
            assert verdict({field: 7}, request_) is SURELY_NOT, field
        else:
            assert verdict({field: change}, request_) is SURELY_NOT, field


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: request.kind)
def test_a_field_that_is_missing_proves_nothing(request_: Request) -> None:
    for field in set(body_of(request_)) - {"generation_type"}:
        assert verdict({field: None}, request_) is CANNOT_SAY, field


def test_an_echo_that_is_missing_proves_nothing() -> None:
    assert compare(body_of(VIDEO), listed(None)) is CANNOT_SAY
    assert compare(body_of(VIDEO), listed({})) is CANNOT_SAY
    assert compare(body_of(VIDEO), listed({}, generation_type="image")) is SURELY_NOT
    assert compare(body_of(REQUESTS[2]), listed({}, generation_type="image")) is CANNOT_SAY


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"prompt": "A boat, at dawn\n"}, SURELY),
        ({"prompt": "  a  boat, at\u00a0dawn"}, CANNOT_SAY),
        ({"prompt": "a boat, at dawn"}, CANNOT_SAY),
        ({"prompt": "A  boat, at dawn"}, CANNOT_SAY),
        ({"prompt": "A boat"}, CANNOT_SAY),
        ({"prompt": "A boat, a…"}, CANNOT_SAY),
        ({"prompt": "A boat, at dawn. Cinematic, 35 mm."}, CANNOT_SAY),
        ({"prompt": "A ship, at dawn"}, SURELY_NOT),
        ({"duration": 5}, SURELY),
        ({"duration": "5.0"}, SURELY),
        ({"duration": "five"}, CANNOT_SAY),
        ({"resolution": 720}, SURELY),
        ({"model": "Ray 2"}, SURELY),
        ({"model": "RAY_2"}, SURELY),
        ({"loop": False}, SURELY),
        ({"loop": "false"}, SURELY),
        ({"loop": True}, SURELY_NOT),
        ({"resolution": "4k"}, SURELY_NOT),
        ({"duration": "-5s"}, SURELY_NOT),
        ({"format": "jpg"}, SURELY),
        ({"format": "png"}, CANNOT_SAY),
        ({"callback_url": "https://h.example"}, SURELY),
        ({"something_new": 1}, SURELY),
        ({"concepts": ["orbit_left"]}, CANNOT_SAY),
        ({"concepts": [{"key": "orbit-left"}]}, SURELY),
        ({"concepts": [{"key": "orbit_left"}, {"key": "push_in"}]}, SURELY_NOT),
        ({"image_ref": [{"url": URL}]}, SURELY_NOT),
        ({"negative_prompt": "birds"}, SURELY_NOT),
        ({"x_start": 5}, CANNOT_SAY),
        ({"keyframes": {"frame0": {"type": "image", "url": "HTTPS://A.example:443/a.png"}}}, CANNOT_SAY),
    ],
)
def test_how_luma_spells_an_echo_is_no_difference(change: dict[str, Any], expected: Verdict) -> None:
    assert verdict(change) is expected


@pytest.mark.parametrize(
    ("requested", "echoed", "expected"),
    [
        ({"loop": True}, {"loop": 1}, SURELY),
        ({"loop": True}, {"loop": "yes"}, SURELY),
        ({"loop": True}, {"loop": "no"}, SURELY_NOT),
        ({"loop": True}, {"loop": 0}, SURELY_NOT),
        ({"loop": False}, {"loop": 0}, SURELY),
        ({"loop": False}, {"loop": "no"}, SURELY),
        ({"loop": 0}, {"loop": "no"}, SURELY),
        ({"loop": 0}, {"loop": "false"}, SURELY),
        ({"loop": 1}, {"loop": "true"}, SURELY),
        ({"loop": 1}, {"loop": "yes"}, SURELY),
        ({"resolution": "4k"}, {"resolution": 2160}, SURELY),
        ({"resolution": "4k"}, {"resolution": "2160p"}, SURELY),
        ({"image_ref": [{"url": URL}]}, {"image_ref": []}, CANNOT_SAY),
        ({"image_ref": [{"url": URL}, {"url": URL}]}, {"image_ref": [{"url": URL}]}, CANNOT_SAY),
        ({"image_ref": [{"url": URL}]}, {"image_ref": [{"url": URL}, {"url": URL}]}, SURELY_NOT),
        ({"image_ref": [{"url": URL}]}, {"image_ref": [{"url": "a.png"}]}, CANNOT_SAY),
        ({"image_ref": [{"url": URL}]}, {"image_ref": [{"url": "https://0.example/copy.png"}]}, CANNOT_SAY),
        ({"image_ref": [{"url": URL}]}, {"image_ref": [{"url": "https://z.example/copy.png"}]}, CANNOT_SAY),
        ({"image_ref": [{"url": URL, "weight": 0.5}]}, {"image_ref": [{"url": URL, "weight": "0.50"}]}, SURELY),
        ({"image_ref": [{"url": URL, "weight": 0.5}]}, {"image_ref": [{"url": URL, "weight": 0.85}]}, CANNOT_SAY),
    ],
)
def test_two_spellings_of_a_value_are_compared(
    requested: dict[str, Any], echoed: dict[str, Any], expected: Verdict
) -> None:
    kind = {"generation_type": "video"}

    assert compare(kind | requested, listed(kind | echoed)) is expected


def test_the_clips_that_a_request_goes_on_from_are_named() -> None:
    frames = {
        "frame0": {"type": "generation", "id": "a"},
        "frame1": {"type": "image", "url": URL},
        "x": 1,
        "y": {"id": 2},
    }

    assert generations_named_in(listed({"keyframes": frames}).request) == ("a",)
    for nothing in ({}, {"keyframes": None}, {"keyframes": [frames]}, {"keyframes": "a"}):
        assert generations_named_in(listed(nothing).request) == ()


def test_a_link_in_another_spelling_is_the_same_link() -> None:
    request = ModifyVideoRequest(model="ray-2", media="https://a.example/a%20b.mp4?x=1", mode="flex_1")
    assert verdict({"media": {"url": "HTTPS://A.EXAMPLE:443/a b.mp4?x=1"}}, request) is SURELY
    assert verdict({"media": {"url": "https://a.example/a%20b.mp4?x=1&X-Amz-Signature=9"}}, request) is SURELY
    assert verdict({"media": {"url": "https://a.example:99999/a.mp4"}}, request) is CANNOT_SAY


def test_an_echo_in_camel_case_or_in_a_string_is_read() -> None:
    body = body_of(VideoRequest(model="ray-2", prompt="a boat", aspect_ratio="16:9"))
    camel = {"generationType": "video", "model": "ray-2", "prompt": "a boat", "aspectRatio": "16:9"}

    assert compare(body, listed(camel)) is SURELY
    assert compare(body, listed(json.dumps(body))) is SURELY
    assert compare(body, listed("{broken")) is CANNOT_SAY


@given(st.dictionaries(st.sampled_from(sorted(COMPARED)), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)))  # fmt: skip
@pytest.mark.medium
def test_no_echo_breaks_it(echo: dict[str, Any]) -> None:
    for request in REQUESTS:
        assert compare(body_of(request), Generation(id="a", echo=echo)) in Verdict
