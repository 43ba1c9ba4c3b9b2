"""The operations of the API: for each its endpoint, its lifecycle, its size and its price.

To add an operation: write its body in `bodies`, and an entry here. If it changes what is seen, `rendering.assets` must
know how.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from luma_mcp.emulator.dream_machine.bodies import (
    AddAudioBody,
    Body,
    ImageBody,
    ModifyVideoBody,
    ReframeImageBody,
    ReframeVideoBody,
    UpscaleBody,
    VideoBody,
)
from luma_mcp.emulator.dream_machine.catalogue import DURATIONS, HEIGHTS, IMAGE_SIZES, video_size
from luma_mcp.emulator.dream_machine.prices import (
    AUDIO_USD_PER_SECOND,
    IMAGE_RATES,
    MODIFY_RATES,
    VIDEO_RATES,
    clip_cents,
    image_cents,
)
from luma_mcp.emulator.lifecycle import Lifecycle


@dataclass(frozen=True)
class OutputFormat:
    """The size in pixels, length and resolution of an asset; an image has no seconds."""

    size: tuple[int, int]
    seconds: float
    resolution: str


@dataclass(frozen=True)
class Source:
    """The clip that an operation works on: its form, and the model that made it."""

    output_format: OutputFormat
    model: str


@dataclass(frozen=True)
class Operation:
    """An operation.

    Args:
        path: its endpoint, below the prefix; `{id}` is the generation that it works on.
        body: the model of its request.
        lifecycle: how long it takes, at Luma's own speed.
        output_format: the form of what it makes, from its body and the clip that it works on.
        cents: its price in US cents, from its body, that form and that clip.
        makes_image: whether it makes an image.
        status: the status of a success.
    """

    path: str
    body: type[Body]
    lifecycle: Lifecycle
    output_format: Callable[[Any, Source], OutputFormat]
    cents: Callable[[Any, OutputFormat, Source], float]
    makes_image: bool = False
    status: int = 201


def _video_format(body: VideoBody, _source: Source) -> OutputFormat:
    return OutputFormat(video_size(body.aspect_ratio, body.resolution), DURATIONS[body.duration], body.resolution)


def _image_format(body: ImageBody | ReframeImageBody, _source: Source) -> OutputFormat:
    return OutputFormat(IMAGE_SIZES[body.aspect_ratio], 0, "")


def _reframed_format(body: ReframeVideoBody, source: Source) -> OutputFormat:
    return OutputFormat(video_size(body.aspect_ratio, "720p"), source.output_format.seconds, "720p")


def _upscaled_format(body: UpscaleBody, source: Source) -> OutputFormat:
    scale = HEIGHTS[body.resolution] / HEIGHTS[source.output_format.resolution]
    width, height = (round(side * scale / 2) * 2 for side in source.output_format.size)
    return OutputFormat((width, height), source.output_format.seconds, body.resolution)


def _source_format(_body: Body, source: Source) -> OutputFormat:
    return source.output_format


def _image_cents(body: ImageBody | ReframeImageBody, output_format: OutputFormat, _source: Source) -> float:
    return image_cents(IMAGE_RATES[body.model], output_format.size)


def _video_cents(body: VideoBody | ReframeVideoBody, output_format: OutputFormat, _source: Source) -> float:
    return clip_cents(VIDEO_RATES[body.model], output_format.size, output_format.seconds)


def _modify_cents(body: ModifyVideoBody, output_format: OutputFormat, _source: Source) -> float:
    return clip_cents(MODIFY_RATES[body.model], output_format.size, output_format.seconds)


def _upscale_cents(_body: UpscaleBody, output_format: OutputFormat, source: Source) -> float:
    return clip_cents(VIDEO_RATES.get(source.model, VIDEO_RATES["ray-2"]), output_format.size, output_format.seconds)


def _audio_cents(_body: AddAudioBody, output_format: OutputFormat, _source: Source) -> float:
    return round(AUDIO_USD_PER_SECOND * output_format.seconds * 100, 2)


# The times are averages that clients of the real API report: a clip about a minute, an image about ten seconds.
_IMAGE = Lifecycle(queued=1, dreaming=9)
OPERATIONS: dict[str, Operation] = {
    "video": Operation(
        "/generations/video", VideoBody, Lifecycle(queued=3, dreaming=57, preview_after=20), _video_format, _video_cents
    ),
    "image": Operation("/generations/image", ImageBody, _IMAGE, _image_format, _image_cents, makes_image=True),
    "reframe_image": Operation(
        "/generations/image/reframe", ReframeImageBody, _IMAGE, _image_format, _image_cents, makes_image=True
    ),
    "reframe_video": Operation(
        "/generations/video/reframe",
        ReframeVideoBody,
        Lifecycle(queued=3, dreaming=57),
        _reframed_format,
        _video_cents,
    ),
    "modify_video": Operation(
        "/generations/video/modify", ModifyVideoBody, Lifecycle(queued=3, dreaming=87), _source_format, _modify_cents
    ),
    "upscale_video": Operation(
        "/generations/{id}/upscale",
        UpscaleBody,
        Lifecycle(queued=3, dreaming=42),
        _upscaled_format,
        _upscale_cents,
        status=200,
    ),
    "add_audio": Operation(
        "/generations/{id}/audio",
        AddAudioBody,
        Lifecycle(queued=3, dreaming=27),
        _source_format,
        _audio_cents,
        status=200,
    ),
}
