"""Tools that make and change videos. Each spends, unless `dry_run`."""

from typing import Annotated, Literal

from pydantic import Field

from luma_mcp.luma.models import (
    AddAudioRequest,
    AspectRatio,
    Duration,
    GenerationKeyframe,
    ModifyMode,
    ModifyVideoRequest,
    Placement,
    ReframeVideoRequest,
    Resolution,
    UpscaleRequest,
    VideoRequest,
)
from luma_mcp.luma.prices import LONGEST_TO_MODIFY, LONGEST_TO_REFRAME, footage_of, form_of
from luma_mcp.studio import Studio
from luma_mcp.tools._answers import PurchaseAnswer
from luma_mcp.tools._arguments import (
    ClipSource,
    Concepts,
    DryRun,
    GenerationId,
    Loop,
    PictureSource,
    Pixels,
    Prompt,
    Ratio,
    VideoModelName,
)
from luma_mcp.tools._buying import buy, sources_for
from luma_mcp.tools._effects import SPENDS
from luma_mcp.tools._toolset import Caller, Declared

Frame = Annotated[
    str | None,
    Field(
        description="https URL or path of a picture, or a generation id: a clip is joined on. ID#last is a frame of it."
    ),
]


async def create_video(
    studio: Studio,
    caller: Caller,
    prompt: Prompt = None,
    start_frame: Frame = None,
    end_frame: Frame = None,
    model: VideoModelName = "ray-2",
    aspect_ratio: Ratio = None,
    resolution: Annotated[Resolution | None, Field(description="Default 720p; 4k costs nine times that.")] = None,
    duration: Annotated[Duration | None, Field(description="Default 5s.")] = None,
    loop: Loop = False,
    concepts: Concepts = None,
    dry_run: DryRun = False,
) -> PurchaseAnswer:
    """Make a video from words, from a start and end picture, or between earlier clips. Costs money."""
    find = sources_for(studio, dry_run=dry_run)
    request = VideoRequest(
        model=model,
        prompt=prompt,
        aspect_ratio=aspect_ratio or "16:9",
        resolution=resolution or "720p",
        duration=duration or "5s",
        loop=loop,
        frame0=await find.keyframe(start_frame) if start_frame else None,
        frame1=await find.keyframe(end_frame) if end_frame else None,
        concepts=tuple(concepts or ()),
    )
    return await buy(studio, caller, request, sources=(start_frame, end_frame), dry_run=dry_run)


async def extend_video(
    studio: Studio,
    caller: Caller,
    generation_id: GenerationId,
    prompt: Prompt = None,
    direction: Annotated[
        Literal["forward", "backward"], Field(description="backward leads up to its start.")
    ] = "forward",
    end_frame: Annotated[str | None, Field(description="Its other end, as in create_video.")] = None,
    loop: Loop = False,
    concepts: Concepts = None,
    dry_run: DryRun = False,
) -> PurchaseAnswer:
    """Make a new clip that goes on from a completed one, or leads up to it, in the same form. Costs money."""
    find = sources_for(studio, dry_run=dry_run)
    clip = await find.video(generation_id)
    itself = GenerationKeyframe(clip.id)
    other = await find.keyframe(end_frame) if end_frame else None
    forward = direction == "forward"
    request = VideoRequest(
        **form_of(clip),
        prompt=prompt,
        loop=loop,
        frame0=itself if forward else other,
        frame1=other if forward else itself,
        concepts=tuple(concepts or ()),
    )
    return await buy(studio, caller, request, sources=(generation_id, end_frame), dry_run=dry_run)


async def modify_video(
    studio: Studio,
    caller: Caller,
    source: ClipSource,
    mode: Annotated[ModifyMode, Field(description="adhere keeps most, reimagine least; 3 is strongest.")],
    prompt: Prompt = None,
    first_frame: PictureSource = None,
    model: VideoModelName = "ray-2",
    dry_run: DryRun = False,
) -> PurchaseAnswer:
    """Repaint a clip of at most 10 s (ray-2) or 15 s (ray-flash-2), 100 MB, keeping its motion. Costs money."""
    find = sources_for(studio, dry_run=dry_run)
    clip = await find.clip(source, longest_seconds=LONGEST_TO_MODIFY[model])
    request = ModifyVideoRequest(
        model=model,
        media=clip.url,
        mode=mode,
        prompt=prompt,
        first_frame=await find.picture(first_frame) if first_frame else None,
    )
    return await buy(studio, caller, request, clip.footage, sources=(source, first_frame), dry_run=dry_run)


async def reframe_video(
    studio: Studio,
    caller: Caller,
    source: ClipSource,
    aspect_ratio: Annotated[AspectRatio, Field(description="New ratio.")],
    prompt: Prompt = None,
    first_frame: PictureSource = None,
    model: VideoModelName = "ray-2",
    grid_position_x: Pixels = None,
    grid_position_y: Pixels = None,
    x_start: Pixels = None,
    x_end: Pixels = None,
    y_start: Pixels = None,
    y_end: Pixels = None,
    resized_width: Pixels = None,
    resized_height: Pixels = None,
    dry_run: DryRun = False,
) -> PurchaseAnswer:
    """Give a clip of at most 10 s (ray-2) or 30 s (ray-flash-2), 100 MB, another ratio by painting around it.

    Without pixels it is fitted in, centred. Costs money.
    """
    find = sources_for(studio, dry_run=dry_run)
    clip = await find.clip(source, longest_seconds=LONGEST_TO_REFRAME[model])
    request = ReframeVideoRequest(
        model=model,
        media=clip.url,
        aspect_ratio=aspect_ratio,
        prompt=prompt,
        first_frame=await find.picture(first_frame) if first_frame else None,
        placement=Placement(
            grid_position_x, grid_position_y, x_start, x_end, y_start, y_end, resized_width, resized_height
        ),
    )
    return await buy(studio, caller, request, clip.footage, sources=(source, first_frame), dry_run=dry_run)


async def upscale_video(
    studio: Studio,
    caller: Caller,
    generation_id: GenerationId,
    resolution: Annotated[Resolution, Field(description="Of the new clip.")] = "1080p",
    dry_run: DryRun = False,
) -> PurchaseAnswer:
    """Make a larger copy of a completed video. A new generation; costs money."""
    clip = await studio.sources.video(generation_id)
    request = UpscaleRequest(generation_id=generation_id, resolution=resolution)
    return await buy(studio, caller, request, footage_of(clip), sources=(generation_id,), dry_run=dry_run)


async def add_audio(
    studio: Studio,
    caller: Caller,
    generation_id: GenerationId,
    prompt: Annotated[str | None, Field(description="What it should sound like.")] = None,
    negative_prompt: Annotated[str | None, Field(description="What it should not sound like.")] = None,
    dry_run: DryRun = False,
) -> PurchaseAnswer:
    """Make a copy of a completed video with sound. A new generation; costs money."""
    clip = await studio.sources.video(generation_id)
    request = AddAudioRequest(generation_id=generation_id, prompt=prompt, negative_prompt=negative_prompt)
    return await buy(studio, caller, request, footage_of(clip), sources=(generation_id,), dry_run=dry_run)


TOOLS = (
    Declared(create_video, "Create a video", SPENDS),
    Declared(extend_video, "Extend a video", SPENDS),
    Declared(modify_video, "Modify a video", SPENDS),
    Declared(reframe_video, "Reframe a video", SPENDS),
    Declared(upscale_video, "Upscale a video", SPENDS),
    Declared(add_audio, "Add audio to a video", SPENDS),
)
