"""Editing: parts of clips, made alike, one after the other or cross-faded, with a sound under them. This blocks.

Frames go from the decoders to the encoder one by one; at most the frames of one cross-fade are kept. What is equal and
whole is joined without encoding it again (`concat`).
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

from luma_mcp.domain.errors import FileError
from luma_mcp.media.concat import can_concatenate, concatenate
from luma_mcp.media.formats import sniff_sound
from luma_mcp.media.probe import ClipInfo, measure_file, open_clip

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.container import InputContainer
    from av.filter.context import FilterContext
    from av.video.frame import VideoFrame

Form = Literal["mp4", "webm", "gif", "jpg"]
Fit = Literal["contain", "cover"]

MAX_SECONDS = 300.0
MAX_CROSSFADE_SECONDS = 2.0
SHORTEST_SECONDS = 0.1
MIN_WIDTH, MAX_WIDTH = 64, 1920
_GIF_WIDTH, _GIF_FRAMES_PER_SECOND, _GIF_SECONDS = 480, 10, 30.0
_FRAMES_PER_SECOND = (10, 60)
# What the child may have: at 1080p decoder, filters and encoder need 450 MB beside the frames of a cross-fade.
MEMORY_BYTES = 1024**3
_MOST_KEPT_BYTES = 160 * 1024**2
_SOUND_RATE = 48_000
_SOUND = f"sample_fmts=fltp:sample_rates={_SOUND_RATE}:channel_layouts=stereo"
# Of curves that an 8-bit picture cannot have: PQ and HLG, by their numbers in H.273.
_HDR_CURVES = frozenset({16, 18})
_VIDEO = {
    "mp4": ("libx264", {"preset": "veryfast", "crf": "20"}),
    "webm": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "7", "crf": "33", "b": "0", "row-mt": "1"}),
}
_AUDIO = {"mp4": ("aac", 160_000), "webm": ("libopus", 128_000)}
# What a sound file is opened as; never by guessing, for a playlist leads anywhere.
_SOUND_FORMATS = {"mp3": "mp3", "wav": "wav", "flac": "flac", "ogg": "ogg", "m4a": "mp4"}


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of a clip, in seconds; to its end without one."""

    path: Path
    begin: float = 0.0
    end: float | None = None


@dataclass(frozen=True, slots=True)
class Sound:
    """A sound file under everything.

    Args:
        path: the file.
        volume: 1 is as loud as it is.
        fade_seconds: over how long it fades out at the end.
    """

    path: Path
    volume: float = 1.0
    fade_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class Edit:
    """What is made of clips.

    Args:
        cuts: the parts, in order.
        form: the format of the file; `jpg` is the first frame.
        crossfade_seconds: how long one goes over into the next; 0 is a cut.
        fit: clips of another ratio than the first get bars (`contain`), or lose what stands out (`cover`).
        width: of the file; that of the first clip without one.
        sound: what is heard beside the clips' own sound.
    """

    cuts: tuple[Cut, ...]
    form: Form = "mp4"
    crossfade_seconds: float = 0.0
    fit: Fit = "contain"
    width: int | None = None
    sound: Sound | None = None


@dataclass(frozen=True, slots=True)
class _Part:
    """A cut, measured: it begins at a second of its clip and has so many frames of the new file."""

    path: Path
    info: ClipInfo
    begin: float
    seconds: float
    frames: int


def edit(plan: Edit, target: Path) -> None:
    """Make one file.

    Raises:
        FileError: a clip or the sound cannot be read, or the plan does not fit the clips.
        OSError: a file cannot be read or written.
    """
    infos = [measure_file(cut.path) for cut in plan.cuts]
    if _is_plain(plan) and can_concatenate([cut.path for cut in plan.cuts]):
        concatenate([cut.path for cut in plan.cuts], target)
        return
    rate = _GIF_FRAMES_PER_SECOND if plan.form == "gif" else _rate(infos[0])
    parts = [_part(number, cut, info, rate) for number, (cut, info) in enumerate(zip(plan.cuts, infos, strict=True), 1)]
    fade = round(plan.crossfade_seconds * rate) if len(parts) > 1 else 0
    size = _size(plan, infos[0])
    _check(plan, parts, fade, rate)
    _check_memory(fade, rate, size)

    def frames() -> Iterator["VideoFrame"]:
        streams = [_frames_of(part, size, rate, plan.fit) for part in parts]
        return _crossfaded(streams, [part.frames for part in parts], fade)

    if plan.form == "jpg":
        next(frames()).to_image().save(target, quality=90)
    elif plan.form == "gif":
        _write_gif(frames, size, rate, target)
    else:
        seconds = (sum(part.frames for part in parts) - fade * (len(parts) - 1)) / rate
        with ExitStack() as stack:
            heard = _sound_of(stack, plan, parts, fade / rate, seconds)
            _write_video(plan.form, frames(), heard, size, rate, target)


def _is_plain(plan: Edit) -> bool:
    """Whether nothing is done with the clips but to put them one after the other."""
    is_whole = all(not cut.begin and cut.end is None for cut in plan.cuts)
    return is_whole and plan.form == "mp4" and not (plan.crossfade_seconds or plan.width or plan.sound)


def _rate(info: ClipInfo) -> int:
    least, most = _FRAMES_PER_SECOND
    return min(max(round(info.frames_per_second), least), most)


def _part(number: int, cut: Cut, info: ClipInfo, rate: int) -> _Part:
    """Raises: FileError, if the clip is not so long."""
    # Times are told and typed with two digits, and a clip may have a frame less than its name says.
    end = info.seconds if cut.end is None else min(cut.end, info.seconds)
    seconds = end - cut.begin
    if seconds < SHORTEST_SECONDS:
        raise FileError(
            f"Clip {number} is {info.seconds:.2f} s long, so there is nothing between {cut.begin:g} s and {end:g} s.",
            "Nothing was written. Name times inside the clip.",
        )
    return _Part(cut.path, info, cut.begin, seconds, max(1, round(seconds * rate)))


def _check(plan: Edit, parts: Sequence[_Part], fade: int, rate: int) -> None:
    """Raises: FileError, if the whole is too long, or a part too short for its cross-fades."""
    seconds = sum(part.seconds for part in parts)
    most = _GIF_SECONDS if plan.form == "gif" else MAX_SECONDS
    if plan.form != "jpg" and seconds > most:
        raise FileError(f"This is {seconds:.0f} s long; {plan.form} may have {most:.0f} s.", "Name shorter parts.")
    for number, part in enumerate(parts, start=1):
        if part.frames < 2 * fade:
            raise FileError(
                f"Clip {number} has {part.seconds:.2f} s here, too little for cross-fades of {fade / rate:.2f} s.",
                "Nothing was written. Take a shorter cross-fade or a longer part.",
            )


def _check_memory(fade: int, rate: int, size: tuple[int, int]) -> None:
    """Raises: FileError, if the frames of a cross-fade would need more memory than the child has for them."""
    most = int(_MOST_KEPT_BYTES / (size[0] * size[1] * 1.5))
    if fade > most:
        raise FileError(
            f"Cross-fades of {fade / rate:.2f} s are too long for {size[0]}x{size[1]} at {rate} frames a second.",
            f"Take {most / rate:.1f} s at most, or a smaller width.",
        )


def _size(plan: Edit, first: ClipInfo) -> tuple[int, int]:
    """Width and height, both even, as encoders want them."""
    width = plan.width or min(first.width, _GIF_WIDTH if plan.form == "gif" else MAX_WIDTH)
    return max(2, width // 2 * 2), max(2, round(first.height * width / first.width / 2) * 2)


# ---- Pictures ----


def _frames_of(part: _Part, size: tuple[int, int], rate: int, fit: Fit) -> Iterator["VideoFrame"]:
    """The frames of a part, of one size and rate: just as many as it shall have."""
    made, last = 0, None
    with part.path.open("rb") as file, open_clip(file) as clip:
        for frame in _even(_decoded(clip, part), clip, size, rate, fit):
            last = frame
            yield frame
            made += 1
            if made == part.frames:
                return
    if last is None:
        raise FileError("A clip has no frames in the part that is named.")
    # The last frame is shown for as long as it lasts.
    for _ in range(part.frames - made):
        yield last


def _decoded(clip: "InputContainer", part: _Part) -> Iterator["VideoFrame"]:
    """The frames of a part as the clip has them, with times that begin at the part."""
    stream = clip.streams.video[0]
    stream.thread_type = "AUTO"
    if stream.codec_context.color_trc in _HDR_CURVES:
        raise FileError("An HDR clip cannot be edited without losing its light.", "Join it with equal ones as it is.")
    base = cast("Fraction", stream.time_base)
    if part.begin > 1:
        clip.seek(int(part.begin / base), stream=stream)
    kept: VideoFrame | None = None
    for frame in clip.decode(stream):
        if frame.pts is None:  # pragma: no cover - MP4 has a time for each
            continue
        time = float(frame.pts * base) - part.begin
        if time >= part.seconds:
            break
        frame.pts = max(0, round(time / base))
        if time <= 0:
            kept = frame  # what is shown at the begin may have come before it
            continue
        if kept is not None:
            yield kept
            kept = None
        yield frame
    if kept is not None:
        yield kept


def _even(
    frames: Iterator["VideoFrame"], clip: "InputContainer", size: tuple[int, int], rate: int, fit: Fit
) -> Iterator["VideoFrame"]:
    """The frames in one size, rate and format."""
    from av.filter import Graph  # noqa: PLC0415 - see frames

    width, height = size
    graph = Graph()
    ends: list[FilterContext] = [graph.add_buffer(template=clip.streams.video[0])]
    grow = "increase" if fit == "cover" else "decrease"
    steps = [("scale", f"{width}:{height}:force_original_aspect_ratio={grow}:force_divisible_by=2")]
    steps += [("crop", f"{width}:{height}")] if fit == "cover" else [("pad", f"{width}:{height}:(ow-iw)/2:(oh-ih)/2")]
    steps += [("setsar", "1"), ("fps", f"{rate}:start_time=0"), ("format", "yuv420p"), ("buffersink", "")]
    for name, values in steps:
        ends.append(graph.add(name, values) if values else graph.add(name))
        ends[-2].link_to(ends[-1])
    graph.configure()
    # The graph must live as long as its filters are used, which do not keep it.
    yield from cast("Iterator[VideoFrame]", _through(frames, ends[0], ends[-1]))


def _through(frames: Iterator[Any], source: "FilterContext", sink: "FilterContext") -> Iterator[Any]:
    """What comes out of filters for what is put into them."""
    for frame in frames:
        source.push(frame)
        yield from _ready(sink)
    source.push(None)
    yield from _ready(sink)


def _ready(sink: "FilterContext") -> Iterator[Any]:
    from av.error import BlockingIOError as NotYetError  # noqa: PLC0415
    from av.error import EOFError as NoMoreError  # noqa: PLC0415

    while True:
        try:
            yield sink.pull()
        except (NotYetError, NoMoreError):
            return


def _crossfaded(streams: Sequence[Iterator["VideoFrame"]], counts: Sequence[int], fade: int) -> Iterator["VideoFrame"]:
    """The frames of all parts; the last ones of each go over into the first ones of the next."""
    kept: list[VideoFrame] = []
    blend = _Blend()
    for number, frames in enumerate(streams):
        going, kept = kept, []
        keeps_from = counts[number] - (fade if number < len(streams) - 1 else 0)
        for place, frame in enumerate(frames):
            if place < len(going):
                yield blend(going[place], frame, (place + 1) / (fade + 1))
            elif place < keeps_from:
                yield frame
            else:
                kept.append(frame)


class _Blend:
    """Lays a frame over another one. A converter for each frame would bring threads of its own, so there are two."""

    def __init__(self) -> None:
        from av.video.reformatter import VideoReformatter  # noqa: PLC0415

        self._there, self._back = VideoReformatter(), VideoReformatter()

    def __call__(self, before: "VideoFrame", after: "VideoFrame", share: float) -> "VideoFrame":
        from av import VideoFrame as Frame  # noqa: PLC0415
        from PIL import Image  # noqa: PLC0415

        pictures = [cast("Any", self._there.reformat(frame, format="rgb24")).to_image() for frame in (before, after)]
        blended = cast("VideoFrame", Frame.from_image(Image.blend(pictures[0], pictures[1], share)))
        return self._back.reformat(blended, format="yuv420p")


# ---- Sound ----


def _sound_of(
    stack: ExitStack, plan: Edit, parts: Sequence[_Part], fade_seconds: float, seconds: float
) -> "Iterator[AudioFrame] | None":
    """The sound of the whole; None if there is none."""
    if plan.sound is None and not any(part.info.has_sound for part in parts):
        return None
    return _Mix(stack, plan.sound, parts, fade_seconds, seconds).frames()


class _Mix:
    """A graph of filters: the parts' own sound one after the other, and what is laid under it."""

    def __init__(
        self, stack: ExitStack, sound: Sound | None, parts: Sequence[_Part], fade_seconds: float, seconds: float
    ) -> None:
        from av.filter import Graph  # noqa: PLC0415

        self._graph: Graph = Graph()
        self._own: list[tuple[FilterContext, Iterator[AudioFrame]]] = []
        self._laid: tuple[FilterContext, Iterator[AudioFrame]] | None = None
        whole = self._joined([self._part(stack, part) for part in parts], fade_seconds)
        if sound is not None:
            whole = self._with(stack, whole, sound, seconds)
        self._sink = self._then(whole, ("aformat", _SOUND), ("abuffersink", ""))
        self._graph.configure()

    def frames(self) -> "Iterator[AudioFrame]":
        """The mixed sound. Both sources are fed by turns, so that neither piles up."""
        fed = 0.0
        for source, frames in self._own:
            for frame in frames:
                source.push(frame)
                fed += frame.samples / (frame.sample_rate or _SOUND_RATE)
                self._feed_laid(fed)
                yield from _ready(self._sink)
            source.push(None)
        self._feed_laid(None)
        yield from _ready(self._sink)

    def _feed_laid(self, until: float | None) -> None:
        """Put in the sound below up to a second; all that is left for None."""
        if self._laid is None:
            return
        source, frames = self._laid
        for frame in frames:
            source.push(frame)
            if until is not None and frame.time is not None and frame.time > until + 1:
                return
        source.push(None)
        self._laid = None

    def _part(self, stack: ExitStack, part: _Part) -> "FilterContext":
        """The own sound of a part, or silence, of exactly the part's length."""
        length = ("atrim", f"duration={part.seconds:.6f}")
        if not part.info.has_sound:
            silence = self._graph.add("anullsrc", f"r={_SOUND_RATE}:cl=stereo")
            return self._then(silence, length, ("asetpts", "PTS-STARTPTS"))
        clip = stack.enter_context(open_clip(stack.enter_context(part.path.open("rb"))))
        stream = clip.streams.audio[0]
        source = self._graph.add_abuffer(template=stream)
        if part.begin > 1:
            clip.seek(int(part.begin / cast("Fraction", stream.time_base)), stream=stream)
        self._own.append((source, _heard(clip, part.begin + part.seconds)))
        cut = ("atrim", f"start={part.begin:.6f}")
        return self._then(
            source, cut, ("asetpts", "PTS-STARTPTS"), *_in_stereo(stream), ("apad", ""), length
        )  # fmt: skip

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
        self._laid = (source, _heard(file, seconds))
        fade = min(sound.fade_seconds, seconds)
        laid = self._then(
            source,
            *_in_stereo(file.streams.audio[0]),
            ("asetpts", "PTS-STARTPTS"),
            ("atrim", f"duration={seconds:.6f}"),
            ("volume", f"{sound.volume:.3f}"),
            ("afade", f"t=out:st={seconds - fade:.6f}:d={max(fade, 0.001):.6f}"),
        )
        mix = self._graph.add("amix", "inputs=2:duration=first:dropout_transition=0:normalize=0")
        whole.link_to(mix, 0, 0)
        laid.link_to(mix, 0, 1)
        # Two loud sounds at once would be cut off.
        return self._then(mix, ("alimiter", "limit=0.95:level=0"))

    def _then(self, source: "FilterContext", *steps: tuple[str, str]) -> "FilterContext":
        for name, values in steps:
            step = self._graph.add(name, values) if values else self._graph.add(name)
            source.link_to(step)
            source = step
        return source


def _in_stereo(stream: Any) -> tuple[tuple[str, str], ...]:
    """The filters that bring a sound to the common form. One channel is heard on both sides, as loud as it was."""
    both = (("pan", "stereo|c0=c0|c1=c0"),) if stream.channels == 1 else ()
    return (*both, ("aformat", _SOUND))


def _heard(container: "InputContainer", until: float) -> "Iterator[AudioFrame]":
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
    import av  # noqa: PLC0415
    from av.error import FFmpegError  # noqa: PLC0415

    kind = sniff_sound(file.read(16))
    file.seek(0)
    if kind is None:
        raise FileError("The sound is no MP3, WAV, FLAC, OGG or M4A.", "Convert it first.")
    options = {"format": _SOUND_FORMATS[kind], "metadata_errors": "ignore"}
    try:
        container = cast("InputContainer", av.open(file, **cast("Any", options)))
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


# ---- Files ----


def _write_video(
    form: Literal["mp4", "webm"],
    frames: Iterator["VideoFrame"],
    heard: "Iterator[AudioFrame] | None",
    size: tuple[int, int],
    rate: int,
    target: Path,
) -> None:
    """Encode picture and sound side by side, so that neither waits in memory for the other."""
    import av  # noqa: PLC0415

    options = {"movflags": "+faststart"} if form == "mp4" else {}
    with av.open(str(target), "w", format=form, options=options) as output:
        name, settings = _VIDEO[form]
        video = cast("Any", output.add_stream(name, rate=rate, options=settings))
        video.width, video.height = size
        video.pix_fmt = "yuv420p"
        audio: Any = None
        if heard is not None:
            name, bits = _AUDIO[form]
            audio = output.add_stream(name, rate=_SOUND_RATE)
            audio.layout, audio.bit_rate = "stereo", bits
        samples = 0
        for number, frame in enumerate(frames):
            frame.pts, frame.time_base = number, Fraction(1, rate)
            output.mux(video.encode(frame))
            while heard is not None and samples / _SOUND_RATE <= number / rate:
                part = next(heard, None)
                if part is None:
                    heard = None
                    break
                part.pts, part.time_base = samples, Fraction(1, _SOUND_RATE)
                samples += part.samples
                output.mux(audio.encode(part))
        for part in heard or ():
            part.pts, part.time_base = samples, Fraction(1, _SOUND_RATE)
            samples += part.samples
            output.mux(audio.encode(part))
        for stream in (video, audio):
            if stream is not None:
                output.mux(stream.encode(None))


def _write_gif(frames: Callable[[], Iterator["VideoFrame"]], size: tuple[int, int], rate: int, target: Path) -> None:
    """Find the best 256 colours in one pass, and draw with them in another, so that no frames wait in memory."""
    import av  # noqa: PLC0415
    from av.filter import Graph  # noqa: PLC0415

    width, height = size
    form = {"width": width, "height": height, "format": "yuv420p", "time_base": Fraction(1, rate)}

    def timed() -> Iterator["VideoFrame"]:
        for number, frame in enumerate(frames()):
            frame.pts, frame.time_base = number, Fraction(1, rate)
            yield frame

    finding: Graph = Graph()
    source, finder = finding.add_buffer(**cast("Any", form)), finding.add("palettegen", "stats_mode=full")
    sink = finding.add("buffersink")
    source.link_to(finder)
    finder.link_to(sink)
    finding.configure()
    (palette,) = list(_through(timed(), source, sink))

    drawing: Graph = Graph()
    source = drawing.add_buffer(**cast("Any", form))
    colours = drawing.add_buffer(width=16, height=16, format=cast("Any", "bgra"), time_base=Fraction(1, rate))
    painter, sink = drawing.add("paletteuse", "dither=sierra2_4a"), drawing.add("buffersink")
    source.link_to(painter, 0, 0)
    colours.link_to(painter, 0, 1)
    painter.link_to(sink)
    drawing.configure()
    palette.pts = 0
    colours.push(palette)
    colours.push(None)
    with av.open(str(target), "w", format="gif", options={"loop": "0"}) as output:
        stream = cast("Any", output.add_stream("gif", rate=rate))
        stream.width, stream.height, stream.pix_fmt = width, height, "pal8"
        for number, frame in enumerate(_through(timed(), source, sink)):
            frame.pts, frame.time_base = number, Fraction(1, rate)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
