"""The sound of an edited file: the parts' own, one after the other or cross-faded, and a sound file beneath them."""

from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from luma_mcp.domain.errors import FileError
from luma_mcp.media import libav
from luma_mcp.media.edit_plan import Part, Sound, Timeline
from luma_mcp.media.filters import ready
from luma_mcp.media.formats import sniff_sound
from luma_mcp.media.probe import open_clip

if TYPE_CHECKING:
    from fractions import Fraction

    from av.audio.frame import AudioFrame
    from av.container import InputContainer
    from av.filter.context import FilterContext

SAMPLE_RATE = 48_000
_FORM = f"sample_fmts=fltp:sample_rates={SAMPLE_RATE}:channel_layouts=stereo"
# What a sound file is opened as; never by guessing, for a playlist leads anywhere.
_FORMATS = {"mp3": "mp3", "wav": "wav", "flac": "flac", "ogg": "ogg", "m4a": "mp4"}


def sound_of(stack: ExitStack, sound: Sound | None, timeline: Timeline) -> "Iterator[AudioFrame] | None":
    """The sound of an edited file; None if there is none. The stack closes the files."""
    if sound is None and not any(part.info.has_sound for part in timeline.parts):
        return None
    return _Mix(stack, sound, timeline).frames()


class _Mix:
    """A graph of filters: the parts' own sound one after the other, and a sound file mixed with it."""

    def __init__(self, stack: ExitStack, sound: Sound | None, timeline: Timeline) -> None:
        from av.filter import Graph  # noqa: PLC0415 - see frames

        self._graph: Graph = Graph()
        self._part_sounds: list[tuple[FilterContext, Iterator[AudioFrame]]] = []
        self._background: tuple[FilterContext, Iterator[AudioFrame]] | None = None
        whole = self._joined([self._part(stack, part) for part in timeline.parts], timeline.crossfade_seconds)
        if sound is not None:
            whole = self._with(stack, whole, sound, timeline.seconds)
        self._sink = self._then(whole, ("aformat", _FORM), ("abuffersink", ""))
        self._graph.configure()

    def frames(self) -> "Iterator[AudioFrame]":
        """The mixed sound. Both sources are fed by turns, so that neither piles up."""
        fed = 0.0
        for source, frames in self._part_sounds:
            for frame in frames:
                source.push(frame)
                fed += frame.samples / (frame.sample_rate or SAMPLE_RATE)
                self._feed_background(fed)
                yield from ready(self._sink)
            source.push(None)
        self._feed_background(None)
        yield from ready(self._sink)

    def _feed_background(self, until: float | None) -> None:
        """Put in the sound below up to a second; all that is left for None."""
        if self._background is None:
            return
        source, frames = self._background
        for frame in frames:
            source.push(frame)
            if until is not None and frame.time is not None and frame.time > until + 1:
                return
        source.push(None)
        self._background = None

    def _part(self, stack: ExitStack, part: Part) -> "FilterContext":
        """The own sound of a part, or silence, of exactly the part's length."""
        length = ("atrim", f"duration={part.seconds:.6f}")
        if not part.info.has_sound:
            silence = self._graph.add("anullsrc", f"r={SAMPLE_RATE}:cl=stereo")
            return self._then(silence, length, ("asetpts", "PTS-STARTPTS"))
        clip = stack.enter_context(open_clip(stack.enter_context(part.path.open("rb"))))
        stream = clip.streams.audio[0]
        source = self._graph.add_abuffer(template=stream)
        if part.begin > 1:
            clip.seek(int(part.begin / cast("Fraction", stream.time_base)), stream=stream)
        self._part_sounds.append((source, _decoded(clip, part.begin + part.seconds)))
        cut = ("atrim", f"start={part.begin:.6f}")
        return self._then(source, cut, ("asetpts", "PTS-STARTPTS"), *_in_stereo(stream), ("apad", ""), length)

    def _joined(self, parts: "list[FilterContext]", fade_seconds: float) -> "FilterContext":
        whole = parts[0]
        for part in parts[1:]:
            both = (
                self._graph.add("acrossfade", f"d={fade_seconds:.6f}:c1=tri:c2=tri")
                if fade_seconds
                else self._graph.add("concat", "n=2:v=0:a=1")
            )
            whole.link_to(both, 0, 0)
            part.link_to(both, 0, 1)
            whole = both
        return whole

    def _with(self, stack: ExitStack, whole: "FilterContext", sound: Sound, seconds: float) -> "FilterContext":
        file = stack.enter_context(open_sound(stack.enter_context(sound.path.open("rb"))))
        source = self._graph.add_abuffer(template=file.streams.audio[0])
        self._background = (source, _decoded(file, seconds))
        fade = min(sound.fade_seconds, seconds)
        background = self._then(
            source,
            *_in_stereo(file.streams.audio[0]),
            ("asetpts", "PTS-STARTPTS"),
            ("atrim", f"duration={seconds:.6f}"),
            ("volume", f"{sound.volume:.3f}"),
            ("afade", f"t=out:st={seconds - fade:.6f}:d={max(fade, 0.001):.6f}"),
        )
        mix = self._graph.add("amix", "inputs=2:duration=first:dropout_transition=0:normalize=0")
        whole.link_to(mix, 0, 0)
        background.link_to(mix, 0, 1)
        # Two loud sounds at once would be cut off.
        return self._then(mix, ("alimiter", "limit=0.95:level=0"))

    def _then(self, source: "FilterContext", *steps: tuple[str, str]) -> "FilterContext":
        for name, values in steps:
            step = self._graph.add(name, values) if values else self._graph.add(name)
            source.link_to(step)
            source = step
        return source


def _in_stereo(stream: Any) -> tuple[tuple[str, str], ...]:
    """The filters that bring a sound to the common form. A mono sound plays on both channels, as loud as before."""
    both = (("pan", "stereo|c0=c0|c1=c0"),) if stream.channels == 1 else ()
    return (*both, ("aformat", _FORM))


def _decoded(container: "InputContainer", until: float) -> "Iterator[AudioFrame]":
    """The sound of a file up to a second. Raises: FileError."""
    from av.error import FFmpegError  # noqa: PLC0415

    frames = container.decode(container.streams.audio[0])
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
    from av.error import FFmpegError  # noqa: PLC0415

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
