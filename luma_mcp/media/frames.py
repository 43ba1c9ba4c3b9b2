"""Frames of clips, decoded within a deadline. These functions block."""

import time
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, cast

from luma_mcp.domain.errors import FileError
from luma_mcp.media.probe import ClipInfo, measure_file, open_clip

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream
    from PIL.Image import Image

_DEADLINE_SECONDS = 20.0
# Shorter clips are decoded from end to end: seeking to each frame takes longer.
_SEEK_ABOVE_SECONDS = 30.0


def frames_at(
    path: Path, moments: Sequence[float], *, max_side: int | None = None
) -> tuple[ClipInfo, list[tuple[float, "Image"]]]:
    """The frames at some moments, each with its own moment.

    Args:
        path: the clip.
        moments: in seconds; a moment beyond the end is the end.
        max_side: the most pixels that a side of a frame may have. Many frames of 4k need much memory.

    Raises:
        FileError: it is not a clip that can be read, or it takes too long.
        OSError: the file cannot be opened.
    """
    deadline = time.monotonic() + _DEADLINE_SECONDS
    # The length is that of the packets: a header may say anything.
    info = measure_file(path)
    with path.open("rb") as file, open_clip(file) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        step = 1 / info.frames_per_second if info.frames_per_second else 0.0
        wanted = sorted(min(max(moment, 0.0), max(info.seconds - step, 0.0)) for moment in moments)
        found: list[tuple[float, Image]] = []
        last: VideoFrame | None = None
        for frame in _frames(container, stream, wanted, info):
            if time.monotonic() > deadline:
                raise FileError("The clip takes too long to read.")
            last = frame
            while len(found) < len(wanted) and _moment(frame) + step / 2 >= wanted[len(found)]:
                found.append((_moment(frame), _image(frame, max_side)))
            if len(found) == len(wanted):
                break
        if last is None:  # pragma: no cover - libav opens no track without a frame; a damaged one fails above
            raise FileError("The clip has no frames.")
        found += [(_moment(last), _image(last, max_side))] * (len(wanted) - len(found))
        return info, found


def still(path: Path, frame: str | None, name: str, max_bytes: int) -> tuple[str, bytes]:
    """A frame of a clip: its file ending and its content, as PNG, or as JPEG where a PNG is too large.

    Args:
        path: the clip.
        frame: `first`, `last`, or seconds such as `2.5s`.
        name: what a person calls the frame.
        max_bytes: the most that the PNG may have.

    Raises:
        FileError: the clip cannot be read, or is shorter.
        OSError: the file cannot be opened.
    """
    moment = {"first": 0.0, "last": float("inf")}.get(frame or "")
    wanted = float((frame or "").removesuffix("s")) if moment is None else moment
    info, found = frames_at(path, [wanted])
    if moment is None and wanted > info.seconds:
        raise FileError(f"{name!r} is beyond the end of the clip, which is {info.seconds:.1f} s long.")
    image, out = found[0][1], BytesIO()
    image.save(out, "PNG")
    if out.tell() <= max_bytes:
        return "png", out.getvalue()
    out = BytesIO()
    image.save(out, "JPEG", quality=95)
    return "jpg", out.getvalue()


def _image(frame: "VideoFrame", max_side: int | None) -> "Image":
    scale = min(1.0, max_side / max(frame.width, frame.height)) if max_side else 1.0
    width, height = (max(1, round(side * scale)) for side in (frame.width, frame.height))
    return cast("Image", frame.to_image(width=width, height=height, interpolation="AREA"))


def _frames(
    container: "InputContainer", stream: "VideoStream", wanted: Sequence[float], info: ClipInfo
) -> Iterator["VideoFrame"]:
    if info.seconds <= _SEEK_ABOVE_SECONDS:
        yield from container.decode(stream)
        return
    for moment in wanted:
        container.seek(int(moment * 1_000_000))
        for frame in container.decode(stream):
            yield frame
            if _moment(frame) >= moment - 1 / (2 * info.frames_per_second or 1):
                break


def _moment(frame: "VideoFrame") -> float:
    return frame.time or 0.0
