"""Tools that make and change videos. Each spends, unless `dry_run`."""

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from luma_mcp.domain.apis import APIS, apis_with
from luma_mcp.domain.catalogue import DEFAULT_DURATION, DEFAULT_RESOLUTION, VIDEO_MODELS, ModifyMode
from luma_mcp.domain.catalogue import VideoModel as CatalogueVideoModel
from luma_mcp.domain.pricing import extension_format, price_of
from luma_mcp.domain.requests import (
    AddAudioRequest,
    GenerationKeyframe,
    ModifyVideoRequest,
    ReframeVideoRequest,
    TimedKeyframe,
    UpscaleRequest,
    VideoRequest,
)
from luma_mcp.mcp.arguments.api_variants import Schema, differs
from luma_mcp.mcp.arguments.choices import (
    Models,
    OneOf,
    all_videos,
    by_api,
    by_catalogue,
    by_value,
    described,
    feature_field,
    only_field,
    union,
)
from luma_mcp.mcp.arguments.values import AsSource, AsTimedPictures, NoFrames
from luma_mcp.mcp.results import PurchaseResult
from luma_mcp.mcp.spec import ALWAYS_LOADED, SPENDS, Call, ToolSpec
from luma_mcp.mcp.tools.arguments import (
    CLIP,
    Concepts,
    GenerationId,
    ImageSource,
    Loop,
    MadeResolution,
    NewRatio,
    PlacementFractions,
    Prompt,
    Ratio,
    SpendingArguments,
    VideoModel,
    placement_of,
    video_choices,
    video_durations,
    video_model,
    video_resolutions,
)
from luma_mcp.mcp.tools.concepts import checked_concepts
from luma_mcp.mcp.tools.purchase import purchase

_UPSCALING, _ADDING_AUDIO = apis_with("upscale_video"), apis_with("add_audio")


class TimedPicture(BaseModel):
    """A picture, and the second at which a clip shows it."""

    model_config = ConfigDict(extra="forbid")

    source: str
    seconds: Annotated[
        float,
        Field(ge=0, json_schema_extra=by_catalogue(lambda: {"maximum": _max_duration()})),
    ]


def _max_duration() -> int:
    return int(max(map(_seconds, video_durations())))


def _seconds(duration: str) -> float:
    return float(duration.removesuffix("s"))


def _resolution() -> Schema:
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


def _duration() -> Schema:
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


def _source(max_seconds: Callable[[CatalogueVideoModel], float]) -> Schema:
    """The description of a clip to change: its longest length, and its largest size if all models have the same."""

    def describe(offered: Models) -> str:
        lengths = {
            name: max_seconds(model) for name, model in offered.items() if isinstance(model, CatalogueVideoModel)
        }
        sizes = {APIS[model.backend].max_clip_bytes // 10**8 * 100 for model in offered.values()}
        size = f", {sizes.pop()} MB" if len(sizes) == 1 else ""
        return f"{CLIP} At most {by_value(lengths, ' s')}{size}."

    return described(describe, all_videos())


def _mode() -> Schema:
    def describe(offered: Models) -> str:
        text = "adhere keeps most, reimagine least; 3 is strongest."
        choosing = [name for name, model in offered.items() if not APIS[model.backend].needs_mode]
        if len(choosing) == len(offered):
            return f"{text} Default: Luma's choice."
        return f"{text} Not needed: {', '.join(choosing)}." if choosing else text

    required = [name for name, api in APIS.items() if api.needs_mode]
    return described(describe, all_videos(), required=required[0] if len(required) == 1 else None)


class CreateVideoArguments(SpendingArguments):
    prompt: Prompt = None
    start_frame: Annotated[
        str | None,
        Field(
            description="https URL or path of a picture, or a generation id: a clip is joined on. ID#last is a frame."
        ),
        AsSource,
    ] = None
    end_frame: Annotated[str | None, Field(description="As start_frame."), AsSource] = None
    model: VideoModel = None
    aspect_ratio: Ratio = None
    resolution: Annotated[str | None, Field(json_schema_extra=by_catalogue(_resolution)), OneOf(video_resolutions)] = (
        None
    )
    duration: Annotated[str | None, Field(json_schema_extra=by_catalogue(_duration)), OneOf(video_durations)] = None
    loop: Loop = False
    concepts: Concepts = None
    keyframes: Annotated[
        list[TimedPicture] | None,
        Field(
            json_schema_extra=by_catalogue(
                lambda: feature_field("keyframes", all_videos(), "pictures that it shows at these moments.")
            )
        ),
        AsTimedPictures,
        NoFrames,
    ] = None
    hdr: Annotated[
        bool,
        Field(json_schema_extra=by_catalogue(lambda: feature_field("hdr", all_videos(), "HDR at twice the price."))),
    ] = False
    exr: Annotated[
        bool,
        Field(
            json_schema_extra=by_catalogue(
                lambda: only_field("exr", all_videos(), "With hdr: EXR frames too, at three times the price.")
            )
        ),
    ] = False


async def create_video(call: Call, arguments: CreateVideoArguments) -> PurchaseResult:
    """Make (generate) a video, clip, shot: text to video, image to video (animate), between pictures. Costs money."""
    model = video_model(call, arguments.model)
    backend = VIDEO_MODELS[model].backend
    sources = call.sources(backend)
    frames = [TimedKeyframe(await sources.image(frame.source), frame.seconds) for frame in arguments.keyframes or ()]
    request = VideoRequest(
        model=model,
        prompt=arguments.prompt,
        aspect_ratio=arguments.aspect_ratio or APIS[backend].default_ratio,
        resolution=arguments.resolution or DEFAULT_RESOLUTION,
        duration=arguments.duration or DEFAULT_DURATION,
        loop=arguments.loop,
        start=await sources.keyframe(arguments.start_frame) if arguments.start_frame else None,
        end=await sources.keyframe(arguments.end_frame) if arguments.end_frame else None,
        concepts=await checked_concepts(call, arguments.concepts),
        keyframes=tuple(frames),
        hdr=arguments.hdr,
        exr=arguments.exr,
    )
    return await purchase(call, arguments, request, sources)


class ExtendVideoArguments(SpendingArguments):
    generation_id: GenerationId
    prompt: Prompt = None
    direction: Annotated[Literal["forward", "backward"], Field(description="backward leads up to its start.")] = (
        "forward"
    )
    end_frame: Annotated[str | None, Field(description="Its other end, as in create_video."), AsSource] = None
    loop: Loop = False
    concepts: Concepts = None


async def extend_video(call: Call, arguments: ExtendVideoArguments) -> PurchaseResult:
    """Continue a video to make it longer, or make the clip that happened before its beginning. Costs money."""
    generation = await call.services.backend.get_generation(arguments.generation_id)
    sources = call.sources(generation.backend)
    clip = await sources.video(arguments.generation_id)
    frame = GenerationKeyframe(clip.id)
    other = await sources.keyframe(arguments.end_frame) if arguments.end_frame else None
    start, end = (frame, other) if arguments.direction == "forward" else (other, frame)
    request = VideoRequest(
        **extension_format(clip),
        prompt=arguments.prompt,
        loop=arguments.loop,
        start=start,
        end=end,
        concepts=await checked_concepts(call, arguments.concepts),
    )
    return await purchase(call, arguments, request, sources)


class ModifyVideoArguments(SpendingArguments):
    source: Annotated[
        str,
        Field(json_schema_extra=by_catalogue(lambda: _source(lambda model: model.max_modify_seconds))),
        AsSource,
    ]
    mode: Annotated[ModifyMode | None, Field(json_schema_extra=by_catalogue(_mode))] = None
    prompt: Prompt = None
    first_frame: ImageSource = None
    model: VideoModel = None
    resolution: MadeResolution = None


async def modify_video(call: Call, arguments: ModifyVideoArguments) -> PurchaseResult:
    """Repaint or restyle a clip (video to video), keeping its motion. Costs money."""
    model = video_model(call, arguments.model)
    sources = call.sources(VIDEO_MODELS[model].backend)
    max_seconds = VIDEO_MODELS[model].max_modify_seconds
    clip = await sources.clip(arguments.source, max_seconds=max_seconds)
    request = ModifyVideoRequest(
        model=model,
        resolution=_made_resolution(model, arguments.resolution),
        media=clip.url,
        mode=arguments.mode,
        prompt=arguments.prompt,
        first_frame=await sources.image(arguments.first_frame) if arguments.first_frame else None,
    )
    return await purchase(call, arguments, request, sources, clip.footage)


class ReframeVideoArguments(SpendingArguments):
    source: Annotated[
        str,
        Field(json_schema_extra=by_catalogue(lambda: _source(lambda model: model.max_reframe_seconds))),
        AsSource,
    ]
    aspect_ratio: NewRatio
    prompt: Prompt = None
    first_frame: Annotated[
        str | None,
        Field(
            json_schema_extra=by_catalogue(
                lambda: only_field("reframe_first_frame", all_videos(), "Picture, as start_frame in create_video.")
            )
        ),
        AsSource,
    ] = None
    model: VideoModel = None
    resolution: MadeResolution = None
    placement: PlacementFractions = None


async def reframe_video(call: Call, arguments: ReframeVideoArguments) -> PurchaseResult:
    """Outpaint a video or clip to another aspect ratio, such as vertical. Costs money."""
    model = video_model(call, arguments.model)
    sources = call.sources(VIDEO_MODELS[model].backend)
    max_seconds = VIDEO_MODELS[model].max_reframe_seconds
    clip = await sources.clip(arguments.source, max_seconds=max_seconds)
    request = ReframeVideoRequest(
        model=model,
        resolution=_made_resolution(model, arguments.resolution),
        media=clip.url,
        aspect_ratio=arguments.aspect_ratio,
        prompt=arguments.prompt,
        first_frame=await sources.image(arguments.first_frame) if arguments.first_frame else None,
        placement=placement_of(arguments.placement),
    )
    return await purchase(call, arguments, request, sources, clip.footage)


class UpscaleVideoArguments(SpendingArguments):
    generation_id: GenerationId
    resolution: Annotated[
        str,
        Field(
            description="Of the new clip.",
            json_schema_extra=differs(choices={name: api.upscale_resolutions for name, api in APIS.items()}),
        ),
        OneOf(video_resolutions),
    ] = "1080p"


async def upscale_video(call: Call, arguments: UpscaleVideoArguments) -> PurchaseResult:
    """Make a larger, sharper copy of a completed video, in higher resolution. Costs money."""
    sources = call.sources(_UPSCALING[0])
    clip = await sources.video_of_this_api(arguments.generation_id)
    request = UpscaleRequest(generation_id=clip.id, resolution=arguments.resolution)
    return await purchase(call, arguments, request, sources, await sources.footage(clip))


class AddAudioArguments(SpendingArguments):
    generation_id: GenerationId
    prompt: Annotated[str | None, Field(description="What it should sound like.")] = None
    negative_prompt: Annotated[str | None, Field(description="What it should not sound like.")] = None


async def add_audio(call: Call, arguments: AddAudioArguments) -> PurchaseResult:
    """Make a copy of a completed video with sound effects. Costs money."""
    sources = call.sources(_ADDING_AUDIO[0])
    clip = await sources.video_of_this_api(arguments.generation_id)
    request = AddAudioRequest(generation_id=clip.id, prompt=arguments.prompt, negative_prompt=arguments.negative_prompt)
    return await purchase(call, arguments, request, sources, await sources.footage(clip))


def _made_resolution(model: str, resolution: str | None) -> str | None:
    """The resolution of a clip that is made from a source. A model without a choice uses that of the source."""
    return resolution or (DEFAULT_RESOLUTION if "made_resolution" in VIDEO_MODELS[model].features else None)


TOOLS = (
    ToolSpec(create_video, CreateVideoArguments, PurchaseResult, "Create a video", SPENDS, meta=ALWAYS_LOADED),
    ToolSpec(extend_video, ExtendVideoArguments, PurchaseResult, "Extend a video", SPENDS),
    ToolSpec(modify_video, ModifyVideoArguments, PurchaseResult, "Modify a video", SPENDS),
    ToolSpec(reframe_video, ReframeVideoArguments, PurchaseResult, "Reframe a video", SPENDS),
    ToolSpec(
        upscale_video,
        UpscaleVideoArguments,
        PurchaseResult,
        "Upscale a video",
        SPENDS,
        backends=_UPSCALING,
    ),
    ToolSpec(add_audio, AddAudioArguments, PurchaseResult, "Add audio to a video", SPENDS, backends=_ADDING_AUDIO),
)
