"""A model is one entry of the catalogue: it comes and goes without a change anywhere else."""

import pytest
from mcp import Client

from luma_mcp.domain import catalogue, validation
from luma_mcp.domain.apis import BackendName
from luma_mcp.domain.catalogue import ClipPrices, ImageModel, PicturePrices, PixelPrices, VideoModel
from luma_mcp.domain.errors import InvalidRequestError
from luma_mcp.domain.pricing import Footage, Price, price_of
from luma_mcp.domain.requests import (
    AddAudioRequest,
    ImageReference,
    ImageRequest,
    ModifyVideoRequest,
    ReframeVideoRequest,
    Request,
    UpscaleRequest,
    VideoRequest,
)
from luma_mcp.domain.usd import Usd
from luma_mcp.emulator.app import Emulator
from luma_mcp.mcp.adapter import definition_of
from luma_mcp.mcp.instructions import instructions
from luma_mcp.mcp.server import TOOLSETS
from tests.support.agent import TOKEN, HeldClock, emulator_of_both

KEY = f"luma-api-{TOKEN}"
ID = "15b7abb1-3741-4b7e-9615-1f9a16c7442d"
CLIP = Footage(1280, 720, 5)
BOTH: tuple[BackendName, ...] = ("agents", "dream_machine")
TINY_RAY = VideoModel(
    backend="agents",
    prices=ClipPrices(
        create={"540p": (Usd.of("7.77"), Usd.of("9.99"))},
        modify={"540p": (Usd.of("8.88"), Usd.of("11.11"))},
        reframe_per_second={"540p": Usd.of("3.33")},
        extension_floor="540p",
    ),
    resolutions=("540p",),
    durations=("5s",),
    ratios=("16:9",),
    max_modify_seconds=5,
    max_reframe_seconds=5,
    features=frozenset({"keyframes", "hdr", "exr", "made_resolution"}),
    exclusions=(("loop", ("a start frame",)),),
)
TINY_OLD_RAY = VideoModel(
    backend="dream_machine",
    prices=PixelPrices(create=Usd.of("0.07"), modify=Usd.of("0.09")),
    resolutions=("540p",),
    durations=("5s",),
    ratios=("16:9",),
    max_modify_seconds=5,
    max_reframe_seconds=5,
    features=frozenset({"concepts", "reframe_first_frame"}),
)
TINY_UNI = ImageModel(
    backend="agents",
    prices=PicturePrices(create=Usd.of(3), edit=Usd.of(4), per_reference=Usd.of("0.5"), per_layer=Usd.of(6)),
    ratios=("1:1",),
    max_references=1,
    max_edit_references=1,
    features=frozenset({"style", "web_search", "layers"}),
)
PRICED: list[tuple[Request, Footage | None]] = [
    *((VideoRequest(model=name, prompt="a boat"), None) for name in catalogue.VIDEO_MODELS),
    *((VideoRequest(model=name, prompt="a boat", resolution="8k"), None) for name in catalogue.VIDEO_MODELS),
    *((ModifyVideoRequest(model=name, media="u", mode="flex_1"), CLIP) for name in catalogue.VIDEO_MODELS),
    *((ModifyVideoRequest(model=name, media="u", mode="flex_1"), None) for name in catalogue.VIDEO_MODELS),
    *((ReframeVideoRequest(model=name, media="u", aspect_ratio="1:1"), None) for name in catalogue.VIDEO_MODELS),
    *((ImageRequest(model=name, prompt="a boat"), None) for name in catalogue.IMAGE_MODELS),
    (ImageRequest(model="uni-1", modify_image=ImageReference("u"), layers="1k"), None),
    (UpscaleRequest(generation_id=ID), None),
    (AddAudioRequest(generation_id=ID), None),
]


@pytest.fixture
def emulator(clock: HeldClock) -> Emulator:
    return emulator_of_both(clock, KEY, {})


@pytest.fixture
def more_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """A smaller and dearer model of each API, and a dearer image model, for the time of a test."""
    monkeypatch.setitem(catalogue.VIDEO_MODELS, "ray-tiny", TINY_RAY)
    monkeypatch.setitem(catalogue.VIDEO_MODELS, "ray-old-tiny", TINY_OLD_RAY)
    monkeypatch.setitem(catalogue.IMAGE_MODELS, "uni-tiny", TINY_UNI)


def prices() -> list[Price]:
    return [price_of(request, source) for request, source in PRICED]


def choices(backends: tuple[BackendName, ...]) -> dict[tuple[str, str], object]:
    """What a client may choose: the enums, the defaults and the limits of each argument, but for the models' names."""
    found: dict[tuple[str, str], object] = {}
    for spec in (spec for specs in TOOLSETS.values() for spec in specs):
        for name, node in definition_of(spec, backends, with_quotes=False).input_schema["properties"].items():
            if name != "model":
                shots = node.get("items", {}).get("properties", {}) if name == "shots" else {}
                inner = {key: shot.get("enum") for key, shot in shots.items()}
                found[spec.name, name] = (node.get("enum"), node.get("default"), node.get("maxItems"), inner)
            else:
                found[spec.name, name] = node.get("default")
    return found


def refusals() -> list[str]:
    found: list[str] = []
    for request in (
        VideoRequest(model="ray-3.2", prompt="a", duration="10s", hdr=True),
        VideoRequest(model="ray-3.2", prompt="a", resolution="4k"),
        VideoRequest(model="ray-2", prompt="a", duration="10s"),
        ReframeVideoRequest(model="ray-3.2", media="u", prompt="a", aspect_ratio="9:16", resolution="1080p"),
        ImageRequest(model="uni-1", prompt="a", image_references=(ImageReference("u"),) * 10),
    ):
        with pytest.raises(InvalidRequestError) as refused:
            validation.check(request)
        found.append(refused.value.full_text)
    return found


@pytest.mark.parametrize("backends", [BOTH, ("agents",), ("dream_machine",)])
def test_a_smaller_model_takes_no_choice_from_the_others(
    backends: tuple[BackendName, ...], request: pytest.FixtureRequest
) -> None:
    before = choices(backends)
    request.getfixturevalue("more_models")

    assert choices(backends) == before


def test_a_dearer_model_changes_no_price_and_no_refusal_of_the_others(request: pytest.FixtureRequest) -> None:
    before = prices(), refusals()
    request.getfixturevalue("more_models")

    assert (prices(), refusals()) == before


@pytest.mark.usefixtures("more_models")
def test_a_new_model_costs_its_own_price() -> None:
    assert price_of(VideoRequest(model="ray-tiny", prompt="a", resolution="540p")).amount == Usd.of("7.77")
    assert price_of(VideoRequest(model="ray-tiny", prompt="a", resolution="540p", hdr=True)).amount == Usd.of("15.54")
    assert price_of(ModifyVideoRequest(model="ray-tiny", media="u"), CLIP).amount == Usd.of("8.88")
    assert price_of(ReframeVideoRequest(model="ray-tiny", media="u", aspect_ratio="16:9"), CLIP).amount == Usd.of(
        "16.65"
    )
    assert price_of(VideoRequest(model="ray-old-tiny", prompt="a", resolution="540p")).amount == Usd.of("4.36")
    assert price_of(ImageRequest(model="uni-tiny", prompt="a")).amount == Usd.of(3)
    edit = ImageRequest(model="uni-tiny", prompt="a", modify_image=ImageReference("u"))
    assert price_of(edit).amount == Usd.of(4)
    layers = ImageRequest(model="uni-tiny", modify_image=ImageReference("u"), layers="1k")
    assert price_of(layers).amount == Usd.of(60)


@pytest.mark.usefixtures("more_models")
@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (
            VideoRequest(model="ray-tiny", prompt="a", resolution="720p"),
            "ray-tiny has no resolution 720p. It has 540p.",
        ),
        (VideoRequest(model="ray-tiny", prompt="a", duration="10s"), "ray-tiny has no duration 10s. It has 5s."),
        (
            VideoRequest(model="ray-old-tiny", prompt="a boat", hdr=True),
            "ray-old-tiny has no hdr. Choose ray-3.2 or ray-tiny, if this server offers it, or leave it out.",
        ),
        (
            VideoRequest(model="ray-tiny", prompt="a", concepts=("orbit_left",)),
            (
                "ray-tiny has no concepts. "
                "Choose ray-2 or ray-flash-2 or ray-old-tiny, if this server offers it, or leave it out."
            ),
        ),
        (
            ImageRequest(model="uni-tiny", prompt="a", image_references=(ImageReference("u"),) * 2),
            "At most 1 image references are supported, not 2.",
        ),
    ],
)
def test_a_refusal_names_the_model_that_was_asked_for(request_: Request, sentence: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        validation.check(request_)

    assert refused.value.full_text == sentence


@pytest.mark.usefixtures("more_models")
@pytest.mark.anyio
async def test_a_new_model_is_offered_and_quoted_by_a_server_that_runs(serve) -> None:
    async with Client(serve(LUMA_TOKEN=KEY)) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        quote = await client.call_tool(
            "create_video", {"prompt": "a boat", "model": "ray-tiny", "resolution": "540p", "dry_run": True}
        )

    assert "ray-tiny" in tools["create_video"].input_schema["properties"]["model"]["enum"]
    assert (quote.structured_content or {})["price_usd"] == 7.77


@pytest.mark.parametrize("name", list(catalogue.VIDEO_MODELS))
def test_a_removed_video_model_is_offered_no_more(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = choices(BOTH)
    monkeypatch.delitem(catalogue.VIDEO_MODELS, name)

    assert choices(BOTH).keys() == before.keys()
    for spec in (spec for specs in TOOLSETS.values() for spec in specs):
        assert name not in definition_of(spec, BOTH, with_quotes=False).model_dump_json().split('"')


@pytest.mark.parametrize("name", list(catalogue.IMAGE_MODELS))
def test_a_removed_image_model_is_offered_no_more(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(catalogue.IMAGE_MODELS, name)

    for spec in (spec for specs in TOOLSETS.values() for spec in specs):
        assert name not in definition_of(spec, BOTH, with_quotes=False).model_dump_json().split('"')


@pytest.mark.parametrize("backends", [BOTH, ("agents",), ("dream_machine",)])
def test_the_instructions_name_the_models_that_there_are(
    backends: tuple[BackendName, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = instructions(backends)
    for name in ("ray-flash-2", "ray-3.2"):
        monkeypatch.delitem(catalogue.VIDEO_MODELS, name)
    after = instructions(backends)

    assert "ray-flash-2" not in after
    assert "ray-3.2" not in after
    assert ("ray-2" in after) == ("ray-2," in before)
    monkeypatch.delitem(catalogue.VIDEO_MODELS, "ray-2")
    assert "ray-2" not in instructions(backends)


def test_a_feature_that_no_model_has_is_to_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(catalogue.VIDEO_MODELS, "ray-3.2")

    with pytest.raises(InvalidRequestError) as refused:
        validation.check(VideoRequest(model="ray-2", prompt="a boat", hdr=True))

    assert refused.value.full_text == "ray-2 has no hdr. Leave it out."


@pytest.mark.usefixtures("more_models")
def test_a_style_is_refused_for_a_ratio_that_it_has_not() -> None:
    request = ImageRequest(model="uni-1", prompt="a boat", style="manga", aspect_ratio="16:9")

    with pytest.raises(InvalidRequestError, match="The style manga has no aspect_ratio 16:9"):
        validation.check(request)


def test_an_api_without_a_video_model_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(catalogue.VIDEO_MODELS, "ray-3.2")

    with pytest.raises(InvalidRequestError, match="The Luma Agents API has no video model"):
        catalogue.default_video_model("agents")
