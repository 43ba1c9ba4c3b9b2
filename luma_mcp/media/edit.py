"""Editing: ranges of clips, made alike, one after the other or cross-faded, with a sound under them. This blocks.

Pictures that are equal and whole are copied (`concat`). All else is encoded again, as a person sees it.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from luma_mcp.media.audio_track import sound_of
from luma_mcp.media.concat import can_copy_pictures, copy_pictures
from luma_mcp.media.edit_plan import Edit, Timeline
from luma_mcp.media.encoder import write_gif, write_video
from luma_mcp.media.formats import sniff
from luma_mcp.media.probe import ClipDetails, inspect_file
from luma_mcp.media.stills import inspect_still, is_still
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


# Bits that a pixel of an encoded picture may need, and bytes that a second of encoded sound needs.
_BYTES_PER_PIXEL = {"mp4": 0.15, "webm": 0.1, "gif": 1.0, "jpg": 1.0}
_SOUND_BYTES_PER_SECOND = 24_000
_COPY_BYTES_PER_SECOND = 20e6


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
    pixels = timeline.size[0] * timeline.size[1] * (1 if plan.format == "jpg" else timeline.frames)
    size = pixels * _BYTES_PER_PIXEL[plan.format] + timeline.seconds * _SOUND_BYTES_PER_SECOND
    return EditCost(timeline.work_seconds, round(size))


def edit(plan: Edit, target: Path) -> None:
    """Make one file.

    Raises:
        FileError: a clip or the sound cannot be read, or the plan does not fit the clips.
        OSError: a file cannot be read or written.
    """
    paths = [clip.path for clip in plan.ranges]
    clips = _inspected(paths)
    if _copies(plan, paths, clips):
        if len(paths) == 1 and plan.sound is None and _is_mp4(paths[0]):
            shutil.copyfile(paths[0], target)
        else:
            copy_pictures(paths, clips, plan.sound, target)
        return
    timeline = Timeline.of(plan, clips)

    def frames() -> Iterator["VideoFrame"]:
        return frames_of(timeline, plan.fit)

    if plan.format == "jpg":
        next(frames()).to_image().save(target, quality=90)
    elif plan.format == "gif":
        write_gif(frames, timeline, target)
    else:
        with ExitStack() as stack:
            write_video(plan.format, frames(), sound_of(stack, plan.sound, timeline), timeline, target)


def _inspected(paths: Sequence[Path]) -> list[ClipDetails]:
    """Measure the clips, each once."""
    measured = {path: inspect_still(path) if is_still(path) else inspect_file(path) for path in dict.fromkeys(paths)}
    return [measured[path] for path in paths]


def _copies(plan: Edit, paths: Sequence[Path], clips: Sequence[ClipDetails]) -> bool:
    return plan.keeps_pictures and can_copy_pictures(paths, clips)


def _is_mp4(path: Path) -> bool:
    with path.open("rb") as file:
        return sniff(file.read(16)) == "mp4"
