"""The refusals of the Agents API, in its own words: which fields go together, and which values they accept.

The sentences for stills are Luma's (guides of May 2026). Those for clips are inferred: Luma publishes the rules and not
the sentences.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from luma_mcp.emulator.agents import catalogue
from luma_mcp.emulator.agents.bodies import GenerationBody, ImageRef


class RefusedError(Exception):
    """A refusal: a status and Luma's sentence."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


Test = Callable[[GenerationBody], object]


@dataclass(frozen=True)
class Exclusion:
    """If one thing is asked for, the others must not be. `what` names it in the sentence."""

    what: str
    applies: Test
    excluded: dict[str, Test]


def _is(*types: str) -> Test:
    return lambda body: body.type in types


def _asks(name: str) -> Test:
    """Return whether a field of `video` is passed."""
    return lambda body: getattr(body.settings, name)


def _asks_of_edit(name: str) -> Test:
    """Return whether a field of `video.edit` is passed."""
    return lambda body: getattr(body.settings.edit, name, None)


def _is_long(body: GenerationBody) -> bool:
    return body.settings.duration == "10s"


_HDR = _asks("hdr")
_LOOP = _asks("loop")
_START = _asks("start_frame")
_END = _asks("end_frame")
_KEYFRAMES = _asks("keyframes")
_EDIT = _asks("edit")
_STRENGTH, _CONTROLS = _asks_of_edit("strength"), _asks_of_edit("controls")


def _extends(body: GenerationBody) -> bool:
    frames = (body.settings.start_frame, body.settings.end_frame)
    return body.type == "video" and any(frame is not None and frame.generation_id for frame in frames)


EXCLUSIONS = (
    Exclusion(
        "duration '10s'",
        lambda body: body.type == "video" and _is_long(body),
        {"video.hdr": _HDR, "video.loop": _LOOP, "video.start_frame": _START, "video.end_frame": _END},
    ),
    Exclusion("video.loop", _LOOP, {"video.hdr": _HDR, "video.end_frame": _END, "video.keyframes": _KEYFRAMES}),
    Exclusion(
        "video.hdr",
        lambda body: body.type == "video" and _HDR(body),
        {"video.resolution below 720p": lambda body: body.settings.resolution in ("360p", "540p")},
    ),
    Exclusion("video.keyframes", _KEYFRAMES, {"video.start_frame": _START, "video.end_frame": _END}),
    Exclusion(
        "video.edit.auto_controls",
        _asks_of_edit("auto_controls"),
        {"video.edit.strength": _STRENGTH, "video.edit.controls": _CONTROLS},
    ),
    Exclusion(
        "video.edit.keyframes",
        _asks_of_edit("keyframes"),
        {"video.start_frame": _START},
    ),
    Exclusion(
        "type 'video_edit'",
        _is("video_edit"),
        {"video.end_frame": _END, "video.loop": _LOOP, "video.keyframes": _KEYFRAMES},
    ),
    Exclusion(
        "type 'video_reframe'",
        _is("video_reframe"),
        {
            "video.edit": _EDIT,
            "video.loop": _LOOP,
            "video.start_frame": _START,
            "video.end_frame": _END,
            "video.keyframes": _KEYFRAMES,
            "video.hdr": _HDR,
            "video.exr_export": _asks("exr_export"),
        },
    ),
    Exclusion("type 'video'", _is("video"), {"video.edit": _EDIT}),
    Exclusion(
        "an extended clip",
        _extends,
        {
            "a second frame": lambda body: _START(body) and _END(body),
            "video.hdr": _HDR,
            "duration '10s'": _is_long,
            "video.loop backwards": lambda body: _LOOP(body) and _END(body),
        },
    ),
    Exclusion("a type for clips", _is("video", "video_edit", "video_reframe"), {"image_ref": lambda b: b.image_ref}),
    Exclusion("a type for stills", _is(*catalogue.STILL_TYPES), {"video": lambda body: body.video}),
)


def check(body: GenerationBody) -> None:
    """Everything that can be refused without a look at what the request names. Raises: RefusedError."""
    _check_model(body)
    _check_prompt(body)
    _check_source(body)
    for field, ref in references_of(body):
        _check_ref(field, ref)
    for exclusion in EXCLUSIONS:
        if not exclusion.applies(body):
            continue
        for name, is_asked in exclusion.excluded.items():
            if is_asked(body):
                raise RefusedError(422, f"{name} cannot be used with {exclusion.what}")
    _check_values(body)


def references_of(body: GenerationBody) -> Iterator[tuple[str, ImageRef]]:
    """Each picture or clip that a request names, with its field."""
    if body.source is not None:
        yield "source", body.source
    for number, ref in enumerate(body.image_ref):
        yield f"image_ref[{number}]", ref
    video = body.settings
    for name in ("start_frame", "end_frame"):
        ref = getattr(video, name)
        if ref is not None:
            yield f"video.{name}", ref
    for number, ref in enumerate(video.keyframes or ()):
        yield f"video.keyframes[{number}]", ref
    for number, ref in enumerate((video.edit.keyframes if video.edit else None) or ()):
        yield f"video.edit.keyframes[{number}]", ref


def _check_model(body: GenerationBody) -> None:
    types = catalogue.TYPES_OF_MODEL.get(body.model)
    if types is None:
        raise RefusedError(400, f"Unknown model: {body.model}")
    if body.type not in types:
        raise RefusedError(400, f"Type '{body.type}' is not supported for model '{body.model}'")


def _check_prompt(body: GenerationBody) -> None:
    if body.type == "layering":
        if len(body.prompt) > catalogue.MAX_LAYERING_PROMPT:
            raise RefusedError(400, f"Prompt must be at most {catalogue.MAX_LAYERING_PROMPT} characters")
    elif not 1 <= len(body.prompt) <= catalogue.MAX_PROMPT:
        raise RefusedError(400, f"Prompt must be between 1 and {catalogue.MAX_PROMPT} characters")


def _check_source(body: GenerationBody) -> None:
    needs = body.type in ("image_edit", "video_edit", "video_reframe", "layering")
    if needs and body.source is None:
        raise RefusedError(400, f"source is required for type '{body.type}'")
    if not needs and body.source is not None:
        raise RefusedError(400, "source is only valid for type 'image_edit'")
    most = catalogue.MAX_REFERENCES.get(body.type, 0)
    if body.type == "image_edit" and len(body.image_ref) > most:
        raise RefusedError(400, "image_edit supports up to 8 reference images (source occupies one slot)")
    if body.type == "image" and len(body.image_ref) > most:
        raise RefusedError(400, f"image supports up to {most} reference images")


def _check_ref(field: str, ref: ImageRef) -> None:
    sources = [name for name in ("url", "data", "generation_id", "file_id") if getattr(ref, name) is not None]
    if not sources:
        raise RefusedError(400, f"{field}: provide either 'url' or 'data', not neither")
    if len(sources) > 1:
        raise RefusedError(400, f"{field}: provide either '{sources[0]}' or '{sources[1]}', not both")
    if ref.data is not None and not ref.media_type:
        raise RefusedError(400, f"{field}: 'media_type' is required with 'data'")


def _check_values(body: GenerationBody) -> None:
    ratios = catalogue.STILL_RATIOS if body.type in catalogue.STILL_TYPES else catalogue.CLIP_RATIOS
    # It is ignored where the source decides.
    if (
        body.type not in ("image_edit", "video_edit")
        and body.aspect_ratio is not None
        and body.aspect_ratio not in ratios
    ):
        raise RefusedError(400, f"Invalid aspect_ratio '{body.aspect_ratio}'. Valid: {', '.join(ratios)}")
    if body.type == "image" and body.style == "manga" and body.aspect_ratio not in (None, *catalogue.MANGA_RATIOS):
        raise RefusedError(422, f"style 'manga' supports only aspect_ratio {', '.join(catalogue.MANGA_RATIOS)}")
    video = body.settings
    if body.type == "video_reframe":
        if body.aspect_ratio is None:
            raise RefusedError(422, "aspect_ratio is required for type 'video_reframe'")
        if video.resolution == "1080p" and body.aspect_ratio in ("9:16", "3:4"):
            raise RefusedError(422, f"1080p with aspect_ratio '{body.aspect_ratio}' is coming soon")
    if video.exr_export and not video.hdr:
        raise RefusedError(422, "video.exr_export requires video.hdr")
    _check_keyframes("video", video.keyframes, video.keyframe_indexes, 240 if video.duration == "10s" else 120)
    if video.edit is not None:
        longest = round(catalogue.MAX_EDIT_SECONDS * catalogue.FRAMES_PER_SECOND)
        _check_keyframes("video.edit", video.edit.keyframes, video.edit.keyframe_indexes, longest)


def _check_keyframes(
    where: str, frames: tuple[ImageRef, ...] | None, indexes: tuple[int, ...] | None, last: int
) -> None:
    if frames is None and indexes is None:
        return
    frames, indexes = frames or (), indexes or ()
    if not 1 <= len(frames) <= catalogue.MAX_KEYFRAMES:
        raise RefusedError(422, f"{where}.keyframes must have 1 to {catalogue.MAX_KEYFRAMES} entries")
    if len(frames) != len(indexes):
        raise RefusedError(422, f"{where}.keyframes and {where}.keyframe_indexes must have the same length")
    if len(set(indexes)) < len(indexes) or not all(0 <= index <= last for index in indexes):
        raise RefusedError(422, f"{where}.keyframe_indexes must be unique and between 0 and {last}")
