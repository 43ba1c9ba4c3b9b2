"""The request bodies that the API accepts and refuses.

Wrong types and unknown words are refused with 422 and a list of what is wrong, broken rules with 400 and one sentence,
as Luma's FastAPI-like server does. Unknown fields are ignored, as there. `model_dump` of a body is the echo that a
generation carries in `request`: every field filled, nulls included.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from luma_mcp.emulator.dream_machine.catalogue import (
    CONCEPTS,
    DURATIONS,
    HEIGHTS,
    AspectRatio,
    ImageModel,
    ModifyMode,
    VideoModel,
)


class RuleBrokenError(Exception):
    """A request of the right shape that the API refuses with 400; the text is the API's."""


class Body(BaseModel):
    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    callback_url: str | None = None


class ImageKeyframe(BaseModel):
    type: Literal["image"]
    url: str


class GenerationKeyframe(BaseModel):
    type: Literal["generation"]
    id: str


Keyframe = Annotated[ImageKeyframe | GenerationKeyframe, Field(discriminator="type")]


class Keyframes(BaseModel):
    frame0: Keyframe | None = None
    frame1: Keyframe | None = None


class Concept(BaseModel):
    key: str


class Media(BaseModel):
    url: str


class WeightedImage(BaseModel):
    url: str | None = None
    weight: float | None = None


class Identity(BaseModel):
    images: list[str] | None = None


class CharacterReference(BaseModel):
    identity0: Identity | None = None


class VideoBody(Body):
    generation_type: Literal["video"] = "video"
    prompt: str | None = None
    aspect_ratio: AspectRatio = "16:9"
    loop: bool = False
    keyframes: Keyframes | None = None
    model: VideoModel
    resolution: str = "720p"
    duration: str = "5s"
    concepts: list[Concept] | None = None


class OldVideoBody(VideoBody):
    """`POST /generations`, the older name of the endpoint, where the model may be left out."""

    model: VideoModel = "ray-2"


class ImageBody(Body):
    generation_type: Literal["image"] = "image"
    prompt: str | None = None
    aspect_ratio: AspectRatio = "16:9"
    format: Literal["jpg", "png"] = "jpg"
    model: ImageModel
    image_ref: list[WeightedImage] | None = None
    style_ref: list[WeightedImage] | None = None
    character_ref: CharacterReference | None = None
    modify_image_ref: WeightedImage | None = None
    sync: bool = False
    sync_timeout: Annotated[float, Field(ge=0)] = 60


class Reframing(Body):
    """The position of the source in the target, in pixels of the target's canvas."""

    media: Media
    aspect_ratio: AspectRatio
    prompt: str | None = None
    grid_position_x: int | None = None
    grid_position_y: int | None = None
    x_start: int | None = None
    x_end: int | None = None
    y_start: int | None = None
    y_end: int | None = None
    resized_width: int | None = None
    resized_height: int | None = None


class ReframeImageBody(Reframing):
    generation_type: Literal["reframe_image"]
    model: ImageModel
    format: Literal["jpg", "png"] = "jpg"


class ReframeVideoBody(Reframing):
    generation_type: Literal["reframe_video"]
    model: VideoModel
    first_frame: Media | None = None


class ModifyVideoBody(Body):
    generation_type: Literal["modify_video"]
    model: VideoModel
    media: Media
    mode: ModifyMode
    prompt: str | None = None
    first_frame: Media | None = None


class UpscaleBody(Body):
    generation_type: Literal["upscale_video"] = "upscale_video"
    resolution: str = "1080p"


class AddAudioBody(Body):
    generation_type: Literal["add_audio"] = "add_audio"
    prompt: str | None = None
    negative_prompt: str | None = None


def check(body: Body) -> None:
    """Refuse what the documentation's error page refuses, in its words."""
    prompt: str | None = getattr(body, "prompt", None)
    if prompt is not None and prompt != "":
        if len(prompt) < 3:
            raise RuleBrokenError("Prompt is too short, minimum length is 3 characters")
        if len(prompt) > 5000:
            raise RuleBrokenError("Prompt is too long, maximum length is 5000 characters")
    resolution: str | None = getattr(body, "resolution", None)
    if resolution is not None and resolution not in HEIGHTS:
        raise RuleBrokenError("400: Resolution is not supported in Ray 2 API")
    if isinstance(body, VideoBody):
        _check_video(body)
    if isinstance(body, ImageBody):
        _check_image(body)


def _check_video(body: VideoBody) -> None:
    frames = body.keyframes or Keyframes()
    has_picture = any(isinstance(frame, ImageKeyframe) for frame in (frames.frame0, frames.frame1))
    if not body.prompt and not has_picture:
        raise RuleBrokenError("Prompt is required")
    if body.keyframes is not None and frames.frame0 is None and frames.frame1 is None:
        raise RuleBrokenError("No keyframes provided")
    if body.duration not in DURATIONS:
        raise RuleBrokenError("400: Duration is not supported in Ray 2 API")
    for concept in body.concepts or []:
        if concept.key not in CONCEPTS:
            raise RuleBrokenError(f"400: Concept {concept.key} is not supported")
    if body.loop:
        _check_loop(frames)


# What `loop` excludes, by the kinds of the first and the last frame.
_NO_LOOP: dict[tuple[str | None, str | None], str] = {
    ("ImageKeyframe", "ImageKeyframe"): "Loop is not supported for keyframes",
    (None, "ImageKeyframe"): "Loop is not supported for end frame",
    (None, "GenerationKeyframe"): "Loop is not supported for extend reverse",
    ("GenerationKeyframe", "ImageKeyframe"): "Loop is not supported for interpolate video to image",
    ("ImageKeyframe", "GenerationKeyframe"): "Loop is not supported for interpolate image to video",
    ("GenerationKeyframe", "GenerationKeyframe"): "Loop is not supported for interpolate between two videos",
}


def _check_loop(frames: Keyframes) -> None:
    kinds = (frames.frame0 and type(frames.frame0).__name__, frames.frame1 and type(frames.frame1).__name__)
    if kinds in _NO_LOOP:
        raise RuleBrokenError(_NO_LOOP[kinds])


def _check_image(body: ImageBody) -> None:
    if not body.prompt and body.modify_image_ref is None:
        raise RuleBrokenError("Prompt is required")
    if len(body.image_ref or []) > 4:
        raise RuleBrokenError("400: A maximum of 4 image references is supported")
    identity = body.character_ref.identity0 if body.character_ref else None
    if identity and len(identity.images or []) > 4:
        raise RuleBrokenError("400: A maximum of 4 character images is supported")
