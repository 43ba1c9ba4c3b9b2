"""Opening clips, and measuring them.

A clip is opened as a file and as MP4, never by a URL and never by guessing: libav would follow a playlist to any
address. The content is not trusted: sizes are checked before anything is decoded. These functions block.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, cast

from luma_mcp.domain.errors import FileError

if TYPE_CHECKING:
    from av.container import InputContainer

MAX_PIXELS = 50_000_000


@dataclass(frozen=True, slots=True)
class ClipInfo:
    """The size in pixels, length, frame rate and sound of a clip. An image has no seconds."""

    width: int
    height: int
    seconds: float
    frames_per_second: float
    has_sound: bool


@contextmanager
def open_clip(file: BinaryIO) -> Generator["InputContainer"]:
    """Open a clip for reading. Raises: FileError, if it is not a clip that can be read."""
    av = _libav()
    from av.error import FFmpegError  # noqa: PLC0415

    try:
        with cast("InputContainer", av.open(file, format="mp4")) as container:
            video = container.streams.video
            if not video or not 0 < video[0].width * video[0].height <= MAX_PIXELS:
                raise FileError("The file has no picture track that can be shown.")
            yield container
    except (FFmpegError, OSError, OverflowError, ZeroDivisionError) as error:
        raise FileError("The file is not an MP4 that can be read.") from error


def probe(file: BinaryIO) -> ClipInfo:
    """Measure a clip. Raises: FileError."""
    with open_clip(file) as container:
        return info_of(container)


def info_of(container: "InputContainer") -> ClipInfo:
    """What an open clip's headers say."""
    stream = container.streams.video[0]
    seconds = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
    rate = float(stream.average_rate) if stream.average_rate else 0.0
    return ClipInfo(stream.width, stream.height, seconds, rate, bool(container.streams.audio))


def _libav():  # noqa: ANN202 - a module
    try:
        import av  # noqa: PLC0415 - costs 60 ms, which only looking at clips shall pay
    except ImportError as error:
        raise FileError(
            "Clips cannot be looked into here: the package av is not installed for this platform.",
            "pip install av, or download the clip and look at it elsewhere.",
        ) from error
    return av
