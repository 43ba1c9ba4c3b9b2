"""What Luma would refuse. Each rule is also the emulator's, which has it from Luma's documentation by itself."""

from itertools import product

import pytest

from luma_mcp.backends.dream_machine import encoding
from luma_mcp.domain import validation as rules
from luma_mcp.domain.errors import InvalidRequestError
from luma_mcp.domain.requests import GenerationKeyframe, ImageKeyframe, ImageReference, ImageRequest, VideoRequest
from luma_mcp.emulator.dream_machine.bodies import ImageBody, RuleBrokenError, VideoBody, check

FRAMES = [None, ImageKeyframe("https://a.example/a.png"), GenerationKeyframe("15b7abb1-3741-4b7e-9615-1f9a16c7442d")]


def ours(request: VideoRequest | ImageRequest) -> str | None:
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
