"""Requests that were sent are read back from Luma's echo, and from the ledger."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from luma_mcp.backends.agents import decoding as agents_decoding
from luma_mcp.backends.agents import encoding as agents_encoding
from luma_mcp.backends.dream_machine import decoding, encoding
from luma_mcp.domain.catalogue import CANVASES
from luma_mcp.domain.frames import with_keyframes
from luma_mcp.domain.generation import Generation
from luma_mcp.domain.requests import (
    AddAudioRequest,
    FrameKeyframe,
    GenerationKeyframe,
    ImageKeyframe,
    ImageReference,
    ImageRequest,
    ModifyVideoRequest,
    Placement,
    ReframeImageRequest,
    ReframeVideoRequest,
    Request,
    TimedKeyframe,
    UpscaleRequest,
    VideoRequest,
    generations_named_in,
    sources_of,
)
from luma_mcp.domain.url_signatures import without_signatures
from tests.support.requests import ID, requests_of

URL, OTHER = "https://a.example/a.png", "https://a.example/b.png"
FORM: dict[str, Any] = {"prompt": "a boat", "aspect_ratio": "16:9"}
TO_DREAM_MACHINE: list[Request] = [
    VideoRequest(
        model="ray-2", resolution="720p", duration="5s", loop=True, start=ImageKeyframe(URL), concepts=("orbit_left",),
        **FORM,
    ),
    VideoRequest(model="ray-2", start=GenerationKeyframe(ID), end=ImageKeyframe(URL)),
    ImageRequest(
        model="photon-1", format="png", image_references=(ImageReference(URL, 0.5), ImageReference(OTHER)),
        style_references=(ImageReference(URL, 0),), character_images=(URL, OTHER), modify_image=ImageReference(URL, 1),
        **FORM,
    ),
    ReframeVideoRequest(
        model="ray-2", media=URL, first_frame=OTHER, placement=Placement(0, 0.25, 1, 0.5), prompt="a",
        aspect_ratio="1:1",
    ),
    ReframeImageRequest(model="photon-1", media=URL, format="jpg", placement=Placement(0.5, 0, 0.5, 1), **FORM),
    ModifyVideoRequest(model="ray-2", media=URL, mode="flex_1", prompt="in oil", first_frame=OTHER),
    UpscaleRequest(generation_id=ID, resolution="4k"),
    AddAudioRequest(generation_id=ID, prompt="waves", negative_prompt=""),
]  # fmt: skip
TO_AGENTS: list[Request] = [
    VideoRequest(
        model="ray-3.2", resolution="720p", duration="5s", hdr=True, exr=True, loop=True, start=ImageKeyframe(URL),
        end=GenerationKeyframe(ID), **FORM,
    ),
    ModifyVideoRequest(
        model="ray-3.2", media=URL, prompt="a", keep=("face", "depth"), hdr=True, exr=True,
        keyframes=(FrameKeyframe(OTHER, 0), FrameKeyframe("luma-file:a.png", 60)),
    ),
    VideoRequest(model="ray-3.2", prompt="a", keyframes=(TimedKeyframe(URL, 0), TimedKeyframe("luma-file:a.png", 2.5))),
    ModifyVideoRequest(model="ray-3.2", media=URL, mode="flex_1", prompt="a", first_frame=OTHER, resolution="540p"),
    ModifyVideoRequest(model="ray-3.2", media=f"luma-generation:{ID}", prompt="a"),
    ReframeVideoRequest(model="ray-3.2", media=URL, aspect_ratio="1:1", placement=Placement(0.1, 0.2, 0.3, 0.4)),
    ImageRequest(
        model="uni-1", format="jpg", style="manga", web_search=True, image_references=(ImageReference(URL),), **FORM
    ),
    ImageRequest(model="uni-1", prompt="a", modify_image=ImageReference(f"luma-generation:{ID}")),
    ImageRequest(model="uni-1", layers="2k", modify_image=ImageReference(URL)),
]  # fmt: skip


def echoed(request: Request) -> Request | None:
    """The request, as Dream Machine echoes it."""
    return listed(encoding.encode(request).body)


def listed(echo: dict[str, Any]) -> Request | None:
    return decoding.read_generation(json.dumps({"id": ID, "request": echo}).encode()).request


def recorded(request: Request) -> Request | None:
    """The request, as the ledger has it."""
    body = json.loads(json.dumps(without_signatures(agents_encoding.encode(request).body)))
    return agents_decoding.recalled(Generation(id=ID), body, 0.3).request


def on_the_wire(request: Request) -> Request:
    """The request with what Dream Machine's echo can carry: no id of the clip, and whole pixels."""
    if isinstance(request, UpscaleRequest | AddAudioRequest):
        return replace(request, generation_id="")
    if isinstance(request, ReframeVideoRequest | ReframeImageRequest) and request.placement:
        width, height = CANVASES[request.aspect_ratio]
        box = request.placement
        left, right = round(box.left * width), round((box.left + box.width) * width)
        top, bottom = round(box.top * height), round((box.top + box.height) * height)
        pixels = Placement(left / width, top / height, (right - left) / width, (bottom - top) / height)
        return replace(request, placement=pixels)
    return request


@pytest.mark.parametrize("request_", TO_DREAM_MACHINE, ids=lambda request: request.kind)
def test_an_echo_is_the_request_that_was_sent(request_: Request) -> None:
    assert echoed(request_) == on_the_wire(request_)


@pytest.mark.parametrize("request_", TO_AGENTS, ids=lambda request: request.kind)
def test_a_row_of_the_ledger_is_the_request_that_was_sent(request_: Request) -> None:
    assert recorded(request_) == request_


@pytest.mark.medium
@settings(deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(requests_of("dream_machine"))
def test_every_request_comes_back_from_an_echo(request: Request) -> None:
    assert echoed(request) == on_the_wire(request)


@pytest.mark.medium
@settings(deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(requests_of("agents"))
def test_every_request_comes_back_from_the_ledger(request: Request) -> None:
    assert recorded(request) == with_keyframes(request)


@pytest.mark.parametrize(
    "change",
    [
        {"keyframes": "odd"},
        {"keyframes": {"frame0": {"type": "sketch", "url": URL}}},
        {"keyframes": {"frame1": {"type": "generation", "url": URL}}},
        {"concepts": ["orbit_left"]},
        {"generation_type": "zoom_video"},
        {"generation_type": "modify_video"},
        {"generation_type": "reframe_video", "media": {"url": URL}, "x_start": 5},
        {"generation_type": "reframe_video", "media": {"url": URL}, "aspect_ratio": "7:1", "x_start": 0, "x_end": 5,
         "y_start": 0, "y_end": 5},
        {"generation_type": "image", "character_ref": {"identity1": {"images": [URL]}}},
    ],
)  # fmt: skip
def test_an_echo_that_shows_another_request_is_not_read(change: dict[str, Any]) -> None:
    echo = {"generation_type": "video", "model": "ray-2", **FORM, **change}
    read = decoding.read_generation(json.dumps({"id": ID, "request": echo}).encode())

    assert read.request is None
    assert read.prompt == "a boat", "the prompt is read all the same"


def test_an_old_echo_is_read_as_far_as_it_goes() -> None:
    old = {"type": "image", "model": "photon-0", "character_ref": {"identity0": {"images": None}}, "style_ref": None}
    request: Any = listed(old)

    assert (request.kind, request.model, request.character_images) == ("image", "photon-0", ())
    request = listed({"generation_type": "video", "prompt": 5, "duration": 5, "loop": "true", "callback_url": URL})
    assert request == VideoRequest(model="", loop=True)  # type: ignore[arg-type]


@pytest.mark.parametrize("request_", [*TO_DREAM_MACHINE, *TO_AGENTS], ids=lambda request: request.kind)
def test_every_source_of_a_request_is_in_its_body_or_path(request_: Request) -> None:
    encode = encoding.encode if request_ in TO_DREAM_MACHINE else agents_encoding.encode
    encoded = encode(request_)
    sent = encoded.path + json.dumps(encoded.body)

    assert all(source.removeprefix("luma-generation:") in sent for source in sources_of(request_))
    assert set(generations_named_in(request_)) <= set(sources_of(request_))
    links = sent.count("https://") + sent.count("luma-file:") + sent.count(ID)
    assert len(sources_of(request_)) == links
