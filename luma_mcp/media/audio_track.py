"""The sound of an edited file: the clips' own, one after the other or cross-faded, and a sound file beneath them.

Sound keeps its place: it starts as late as in its clip, a hole in it stays a hole, and each range has exactly as many
samples as its pictures last, so that picture and sound stay together however many clips there are.
"""

from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from itertools import accumulate
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from luma_mcp.domain.errors import FileError
from luma_mcp.media import libav
from luma_mcp.media.edit_plan import MeasuredRange, Sound, Timeline
from luma_mcp.media.filters import chain, ready
from luma_mcp.media.formats import sniff_sound
from luma_mcp.media.probe import open_clip, sound_track

if TYPE_CHECKING:
    from av.audio.fifo import AudioFifo
    from av.audio.frame import AudioFrame
    from av.container import InputContainer

SAMPLE_RATE = 48_000
_COMMON_FORMAT = f"sample_fmts=fltp:sample_rates={SAMPLE_RATE}:channel_layouts=stereo"
# Samples that are this far from their place are put there: silence fills a hole, and what overlaps is left out.
_RESAMPLE_OPTIONS = "async=1:min_hard_comp=0.01:first_pts=0"
_BLOCK_SAMPLES = 4800
# A cut in the middle of a sound would click.
_CUT_FADE_SECONDS = 0.005
# A decoder of sound needs some packets before its output is right.
_SEEK_BACK_SECONDS = 1
# The demuxers of sound files. libav never guesses the format, for a playlist leads to any address.
_FORMATS = {"mp3": "mp3", "wav": "wav", "flac": "flac", "ogg": "ogg", "m4a": "mp4"}


def sound_of(stack: ExitStack, sound: Sound | None, timeline: Timeline) -> "Iterator[AudioFrame] | None":
    """Return the sound of an edited file; None if there is none. The stack closes the sound file."""
    if sound is None and not any(clip.clip.info.has_sound for clip in timeline.ranges):
        return None
    joined = _joined(timeline)
    return joined if sound is None else _with_background(stack, joined, sound, timeline.seconds)


def _joined(timeline: Timeline) -> "Iterator[AudioFrame]":
    """Yield the sound of all ranges; where they cross-fade, the end of one is added to the start of the next."""
    fade = timeline.crossfade_frames
    ends = list(accumulate(clip.frames - fade for clip in timeline.ranges))
    held = _Samples()
    for number, clip in enumerate(timeline.ranges):
        start = _samples_in(ends[number] - (clip.frames - fade), timeline.rate)
        overlap_start = _samples_in(ends[number], timeline.rate)
        end = _samples_in(ends[number] + fade, timeline.rate)
        is_last = number == len(timeline.ranges) - 1
        fades = (timeline.crossfade_seconds if number else 0.0, 0.0 if is_last else timeline.crossfade_seconds)
        samples = _Samples()
        before, held = held, _Samples()
        for frame in _range_sound(clip, end - start, fades):
            samples.add(frame)
            if before.count and samples.count >= before.count:
                length = before.count
                yield from _added(before.cut(length), samples.cut(length))
            if not before.count and samples.count > _BLOCK_SAMPLES + end - overlap_start:
                yield samples.cut(samples.count - (end - overlap_start))
        if is_last:
            yield from samples.rest(samples.count)
        else:
            yield from samples.rest(samples.count - (end - overlap_start))
            held = samples


def _samples_in(frames: int, rate: Fraction) -> int:
    return round(frames / rate * SAMPLE_RATE)


def _range_sound(clip: MeasuredRange, count: int, fades: tuple[float, float]) -> "Iterator[AudioFrame]":
    """Yield the own sound of a range, or silence: exactly so many samples.

    Args:
        clip: the range.
        count: the number of samples.
        fades: the seconds of its cross-fades, at its start and at its end.
    """
    samples = _Samples()
    if count and clip.clip.info.has_sound:
        for frame in _placed_sound(clip, count, fades):
            samples.add(frame)
            length = min(samples.count, count)
            count -= length
            yield samples.cut(length)
            if not count:
                return
    while count:
        yield _silence(min(count, _BLOCK_SAMPLES))
        count -= min(count, _BLOCK_SAMPLES)


def _placed_sound(clip: MeasuredRange, count: int, fades: tuple[float, float]) -> "Iterator[AudioFrame]":
    """Yield the sound of a range as its time stamps place it, from the start of the range; it may end early."""
    from av.filter import Graph  # noqa: PLC0415 - see libav.load

    origin = clip.clip.start + Fraction(clip.start)
    with clip.path.open("rb") as file, open_clip(file) as container:
        stream = cast("Any", sound_track(container))
        if clip.start > _SEEK_BACK_SECONDS:
            container.seek(int((origin - _SEEK_BACK_SECONDS) * 1_000_000))
        graph = Graph()
        source = graph.add_abuffer(template=stream)
        # A mono sound plays on both channels, as loud as before.
        steps = [*_in_stereo(stream), ("atrim", "start=0"), ("aresample", f"{SAMPLE_RATE}:{_RESAMPLE_OPTIONS}")]
        sink = chain(graph, source, [*steps, *_faded(clip, count / SAMPLE_RATE, fades), ("abuffersink", "")])
        graph.configure()
        for frame in _decoded(container, float(origin + Fraction(count, SAMPLE_RATE))):
            source.push(_earlier(frame, origin))
            yield from ready(sink)
        source.push(None)
        yield from ready(sink)


def _earlier(frame: "AudioFrame", seconds: Fraction) -> "AudioFrame":
    """Move a frame by some seconds to the start. A frame without a time stamp follows the frame before it."""
    if frame.pts is not None and frame.time_base:
        frame.pts -= round(seconds / libav.exact(frame.time_base))
    return frame


def _faded(clip: MeasuredRange, seconds: float, fades: tuple[float, float]) -> Iterator[tuple[str, str]]:
    """Yield the filters of the fades: cross-fades, or very short ones at cuts in the middle of a sound."""
    is_cut = (clip.start > 0, clip.start + clip.seconds < float(clip.clip.seconds) - 0.001)
    lengths = [fade or (_CUT_FADE_SECONDS if cut else 0.0) for fade, cut in zip(fades, is_cut, strict=True)]
    if lengths[0]:
        yield "afade", f"t=in:d={lengths[0]:.6f}:curve=tri"
    if lengths[1]:
        yield "afade", f"t=out:st={max(seconds - lengths[1], 0):.6f}:d={lengths[1]:.6f}:curve=tri"


def _added(first: "AudioFrame", second: "AudioFrame") -> "Iterator[AudioFrame]":
    """Yield the sum of two sounds of equal length."""
    from av.filter import Graph  # noqa: PLC0415 - see libav.load

    graph = Graph()
    sources = [_common_buffer(graph) for _ in range(2)]
    mix = graph.add("amix", "inputs=2:duration=longest:dropout_transition=0:normalize=0")
    for pad, source in enumerate(sources):
        source.link_to(mix, 0, pad)
    sink = chain(graph, mix, [("aformat", _COMMON_FORMAT), ("abuffersink", "")])
    graph.configure()
    for source, frame in zip(sources, (first, second), strict=True):
        frame.pts, frame.time_base = 0, Fraction(1, SAMPLE_RATE)
        source.push(frame)
        source.push(None)
    yield from ready(sink)


def _with_background(
    stack: ExitStack, joined: "Iterator[AudioFrame]", sound: Sound, seconds: float
) -> "Iterator[AudioFrame]":
    """Yield a sound mixed with a sound file. Both are fed by turns, so that neither waits in memory for the other."""
    from av.filter import Graph  # noqa: PLC0415 - see libav.load

    file = stack.enter_context(open_sound(stack.enter_context(sound.path.open("rb"))))
    graph = Graph()
    source, below = _common_buffer(graph), graph.add_abuffer(template=file.streams.audio[0])
    fade = min(sound.fade_seconds, seconds)
    background = chain(
        graph,
        below,
        [
            *_in_stereo(file.streams.audio[0]),
            ("asetpts", "PTS-STARTPTS"),
            ("atrim", f"duration={seconds:.6f}"),
            ("volume", f"{sound.volume:.3f}"),
            ("afade", f"t=out:st={seconds - fade:.6f}:d={max(fade, 0.001):.6f}"),
        ],
    )
    mix = graph.add("amix", "inputs=2:duration=first:dropout_transition=0:normalize=0")
    source.link_to(mix, 0, 0)
    background.link_to(mix, 0, 1)
    # Two loud sounds at once would be clipped.
    sink = chain(graph, mix, [("alimiter", "limit=0.95:level=0"), ("aformat", _COMMON_FORMAT), ("abuffersink", "")])
    graph.configure()
    under: Iterator[AudioFrame] | None = _decoded(file, seconds)
    fed = 0
    for frame in joined:
        frame.pts, frame.time_base = fed, Fraction(1, SAMPLE_RATE)
        fed += frame.samples
        source.push(frame)
        while under is not None:
            sample = next(under, None)
            below.push(sample)
            if sample is None:
                under = None
            elif sample.time is not None and sample.time > fed / SAMPLE_RATE + 1:
                break
        yield from ready(sink)
    source.push(None)
    yield from ready(sink)


def _common_buffer(graph: Any) -> Any:
    return graph.add_abuffer(
        sample_rate=SAMPLE_RATE, format="fltp", layout="stereo", time_base=Fraction(1, SAMPLE_RATE)
    )


class _Samples:
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


def _silence(count: int) -> "AudioFrame":
    from av import AudioFrame as Frame  # noqa: PLC0415 - see libav.load

    frame = Frame(format="fltp", layout="stereo", samples=count)
    frame.sample_rate = SAMPLE_RATE
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    return frame


def _in_stereo(stream: Any) -> tuple[tuple[str, str], ...]:
    """Return the filters that bring a sound to the common form."""
    both = (("pan", "stereo|c0=c0|c1=c0"),) if stream.channels == 1 else ()
    return (*both, ("aformat", "sample_fmts=fltp:channel_layouts=stereo"))


def _decoded(container: "InputContainer", until: float) -> "Iterator[AudioFrame]":
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
