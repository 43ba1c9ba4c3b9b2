"""Clips as phones, cameras and editors write them, made with PyAV."""

import math
import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from PIL import Image

Rgb = tuple[int, int, int]
PATCHES: tuple[Rgb, ...] = ((224, 32, 32), (32, 192, 64), (32, 64, 224))
"""The colours of a test picture, from left to right."""

_PICTURE_BOXES = {b"moov", b"trak"}
# The display matrices of a turn by an angle, clockwise, and of a flip.
MATRICES = {
    0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0), "flip": (-1, 0, 0, 1),
    "transpose": (0, 1, 1, 0), "transverse": (0, -1, -1, 0), "upside down": (1, 0, 0, -1),
}  # fmt: skip


def patches(size: tuple[int, int]) -> Image.Image:
    """A picture of three coloured stripes."""
    picture = Image.new("RGB", size)
    for number, colour in enumerate(PATCHES):
        left, right = (size[0] * edge // 3 for edge in (number, number + 1))
        picture.paste(colour, (left, 0, right, size[1]))
    return picture


def corner(size: tuple[int, int]) -> Image.Image:
    """A blue picture with a red corner at the top left and a green one at the bottom left."""
    picture = Image.new("RGB", size, (20, 60, 120))
    picture.paste((220, 30, 30), (0, 0, size[0] // 4, size[1] // 4))
    picture.paste((30, 200, 30), (0, size[1] * 3 // 4, size[0] // 4, size[1]))
    return picture


def make_clip(
    path: Path,
    picture: Callable[[int], Image.Image] | Image.Image,
    *,
    frames: int = 24,
    rate: Fraction | int = 24,
    times: Sequence[int] | None = None,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    matrix: str = "bt709",
    is_full: bool = False,
    tags: tuple[int, int, int, int] | None = (1, 1, 1, 1),
    turned: Any = 0,
    aspect: Fraction | None = None,
    sound: Sequence[tuple[float, Sequence[float]]] = (),
    sound_codec: str = "aac",
    hole: tuple[float, float] | None = None,
    picture_start: float = 0.0,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a clip.

    Args:
        path: the file; its ending names the container.
        picture: the picture of each frame.
        frames, rate: its length and its rate.
        times: the time of each frame in 1/1000 s, for a rate that varies.
        codec, pixel_format: its encoding.
        matrix, is_full: the way from RGB to YUV.
        tags: the primaries, transfer, matrix and range that it states; None for none.
        turned: its orientation: a key of MATRICES.
        aspect: the width of a pixel.
        sound: pieces of sound, each with its time in seconds and its samples at 48 kHz.
        hole: the seconds from which and to which packets of the sound are missing.
        picture_start: the time of its first frame.
    """
    form = {"mkv": "matroska"}.get(path.suffix[1:], path.suffix[1:])
    with av.open(str(path), "w", format=form) as output:
        crf = {"crf": "4"} if "264" in codec or "265" in codec else {"crf": "8", "b": "0"}
        video: Any = output.add_stream(codec, rate=rate, options={**crf, **(options or {})})
        first = picture if isinstance(picture, Image.Image) else picture(0)
        video.width, video.height, video.pix_fmt = *first.size, pixel_format
        if times is not None:
            video.codec_context.time_base = Fraction(1, 1000)
        if aspect is not None:
            video.codec_context.sample_aspect_ratio = aspect
        context = video.codec_context
        if tags is not None:
            context.color_primaries, context.color_trc, context.colorspace, context.color_range = tags
        audio: Any = output.add_stream(sound_codec, rate=48_000) if sound else None
        if audio is not None:
            audio.layout = "stereo" if sound_codec == "libopus" else "mono"
        for number in range(frames):
            image = picture if isinstance(picture, Image.Image) else picture(number)
            frame = converted(image, pixel_format, matrix, is_full)
            base = Fraction(1, 1000) if times is not None else 1 / Fraction(rate)
            time = times[number] if times is not None else number
            frame.pts, frame.time_base = time + round(picture_start / base), base
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        for start, samples in sound:
            piece = av.AudioFrame(format="s16", layout="mono", samples=len(samples))
            piece.planes[0].update(struct.pack(f"<{len(samples)}h", *(int(32_000 * value) for value in samples)))
            piece.sample_rate, piece.time_base = 48_000, Fraction(1, 48_000)
            position = round(start * 48_000)
            for part in _resampled(piece, audio):
                part.pts, part.time_base = position, Fraction(1, 48_000)
                position += part.samples
                output.mux(_outside(audio.encode(part), hole))
        if audio is not None:
            output.mux(_outside(audio.encode(None), hole))
    if turned:
        turn(path, MATRICES[turned])
    return path


def _outside(packets: list[Any], hole: tuple[float, float] | None) -> list[Any]:
    """The packets that are not in a hole."""
    return [p for p in packets if hole is None or not hole[0] <= float(p.pts * p.time_base) < hole[1]]


def _resampled(frame: av.AudioFrame, audio: Any) -> list[av.AudioFrame]:
    frame.pts = 0
    size = audio.codec_context.frame_size or 1024
    resampler = av.AudioResampler(audio.codec_context.format, audio.codec_context.layout, 48_000, frame_size=size)
    return [*resampler.resample(frame), *resampler.resample(None)]


def converted(image: Image.Image, pixel_format: str, matrix: str, is_full: bool) -> av.VideoFrame:
    """A picture as a frame, by the filter of libav that encoders use."""
    from av.filter import Graph

    graph = Graph()
    source = graph.add_buffer(width=image.width, height=image.height, format="rgb24", time_base=Fraction(1, 1000))
    target = "pc" if is_full else "tv"
    flags = "flags=accurate_rnd+full_chroma_int"
    scale = graph.add("scale", f"{flags}:out_color_matrix={matrix}:out_range={target}")
    chosen, sink = graph.add("format", pixel_format), graph.add("buffersink")
    for before, after in ((source, scale), (scale, chosen), (chosen, sink)):
        before.link_to(after)
    graph.configure()
    frame = av.VideoFrame.from_image(image)
    frame.pts, frame.time_base = 0, Fraction(1, 1000)
    source.push(frame)
    return sink.pull()


def turn(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Write the display matrix of a clip's picture track."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4
    start = at + (40 if data[at] == 0 else 52)
    a, b, c, d = (value << 16 for value in matrix)
    data[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def beep(seconds: float, hertz: float = 1000, level: float = 0.5) -> list[float]:
    """A tone at 48 kHz."""
    return [level * math.sin(2 * math.pi * hertz * number / 48_000) for number in range(round(seconds * 48_000))]


def silence(seconds: float) -> list[float]:
    return [0.0] * round(seconds * 48_000)


def flashes(size: tuple[int, int], white: range) -> Callable[[int], Image.Image]:
    """Black pictures, white in some frames."""
    black, bright = Image.new("RGB", size, "black"), Image.new("RGB", size, "white")
    return lambda number: bright if number in white else black


class Seen:
    """The pictures and sounds of a file, as a player shows them that honours tags and not the display matrix."""

    def __init__(self, path: Path) -> None:
        self.times: list[float] = []
        self.pictures: list[Image.Image] = []
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            context = stream.codec_context
            self.size, self.rate = (stream.width, stream.height), stream.average_rate
            self.codec, self.pixel_format = context.name, context.pix_fmt
            self.aspect = stream.sample_aspect_ratio
            for frame in container.decode(stream):
                self.times.append(float(frame.pts * frame.time_base))
                self.pictures.append(rgb_of(frame))
            self.tags = (context.color_primaries, context.color_trc, context.colorspace, context.color_range)
        self.beeps: list[float] = []
        with av.open(str(path)) as container:
            self.has_sound = bool(container.streams.audio)
            if self.has_sound:
                self.beeps = _onsets(container)

    @property
    def flashes(self) -> list[float]:
        """The times at which the picture becomes white."""
        bright = [picture.resize((1, 1)).getpixel((0, 0))[0] > 128 for picture in self.pictures]
        return [self.times[n] for n in range(len(bright)) if bright[n] and not (n and bright[n - 1])]

    def patches(self, frame: int = 0) -> list[Rgb]:
        """The colours of the three stripes."""
        picture = self.pictures[frame]
        return [picture.getpixel((picture.width * (2 * n + 1) // 6, picture.height // 2)) for n in range(3)]


def rgb_of(frame: av.VideoFrame) -> Image.Image:
    """A frame by its own tags, with libav's converter and not by the filters that are tested."""
    matrix = {1: "ITU709", 5: "ITU601", 6: "ITU601"}.get(
        int(frame.colorspace), "ITU709" if frame.height >= 720 else "ITU601"
    )
    is_full = int(frame.color_range) == 2 or frame.format.name.startswith("yuvj")
    options = {} if frame.format.is_rgb or frame.format.has_palette else {
        "src_colorspace": matrix, "dst_colorspace": "DEFAULT", "src_color_range": "JPEG" if is_full else "MPEG",
        "dst_color_range": "JPEG",
    }  # fmt: skip
    return frame.reformat(format="rgb24", **options).to_image()


def _onsets(container: Any) -> list[float]:
    found, quiet_since = [], -1.0
    for frame in container.decode(audio=0):
        plane = bytes(frame.planes[0])
        packed = not frame.format.is_planar
        kind = {"fltp": "f", "flt": "f", "s16": "h", "s16p": "h"}[frame.format.name]
        step = frame.layout.nb_channels if packed else 1
        values = struct.unpack(f"<{frame.samples * step}{kind}", plane[: frame.samples * step * struct.calcsize(kind)])
        scale = 1.0 if kind == "f" else 32_768.0
        for number, value in enumerate(values[::step]):
            if abs(value) / scale > 0.1:
                time = float(frame.pts * frame.time_base) + number / frame.sample_rate
                if time - quiet_since > 0.05:
                    found.append(time)
                quiet_since = time
    return found
