"""Clips, looked into: their measures and their frames.

A clip is opened as a file and as MP4, never by a URL or by guessing: libav would follow a playlist to anywhere. What is
in it is not trusted: sizes are capped before anything is decoded, and decoding has a deadline. Everything here blocks;
call it in a thread.
"""

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from luma_mcp.luma.errors import FileError

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream
    from PIL.Image import Image

MOST_PIXELS = 50_000_000
_DEADLINE_SECONDS = 20.0
# Shorter clips are decoded from end to end: seeking to each frame takes longer.
_SEEK_ABOVE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Form:
    """What a clip measures."""

    width: int
    height: int
    seconds: float
    frames_per_second: float
    has_sound: bool


@contextmanager
def opened(file: BinaryIO) -> Generator["InputContainer"]:
    """A clip, open for reading. Raises: FileError, if it is not a clip that can be read."""
    av = _libav()
    from av.error import FFmpegError  # noqa: PLC0415

    try:
        with cast("InputContainer", av.open(file, format="mp4")) as container:
            video = container.streams.video
            if not video or not 0 < video[0].width * video[0].height <= MOST_PIXELS:
                raise FileError("The file has no picture track that can be shown.")
            yield container
    except (FFmpegError, OSError, OverflowError, ZeroDivisionError) as error:
        raise FileError("The file is not an MP4 that can be read.") from error


def measure(file: BinaryIO) -> Form:
    """What a clip measures. Raises: FileError."""
    with opened(file) as container:
        return _form(container)


def frames_at(
    path: Path, moments: Sequence[float], *, longest: int | None = None
) -> tuple[Form, list[tuple[float, "Image"]]]:
    """The frames at some moments, each with the moment that it really has.

    Args:
        path: the clip.
        moments: in seconds; one beyond the end is the end.
        longest: the most pixels that a side of a frame may have. Many frames of 4k are much memory.

    Raises:
        FileError: it is not a clip that can be read, or takes too long.
        OSError: the file cannot be opened.
    """
    deadline = time.monotonic() + _DEADLINE_SECONDS
    with path.open("rb") as file, opened(file) as container:
        form = _form(container)
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        step = 1 / form.frames_per_second if form.frames_per_second else 0.0
        wanted = sorted(min(max(moment, 0.0), max(form.seconds - step, 0.0)) for moment in moments)
        found: list[tuple[float, Image]] = []
        last: VideoFrame | None = None
        for frame in _frames(container, stream, wanted, form):
            if time.monotonic() > deadline:
                raise FileError("The clip takes too long to read.")
            last = frame
            while len(found) < len(wanted) and _time_of(frame) + step / 2 >= wanted[len(found)]:
                found.append((_time_of(frame), _image(frame, longest)))
            if len(found) == len(wanted):
                break
        if last is None:  # pragma: no cover - libav opens no track without a frame; a damaged one fails above
            raise FileError("The clip has no frames.")
        found += [(_time_of(last), _image(last, longest))] * (len(wanted) - len(found))
        return form, found


def _image(frame: "VideoFrame", longest: int | None) -> "Image":
    scale = min(1.0, longest / max(frame.width, frame.height)) if longest else 1.0
    width, height = (max(1, round(side * scale)) for side in (frame.width, frame.height))
    return cast("Image", frame.to_image(width=width, height=height, interpolation="AREA"))


def _frames(
    container: "InputContainer", stream: "VideoStream", wanted: Sequence[float], form: Form
) -> Iterator["VideoFrame"]:
    if form.seconds <= _SEEK_ABOVE_SECONDS:
        yield from container.decode(stream)
        return
    for moment in wanted:
        container.seek(int(moment * 1_000_000))
        for frame in container.decode(stream):
            yield frame
            if _time_of(frame) >= moment - 1 / (2 * form.frames_per_second or 1):
                break


def _form(container: "InputContainer") -> Form:
    stream = container.streams.video[0]
    seconds = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
    rate = float(stream.average_rate) if stream.average_rate else 0.0
    return Form(stream.width, stream.height, seconds, rate, bool(container.streams.audio))


def _time_of(frame: "VideoFrame") -> float:
    return frame.time or 0.0


def _libav():  # noqa: ANN202 - a module
    try:
        import av  # noqa: PLC0415 - costs 60 ms, which only looking at clips shall pay
    except ImportError as error:
        raise FileError(
            "Clips cannot be looked into here: the package av is not installed for this platform.",
            "pip install av, or download the clip and look at it elsewhere.",
        ) from error
    return av
