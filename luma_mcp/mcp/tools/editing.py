"""The tool that edits: clips, pictures and sounds become one file, on this machine."""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from luma_mcp.domain.errors import InvalidRequestError
from luma_mcp.domain.sources import FileSource, GenerationSource
from luma_mcp.domain.text import cleaned
from luma_mcp.files.background import OnProgress
from luma_mcp.files.edits import Bring, EditOrder, EditSource, save_edit
from luma_mcp.files.saved_file import SavedFile
from luma_mcp.mcp.arguments.values import AsReferences, parsed_json
from luma_mcp.mcp.spec import WRITES_A_FILE, Arguments, Call, ToolSpec
from luma_mcp.mcp.tools.file_results import DownloadResult, saved_files
from luma_mcp.media.captions import MAX_CAPTION_LENGTH, Caption, checked, cleaned_lines, read_captions
from luma_mcp.media.edit_plan import (
    MAX_CLIPS,
    MAX_CROSSFADE_SECONDS,
    MAX_SPEED,
    MAX_WIDTH,
    MIN_SPEED,
    MIN_WIDTH,
    SILENT_FORMATS,
    ClipRange,
    Corner,
    Edit,
    EditFormat,
    Overlay,
    Sound,
)
from luma_mcp.media.picture import Fit
from luma_mcp.sources.resolver import Resolution

_MAX_SOUNDS, _MAX_OVERLAYS = 8, 20
_MAX_SECONDS = 24 * 3600.0
_RATIO = re.compile(r"(\d+(?:\.\d+)?)\s*[:/x\u00d7]\s*(\d+(?:\.\d+)?)")
_MAX_RATIO = 10.0
_COLOUR = re.compile(r"#?([0-9a-fA-F]{6})")
_COLOURS = {"black": "000000", "white": "ffffff", "grey": "808080", "gray": "808080", "red": "ff0000", "blue": "0000ff"}


def _number(description: str = "") -> WithJsonSchema:
    """The schema of a number whose limits an error states: the list of tools is bounded."""
    return WithJsonSchema({"type": "number", **({"description": description} if description else {})})


def _without_limits(schema: dict[str, Any]) -> None:
    """Leave defaults, and the lengths of lists, out of a schema: an error states them, and the first choice counts."""
    for node in schema["properties"].values():
        for keyword in ("default", "minItems", "maxItems"):
            node.pop(keyword, None)


class ClipArgument(BaseModel):
    """A clip, or a part of it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_without_limits)

    source: Annotated[str, Field(description="Id or path.")]
    start: Annotated[float, Field(ge=0), _number()] = 0.0
    end: Annotated[float | None, Field(ge=0), _number()] = None
    speed: Annotated[float, Field(ge=MIN_SPEED, le=MAX_SPEED), _number()] = 1.0
    reverse: bool = False
    volume: Annotated[float, Field(ge=0, le=4), _number()] = 1.0


class SoundArgument(BaseModel):
    """A sound file under an edit."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_without_limits)

    source: str
    start: Annotated[float, Field(ge=0, le=_MAX_SECONDS), _number()] = 0.0
    volume: Annotated[float, Field(ge=0, le=4), _number()] = 1.0
    fade_seconds: Annotated[float, Field(ge=0, le=30), _number()] = 1.0
    loop: bool = False
    duck: bool = False


class OverlayArgument(BaseModel):
    """A picture over an edit."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_without_limits)

    source: str
    corner: Corner = "bottom-right"
    scale: Annotated[float, Field(gt=0, le=1), _number()] = 0.15
    opacity: Annotated[float, Field(gt=0, le=1), _number()] = 1.0
    start: Annotated[float, Field(ge=0, le=_MAX_SECONDS), _number()] = 0.0
    end: Annotated[float | None, Field(ge=0, le=_MAX_SECONDS), _number()] = None


class CaptionArgument(BaseModel):
    """A caption of a list."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_without_limits)

    start: Annotated[float, Field(ge=0, le=_MAX_SECONDS)]
    end: Annotated[float, Field(ge=0, le=_MAX_SECONDS)]
    text: Annotated[str, Field(min_length=1, max_length=MAX_CAPTION_LENGTH)]


def _as_ratio(value: Any) -> Any:
    match = _RATIO.fullmatch(value.strip()) if isinstance(value, str) else None
    across, down = (float(side) for side in match.groups()) if match else (0.0, 0.0)
    if not across or not down or not 1 / _MAX_RATIO <= across / down <= _MAX_RATIO:
        raise ValueError(f"{cleaned(str(value), 40)!r} is no ratio such as 9:16")
    return across, down


def _as_colour(value: Any) -> Any:
    text = _COLOURS.get(value.lower(), value) if isinstance(value, str) else ""
    match = _COLOUR.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{cleaned(str(value), 40)!r} is no colour such as #ff8800")
    return tuple(bytes.fromhex(match[1]))


class EditVideoArguments(Arguments):
    model_config = ConfigDict(json_schema_extra=_without_limits)

    clips: Annotated[
        list[ClipArgument], Field(min_length=1, max_length=MAX_CLIPS, description="In order."), AsReferences
    ]
    crossfade_seconds: Annotated[float, Field(ge=0, le=MAX_CROSSFADE_SECONDS), _number("0: cut.")] = 0.0
    fade_in_seconds: Annotated[float, Field(ge=0, le=30), _number("From black.")] = 0.0
    fade_out_seconds: Annotated[float, Field(ge=0, le=30), _number("To black.")] = 0.0
    seconds: Annotated[float | None, Field(gt=0, le=_MAX_SECONDS), _number("Loop or cut.")] = None
    aspect_ratio: Annotated[
        tuple[float, float] | None,
        BeforeValidator(_as_ratio),
        WithJsonSchema({"type": "string", "description": "As 9:16."}),
    ] = None
    fit: Annotated[Fit, Field(description="Of other ratios.")] = "contain"
    bar_color: Annotated[
        tuple[int, int, int], BeforeValidator(_as_colour), WithJsonSchema({"type": "string", "description": "#rrggbb"})
    ] = (0, 0, 0)
    sound: Annotated[list[SoundArgument], Field(max_length=_MAX_SOUNDS, description="Music, voice."), AsReferences] = (
        Field(default_factory=list[SoundArgument])
    )
    captions: Annotated[
        str | list[CaptionArgument] | None,
        BeforeValidator(parsed_json),
        WithJsonSchema({"type": "string", "description": "SRT or its path."}),
    ] = None
    burn_captions: Annotated[bool, Field(description="Draw them.")] = False
    overlays: Annotated[list[OverlayArgument], Field(max_length=_MAX_OVERLAYS, description="Logos."), AsReferences] = (
        Field(default_factory=list[OverlayArgument])
    )
    format: Annotated[EditFormat, Field(description="jpg, png: one frame.")] = "mp4"
    width: Annotated[
        int | None, Field(ge=MIN_WIDTH, le=MAX_WIDTH), WithJsonSchema({"type": "integer", "description": "Pixels."})
    ] = None
    fps: Annotated[float | None, Field(ge=1, le=60), _number("As 25.")] = None
    max_mb: Annotated[float | None, Field(gt=0, le=2000), _number("Largest size.")] = None
    directory: Annotated[str | None, Field(description="Subfolder.")] = None


async def edit_video(call: Call, arguments: EditVideoArguments) -> DownloadResult:
    """Merge (join, combine) clips into one file; trim, mute, caption, add music, a logo; export GIF. Free, local."""
    _check_combination(arguments)
    sources = call.sources(call.services.backend.names[0])
    captions = await _captions(sources, arguments.captions)
    order = EditOrder(
        clips=[await _clip(sources, clip) for clip in arguments.clips],
        plan=_plan(arguments, captions),
        sounds=[_bring(sources, sound.source, is_sound=True) for sound in arguments.sound],
        overlays=[_bring(sources, overlay.source) for overlay in arguments.overlays],
        captions=captions,
    )

    async def make(on_progress: OnProgress) -> SavedFile:
        async def on_bytes(size: int, _length: int | None) -> None:
            await on_progress(size, None)

        return await save_edit(
            call.downloads, order, directory=arguments.directory, on_bytes=on_bytes, on_frames=on_progress
        )

    async def report(done: int, whole: int | None) -> None:
        await call.caller.report(done, _progress(done, whole))

    running = call.services.edits.start(call.folder, arguments.model_dump_json(), make)
    saved = await running.wait(call.caller.timeout_seconds, report)
    if saved is None:
        unfinished = f"It is not made yet and goes on. {_progress(*running.progress)} "
        return DownloadResult(files=[], problems=[f"{unfinished}Call edit_video again with the same arguments."])
    return await saved_files(call, [saved])


def _progress(done: int, whole: int | None) -> str:
    """The progress of an edit, in words: its frames, or before them the bytes of its clips."""
    return f"{done:,} of {whole:,} frames are made." if whole else f"{done:,} bytes of clips are fetched."


def _check_combination(arguments: EditVideoArguments) -> None:
    """Raises: InvalidRequestError, for arguments that do not go together."""
    given = arguments.model_fields_set
    form = arguments.format
    if arguments.burn_captions and not arguments.captions:
        raise InvalidRequestError("burn_captions draws captions, and there are no captions.")
    if "bar_color" in given and arguments.fit != "contain":
        raise InvalidRequestError("bar_color is the colour of the bars of fit 'contain'.")
    if form in SILENT_FORMATS and arguments.sound:
        raise InvalidRequestError(f"A {form} has no sound.", "Leave sound out, or take format mp4 or webm.")
    if form in SILENT_FORMATS and arguments.max_mb is not None:
        raise InvalidRequestError(f"max_mb goes with mp4 and webm, not with {form}.", "Name a smaller width instead.")
    for item in (*arguments.clips, *arguments.overlays):
        if item.end is not None and item.end <= item.start:
            raise InvalidRequestError(f"A part cannot begin at {item.start:g} s and end at {item.end:g} s.")


def _plan(arguments: EditVideoArguments, captions: Sequence[Caption]) -> Edit:
    """The plan of an edit, without its files."""
    nowhere = Path()
    return Edit(
        ranges=(),
        format=arguments.format,
        crossfade_seconds=arguments.crossfade_seconds,
        fit=arguments.fit,
        width=arguments.width,
        sounds=tuple(
            Sound(nowhere, sound.volume, sound.fade_seconds, sound.start, sound.loop, sound.duck)
            for sound in arguments.sound
        ),
        fade_in_seconds=arguments.fade_in_seconds,
        fade_out_seconds=arguments.fade_out_seconds,
        seconds=arguments.seconds,
        ratio=arguments.aspect_ratio,
        bar_colour=arguments.bar_color,
        captions=tuple(captions) if arguments.burn_captions else (),
        overlays=tuple(
            Overlay(nowhere, item.corner, item.scale, item.opacity, item.start, item.end) for item in arguments.overlays
        ),
        rate=arguments.fps,
        max_bytes=None if arguments.max_mb is None else round(arguments.max_mb * 1e6),
    )


async def _captions(sources: Resolution, given: str | list[CaptionArgument] | None) -> tuple[Caption, ...]:
    """The captions of a list, of an SRT, or of the SRT file at a path. Raises: InvalidRequestError, FileError."""
    if given is None:
        return ()
    if isinstance(given, list):
        return checked([Caption(item.start, item.end, cleaned_lines(item.text)) for item in given])
    text = given if "-->" in given else await sources.read_captions(given)
    return read_captions(text)


async def _clip(sources: Resolution, clip: ClipArgument) -> EditSource:
    """The clip of an edit that an argument names. Raises: InvalidRequestError, NotFoundError."""
    used = ClipRange(Path(), clip.start, clip.end, clip.speed, clip.reverse, clip.volume)
    parsed = sources.parsed(clip.source)
    match parsed:
        case GenerationSource(generation_id, None):
            return EditSource(await sources.video(generation_id), used=used)
        case FileSource(path):
            return EditSource(path, _bring(sources, path), used)
        case _:
            raise InvalidRequestError(
                f"{cleaned(clip.source, 80)!r} cannot be edited.", "Name a generation id or the path of a saved clip."
            )


def _bring(sources: Resolution, path: str, *, is_sound: bool = False) -> Bring:
    return cast("Bring", partial(sources.copy_file, path, is_sound=is_sound))


TOOLS = (ToolSpec(edit_video, EditVideoArguments, DownloadResult, "Edit videos", WRITES_A_FILE),)
