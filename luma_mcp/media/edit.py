"""Editing: ranges of clips, made alike, one after the other or cross-faded, with a sound under them. This blocks.

Pictures that are equal and whole are copied (`concat`). All else is encoded again, as a person sees it.
"""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from luma_mcp.domain.errors import FileError
from luma_mcp.media.audio_track import sound_of
from luma_mcp.media.concat import can_copy_pictures, copy_pictures
from luma_mcp.media.edit_plan import STILL_FORMATS, Edit
from luma_mcp.media.encoder import SOUND_BITS_PER_SECOND, write_gif, write_video
from luma_mcp.media.formats import sniff
from luma_mcp.media.probe import ClipDetails, inspect_file
from luma_mcp.media.stills import inspect_still, is_still
from luma_mcp.media.timeline import Timeline
from luma_mcp.media.video_track import frames_of

if TYPE_CHECKING:
    from av.video.frame import VideoFrame


@dataclass(frozen=True, slots=True)
class EditCost:
    """The cost of an edit on this machine.

    Args:
        work_seconds: the time that it may take on a slow machine.
        size_bytes: the most that the file may have.
    """

    work_seconds: float
    size_bytes: int


# Bytes that a pixel of an encoded picture may need, and that a second of encoded sound needs.
_BYTES_PER_PIXEL = {"mp4": 0.15, "webm": 0.1, "gif": 1.0, "jpg": 1.0, "png": 3.0}
_SOUND_BYTES_PER_SECOND = 24_000
_COPY_BYTES_PER_SECOND = 20e6
# A file states the progress anew after so many frames.
_COUNTED_FRAMES = 12
# The statement of the origin, which is added to a finished file.
_STATEMENT_BYTES = 1000
# A file of a limited size: the attempts to make it, the share of the limit that each aims at, and the fewest bits of a
# pixel that still show something.
_ATTEMPTS, _AIM, _MIN_BITS_PER_PIXEL = 4, 0.93, 0.008


def edit_cost(plan: Edit) -> EditCost:
    """Measure an edit before anything is written.

    Raises:
        FileError: a clip cannot be read, or the plan does not fit the clips.
        OSError: a file cannot be read.
    """
    paths = [clip.path for clip in plan.ranges]
    clips = _inspected(paths)
    if _copies(plan, paths, clips):
        size = sum(path.stat().st_size for path in paths)
        seconds = sum(float(clip.seconds) for clip in clips)
        return EditCost(size / _COPY_BYTES_PER_SECOND + seconds / 20, size + round(seconds * _SOUND_BYTES_PER_SECOND))
    timeline = Timeline.of(plan, clips)
    is_limited = plan.max_bytes is not None
    pixels = timeline.size[0] * timeline.size[1] * (1 if plan.format in STILL_FORMATS else timeline.frames)
    size = pixels * _BYTES_PER_PIXEL[plan.format] + timeline.seconds * _SOUND_BYTES_PER_SECOND
    return EditCost(timeline.work_seconds(is_limited=is_limited), round(size))


def edit(plan: Edit, target: Path) -> None:
    """Make one file.

    Raises:
        FileError: a clip or the sound cannot be read, or the plan does not fit the clips.
        OSError: a file cannot be read or written.
    """
    paths = [clip.path for clip in plan.ranges]
    clips = _inspected(paths)
    if _copies(plan, paths, clips):
        if len(paths) == 1 and plan.keeps_sound and _is_mp4(paths[0]):
            shutil.copyfile(paths[0], target)
        else:
            copy_pictures(paths, clips, plan, target)
        if plan.max_bytes is None or target.stat().st_size <= plan.max_bytes - _STATEMENT_BYTES:
            return
    timeline = Timeline.of(plan, clips)

    def frames() -> Iterator["VideoFrame"]:
        return frames_of(timeline, plan)

    if plan.format in STILL_FORMATS:
        next(frames()).to_image().save(target, quality=90)
    elif plan.format == "gif":
        write_gif(frames, timeline, target)
    else:
        form = "webm" if plan.format == "webm" else "mp4"
        write_video(form, counted(frames(), timeline, target), sound_of(plan, timeline), timeline, target)
        if plan.max_bytes is not None and target.stat().st_size > plan.max_bytes - _STATEMENT_BYTES:
            _make_smaller(plan, plan.max_bytes - _STATEMENT_BYTES, timeline, target)


def counted(frames: Iterator["VideoFrame"], timeline: Timeline, target: Path) -> Iterator["VideoFrame"]:
    """Yield frames, and write how many are made, and of how many, beside the new file from time to time."""
    for number, frame in enumerate(frames):
        if number % _COUNTED_FRAMES == 0:
            progress_of(target).write_text(f"{number} {timeline.frames}", "ascii")
        yield frame


def progress_of(target: Path) -> Path:
    """Return the path of the file that states how far an edit is."""
    return target.with_name(f"{target.name}.progress")


def _make_smaller(plan: Edit, max_bytes: int, timeline: Timeline, target: Path) -> None:
    """Encode a film again with fewer bits, until it has the size that is allowed. Raises: FileError."""
    sound_bits = 0 if sound_of(plan, timeline) is None else SOUND_BITS_PER_SECOND
    allowed = bits = max_bytes * 8 * _AIM / timeline.seconds - sound_bits
    for _ in range(_ATTEMPTS):
        if bits < _MIN_BITS_PER_PIXEL * timeline.size[0] * timeline.size[1] * timeline.rate:
            break
        form = "webm" if plan.format == "webm" else "mp4"
        sound = sound_of(plan, timeline)
        frames = counted(frames_of(timeline, plan), timeline, target)
        write_video(form, frames, sound, timeline, target, bits_per_second=round(bits))
        size = target.stat().st_size
        if size <= max_bytes:
            return
        # Encoders exceed the bits that they are given, each in its own way.
        bits *= allowed / (size * 8 / timeline.seconds - sound_bits)
    raise FileError(
        f"{timeline.seconds:.0f} s at {timeline.size[0]}x{timeline.size[1]} do not fit into "
        f"{(max_bytes + _STATEMENT_BYTES) / 1e6:g} MB.",
        "Nothing was written. Name a smaller width, fewer seconds or a larger max_mb.",
    )


def _inspected(paths: Sequence[Path]) -> list[ClipDetails]:
    """Measure the clips, each once."""
    measured = {path: inspect_still(path) if is_still(path) else inspect_file(path) for path in dict.fromkeys(paths)}
    return [measured[path] for path in paths]


def _copies(plan: Edit, paths: Sequence[Path], clips: Sequence[ClipDetails]) -> bool:
    return plan.keeps_pictures and can_copy_pictures(paths, clips)


def _is_mp4(path: Path) -> bool:
    with path.open("rb") as file:
        return sniff(file.read(16)) == "mp4"
