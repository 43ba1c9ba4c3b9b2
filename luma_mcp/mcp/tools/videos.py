"""Tools that make and change videos. Each spends, unless `dry_run`."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from luma_mcp.domain.catalogue import (
    DEFAULT_DURATION,
    DEFAULT_RATIO,
    DEFAULT_RESOLUTION,
    VIDEO_MODELS,
    Duration,
    ModifyMode,
    Resolution,
    VideoModelName,
)
from luma_mcp.domain.pricing import extension_form
from luma_mcp.domain.requests import (
    AddAudioRequest,
    GenerationKeyframe,
    ModifyVideoRequest,
    ReframeVideoRequest,
    TimedKeyframe,
    UpscaleRequest,
    VideoRequest,
)
from luma_mcp.mcp.arguments.api_variants import differs
from luma_mcp.mcp.arguments.values import AsSource, AsTimedPictures, NoFrames
from luma_mcp.mcp.results import PurchaseResult
from luma_mcp.mcp.spec import ALWAYS_LOADED, DREAM_MACHINE, SPENDS, Call, ToolSpec
from luma_mcp.mcp.tools.arguments import (
    CLIP,
    VIDEO_DURATIONS,
    VIDEO_RESOLUTIONS,
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
    video_model,
)
from luma_mcp.mcp.tools.concepts import checked_concepts
from luma_mcp.mcp.tools.purchase import purchase


class TimedPicture(BaseModel):
    """A picture, and the second at which a clip shows it."""

    model_config = ConfigDict(extra="forbid")

    source: str
    seconds: Annotated[float, Field(ge=0, le=10)]


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
    resolution: Annotated[
        Resolution | None,
        Field(
            description="Default 720p; 1080p costs four times that, 4k (ray-2) nine times.",
            json_schema_extra=differs(
                choices=VIDEO_RESOLUTIONS,
                description={
                    "dream_machine": "Default 720p; 4k costs nine times that.",
                    "agents": "Default 720p; 1080p costs four times that.",
                },
            ),
        ),
    ] = None
    duration: Annotated[
        Duration | None,
        Field(
            description="Default 5s. ray-3.2 has 10s at three times the price, the others 9s.",
            json_schema_extra=differs(
                choices=VIDEO_DURATIONS,
                description={"dream_machine": "Default 5s.", "agents": "Default 5s; 10s costs three times that."},
            ),
        ),
    ] = None
    loop: Loop = False
    concepts: Concepts = None
    keyframes: Annotated[
        list[TimedPicture] | None,
        Field(
            description="ray-3.2 only: pictures that it shows at these moments.",
            json_schema_extra=differs(
                only="agents", description={"agents": "Pictures that it shows at these moments."}
            ),
        ),
        AsTimedPictures,
        NoFrames,
    ] = None
    hdr: Annotated[
        bool,
        Field(
            description="ray-3.2 only: HDR at twice the price.",
            json_schema_extra=differs(only="agents", description={"agents": "HDR at twice the price."}),
        ),
    ] = False
    exr: Annotated[
        bool,
        Field(
            description="With hdr: EXR frames too, at three times the price.", json_schema_extra=differs(only="agents")
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
        # The Agents API chooses a ratio by the pictures.
        aspect_ratio=arguments.aspect_ratio or (DEFAULT_RATIO if backend == "dream_machine" else None),
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
    end_frame: Annotated[str | None, Field(description="Its other end, as in create_video.")] = None
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
        **extension_form(clip),
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
        Field(
            description=f"{CLIP} At most 10 s (ray-2), 15 s (ray-flash-2) or 18 s.",
            json_schema_extra=differs(
                description={
                    "dream_machine": f"{CLIP} At most 10 s (ray-2) or 15 s (ray-flash-2), 100 MB.",
                    "agents": f"{CLIP} At most 18 s.",
                }
            ),
        ),
        AsSource,
    ]
    mode: Annotated[
        ModifyMode | None,
        Field(
            description="adhere keeps most, reimagine least; 3 is strongest. ray-3.2 chooses if it is left out.",
            json_schema_extra=differs(
                required="dream_machine",
                description={
                    "dream_machine": "adhere keeps most, reimagine least; 3 is strongest.",
                    "agents": "adhere keeps most, reimagine least; 3 is strongest. Default: Luma's choice.",
                },
            ),
        ),
    ] = None
    prompt: Prompt = None
    first_frame: ImageSource = None
    model: VideoModel = None
    resolution: MadeResolution = None


async def modify_video(call: Call, arguments: ModifyVideoArguments) -> PurchaseResult:
    """Repaint or restyle a clip (video to video), keeping its motion. Costs money."""
    model = video_model(call, arguments.model)
    sources = call.sources(VIDEO_MODELS[model].backend)
    longest = VIDEO_MODELS[model].longest_modify_seconds
    clip = await sources.clip(arguments.source, longest_seconds=longest)
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
        Field(
            description=f"{CLIP} At most 10 s (ray-2) or 30 s.",
            json_schema_extra=differs(
                description={
                    "dream_machine": f"{CLIP} At most 10 s (ray-2) or 30 s (ray-flash-2), 100 MB.",
                    "agents": f"{CLIP} At most 30 s.",
                }
            ),
        ),
        AsSource,
    ]
    aspect_ratio: NewRatio
    prompt: Prompt = None
    first_frame: Annotated[
        str | None,
        Field(description="Picture, as start_frame in create_video.", json_schema_extra=differs(only="dream_machine")),
        AsSource,
    ] = None
    model: VideoModel = None
    resolution: MadeResolution = None
    placement: PlacementFractions = None


async def reframe_video(call: Call, arguments: ReframeVideoArguments) -> PurchaseResult:
    """Outpaint a video or clip to another aspect ratio, such as vertical. Costs money."""
    model = video_model(call, arguments.model)
    sources = call.sources(VIDEO_MODELS[model].backend)
    longest = VIDEO_MODELS[model].longest_reframe_seconds
    clip = await sources.clip(arguments.source, longest_seconds=longest)
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
        Resolution,
        Field(
            description="Of the new clip.",
            json_schema_extra=differs(choices={"dream_machine": VIDEO_MODELS["ray-2"].resolutions}),
        ),
    ] = "1080p"


async def upscale_video(call: Call, arguments: UpscaleVideoArguments) -> PurchaseResult:
    """Make a larger, sharper copy of a completed video, in higher resolution. Costs money."""
    sources = call.sources("dream_machine")
    clip = await sources.video_of_this_api(arguments.generation_id)
    request = UpscaleRequest(generation_id=clip.id, resolution=arguments.resolution)
    return await purchase(call, arguments, request, sources, await sources.footage(clip))


class AddAudioArguments(SpendingArguments):
    generation_id: GenerationId
    prompt: Annotated[str | None, Field(description="What it should sound like.")] = None
    negative_prompt: Annotated[str | None, Field(description="What it should not sound like.")] = None


async def add_audio(call: Call, arguments: AddAudioArguments) -> PurchaseResult:
    """Make a copy of a completed video with sound effects. Costs money."""
    sources = call.sources("dream_machine")
    clip = await sources.video_of_this_api(arguments.generation_id)
    request = AddAudioRequest(generation_id=clip.id, prompt=arguments.prompt, negative_prompt=arguments.negative_prompt)
    return await purchase(call, arguments, request, sources, await sources.footage(clip))


def _made_resolution(model: VideoModelName, resolution: Resolution | None) -> str | None:
    """Of a clip that is made of another. Dream Machine takes none, and keeps that of its source."""
    return resolution or (DEFAULT_RESOLUTION if VIDEO_MODELS[model].backend == "agents" else None)


TOOLS = (
    ToolSpec(create_video, CreateVideoArguments, PurchaseResult, "Create a video", SPENDS, meta=ALWAYS_LOADED),
    ToolSpec(extend_video, ExtendVideoArguments, PurchaseResult, "Extend a video", SPENDS),
    ToolSpec(modify_video, ModifyVideoArguments, PurchaseResult, "Modify a video", SPENDS),
    ToolSpec(reframe_video, ReframeVideoArguments, PurchaseResult, "Reframe a video", SPENDS),
    ToolSpec(upscale_video, UpscaleVideoArguments, PurchaseResult, "Upscale a video", SPENDS, backends=DREAM_MACHINE),
    ToolSpec(add_audio, AddAudioArguments, PurchaseResult, "Add audio to a video", SPENDS, backends=DREAM_MACHINE),
)
