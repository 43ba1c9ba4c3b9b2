"""What is offered with a generation is only what can be done with it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from luma_mcp.backends.dream_machine import decoding
from luma_mcp.domain.errors import InvalidRequestError
from luma_mcp.domain.generation import Generation, Output
from luma_mcp.domain.requests import ImageReference, ImageRequest
from luma_mcp.mcp import app
from luma_mcp.mcp.app import actions
from luma_mcp.mcp.app.actions import actions_of

ID = "15b7abb1-3741-4b7e-9615-1f9a16c7442d"
FORM = {"model": "ray-2", "aspect_ratio": "16:9", "resolution": "720p", "duration": "5s"}
CLIP = {"generation_type": "video", "prompt": "a boat", **FORM}
IMAGE = {"generation_type": "image", "model": "photon-1", "prompt": "a boat"}


def offered(
    request: dict[str, Any], *, state: str = "completed", image: str | None = "https://a.example/i"
) -> list[str]:
    kind = request["generation_type"]
    urls = {"video": None if "image" in kind else "https://a.example/v", "image": image}
    outputs = tuple(Output(name, url) for name, url in urls.items() if url)
    message = {"id": ID, "state": state, "generation_type": kind, "model": request.get("model"), "request": request}
    made = replace(decoding.read_generation(json.dumps(message).encode()), outputs=outputs)
    return [offer.action for offer in actions_of(made)]


@pytest.mark.parametrize("state", ["queued", "dreaming", "failed", "unknown"])
def test_nothing_is_offered_before_it_is_completed(state: str) -> None:
    assert offered(CLIP, state=state) == []


@pytest.mark.parametrize(
    ("request_", "actions"),
    [
        (CLIP, ["extend", "upscale", "add audio", "variation"]),
        (CLIP | {"resolution": "4k"}, ["extend", "add audio", "variation"]),
        ({"generation_type": "add_audio", "model": "ray-2"}, ["extend", "upscale"]),
        ({"generation_type": "upscale_video", "resolution": "4k"}, ["extend", "upscale", "add audio"]),
        (CLIP | {"keyframes": {"frame0": {"type": "image", "url": "https://a.example/i?X-Amz-Signature=1"}}},
         ["extend", "upscale", "add audio"]),
        (CLIP | {"keyframes": "odd"}, ["extend", "upscale", "add audio"]),
        (IMAGE, ["animate", "variation"]),
        ({"generation_type": "reframe_image", "model": "photon-1"}, ["animate"]),
        (IMAGE | {"image_ref": [{"url": "https://a.example/i?Signature=1&Expires=2"}]}, ["animate"]),
    ],
)  # fmt: skip
def test_what_luma_s_echo_does_not_allow_is_left_out(request_: dict[str, Any], actions: list[str]) -> None:
    assert offered(request_) == actions


def test_a_variation_of_a_picture_names_its_references_again() -> None:
    url = "https://a.example/i.png"
    request = ImageRequest(
        model="photon-1", prompt="a boat", image_references=(ImageReference(url, 0.5),), character_images=(url,),
        modify_image=ImageReference(url),
    )  # fmt: skip
    made = Generation(id=ID, state="completed", kind="image", request=request)

    (variation,) = actions_of(made)
    assert variation.arguments == {
        "image_refs": [{"source": url, "weight": 0.5}], "character_images": [url], "modify_image": {"source": url},
        "model": "photon-1", "prompt": "a boat",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("reference", "actions"), [((), ["variation"]), ((ImageReference("https://a.example/i"),), [])]
)
def test_a_link_of_the_ledger_may_have_been_signed_so_it_is_not_sent_again(
    reference: tuple[ImageReference, ...], actions: list[str]
) -> None:
    request = ImageRequest(
        model="uni-1", prompt="a boat", format="png", style="manga", web_search=True, image_references=reference
    )
    made = Generation(id=ID, state="completed", kind="image", request=request, backend="agents")

    assert [action.action for action in actions_of(made)] == actions
    for action in actions_of(made):
        assert action.arguments == {
            "model": "uni-1", "prompt": "a boat", "format": "png", "style": "manga", "web_search": True,
        }  # fmt: skip


def test_a_picture_without_a_link_cannot_be_animated() -> None:
    assert offered(IMAGE, image=None) == ["variation"]


def test_the_page_calls_tools_by_no_former_name_of_an_argument() -> None:
    page = (Path(app.__file__).parent / "view.js").read_text()

    assert "wait_for_generation" in page
    assert "patience_seconds" not in page


def test_an_action_that_cannot_be_priced_is_left_out() -> None:
    def refuse(_generation: Generation) -> None:
        raise InvalidRequestError("No model has this size.")

    assert actions._try(refuse, Generation(id="a")) is None
