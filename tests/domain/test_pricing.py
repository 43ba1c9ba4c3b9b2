"""Prices against Luma's published list."""

import json
from typing import Any

import pytest

from luma_mcp.backends.dream_machine import decoding
from luma_mcp.domain.errors import InvalidRequestError
from luma_mcp.domain.generation import Generation
from luma_mcp.domain.pricing import (
    Footage,
    Price,
    extension_format,
    footage,
    footage_made_from,
    footage_of,
    format_of,
    price_of,
    price_of_generation,
)
from luma_mcp.domain.requests import (
    AddAudioRequest,
    GenerationKeyframe,
    ImageReference,
    ImageRequest,
    ModifyVideoRequest,
    ReframeImageRequest,
    ReframeVideoRequest,
    Request,
    UpscaleRequest,
    VideoRequest,
)

SQUARE = ReframeVideoRequest(model="ray-3.2", media="u", aspect_ratio="1:1")
ID = "15b7abb1-3741-4b7e-9615-1f9a16c7442d"

# The list as printed: model, resolution, dollars for 5 s and 9 s of 16:9.
PUBLISHED = [
    ("ray-2", "540p", 0.40, 0.72),
    ("ray-2", "720p", 0.71, 1.27),
    ("ray-2", "1080p", 1.59, 2.87),
    ("ray-2", "4k", 6.37, 11.47),
    ("ray-flash-2", "540p", 0.14, 0.25),
    ("ray-flash-2", "720p", 0.24, 0.44),
    ("ray-flash-2", "1080p", 0.55, 0.99),
    ("ray-flash-2", "4k", 2.19, 3.94),
]


@pytest.mark.parametrize(("model", "resolution", "five", "nine"), PUBLISHED)
def test_a_clip_costs_what_is_printed(model, resolution: str, five: float, nine: float) -> None:
    for duration, usd in (("5s", five), ("9s", nine)):
        request = VideoRequest(model=model, prompt="...", resolution=resolution, duration=duration)
        price = price_of(request)
        assert price.basis == "published"
        assert 0 <= round(price.usd - usd, 4) <= 0.01, "printed prices are rounded, an estimate is rounded up"


@pytest.mark.parametrize(
    ("message", "model"),
    [
        ({"model": "ray-flash-2"}, "ray-flash-2"),
        ({"request": VideoRequest(model="ray-flash-2")}, "ray-flash-2"),
        ({"model": "ray-1-6"}, "ray-2"),
        # Sold by the other API.
        ({"model": "ray-3.2"}, "ray-2"),
        ({"model": "ray-2", "backend": "agents"}, "ray-3.2"),
        ({}, "ray-2"),
    ],
)
def test_a_clip_goes_on_with_its_own_model_while_that_is_sold(message: dict[str, Any], model: str) -> None:
    assert format_of(Generation(id=ID, state="completed", **message))["model"] == model


def test_modifying_costs_what_is_printed() -> None:
    clip = footage("16:9", "720p", "5s")

    assert price_of(ModifyVideoRequest(model="ray-2", media="u", mode="flex_1"), clip) == Price.of(1.75, "published")
    assert price_of(ModifyVideoRequest(model="ray-2", media="u", mode="flex_1")).basis == "assumed"
    assert price_of(ModifyVideoRequest(model="ray-flash-2", media="u", mode="flex_1"), clip).usd == 0.61, (
        "printed as 0.60, and 0.6016"
    )


def test_a_clip_of_unknown_length_is_taken_for_the_longest() -> None:
    known = price_of(ReframeVideoRequest(model="ray-2", media="u", aspect_ratio="16:9"), footage("16:9", "720p", "5s"))
    unknown = price_of(ReframeVideoRequest(model="ray-2", media="u", aspect_ratio="16:9"))

    assert known == Price.of(0.71, "published")
    assert unknown == Price.of(1.42, "assumed")


def test_what_has_no_published_price_is_assumed() -> None:
    clip = footage("9:16", "540p", "5s")

    assert price_of(UpscaleRequest(generation_id=ID, resolution="1080p"), clip) == Price.of(1.60, "assumed")
    assert price_of(UpscaleRequest(generation_id=ID)).usd > 38, "30 s of the largest size"
    assert price_of(AddAudioRequest(generation_id=ID), clip).usd == 0.50
    assert price_of(AddAudioRequest(generation_id=ID)).usd == 3
    assert price_of(AddAudioRequest(generation_id=ID)).basis == "assumed"


def test_a_frame_counts_once() -> None:
    assert Footage(1000, 1000, 1).megapixels == 24
    assert Footage(1000, 1000, 1, frames=60).megapixels == 60
    assert Footage(1000, 1000, 1, frames=1).megapixels == 24


@pytest.mark.parametrize(
    ("source", "pixels"),
    [
        (Footage(540, 960, 5), 1080 * 1920),
        (Footage(1152, 864, 5), 1728 * 1296),
        (Footage(864, 1152, 5), 1296 * 1728),
        (Footage(1680, 720, 5), 2520 * 1080),
        # Neither 4:3 nor 1:1, so the largest that is sold.
        (Footage(1150, 1000, 5), 2520 * 1080),
    ],
)
def test_an_upscaled_clip_keeps_the_ratio_of_its_source(source: Footage, pixels: int) -> None:
    price = price_of(UpscaleRequest(generation_id=ID, resolution="1080p"), source)
    same = price_of(VideoRequest(model="ray-2", prompt="...", aspect_ratio="16:9", resolution="1080p", duration="5s"))

    assert price.usd == pytest.approx(same.usd * pixels / (1920 * 1080), abs=0.02)


def test_a_price_is_shown_with_two_digits_or_as_many_as_it_has() -> None:
    assert [str(Price.of(usd, "published")) for usd in (0.0172, 0.0996, 0.1, 0.5)] == [
        "$0.0172", "$0.0996", "$0.10", "$0.50",
    ]  # fmt: skip


def test_pictures_cost_by_their_pixels() -> None:
    image = price_of(ImageRequest(model="photon-1", prompt="..."))
    reframed = price_of(ReframeImageRequest(model="photon-flash-1", media="u", aspect_ratio="1:1"))

    assert image.usd == pytest.approx(0.0172, abs=0.0001)
    assert reframed.usd == pytest.approx(0.0045, abs=0.0001)
    assert str(image) == "$0.0173"
    assert str(Price.of(1.5, "assumed")) == "$1.50"


def echo(kind: str, state: str = "completed", **requested: object) -> Generation:
    message = {"id": ID, "state": state, "request": {"generation_type": kind, **requested}}
    return decoding.read_generation(json.dumps(message).encode())


def reframed_to(ratio: str, resolution: str | None = None) -> ReframeVideoRequest:
    return ReframeVideoRequest(model="ray-3.2", media="u", aspect_ratio=ratio, resolution=resolution)


def test_an_earlier_generation_tells_its_price_where_its_request_does() -> None:
    form = {"aspect_ratio": "16:9", "resolution": "720p", "duration": "5s"}

    assert price_of_generation(echo("video", model="ray-2", **form)) == Price.of(0.71, "published")
    assert price_of_generation(echo("image", model="photon-1", aspect_ratio="16:9")) is not None
    assert price_of_generation(echo("video", state="queued", model="ray-2", **form)) == Price.of(0.71, "published")
    assert price_of_generation(echo("video", state="failed", model="ray-2", **form)) == Price.of(0, "published")
    for unknown in (
        echo("video", model="ray-2"),
        echo("video", model="ray-9", **form),
        echo("image", model="photon-9"),
        echo("add_audio"),
        # Made of a clip: what it costs follows from that clip.
        echo("add_audio", model="ray-2", **form),
        echo("upscale_video", model="ray-2", **form),
        echo("zoom_video", model="ray-2", **form),
    ):
        assert price_of_generation(unknown) is None


def test_an_unknown_form_counts_as_the_largest() -> None:
    assert footage("2:1", "8k", "long") == Footage(5040, 2160, 9)
    assert footage_of(echo("modify_video")) is None


@pytest.mark.parametrize(
    ("request_", "source", "price"),
    [
        (
            VideoRequest(model="ray-3.2", prompt="a", resolution="360p", duration="5s"), None,
            Price.of(0.06, "published"),
        ),
        (
            VideoRequest(model="ray-3.2", prompt="a", resolution="540p", duration="10s"), None,
            Price.of(0.45, "published"),
        ),
        (
            VideoRequest(model="ray-3.2", prompt="a", resolution="360p", start=GenerationKeyframe(ID)), None,
            Price.of(0.15, "assumed"),
        ),
        (
            VideoRequest(model="ray-3.2", prompt="a", resolution="540p", end=GenerationKeyframe(ID)), None,
            Price.of(0.15, "published"),
        ),
        (VideoRequest(model="ray-3.2", prompt="a", hdr=True), None, Price.of(0.60, "published")),
        (VideoRequest(model="ray-3.2", prompt="a", resolution="8k"), None, Price.of(1.20, "published")),
        (ModifyVideoRequest(model="ray-3.2", media="u"), Footage(1, 1, 5), Price.of(1.08, "published")),
        (ModifyVideoRequest(model="ray-3.2", media="u"), Footage(1, 1, 5.04), Price.of(1.08, "published")),
        (ModifyVideoRequest(model="ray-3.2", media="u"), Footage(1, 1, 3), Price.of(1.08, "assumed")),
        (ModifyVideoRequest(model="ray-3.2", media="u"), Footage(1, 1, 6), Price.of(2.16, "assumed")),
        (ModifyVideoRequest(model="ray-3.2", media="u"), Footage(1, 1, 10), Price.of(2.16, "published")),
        (ModifyVideoRequest(model="ray-3.2", media="u"), Footage(1, 1, 10.5), Price.of(4.32, "assumed")),
        (ModifyVideoRequest(model="ray-3.2", media="u", hdr=True), Footage(1, 1, 5), Price.of(2.16, "published")),
        (
            ModifyVideoRequest(model="ray-3.2", media="u", resolution="1080p", hdr=True, exr=True),
            Footage(1, 1, 10),
            Price.of(12.96, "published"),
        ),
        (ModifyVideoRequest(model="ray-3.2", media="u", resolution="1080p"), None, Price.of(8.64, "assumed")),
        (SQUARE, Footage(1, 1, 5.04), Price.of(0.60, "published")),
        (SQUARE, Footage(1, 1, 5.2), Price.of(0.72, "published")),
        (
            ReframeVideoRequest(model="ray-3.2", media="u", aspect_ratio="1:1", resolution="360p"), None,
            Price.of(0.90, "assumed"),
        ),
        (ImageRequest(model="uni-1", prompt="a"), None, Price.of(0.0404, "published")),
        (
            ImageRequest(model="uni-1", prompt="a", image_references=(ImageReference("u"),) * 9), None,
            Price.of(0.0674, "published"),
        ),
        (
            ImageRequest(model="uni-1-max", prompt="a", modify_image=ImageReference("u")), None,
            Price.of(0.103, "published"),
        ),
    ],
)  # fmt: skip
def test_the_agents_api_costs_what_its_guide_says(request_: Any, source: Footage | None, price: Price) -> None:
    assert price_of(request_, source) == price


def test_what_the_agents_api_does_not_do_has_no_price() -> None:
    with pytest.raises(InvalidRequestError):
        price_of(ReframeImageRequest(model="uni-1", media="u", aspect_ratio="1:1"))


@pytest.mark.parametrize(
    ("requested", "expected"),
    [
        (UpscaleRequest(generation_id=ID), Footage(960, 960, 5, 120)),
        (UpscaleRequest(generation_id=ID, resolution="1080p"), Footage(1440, 1440, 5, 120)),
        (reframed_to("9:16"), Footage(720, 1280, 5, 120)),
        (reframed_to("16:9", "540p"), Footage(960, 540, 5, 120)),
        (reframed_to("7:1", "540p"), Footage(1260, 540, 5, 120)),
    ],
)
def test_a_clip_that_was_made_of_another_is_as_long(requested: Request, expected: Footage) -> None:
    clip = Generation(id=ID, kind=requested.kind, request=requested)

    assert footage_made_from(clip, Footage(960, 960, 5, 120)) == expected


def test_what_the_ledger_knows_counts_as_the_price() -> None:
    clip = Generation(id=ID, backend="agents", price_usd=0.3, request=VideoRequest(model="ray-3.2", duration="5s"))

    assert price_of_generation(clip) == Price.of(0.3, "published")
    form = VideoRequest(model="ray-3.2", duration="5s", aspect_ratio="16:9", resolution="720p")
    assert price_of_generation(Generation(id=ID, backend="agents", request=form)) is None
    picture = Generation(id=ID, kind="image", backend="agents", request=ImageRequest(model="uni-1"))
    assert price_of_generation(picture) is None
    assert format_of(Generation(id=ID, backend="agents"))["model"] == "ray-3.2"


def test_a_clip_of_the_agents_api_goes_on_for_five_seconds() -> None:
    form = {"aspect_ratio": "1:1", "resolution": "540p"}
    new = Generation(id=ID, backend="agents", request=VideoRequest(model="ray-3.2", duration="10s", **form))
    old = Generation(id=ID, request=VideoRequest(model="ray-2", duration="9s", **form))

    assert extension_format(new) == form | {"model": "ray-3.2", "duration": "5s"}
    assert extension_format(old) == form | {"model": "ray-2", "duration": "9s"}


@pytest.mark.parametrize(
    ("resolution", "usd", "basis"),
    [("360p", 0.15, "assumed"), ("540p", 0.15, "published"), ("720p", 0.30, "published"), ("1080p", 1.20, "published")],
)
def test_going_on_from_a_clip_costs_what_is_printed(resolution: str, usd: float, basis: str) -> None:
    request = VideoRequest(model="ray-3.2", prompt="...", resolution=resolution, start=GenerationKeyframe(ID))

    assert price_of(request) == Price.of(usd, basis)  # type: ignore[arg-type]


def test_layers_cost_ten_of_the_dearest_pictures_at_most() -> None:
    request = ImageRequest(model="uni-1", prompt="...", modify_image=ImageReference("u"), layers="1k")

    assert price_of(request) == Price.of(1.03, "assumed")
