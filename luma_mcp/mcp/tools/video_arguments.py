"""Arguments of the tools for videos, described by the models that a server offers."""

from collections.abc import Callable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from luma_mcp.domain.apis import APIS
from luma_mcp.domain.catalogue import DEFAULT_DURATION, DEFAULT_RESOLUTION, VIDEO_MODELS
from luma_mcp.domain.catalogue import VideoModel as CatalogueVideoModel
from luma_mcp.domain.pricing import price_of
from luma_mcp.domain.requests import VideoRequest
from luma_mcp.mcp.arguments.api_variants import Schema
from luma_mcp.mcp.arguments.choices import (
    Models,
    all_videos,
    by_api,
    by_catalogue,
    by_value,
    described,
    feature_field,
    only_field,
    union,
)
from luma_mcp.mcp.tools.arguments import CLIP, video_choices, without_limits


class TimedPicture(BaseModel):
    """A picture, and the second at which a clip shows it."""

    model_config = ConfigDict(extra="forbid")

    source: str
    seconds: Annotated[float, Field(ge=0, json_schema_extra=without_limits)]


def _seconds(duration: str) -> float:
    return float(duration.removesuffix("s"))


def resolution_schema() -> Schema:
    """The default, and how many times its price the largest resolution of each API's default model costs."""

    def describe(offered: Models) -> str:
        firsts = [next(iter(models)) for models in by_api(offered).values()]
        costs = [
            f"{largest} costs {_ratio_of(name, resolution=largest):.0f}x{f' ({name})' if firsts[1:] else ''}"
            for name in firsts
            for largest in VIDEO_MODELS[name].resolutions[-1:]
        ]
        return f"Default {DEFAULT_RESOLUTION}; {', '.join(costs)}."

    return described(describe, all_videos(), choices=video_choices("resolutions"))


def duration_schema() -> Schema:
    """The default, the others with their models, and the price of those that cost more than in proportion."""

    def describe(offered: Models) -> str:
        durations = union(VIDEO_MODELS[name].durations for name in offered)
        texts = [_other_duration(duration, offered) for duration in durations if duration != DEFAULT_DURATION]
        return "; ".join([f"Default {DEFAULT_DURATION}", *filter(None, texts)]) + "."

    return described(describe, all_videos(), choices=video_choices("durations"))


def _other_duration(duration: str, offered: Models) -> str:
    """The models that have a duration, where not all have it, and what it costs, if that is more than in proportion."""
    having = [name for name in offered if duration in VIDEO_MODELS[name].durations]
    ratio = _ratio_of(having[0], duration=duration)
    is_dear = ratio > 1.1 * _seconds(duration) / _seconds(DEFAULT_DURATION)
    cost = f" costs {ratio:.0f}x" if is_dear else ""
    named = f" ({', '.join(having)})" if len(having) < len(offered) else ""
    return f"{duration}{named}{cost}" if named or cost else ""


def _ratio_of(model: str, *, resolution: str = DEFAULT_RESOLUTION, duration: str = DEFAULT_DURATION) -> float:
    """The price of such a clip, as a multiple of that of the default clip."""
    plain = price_of(VideoRequest(model=model, prompt="..."))
    wanted = price_of(VideoRequest(model=model, prompt="...", resolution=resolution, duration=duration))
    return wanted.amount.micros / plain.amount.micros


def source_schema(max_seconds: Callable[[CatalogueVideoModel], float]) -> Schema:
    """The description of a clip to change: its longest length, and its largest size if all models have the same."""

    def describe(offered: Models) -> str:
        lengths = {
            name: max_seconds(model) for name, model in offered.items() if isinstance(model, CatalogueVideoModel)
        }
        sizes = {APIS[model.backend].max_clip_bytes // 10**8 * 100 for model in offered.values()}
        size = f", {sizes.pop()} MB" if len(sizes) == 1 else ""
        return f"{CLIP} At most {by_value(lengths, ' s')}{size}."

    return described(describe, all_videos())


def mode_schema() -> Schema:
    def describe(offered: Models) -> str:
        text = "adhere keeps most, reimagine least; 3 is strongest."
        choosing = [name for name, model in offered.items() if not APIS[model.backend].needs_mode]
        if len(choosing) == len(offered):
            return f"{text} Default: Luma's choice."
        return f"{text} Not needed: {', '.join(choosing)}." if choosing else text

    required = [name for name, api in APIS.items() if api.needs_mode]
    return described(describe, all_videos(), required=required[0] if len(required) == 1 else None)


Hdr = Annotated[
    bool,
    Field(json_schema_extra=by_catalogue(lambda: feature_field("hdr", all_videos(), "twice the price."))),
]
Exr = Annotated[
    bool,
    Field(
        json_schema_extra=by_catalogue(
            lambda: only_field("exr", all_videos(), "With hdr: EXR frames too, 3x the price.")
        )
    ),
]
