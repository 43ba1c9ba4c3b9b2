"""Opening clips, and measuring them.

A clip is opened as a file and as MP4, never by a URL and never by guessing: libav would follow a playlist to any
address. The content is not trusted: sizes are checked before anything is decoded. These functions block.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from luma_mcp.domain.errors import FileError
from luma_mcp.domain.text import cleaned
from luma_mcp.media import libav
from luma_mcp.media.boxes import check_tables

if TYPE_CHECKING:
    from av.container import InputContainer

MAX_PIXELS = 50_000_000
# What cameras, editors and Luma write; libav has hundreds more, which nobody needs here.
_CODECS = frozenset({"h264", "hevc", "av1", "libdav1d", "libaom-av1", "vp9", "vp8", "mpeg4", "mjpeg", "prores"})


@dataclass(frozen=True, slots=True)
class ClipInfo:
    """The size in pixels, length, frame rate and sound of a clip. An image has no seconds."""

    width: int
    height: int
    seconds: float
    frames_per_second: float
    has_sound: bool
    frames: int = 0
    """How many frames it has, if they were counted."""


@contextmanager
def open_clip(file: BinaryIO) -> Generator["InputContainer"]:
    """Open a clip for reading. Raises: FileError, if it is not a clip that can be read."""
    libav.load()
    from av.error import FFmpegError  # noqa: PLC0415

    check_tables(file)
    try:
        with libav.open_input(file, "mp4") as container:
            # A track of a codec that libav does not know has no context, whatever the types say.
            video = [stream for stream in container.streams.video if getattr(stream, "codec_context", None)]
            if not video or not 0 < video[0].width * video[0].height <= MAX_PIXELS:
                raise FileError("The file has no picture track that can be shown.")
            if video[0].codec_context.name not in _CODECS:
                raise FileError(
                    f"The clip is encoded as {cleaned(video[0].codec_context.name, 20)}, which is not read here.",
                    "Convert it to H.264.",
                )
            # A size may change in the middle of a clip.
            video[0].codec_context.options = {"max_pixels": str(MAX_PIXELS)}
            yield container
    except MemoryError:
        raise  # which says nothing about the file
    except (FFmpegError, OSError, OverflowError, ZeroDivisionError) as error:
        raise FileError("The file is not an MP4 that can be read.") from error


def probe(file: BinaryIO) -> ClipInfo:
    """Measure a clip. Raises: FileError."""
    with open_clip(file) as container:
        return info_of(container)


def measure_file(path: Path) -> ClipInfo:
    """As `measure`. Raises: FileError, OSError."""
    with path.open("rb") as file:
        return measure(file)


def measure(file: BinaryIO) -> ClipInfo:
    """Measure a clip by its packets, for headers may say anything. Raises: FileError, also if it is cut short."""
    with open_clip(file) as container:
        info = info_of(container)
        stream = container.streams.video[0]
        frames, first, last = 0, 0.0, 0.0
        for packet in container.demux(stream):
            if packet.pts is None or not packet.size:
                continue
            begin = float(packet.pts * packet.time_base)
            end = begin + float((packet.duration or 0) * packet.time_base)
            first, last = (begin, end) if not frames else (min(first, begin), max(last, end))
            frames += 1
        if not frames:
            raise FileError("The file has no frames.")
        if stream.frames and frames < stream.frames:
            raise FileError(f"The file is cut short: {frames} of {stream.frames} frames are there.")
    seconds = max(info.seconds, last - first)
    rate = frames / seconds if seconds else info.frames_per_second
    return ClipInfo(info.width, info.height, seconds, rate, info.has_sound, frames)


def info_of(container: "InputContainer") -> ClipInfo:
    """What an open clip's headers say."""
    stream = container.streams.video[0]
    seconds = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
    rate = float(stream.average_rate) if stream.average_rate else 0.0
    return ClipInfo(stream.width, stream.height, seconds, rate, bool(container.streams.audio))
