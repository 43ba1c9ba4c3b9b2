"""Opening clips, and measuring them.

A clip is opened as a file and in the format that its first bytes state, never by a URL and never by guessing: libav
would follow a playlist to any address. The content is not trusted: sizes are checked before anything is decoded. These
functions block.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from luma_mcp.domain.errors import FileError
from luma_mcp.domain.text import cleaned
from luma_mcp.media import libav
from luma_mcp.media.boxes import check_tables
from luma_mcp.media.colour import Colours
from luma_mcp.media.formats import sniff
from luma_mcp.media.picture import display_size, orientation, pixel_aspect
from luma_mcp.media.rates import nominal_rate

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream

MAX_PIXELS = 50_000_000
# The codecs that cameras, editors, this server and Luma write; libav has hundreds more.
_CODECS = frozenset(
    {
        "h264", "hevc", "av1", "libdav1d", "libaom-av1", "vp9", "vp8", "libvpx", "libvpx-vp9", "mpeg4", "mjpeg",
        "prores", "gif",
    }
)  # fmt: skip
_DEMUXERS = {"webm": "matroska", "gif": "gif"}
# Sound that starts earlier than the picture by less than this is the encoder's delay.
_MAX_SOUND_LEAD_SECONDS = 0.1
# Packets that are denser than any camera's state no real time: Luma's own rate gives the length then.
_MAX_FRAMES_PER_SECOND = 121
_LUMA_FRAMES_PER_SECOND = 24


@dataclass(frozen=True, slots=True)
class ClipInfo:
    """The size in pixels, length, frame rate and sound of a clip. An image has no seconds.

    The size is that of the picture upright, with square pixels.
    """

    width: int
    height: int
    seconds: float
    frames_per_second: float
    has_sound: bool
    frames: int = 0
    """The number of frames, if they were counted."""


@dataclass(frozen=True, slots=True)
class ClipDetails:
    """A measured clip.

    Args:
        info: its size and length.
        start: the time of its start in seconds, by its own time stamps. Its first picture or sound is there.
        picture_start: the time of its first frame, by its own time stamps.
        end: the time of the end of its last frame, by its own time stamps.
        rate: its frame rate; that of most frames if the rate varies.
        colours: the colours of its first frame.
        turned: the signs of its display matrix.
        aspect: the width of a pixel, where its height is 1.
        is_edited: whether an edit list hides some of its frames.
        is_still: whether it is a picture that does not move, which may be shown for any time.
    """

    info: ClipInfo
    start: Fraction
    picture_start: Fraction
    end: Fraction
    rate: Fraction
    colours: Colours
    turned: tuple[int, int, int, int] = (1, 0, 0, 1)
    aspect: Fraction = Fraction(1)
    is_edited: bool = False
    is_still: bool = False

    @property
    def seconds(self) -> Fraction:
        """The length of the clip, from its start to the end of its last frame."""
        return self.end - self.start


@contextmanager
def open_clip(file: BinaryIO, *, with_edit_list: bool = True) -> Generator["InputContainer"]:
    """Open a clip for reading. Raises: FileError, if it is not a clip that can be read."""
    libav.load()
    from av.error import FFmpegError  # noqa: PLC0415 - see libav.load

    kind = sniff(file.read(16))
    file.seek(0)
    demuxer = _DEMUXERS.get(kind or "", "mp4")
    if demuxer == "mp4":
        check_tables(file)
    options = {} if with_edit_list else {"ignore_editlist": "1"}
    try:
        with libav.open_input(file, demuxer, options) as container:
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
        raise  # A lack of memory is not a fault of the file.
    except (FFmpegError, OSError, OverflowError, ZeroDivisionError) as error:
        name = {"matroska": "a WebM or MKV", "gif": "a GIF"}.get(demuxer, "an MP4")
        raise FileError(f"The file is not {name} that can be read.") from error


def probe(file: BinaryIO) -> ClipInfo:
    """Measure a clip by its headers and its first frame. Raises: FileError."""
    with open_clip(file) as container:
        stream = container.streams.video[0]
        frame = next(container.decode(stream), None)
        size = (stream.width, stream.height) if frame is None else display_size(frame, stream.codec_context)
        return _info_of(container, size)


def measure_file(path: Path) -> ClipInfo:
    """Measure the clip at a path, as `measure`. Raises: FileError, OSError."""
    with path.open("rb") as file:
        return measure(file)


def measure(file: BinaryIO) -> ClipInfo:
    """Measure a clip by its packets, for headers may state anything. Raises: FileError, also if it is cut short."""
    return inspect(file).info


def inspect_file(path: Path) -> ClipDetails:
    """Measure the clip at a path, as `inspect`. Raises: FileError, OSError."""
    with path.open("rb") as file:
        return inspect(file)


def inspect(file: BinaryIO) -> ClipDetails:
    """Measure a clip by its packets and its first frame. Raises: FileError, also if it is cut short."""
    with open_clip(file) as container:
        stream = container.streams.video[0]
        packets = _packets(container, stream)
        if not packets:
            raise FileError("The file has no frames.")
        times = sorted(time for time, _ in packets)
        promised, sound_start = stream.frames, _sound_start(container)
        rate = nominal_rate(times, libav.exact(stream.average_rate) if stream.average_rate else None)
        end = max(time + (length or 1 / rate) for time, length in packets)
        container.seek(0)
        frame = next(container.decode(stream), None)
        if frame is None:
            raise FileError("The file has no frames.")
        codec = stream.codec_context
        size = display_size(frame, codec)
        headers = _info_of(container, size)
        colours, turned, aspect = Colours.of(frame, codec), orientation(frame), pixel_aspect(codec)
    is_edited = 0 < len(packets) < promised
    if is_edited:
        _check_whole(file, promised)
    start = min(times[0], sound_start) if sound_start is not None else times[0]
    start = start if times[0] - start > _MAX_SOUND_LEAD_SECONDS else times[0]
    info = ClipInfo(*size, *_priced(headers, float(end - start), len(packets)), headers.has_sound, len(packets))
    return ClipDetails(info, start, times[0], end, rate, colours, turned, aspect, is_edited)


def _packets(container: "InputContainer", stream: "VideoStream") -> list[tuple[Fraction, Fraction]]:
    """Return the time and the length of each frame that is shown."""
    return [
        (packet.pts * libav.exact(packet.time_base), (packet.duration or 0) * libav.exact(packet.time_base))
        for packet in container.demux(stream)
        if packet.pts is not None and packet.size and not packet.is_discard
    ]


def _check_whole(file: BinaryIO, promised: int) -> None:
    """Raises: FileError, if the frames that an edit list hides are not in the file either."""
    file.seek(0)
    with open_clip(file, with_edit_list=False) as container:
        stream = container.streams.video[0]
        frames = sum(bool(packet.size and packet.pts is not None) for packet in container.demux(stream))
    if frames < promised:
        raise FileError(f"The file is cut short: {frames} of {promised} frames are there.")


def _sound_start(container: "InputContainer") -> Fraction | None:
    """Return the time at which the sound starts, by its own time stamps; None if there is no sound.

    Sound before 0 is the encoder's delay, which players leave out. Older versions of libav state it for a MKV.
    """
    sound: Any = sound_track(container)
    if sound is None or sound.start_time is None:
        return None
    return max(sound.start_time * libav.exact(sound.time_base), Fraction())


def sound_track(container: "InputContainer") -> "Stream | None":
    """Return the first sound track that can be decoded."""
    tracks = [stream for stream in container.streams.audio if getattr(stream, "codec_context", None)]
    return tracks[0] if tracks else None


def _priced(headers: ClipInfo, seconds: float, frames: int) -> tuple[float, float]:
    """Return the length and the rate of a clip, as long as Luma may count it.

    Time stamps may state a shorter time than the frames need. Frames that are denser than any camera's are counted at
    the rate at which Luma makes clips.
    """
    seconds = max(headers.seconds, seconds)
    if frames > _MAX_FRAMES_PER_SECOND * seconds:
        seconds = frames / _LUMA_FRAMES_PER_SECOND if frames > 1 else seconds
    return seconds, (frames / seconds if seconds else headers.frames_per_second)


def _info_of(container: "InputContainer", size: tuple[int, int]) -> ClipInfo:
    """Return the measures that an open clip's headers state."""
    stream = container.streams.video[0]
    seconds = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
    if not seconds and container.duration:
        seconds = container.duration / 1_000_000
    rate = float(stream.average_rate) if stream.average_rate else 0.0
    return ClipInfo(*size, seconds, rate, sound_track(container) is not None)
