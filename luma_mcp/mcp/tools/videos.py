"""Tools that make and change videos. Each spends, unless `dry_run`."""

from typing import Annotated, Literal, get_args

from pydantic import Field

from luma_mcp.domain.apis import APIS, apis_with
from luma_mcp.domain.catalogue import (
    DEFAULT_DURATION,
    DEFAULT_RESOLUTION,
    FRAMES_PER_SECOND,
    VIDEO_MODELS,
    ModifyMode,
    Signal,
)
from luma_mcp.domain.errors import InvalidRequestError
from luma_mcp.domain.pricing import Footage, extension_format
from luma_mcp.domain.requests import (
    AddAudioRequest,
    FrameKeyframe,
    GenerationKeyframe,
    ModifyVideoRequest,
    ReframeVideoRequest,
    TimedKeyframe,
    UpscaleRequest,
    VideoRequest,
)
from luma_mcp.mcp.arguments.api_variants import differs
from luma_mcp.mcp.arguments.choices import (
    OneOf,
    all_videos,
    by_catalogue,
    feature_field,
    only_field,
)
from luma_mcp.mcp.arguments.values import AsSignals, AsSource, AsTimedPictures, NoFrames
from luma_mcp.mcp.results import PurchaseResult, PurchasesResult
from luma_mcp.mcp.spec import ALWAYS_LOADED, SPENDS, Call, ToolSpec
from luma_mcp.mcp.tools.arguments import (
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
    video_durations,
    video_model,
    video_resolutions,
)
from luma_mcp.mcp.tools.candidates import CandidateArguments, purchase_candidates
from luma_mcp.mcp.tools.concepts import checked_concepts
from luma_mcp.mcp.tools.purchase import purchase
from luma_mcp.mcp.tools.video_arguments import (
    Exr,
    Hdr,
    TimedPicture,
    duration_schema,
    mode_schema,
    resolution_schema,
    source_schema,
)

_UPSCALING, _ADDING_AUDIO = apis_with("upscale_video"), apis_with("add_audio")


class CreateVideoArguments(CandidateArguments):
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
    resolution: Annotated[
        str | None, Field(json_schema_extra=by_catalogue(resolution_schema)), OneOf(video_resolutions)
    ] = None
    duration: Annotated[str | None, Field(json_schema_extra=by_catalogue(duration_schema)), OneOf(video_durations)] = (
        None
    )
    loop: Loop = False
    concepts: Concepts = None
    keyframes: Annotated[
        list[TimedPicture] | None,
        Field(
            json_schema_extra=by_catalogue(
                lambda: feature_field("keyframes", all_videos(), "pictures at these moments.")
            )
        ),
        AsTimedPictures,
        NoFrames,
    ] = None
    hdr: Hdr = False
    exr: Exr = False


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
    return await purchase_candidates(call, arguments, request, sources)


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
        Field(json_schema_extra=by_catalogue(lambda: source_schema(lambda model: model.max_modify_seconds))),
        AsSource,
    ]
    mode: Annotated[ModifyMode | None, Field(json_schema_extra=by_catalogue(mode_schema))] = None
    keep: Annotated[
        list[Signal] | None,
        Field(json_schema_extra=by_catalogue(lambda: feature_field("keep", all_videos(), "what stays as it is."))),
        AsSignals,
    ] = None
    prompt: Prompt = None
    first_frame: ImageSource = None
    keyframes: Annotated[
        list[TimedPicture] | None,
        Field(
            json_schema_extra=by_catalogue(lambda: only_field("keyframes", all_videos(), "Pictures at its moments."))
        ),
        AsTimedPictures,
        NoFrames,
    ] = None
    model: VideoModel = None
    resolution: MadeResolution = None
    hdr: Hdr = False
    exr: Exr = False


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
        keep=tuple(signal for signal in get_args(Signal) if signal in (arguments.keep or ())),
        prompt=arguments.prompt,
        first_frame=await sources.image(arguments.first_frame) if arguments.first_frame else None,
        keyframes=tuple(
            [
                FrameKeyframe(await sources.image(frame.source), _frame_at(frame.seconds, clip.footage, max_seconds))
                for frame in arguments.keyframes or ()
            ]
        ),
        hdr=arguments.hdr,
        exr=arguments.exr,
    )
    return await purchase(call, arguments, request, sources, clip.footage)


def _frame_at(seconds: float, footage: Footage | None, max_seconds: float) -> int:
    """The number of the frame that a clip shows at a moment. Raises: InvalidRequestError, if it is over by then."""
    is_counted = footage is not None and footage.frames > 0 and footage.seconds > 0
    rate = footage.frames / footage.seconds if footage is not None and is_counted else FRAMES_PER_SECOND
    length = max_seconds if footage is None else footage.seconds
    last = max(round(length * rate) - 1, 0)
    if seconds > length:
        raise InvalidRequestError(
            f"The clip is {length:.2f} s long, and a keyframe is at {seconds:g} s.", "Nothing was bought."
        )
    return min(round(seconds * rate), last)


class ReframeVideoArguments(SpendingArguments):
    source: Annotated[
        str,
        Field(json_schema_extra=by_catalogue(lambda: source_schema(lambda model: model.max_reframe_seconds))),
        AsSource,
    ]
    aspect_ratio: NewRatio
    prompt: Prompt = None
    first_frame: Annotated[
        str | None,
        Field(
            json_schema_extra=by_catalogue(
                lambda: only_field("reframe_first_frame", all_videos(), "Picture, as in create_video.")
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
    ToolSpec(create_video, CreateVideoArguments, PurchasesResult, "Create a video", SPENDS, meta=ALWAYS_LOADED),
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
