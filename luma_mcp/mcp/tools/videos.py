"""Tools that make and change videos. Each spends, unless `dry_run`."""

from typing import Annotated, Literal

from pydantic import Field

from luma_mcp.domain.catalogue import (
    DEFAULT_DURATION,
    DEFAULT_RATIO,
    DEFAULT_RESOLUTION,
    VIDEO_MODELS,
    Duration,
    ModifyMode,
    Resolution,
)
from luma_mcp.domain.pricing import footage_of, form_of
from luma_mcp.domain.requests import (
    AddAudioRequest,
    GenerationKeyframe,
    ModifyVideoRequest,
    ReframeVideoRequest,
    UpscaleRequest,
    VideoRequest,
)
from luma_mcp.mcp.results import PurchaseResult
from luma_mcp.mcp.tool_spec import SPENDS, Call, ToolSpec
from luma_mcp.mcp.tools.arguments import (
    ClipSource,
    Concepts,
    GenerationId,
    ImageSource,
    Loop,
    NewRatio,
    PlacementFractions,
    Prompt,
    Ratio,
    SpendingArguments,
    VideoModel,
    placement_of,
)
from luma_mcp.mcp.tools.purchase import purchase


class CreateVideoArguments(SpendingArguments):
    prompt: Prompt = None
    start_frame: Annotated[
        str | None,
        Field(
            description="https URL or path of a picture, or a generation id: a clip is joined on. ID#last is a frame."
        ),
    ] = None
    end_frame: Annotated[str | None, Field(description="As start_frame.")] = None
    model: VideoModel = "ray-2"
    aspect_ratio: Ratio = None
    resolution: Annotated[Resolution | None, Field(description="Default 720p; 4k costs nine times that.")] = None
    duration: Annotated[Duration | None, Field(description="Default 5s.")] = None
    loop: Loop = False
    concepts: Concepts = None


async def create_video(call: Call, arguments: CreateVideoArguments) -> PurchaseResult:
    """Make a video from words, from a start and end picture, or between earlier clips. Costs money."""
    sources = call.services.sources.begin()
    request = VideoRequest(
        model=arguments.model,
        prompt=arguments.prompt,
        aspect_ratio=arguments.aspect_ratio or DEFAULT_RATIO,
        resolution=arguments.resolution or DEFAULT_RESOLUTION,
        duration=arguments.duration or DEFAULT_DURATION,
        loop=arguments.loop,
        start=await sources.keyframe(arguments.start_frame) if arguments.start_frame else None,
        end=await sources.keyframe(arguments.end_frame) if arguments.end_frame else None,
        concepts=tuple(arguments.concepts or ()),
    )
    return await purchase(call, arguments, request, sources)


class ExtendVideoArguments(SpendingArguments):
    generation_id: GenerationId
    prompt: Prompt = None
    direction: Annotated[Literal["forward", "backward"], Field(description="backward leads up to its start.")] = (
        "forward"
    )
    end_frame: Annotated[str | None, Field(description="Its other end, as in create_video.")] = None
    loop: Loop = False
    concepts: Concepts = None


async def extend_video(call: Call, arguments: ExtendVideoArguments) -> PurchaseResult:
    """Make a new clip that goes on from a completed one, or leads up to it, in the same form. Costs money."""
    sources = call.services.sources.begin()
    clip = await sources.video(arguments.generation_id)
    frame = GenerationKeyframe(clip.id)
    other = await sources.keyframe(arguments.end_frame) if arguments.end_frame else None
    start, end = (frame, other) if arguments.direction == "forward" else (other, frame)
    request = VideoRequest(
        **form_of(clip),
        prompt=arguments.prompt,
        loop=arguments.loop,
        start=start,
        end=end,
        concepts=tuple(arguments.concepts or ()),
    )
    return await purchase(call, arguments, request, sources)


class ModifyVideoArguments(SpendingArguments):
    source: ClipSource
    mode: Annotated[ModifyMode, Field(description="adhere keeps most, reimagine least; 3 is strongest.")]
    prompt: Prompt = None
    first_frame: ImageSource = None
    model: VideoModel = "ray-2"


async def modify_video(call: Call, arguments: ModifyVideoArguments) -> PurchaseResult:
    """Repaint a clip of at most 10 s (ray-2) or 15 s (ray-flash-2), 100 MB, keeping its motion. Costs money."""
    sources = call.services.sources.begin()
    longest = VIDEO_MODELS[arguments.model].longest_modify_seconds
    clip = await sources.clip(arguments.source, longest_seconds=longest)
    request = ModifyVideoRequest(
        model=arguments.model,
        media=clip.url,
        mode=arguments.mode,
        prompt=arguments.prompt,
        first_frame=await sources.image(arguments.first_frame) if arguments.first_frame else None,
    )
    return await purchase(call, arguments, request, sources, clip.footage)


class ReframeVideoArguments(SpendingArguments):
    source: ClipSource
    aspect_ratio: NewRatio
    prompt: Prompt = None
    first_frame: ImageSource = None
    model: VideoModel = "ray-2"
    placement: PlacementFractions = None


async def reframe_video(call: Call, arguments: ReframeVideoArguments) -> PurchaseResult:
    """Give a clip of at most 10 s (ray-2) or 30 s (ray-flash-2), 100 MB, another ratio by outpainting. Costs money."""
    sources = call.services.sources.begin()
    longest = VIDEO_MODELS[arguments.model].longest_reframe_seconds
    clip = await sources.clip(arguments.source, longest_seconds=longest)
    request = ReframeVideoRequest(
        model=arguments.model,
        media=clip.url,
        aspect_ratio=arguments.aspect_ratio,
        prompt=arguments.prompt,
        first_frame=await sources.image(arguments.first_frame) if arguments.first_frame else None,
        placement=placement_of(arguments.placement),
    )
    return await purchase(call, arguments, request, sources, clip.footage)


class UpscaleVideoArguments(SpendingArguments):
    generation_id: GenerationId
    resolution: Annotated[Resolution, Field(description="Of the new clip.")] = "1080p"


async def upscale_video(call: Call, arguments: UpscaleVideoArguments) -> PurchaseResult:
    """Make a larger copy of a completed video. A new generation; costs money."""
    sources = call.services.sources.begin()
    clip = await sources.video(arguments.generation_id)
    request = UpscaleRequest(generation_id=clip.id, resolution=arguments.resolution)
    return await purchase(call, arguments, request, sources, footage_of(clip))


class AddAudioArguments(SpendingArguments):
    generation_id: GenerationId
    prompt: Annotated[str | None, Field(description="What it should sound like.")] = None
    negative_prompt: Annotated[str | None, Field(description="What it should not sound like.")] = None


async def add_audio(call: Call, arguments: AddAudioArguments) -> PurchaseResult:
    """Make a copy of a completed video with sound. A new generation; costs money."""
    sources = call.services.sources.begin()
    clip = await sources.video(arguments.generation_id)
    request = AddAudioRequest(generation_id=clip.id, prompt=arguments.prompt, negative_prompt=arguments.negative_prompt)
    return await purchase(call, arguments, request, sources, footage_of(clip))


TOOLS = (
    ToolSpec(create_video, CreateVideoArguments, PurchaseResult, "Create a video", SPENDS),
    ToolSpec(extend_video, ExtendVideoArguments, PurchaseResult, "Extend a video", SPENDS),
    ToolSpec(modify_video, ModifyVideoArguments, PurchaseResult, "Modify a video", SPENDS),
    ToolSpec(reframe_video, ReframeVideoArguments, PurchaseResult, "Reframe a video", SPENDS),
    ToolSpec(upscale_video, UpscaleVideoArguments, PurchaseResult, "Upscale a video", SPENDS),
    ToolSpec(add_audio, AddAudioArguments, PurchaseResult, "Add audio to a video", SPENDS),
)
