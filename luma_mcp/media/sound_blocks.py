"""Blocks of sound in one common form, and sound files that are opened and decoded. Graphs of libav work on both."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from luma_mcp.domain.errors import FileError
from luma_mcp.media import libav
from luma_mcp.media.filters import Steps, chain, new_graph, ready
from luma_mcp.media.formats import sniff_sound
from luma_mcp.media.probe import sound_track

if TYPE_CHECKING:
    from av.audio.fifo import AudioFifo
    from av.audio.frame import AudioFrame
    from av.container import InputContainer

SAMPLE_RATE = 48_000
BLOCK_SAMPLES = 4800
COMMON_FORMAT = f"sample_fmts=fltp:sample_rates={SAMPLE_RATE}:channel_layouts=stereo"
# The demuxers of sound files. libav never guesses the format, for a playlist leads to any address.
_FORMATS = {"mp3": "mp3", "wav": "wav", "flac": "flac", "ogg": "ogg", "m4a": "mp4"}


def common_buffer(graph: Any) -> Any:
    """Add a source of blocks in the common form to a graph."""
    return graph.add_abuffer(
        sample_rate=SAMPLE_RATE, format="fltp", layout="stereo", time_base=Fraction(1, SAMPLE_RATE)
    )


def filtered(frames: "Iterator[AudioFrame]", steps: Steps) -> "Iterator[AudioFrame]":
    """Yield blocks in the common form that came through filters. Their times count from the first sample."""
    graph = new_graph()
    source = common_buffer(graph)
    sink = chain(graph, source, [*steps, ("aformat", COMMON_FORMAT), ("abuffersink", "")])
    graph.configure()
    fed = 0
    for frame in frames:
        frame.pts, frame.time_base = fed, Fraction(1, SAMPLE_RATE)
        fed += frame.samples
        source.push(frame)
        yield from ready(sink)
    source.push(None)
    yield from ready(sink)


def exactly(frames: "Iterator[AudioFrame]", count: int) -> "Iterator[AudioFrame]":
    """Yield exactly so many samples, in blocks of equal length but the last; silence behind the end of the frames."""
    samples = Samples()
    for frame in frames:
        samples.add(frame)
        while samples.count >= BLOCK_SAMPLES and count:
            length = min(BLOCK_SAMPLES, count)
            count -= length
            yield samples.cut(length)
        if not count:
            return
    if length := min(samples.count, count):
        rest = Samples()
        rest.add(samples.cut(length))
        if fill := min(BLOCK_SAMPLES, count) - length:
            rest.add(silence(fill))
        count -= rest.count
        yield rest.cut(rest.count)
    while count:
        length = min(count, BLOCK_SAMPLES)
        count -= length
        yield silence(length)


class Samples:
    """A queue of samples in the common form."""

    def __init__(self) -> None:
        from av.audio.fifo import AudioFifo as Fifo  # noqa: PLC0415 - see libav.load

        self._fifo: AudioFifo = Fifo()
        self.count = 0
        """The number of samples in the queue."""

    def add(self, frame: "AudioFrame") -> None:
        """Put samples at the end."""
        frame.pts = None
        self._fifo.write(frame)
        self.count += frame.samples

    def cut(self, count: int) -> "AudioFrame":
        """Remove so many samples from the front and return them."""
        self.count -= count
        return cast("AudioFrame", self._fifo.read(count))

    def rest(self, count: int) -> "Iterator[AudioFrame]":
        """Remove so many samples from the front, if there are any, and yield them."""
        if count > 0:
            yield self.cut(count)


def silence(count: int) -> "AudioFrame":
    """Return so many samples of silence."""
    from av import AudioFrame as Frame  # noqa: PLC0415 - see libav.load

    frame = Frame(format="fltp", layout="stereo", samples=count)
    frame.sample_rate = SAMPLE_RATE
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    return frame


def in_stereo(stream: Any) -> tuple[tuple[str, str], ...]:
    """Return the filters that bring a sound to the common form."""
    both = (("pan", "stereo|c0=c0|c1=c0"),) if stream.channels == 1 else ()
    return (*both, ("aformat", "sample_fmts=fltp:channel_layouts=stereo"))


def decoded(container: "InputContainer", until: float) -> "Iterator[AudioFrame]":
    """Yield the sound of a file up to a second. Raises: FileError."""
    from av.error import FFmpegError  # noqa: PLC0415 - see libav.load

    frames = cast("Iterator[Any]", container.decode(cast("Any", sound_track(container))))
    while True:
        try:
            frame = next(frames, None)
        except MemoryError:
            raise
        except FFmpegError as error:
            raise _bad_sound() from error
        if frame is None or (frame.time is not None and frame.time >= until):
            return
        yield frame


@contextmanager
def open_sound(file: BinaryIO) -> Generator["InputContainer"]:
    """Open a sound file for reading. Raises: FileError, if it is none that can be read."""
    libav.load()
    from av.error import FFmpegError  # noqa: PLC0415 - see libav.load

    kind = sniff_sound(file.read(16))
    file.seek(0)
    if kind is None:
        raise FileError("The sound is no MP3, WAV, FLAC, OGG or M4A.", "Convert it first.")
    try:
        container = libav.open_input(file, _FORMATS[kind])
    except MemoryError:
        raise
    except (FFmpegError, OverflowError, ZeroDivisionError) as error:
        raise _bad_sound() from error
    with container:
        if not container.streams.audio or not getattr(container.streams.audio[0], "codec_context", None):
            raise FileError("The sound file has no sound in it.")
        yield container


def _bad_sound() -> FileError:
    return FileError("A sound cannot be read.", "The file may be damaged.")
