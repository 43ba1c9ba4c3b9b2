"""Answers of the Agents API, read liberally, and requests as it takes them."""

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given

from luma_mcp.backends.agents import decoding, encoding
from luma_mcp.backends.agents.errors import is_refusal
from luma_mcp.domain.errors import InvalidRequestError, UnexpectedResponseError
from luma_mcp.domain.generation import Generation, Output
from luma_mcp.domain.media_refs import name_of_file, name_of_generation
from luma_mcp.domain.requests import (
    FrameKeyframe,
    GenerationKeyframe,
    ImageKeyframe,
    ImageReference,
    ImageRequest,
    ModifyVideoRequest,
    Placement,
    ReframeVideoRequest,
    TimedKeyframe,
    UpscaleRequest,
    VideoRequest,
)
from tests.support.json_values import JSON_VALUES

ID = "d290f1ee-6c54-4b01-90e6-d701748f0851"
URL = "https://a.example/a"


def read(**fields: Any) -> Generation:
    return decoding.read_generation(json.dumps({"id": ID, **fields}).encode())


def test_a_whole_answer() -> None:
    generation = read(
        type="video_edit", state="completed", model="ray-3.2", created_at="2026-04-08T12:00:00Z",
        output=[{"type": "video", "url": URL}, {"type": "exr", "url": URL}, {"type": "Image", "url": URL + "2"}, {}],
        failure_reason=None, failure_code=None,
    )  # fmt: skip

    assert generation == Generation(
        id=ID, kind="modify_video", state="completed", model="ray-3.2",
        created_at=datetime(2026, 4, 8, 12, tzinfo=UTC),
        outputs=(Output("video", URL), Output("other", URL, "exr"), Output("image", URL + "2")), backend="agents",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"state": "processing"}, {"state": "dreaming"}),
        ({"state": "QUEUED"}, {"state": "queued"}),
        ({"state": "paused"}, {"state": "paused"}),
        ({}, {"state": "unknown", "kind": "video", "outputs": ()}),
        ({"type": "layering"}, {"kind": "image"}),
        ({"type": "segmentation"}, {"kind": "segmentation"}),
        ({"type": "image_edit"}, {"kind": "image"}),
        ({"failure_code": "content_moderated"}, {"failure_reason": "no reason (content_moderated)"}),
        ({"failure_reason": "Flagged.", "failure_code": "x"}, {"failure_reason": "Flagged. (x)"}),
        ({"failure_reason": "Flagged."}, {"failure_reason": "Flagged."}),
        ({"output": "nothing", "model": 7, "created_at": "soon"}, {"outputs": (), "model": None, "created_at": None}),
        ({"created_at": "2026-04-08T12:00:00"}, {"created_at": datetime(2026, 4, 8, 12, tzinfo=UTC)}),
    ],
)
def test_what_is_odd_is_read_as_far_as_it_goes(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    generation = read(**fields)

    assert {name: getattr(generation, name) for name in expected} == expected


def test_layers_are_in_their_order_and_named() -> None:
    layers = [
        {"type": "image", "url": f"{URL}1", "layer": {"index": 1, "label": "background", "alpha_hint": "none"}},
        {"type": "image", "url": f"{URL}0", "layer": {"index": 0, "label": "red  boat"}},
    ]
    generation = read(type="layering", state="completed", output=layers)

    assert generation.outputs == (
        Output("image", f"{URL}0", "layer-1-red-boat"), Output("image", f"{URL}1", "layer-2-background")
    )  # fmt: skip
    assert generation.has_layers
    assert generation.main_outputs == generation.outputs
    assert generation.url("layer-2-background") == f"{URL}1"


@pytest.mark.medium
@given(JSON_VALUES)
def test_no_answer_breaks_it(value: Any) -> None:
    data = json.dumps(value).encode()
    for reader in (decoding.read_generation, decoding.read_file, decoding.read_created_file, decoding.read_files):
        with suppress(UnexpectedResponseError):
            reader(data)


def test_what_was_asked_for_is_put_beside_the_answer() -> None:
    body = {
        "type": "video_edit", "model": "ray-3.2", "prompt": "a boat", "source": {"file_id": "f"},
        "video": {"resolution": "540p", "edit": {"strength": "flex_1"}},
    }  # fmt: skip
    known = decoding.recalled(read(type="video_edit"), body, 0.72)

    assert known.request == ModifyVideoRequest(
        model="ray-3.2", prompt="a boat", media="f", mode="flex_1", resolution="540p"
    )
    assert (known.prompt, known.price_usd) == ("a boat", 0.72)
    layering = {"type": "layering", "model": "uni-1", "layering": {"resolution": "2k"}, "source": {"file_id": "f"}}
    assert decoding.recalled(read(), layering, 1.03).request == ImageRequest(
        model="uni-1", layers="2k", modify_image=ImageReference("f")
    )


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": "a boat"},
        {"type": "segmentation", "prompt": "a boat"},
        {"type": "video", "prompt": "a boat", "video": "odd"},
        {"type": "video", "prompt": "a boat", "video": {"start_frame": {}}},
        {"type": "video", "prompt": "a boat", "video": {"keyframes": [{"url": URL}]}},
        {"type": "video_edit", "prompt": "a boat"},
    ],
)
def test_a_row_that_cannot_be_read_keeps_its_prompt(body: dict[str, Any]) -> None:
    known = decoding.recalled(read(), body, 0.3)

    assert (known.request, known.prompt, known.price_usd) == (None, "a boat", 0.3)


def test_files_are_read() -> None:
    created = decoding.read_created_file(
        json.dumps(
            {
                "id": "f", "state": "pending", "file": {"id": "f", "filename": "a.png", "size_bytes": 3},
                "upload": {"method": "PUT", "url": URL, "headers": {"Content-Type": "image/png"}},
            }
        ).encode()
    )  # fmt: skip
    assert created.target == decoding.UploadTarget(URL, {"Content-Type": "image/png"})
    assert (created.id, created.name, created.size_bytes) == ("f", "a.png", 3)
    assert decoding.read_created_file(b'{"id": "f", "upload": null}').target is None
    page = decoding.read_files(
        b'{"data": [{"id": "f", "state": "READY"}, {}, 1], "has_more": true, "next_cursor": "2"}'
    )
    assert ([file.state for file in page.files], page.next_cursor) == (["ready"], "2")
    assert decoding.read_files(b'{"data": [], "has_more": false, "next_cursor": "2"}').next_cursor is None
    for broken in (b"[]", b"{}", b'{"data": {}}', b"<html>"):
        with pytest.raises(UnexpectedResponseError):
            decoding.read_files(broken)
    with pytest.raises(UnexpectedResponseError):
        decoding.read_file(b"{}")


@pytest.mark.parametrize(
    ("status", "body", "headers", "refuses"),
    [
        (400, b'{"detail": "No."}', {}, True),
        (402, b'{"detail": "No."}', {}, True),
        (413, b'{"detail": "No."}', {}, True),
        (429, b'{"detail": "No."}', {}, True),
        (422, b'{"detail": [{"loc": ["body"], "msg": "x"}]}', {}, True),
        (403, b"<html>", {"x-api-version": "2026-04-01"}, False),
        (502, b'{"detail": "Upstream service unavailable"}', {"x-api-version": "2026-04-01"}, True),
        (503, b'{"detail": "Image URL ingestion unavailable"}', {"x-api-version": "2026-04-01"}, True),
        (502, b'{"detail": "Upstream service unavailable"}', {}, False),
        (502, b"<html>", {"x-api-version": "2026-04-01"}, False),
        (500, b'{"detail": "x"}', {"x-api-version": "2026-04-01"}, False),
        (504, b'{"detail": "x"}', {"x-api-version": "2026-04-01"}, False),
        (409, b'{"detail": "x"}', {"x-api-version": "2026-04-01"}, False),
    ],
)
def test_what_refuses_a_purchase(status: int, body: bytes, headers: dict[str, str], refuses: bool) -> None:
    assert is_refusal(status, body, headers) is refuses


CLIP, FILE = name_of_generation(ID), name_of_file("a" * 64, "png")


@pytest.mark.parametrize(
    ("request_", "body"),
    [
        (
            VideoRequest(model="ray-3.2", prompt="p", start=GenerationKeyframe(ID), loop=True),
            {"type": "video", "video": {"loop": True, "start_frame": {"generation_id": ID}}},
        ),
        (
            VideoRequest(model="ray-3.2", prompt="p", start=ImageKeyframe(FILE), end=ImageKeyframe(CLIP)),
            {"type": "video", "video": {"start_frame": {"file_id": FILE}, "end_frame": {"url": CLIP}}},
        ),
        (
            VideoRequest(model="ray-3.2", prompt="p", keyframes=(TimedKeyframe(URL, 0), TimedKeyframe(FILE, 2.5))),
            {"type": "video", "video": {"keyframes": [{"url": URL}, {"file_id": FILE}], "keyframe_indexes": [0, 60]}},
        ),
        (
            ModifyVideoRequest(model="ray-3.2", prompt="p", media=CLIP),
            {"type": "video_edit", "source": {"generation_id": ID}, "video": {"edit": {"auto_controls": True}}},
        ),
        (
            ModifyVideoRequest(
                model="ray-3.2", prompt="p", media=URL, mode="flex_1", first_frame=FILE, resolution="540p"
            ),
            {
                "type": "video_edit", "source": {"url": URL, "media_type": "video/mp4"},
                "video": {"resolution": "540p", "edit": {"strength": "flex_1"}, "start_frame": {"file_id": FILE}},
            },
        ),
        (
            VideoRequest(
                model="ray-3.2", prompt="p", duration="10s", start=ImageKeyframe(FILE), end=ImageKeyframe(URL)
            ),
            {
                "type": "video",
                "video": {
                    "duration": "10s", "keyframes": [{"file_id": FILE}, {"url": URL}], "keyframe_indexes": [0, 240],
                },
            },
        ),
        (
            ModifyVideoRequest(
                model="ray-3.2", prompt="p", media=CLIP, mode="adhere_1", keep=("trajectory", "face"), hdr=True,
                first_frame=URL, keyframes=(FrameKeyframe(FILE, 48),),
            ),
            {
                "type": "video_edit", "source": {"generation_id": ID},
                "video": {
                    "hdr": True,
                    "edit": {
                        "strength": "adhere_1",
                        "controls": {"face": {"enabled": True}, "trajectory": {"enabled": True}},
                        "keyframes": [{"url": URL}, {"file_id": FILE}], "keyframe_indexes": [0, 48],
                    },
                },
            },
        ),
        (
            ReframeVideoRequest(
                model="ray-3.2", prompt="p", media=FILE, aspect_ratio="1:1", placement=Placement(0, 0.25, 1, 0.5)
            ),
            {
                "type": "video_reframe", "aspect_ratio": "1:1", "source": {"file_id": FILE},
                "video": {"source_position": {"x_norm": 0, "y_norm": 0.25, "w_norm": 1, "h_norm": 0.5}},
            },
        ),
        (
            ImageRequest(model="uni-1", prompt="p", modify_image=ImageReference(CLIP), format="png"),
            {"type": "image_edit", "model": "uni-1", "source": {"generation_id": ID}, "output_format": "png"},
        ),
        (
            ImageRequest(model="uni-1", prompt="p", modify_image=ImageReference(FILE), layers="2k"),
            {"type": "layering", "model": "uni-1", "source": {"file_id": FILE}, "layering": {"resolution": "2k"}},
        ),
        (
            VideoRequest(model="ray-3.2", prompt="p", hdr=True, exr=True),
            {"type": "video", "video": {"hdr": True, "exr_export": True}},
        ),
        (
            ImageRequest(model="uni-1", prompt="p", image_references=(ImageReference(CLIP), ImageReference(FILE))),
            {"type": "image", "model": "uni-1", "image_ref": [{"url": CLIP}, {"file_id": FILE}]},
        ),
    ],
)  # fmt: skip
def test_a_request_is_encoded_as_the_sdk_sends_it(request_: Any, body: dict[str, Any]) -> None:
    encoded = encoding.encode(request_)

    assert encoded.path == "/generations"
    assert encoded.body == {"model": "ray-3.2", "prompt": "p"} | body


def test_what_the_api_cannot_do_has_no_encoding() -> None:
    with pytest.raises(InvalidRequestError, match="has no upscale_video"):
        encoding.encode(UpscaleRequest(generation_id=ID))


def test_a_file_gets_its_id_right_before_it_is_sent() -> None:
    encoded = encoding.encode(VideoRequest(model="ray-3.2", prompt="p", start=ImageKeyframe(FILE)))

    assert encoded.with_links({FILE: "f-1"}).body["video"]["start_frame"] == {"file_id": "f-1"}


@pytest.mark.parametrize(
    ("code", "is_refunded"),
    [
        ("content_moderated", True), ("generation_failed", True), ("output_not_found", True),
        ("budget_exhausted", False), ("corrupt_input", False), ("something_new", False), (None, False),
    ],
)  # fmt: skip
def test_a_failure_is_refunded_only_where_luma_says_so(code: str | None, is_refunded: bool) -> None:
    answer = {"id": "15b7abb1-3741-4b7e-9615-1f9a16c7442d", "state": "failed", "failure_code": code}

    assert decoding.read_generation(json.dumps(answer).encode()).is_refunded is is_refunded
