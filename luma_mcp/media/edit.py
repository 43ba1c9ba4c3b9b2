"""Editing: parts of clips, made alike, one after the other or cross-faded, with a sound under them. This blocks.

What is equal and whole is joined without encoding it again (`concat`).
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from luma_mcp.media.audio_track import sound_of
from luma_mcp.media.concat import can_concatenate, concatenate
from luma_mcp.media.edit_plan import Edit, Timeline
from luma_mcp.media.encoder import write_gif, write_video
from luma_mcp.media.probe import measure_file
from luma_mcp.media.video_track import frames_of

if TYPE_CHECKING:
    from av.video.frame import VideoFrame


def edit(plan: Edit, target: Path) -> None:
    """Make one file.

    Raises:
        FileError: a clip or the sound cannot be read, or the plan does not fit the clips.
        OSError: a file cannot be read or written.
    """
    paths = [cut.path for cut in plan.cuts]
    clips = [measure_file(path) for path in paths]
    if plan.is_plain and can_concatenate(paths):
        concatenate(paths, target)
        return
    timeline = Timeline.of(plan, clips)

    def frames() -> Iterator["VideoFrame"]:
        return frames_of(timeline, plan.fit)

    if plan.form == "jpg":
        next(frames()).to_image().save(target, quality=90)
    elif plan.form == "gif":
        write_gif(frames, timeline, target)
    else:
        with ExitStack() as stack:
            write_video(plan.form, frames(), sound_of(stack, plan.sound, timeline), timeline, target)
