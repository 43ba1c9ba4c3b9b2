"""Frames of clips, decoded within a deadline. These functions block."""

import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, cast

from luma_mcp.domain.errors import FileError
from luma_mcp.media.picture import PictureFilter
from luma_mcp.media.probe import ClipDetails, ClipInfo, inspect_file, open_clip
from luma_mcp.media.video_track import decoded_from, time_of

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from PIL.Image import Image

_DEADLINE_SECONDS = 20.0
# Shorter clips are decoded from end to end: seeking to each frame takes longer.
_SEEK_ABOVE_SECONDS = 30.0


def frames_at(
    path: Path, moments: Sequence[float], *, max_side: int | None = None
) -> tuple[ClipInfo, list[tuple[float, "Image"]]]:
    """Return the frames at some moments as a person sees them, each with its own moment.

    Args:
        path: the clip.
        moments: in seconds; a moment beyond the end is the end.
        max_side: the most pixels that a side of a frame may have. Many frames of 4k need much memory.

    Raises:
        FileError: it is not a clip that can be read, or it takes too long.
        OSError: the file cannot be opened.
    """
    deadline = time.monotonic() + _DEADLINE_SECONDS
    # The length is that of the packets: a header may state anything.
    details = inspect_file(path)
    half = 1 / details.rate / 2
    latest = float(max(details.seconds - 1 / details.rate, Fraction()))
    wanted = sorted(Fraction(min(max(moment, 0.0), latest)) for moment in moments)
    frames: list[tuple[float, Image]] = []
    with path.open("rb") as file, open_clip(file) as container:
        codec = container.streams.video[0].codec_context
        picture = PictureFilter(codec, _bounded(details, max_side), None, "rgb24")
        current: VideoFrame | None = None
        for frame in _frames(container, details, wanted):
            if time.monotonic() > deadline:
                raise FileError("The clip takes too long to read.")
            while (
                current is not None
                and len(frames) < len(wanted)
                and _moment(frame, details) > wanted[len(frames)] + half
            ):
                frames.append((_seconds(current, details), cast("Image", picture(current).to_image())))
            if len(frames) == len(wanted):
                break
            current = frame
        if current is None:  # pragma: no cover - libav opens no track without a frame; a damaged one fails above
            raise FileError("The clip has no frames.")
        if len(frames) < len(wanted):
            end = (_seconds(current, details), cast("Image", picture(current).to_image()))
            frames += [end] * (len(wanted) - len(frames))
    return details.info, frames


def still(path: Path, frame: str | None, name: str, max_bytes: int) -> tuple[str, bytes]:
    """Return a frame of a clip: its file ending and its content, as PNG, or as JPEG where a PNG is too large.

    Args:
        path: the clip.
        frame: `first`, `last`, or seconds such as `2.5s`.
        name: the name of the frame for a person.
        max_bytes: the most that the PNG may have.

    Raises:
        FileError: the clip cannot be read, or is shorter.
        OSError: the file cannot be opened.
    """
    moment = {"first": 0.0, "last": float("inf")}.get(frame or "")
    wanted = float((frame or "").removesuffix("s")) if moment is None else moment
    info, frames = frames_at(path, [wanted])
    if moment is None and wanted > info.seconds:
        raise FileError(f"{name!r} is beyond the end of the clip, which is {info.seconds:.1f} s long.")
    image, out = frames[0][1], BytesIO()
    image.save(out, "PNG")
    if out.tell() <= max_bytes:
        return "png", out.getvalue()
    out = BytesIO()
    image.save(out, "JPEG", quality=95)
    return "jpg", out.getvalue()


def _bounded(details: ClipDetails, max_side: int | None) -> tuple[int, int]:
    """Return the size of a picture whose sides have at most so many pixels."""
    width, height = details.info.width, details.info.height
    scale = min(1.0, max_side / max(width, height)) if max_side else 1.0
    return max(1, round(width * scale)), max(1, round(height * scale))


def _frames(container: "InputContainer", details: ClipDetails, wanted: Sequence[Fraction]) -> Iterator["VideoFrame"]:
    """Yield the frames around the wanted moments, in order."""
    if details.seconds <= _SEEK_ABOVE_SECONDS:
        yield from decoded_from(container, details, Fraction())
        return
    reached = Fraction(-1)
    for moment in wanted:
        if reached > moment + 1 / details.rate:
            continue
        for frame in decoded_from(container, details, moment):
            if _moment(frame, details) <= reached:
                continue
            reached = _moment(frame, details)
            yield frame
            if reached > moment + 1 / details.rate:
                break


def _moment(frame: "VideoFrame", details: ClipDetails) -> Fraction:
    """Return the time of a frame, from the start of the clip."""
    return time_of(frame) - details.start


def _seconds(frame: "VideoFrame", details: ClipDetails) -> float:
    return max(0.0, float(_moment(frame, details)))
