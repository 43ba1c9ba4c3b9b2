"""Edited frames and sound as a file."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from luma_mcp.media.filters import PICTURE_THREADS, new_graph, through
from luma_mcp.media.sound_blocks import SAMPLE_RATE
from luma_mcp.media.timeline import Timeline

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.container import OutputContainer
    from av.video.frame import VideoFrame

    from luma_mcp.media.colour import Colours

SOUND_BITS_PER_SECOND = 160_000
_VIDEO = {
    "mp4": ("libx264", {"preset": "veryfast", "crf": "20"}),
    "webm": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "7", "crf": "33", "b": "0", "row-mt": "1"}),
}
_HDR = ("libx265", {"preset": "ultrafast", "crf": "18", "x265-params": "log-level=none:pools=2:frame-threads=2"})
_AUDIO = {"mp4": ("aac", SOUND_BITS_PER_SECOND), "webm": ("libopus", 128_000)}


def write_video(
    form: Literal["mp4", "webm"],
    frames: Iterator["VideoFrame"],
    sound: "Iterator[AudioFrame] | None",
    timeline: Timeline,
    target: Path,
    *,
    bits_per_second: int | None = None,
) -> None:
    """Encode picture and sound side by side, so that neither waits in memory for the other.

    Args:
        form: the format of the file.
        frames: the pictures.
        sound: the sound; None for a silent file.
        timeline: the size, rate and colours of the pictures.
        target: the new file.
        bits_per_second: the size of a second of pictures on average; None for a constant quality.
    """
    import av  # noqa: PLC0415 - see libav.load

    rate = timeline.rate
    options = {"movflags": "+faststart"} if form == "mp4" else {}
    with av.open(str(target), "w", format=form, options=options) as output:
        name, settings = _HDR if timeline.is_hdr else _VIDEO[form]
        if bits_per_second is not None:
            settings = {key: value for key, value in settings.items() if key not in ("crf", "b")}
            settings |= {"maxrate": f"{bits_per_second}", "bufsize": f"{bits_per_second}"}
        video = cast("Any", output.add_stream(name, rate=rate, options=settings))
        if bits_per_second is not None:
            video.bit_rate = bits_per_second
        video.width, video.height = timeline.size
        video.pix_fmt = timeline.pixel_format
        if timeline.is_hdr:
            # Apple's players know HEVC by this name only.
            video.codec_context.codec_tag = "hvc1"
        # Only a GIF and a JPEG have no colours of video.
        cast("Colours", timeline.colours).tag(video.codec_context)
        audio = AudioStream(output, form, sound) if sound is not None else None
        for number, frame in enumerate(frames):
            frame.pts, frame.time_base = number, 1 / rate
            output.mux(video.encode(frame))
            if audio is not None:
                audio.write_past(float(number / rate))
        if audio is not None:
            audio.write_past(float("inf"))
        output.mux(video.encode(None))
        if audio is not None:
            audio.end()


class AudioStream:
    """The encoded sound of a file."""

    def __init__(self, output: "OutputContainer", form: Literal["mp4", "webm"], sound: "Iterator[AudioFrame]") -> None:
        name, bits = _AUDIO[form]
        self._output = output
        self._stream = cast("Any", output.add_stream(name, rate=SAMPLE_RATE))
        self._stream.layout, self._stream.bit_rate = "stereo", bits
        self._sound = sound
        self._samples = 0

    def write_past(self, seconds: float) -> None:
        """Write sound until it is longer than so many seconds, or ends."""
        while self._samples / SAMPLE_RATE <= seconds:
            frame = next(self._sound, None)
            if frame is None:
                return
            frame.pts, frame.time_base = self._samples, Fraction(1, SAMPLE_RATE)
            self._samples += frame.samples
            self._output.mux(self._stream.encode(frame))

    def end(self) -> None:
        """Write the rest that the encoder holds."""
        self._output.mux(self._stream.encode(None))


def write_gif(frames: Callable[[], Iterator["VideoFrame"]], timeline: Timeline, target: Path) -> None:
    """Find the best 256 colours in one pass, and draw with them in another, so that no frames wait in memory."""
    import av  # noqa: PLC0415 - see libav.load

    (width, height), rate = timeline.size, timeline.rate
    form = {"width": width, "height": height, "format": timeline.pixel_format, "time_base": 1 / rate}

    def timed() -> Iterator["VideoFrame"]:
        for number, frame in enumerate(frames()):
            frame.pts, frame.time_base = number, 1 / rate
            yield frame

    finding = new_graph(PICTURE_THREADS)
    source, finder = finding.add_buffer(**cast("Any", form)), finding.add("palettegen", "stats_mode=full")
    sink = finding.add("buffersink")
    source.link_to(finder)
    finder.link_to(sink)
    finding.configure()
    (palette,) = list(through(timed(), source, sink))

    drawing = new_graph(PICTURE_THREADS)
    source = drawing.add_buffer(**cast("Any", form))
    colours = drawing.add_buffer(width=16, height=16, format=cast("Any", "bgra"), time_base=1 / rate)
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
        for number, frame in enumerate(through(timed(), source, sink)):
            frame.pts, frame.time_base = number, 1 / rate
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
