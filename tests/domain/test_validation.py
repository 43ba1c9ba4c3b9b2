"""What Luma would refuse. Each rule is also the emulator's, which has it from Luma's documentation by itself."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_mcp.backends.agents import encoding as agents_encoding
from luma_mcp.backends.dream_machine import encoding
from luma_mcp.domain import validation as rules
from luma_mcp.domain.errors import InvalidRequestError
from luma_mcp.domain.requests import (
    FrameKeyframe,
    GenerationKeyframe,
    ImageKeyframe,
    ImageReference,
    ImageRequest,
    ModifyVideoRequest,
    ReframeImageRequest,
    ReframeVideoRequest,
    Request,
    TimedKeyframe,
    VideoRequest,
)
from luma_mcp.emulator.agents import rules as agents_rules
from luma_mcp.emulator.agents.bodies import GenerationBody
from luma_mcp.emulator.dream_machine.bodies import ImageBody, RuleBrokenError, VideoBody, check

FRAMES = [None, ImageKeyframe("https://a.example/a.png"), GenerationKeyframe("15b7abb1-3741-4b7e-9615-1f9a16c7442d")]


def ours(request: Request) -> str | None:
    try:
        rules.check(request)
    except InvalidRequestError as error:
        return str(error).rstrip(".")
    return None


def theirs(request: VideoRequest | ImageRequest) -> str | None:
    kind = VideoBody if isinstance(request, VideoRequest) else ImageBody
    try:
        check(kind.model_validate(encoding.encode(request).body))
    except RuleBrokenError as error:
        return str(error)
    return None


@pytest.mark.parametrize(("frame0", "frame1", "loop"), list(product(FRAMES, FRAMES, [False, True])))
def test_every_combination_of_frames_and_loop_is_judged_as_luma_judges_it(frame0, frame1, loop: bool) -> None:
    request = VideoRequest(model="ray-2", prompt="a boat", start=frame0, end=frame1, loop=loop)

    assert ours(request) == theirs(request)


@pytest.mark.parametrize("prompt", [None, "no", "yes", "x" * 5000, "x" * 5001])
@pytest.mark.parametrize("frame0", FRAMES)
def test_every_prompt_is_judged_as_luma_judges_it(prompt: str | None, frame0) -> None:
    request = VideoRequest(model="ray-2", prompt=prompt, start=frame0)

    assert ours(request) == theirs(request)


def test_too_many_references_are_counted() -> None:
    many = tuple(ImageReference("https://a.example/a.png") for _ in range(5))

    assert ours(ImageRequest(model="photon-1", prompt="a boat", image_references=many)) == (
        "At most 4 image references are supported, not 5"
    )
    characters = ImageRequest(model="photon-1", prompt="a boat", character_images=("https://a.example/a.png",) * 5)
    assert ours(characters) == "At most 4 character references are supported, not 5"


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (ReframeImageRequest(model="uni-1", media="u", aspect_ratio="1:1", prompt="a"), "has no reframe_image"),
        (VideoRequest(model="ray-2", prompt="a boat", hdr=True), "ray-2 has no hdr"),
        (VideoRequest(model="ray-2", prompt="a boat", keyframes=(TimedKeyframe("u", 1),)), "ray-2 has no keyframes"),
        (VideoRequest(model="ray-2", prompt="a boat", duration="10s"), "ray-2 has no duration 10s"),
        (VideoRequest(model="ray-2", prompt="a boat", resolution="360p"), "ray-2 has no resolution 360p"),
        (ImageRequest(model="photon-1", prompt="a boat", style="manga"), "photon-1 has no style"),
        (ImageRequest(model="photon-1", prompt="a boat", web_search=True), "photon-1 has no web_search"),
        (ModifyVideoRequest(model="ray-2", media="u"), "Mode is required"),
        (ModifyVideoRequest(model="ray-2", media="u", mode="flex_1", resolution="720p"), "ray-2 has no resolution"),
        (
            ReframeVideoRequest(model="ray-2", media="u", aspect_ratio="1:1", resolution="720p"),
            "ray-2 has no resolution",
        ),
        (
            VideoRequest(model="ray-3.2", prompt="a", start=GenerationKeyframe("a"), end=GenerationKeyframe("b")),
            "going on from a clip together with two frames",
        ),
        (
            VideoRequest(model="ray-3.2", prompt="a", end=GenerationKeyframe("b"), loop=True),
            "loop together with an end frame",
        ),
        (
            VideoRequest(model="ray-3.2", prompt="a", start=GenerationKeyframe("b"), hdr=True),
            "going on from a clip together with hdr",
        ),
        (ImageRequest(model="uni-1", prompt=""), "The prompt is blank"),
        (VideoRequest(model="ray-2", prompt="a boat", exr=True), "ray-2 has no exr"),
        (VideoRequest(model="ray-3.2", prompt="a boat", exr=True), "Only HDR clips have EXR frames"),
        (ImageRequest(model="photon-1", modify_image=ImageReference("u"), layers="1k"), "photon-1 has no layers"),
        (ImageRequest(model="uni-1-max", modify_image=ImageReference("u"), layers="1k"), "uni-1-max has no layers"),
        (ImageRequest(model="uni-1", prompt="a boat", layers="1k"), "Layers are made of a picture"),
        (ImageRequest(model="uni-1", modify_image=ImageReference("u", 1), layers="1k"), "Layers are made of a picture"),
        (
            ImageRequest(model="uni-1", modify_image=ImageReference("u"), layers="1k", prompt="x" * 501),
            "maximum length is 500",
        ),
        *(
            (ImageRequest(model="uni-1", modify_image=ImageReference("u"), layers="1k", **{field: value}), field)
            for field, value in {
                "aspect_ratio": "1:1", "format": "png", "style": "manga", "web_search": True,
                "image_references": (ImageReference("u"),), "style_references": (ImageReference("u"),),
                "character_images": ("u",),
            }.items()
        ),
    ],
)  # fmt: skip
def test_what_the_other_api_alone_has_is_refused(request_: Request, sentence: str) -> None:
    with pytest.raises(InvalidRequestError, match=sentence):
        rules.check(request_)


@pytest.mark.parametrize(
    ("request_", "way"),
    [
        (VideoRequest(model="ray-3.2", prompt="a", duration="10s", hdr=True), "Give duration 5s, the length of HDR"),
        (VideoRequest(model="ray-3.2", prompt="a", duration="10s", loop=True), "same picture as start_frame and as"),
        (VideoRequest(model="ray-3.2", prompt="a", duration="10s", start=FRAMES[2]), "name it as ID#last"),
        (VideoRequest(model="ray-3.2", prompt="a", start=FRAMES[2], end=FRAMES[1]), "name it as ID#last"),
        (VideoRequest(model="ray-3.2", prompt="a", start=FRAMES[2], keyframes=(TimedKeyframe("u", 1),)), "as ID#last"),
        (VideoRequest(model="ray-3.2", prompt="a", hdr=True, resolution="360p"), "Give a larger resolution"),
    ],
)
def test_a_refusal_names_the_way_that_remains(request_: Request, way: str) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        rules.check(request_)

    assert way in raised.value.hint


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (ModifyVideoRequest(model="ray-3.2", media="u", prompt="a", exr=True), "Only HDR clips have EXR frames"),
        (
            ModifyVideoRequest(
                model="ray-3.2", media="u", prompt="a", first_frame="v", keyframes=(FrameKeyframe("w", 0),)
            ),
            "Two keyframes are for the same frame",
        ),
        (ModifyVideoRequest(model="ray-2", media="u", mode="flex_1", keep=("face",)), "ray-2 has no keep"),
        (ModifyVideoRequest(model="ray-2", media="u", mode="flex_1", hdr=True), "ray-2 has no hdr"),
        (
            ModifyVideoRequest(model="ray-2", media="u", mode="flex_1", keyframes=(FrameKeyframe("w", 0),)),
            "ray-2 has no keyframes",
        ),
    ],
)
def test_a_change_of_a_clip_that_cannot_be_is_refused(request_: Request, sentence: str) -> None:
    with pytest.raises(InvalidRequestError, match=sentence):
        rules.check(request_)


MODIFICATIONS = st.builds(
    ModifyVideoRequest,
    model=st.just("ray-3.2"),
    media=st.just("https://a.example/a.mp4"),
    prompt=st.sampled_from([None, "a boat"]),
    mode=st.sampled_from([None, "flex_1"]),
    keep=st.lists(st.sampled_from(["face", "pose", "depth", "normals", "trajectory"]), unique=True).map(tuple),
    first_frame=st.sampled_from([None, "u"]),
    keyframes=st.lists(st.builds(FrameKeyframe, st.just("u"), st.sampled_from([0, 1, 431])), max_size=3).map(tuple),
    hdr=st.booleans(),
    exr=st.booleans(),
)


@given(MODIFICATIONS)
def test_a_change_by_ray_3_2_takes_what_the_emulator_takes(request_: ModifyVideoRequest) -> None:
    try:
        agents_rules.check(GenerationBody.model_validate(agents_encoding.encode(request_).body))
        is_taken = True
    except agents_rules.RefusedError:
        is_taken = False

    assert (ours(request_) is None) == is_taken


def test_a_clip_can_be_gone_on_from_in_a_loop() -> None:
    rules.check(VideoRequest(model="ray-3.2", prompt="a", start=GenerationKeyframe("b"), loop=True))
    rules.check(VideoRequest(model="ray-3.2", prompt="a", duration="10s", keyframes=(TimedKeyframe("u", 10),)))


VIDEOS = st.builds(
    VideoRequest,
    model=st.just("ray-3.2"),
    prompt=st.sampled_from([None, "a boat"]),
    aspect_ratio=st.sampled_from([None, "16:9", "9:21", "3:1"]),
    resolution=st.sampled_from([None, "360p", "540p", "720p", "1080p"]),
    duration=st.sampled_from([None, "5s", "10s"]),
    loop=st.booleans(),
    hdr=st.booleans(),
    exr=st.booleans(),
    start=st.sampled_from(FRAMES),
    end=st.sampled_from(FRAMES),
    keyframes=st.lists(st.builds(TimedKeyframe, st.just("u"), st.sampled_from([0, 1, 5, 5.5, 10, 11])), max_size=3).map(
        tuple
    ),
)


PICTURES = st.builds(
    ImageRequest,
    model=st.sampled_from(["uni-1", "uni-1-max"]),
    prompt=st.sampled_from([None, "a boat", "x" * 501, "x" * 6001]),
    aspect_ratio=st.sampled_from([None, "16:9", "4:3", "2:3"]),
    style=st.sampled_from([None, "manga"]),
    modify_image=st.sampled_from([None, ImageReference("u")]),
    image_references=st.sampled_from([(), (ImageReference("u"),), (ImageReference("u"),) * 9]),
    layers=st.sampled_from([None, "1k", "2k"]),
)


@given(PICTURES)
def test_uni_1_takes_no_more_than_the_emulator_takes(request_: ImageRequest) -> None:
    """Ours also refuses what the API ignores: a ratio of an edit, a style of layers."""
    if ours(request_) is None:
        agents_rules.check(GenerationBody.model_validate(agents_encoding.encode(request_).body))


@given(VIDEOS)
def test_ray_3_2_takes_what_the_emulator_takes(request_: VideoRequest) -> None:
    """The emulator has its own table of what excludes what."""
    try:
        agents_rules.check(GenerationBody.model_validate(agents_encoding.encode(request_).body))
        is_taken = True
    except agents_rules.RefusedError:
        is_taken = False

    assert (ours(request_) is None) == is_taken
