"""The pictures of a clip as a person sees them: upright, with square pixels, in the colours that the clip states.

Every frame that is encoded again or shown passes through `PictureFilter`.
"""

import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from luma_mcp.media import libav
from luma_mcp.media.colour import Colours
from luma_mcp.media.filters import PICTURE_THREADS, Steps, chain, new_graph, ready
from luma_mcp.media.tone_mapping import sdr_levels, sdr_table

if TYPE_CHECKING:
    from av.filter.context import FilterContext
    from av.filter.graph import Graph
    from av.video.frame import VideoFrame

Fit = Literal["contain", "cover", "blur"]
Size = tuple[int, int]

# The filters that turn a picture upright, by the signs of a, b, c and d of its display matrix.
_TURNS: dict[tuple[int, int, int, int], Steps] = {
    (1, 0, 0, 1): (),
    (-1, 0, 0, 1): (("hflip", ""),),
    (1, 0, 0, -1): (("vflip", ""),),
    (-1, 0, 0, -1): (("hflip", ""), ("vflip", "")),
    (0, 1, -1, 0): (("transpose", "clock"),),
    (0, -1, 1, 0): (("transpose", "cclock"),),
    (0, 1, 1, 0): (("transpose", "cclock_flip"),),
    (0, -1, -1, 0): (("transpose", "clock_flip"),),
}
_MAX_ASPECT = 16
# What lies blurred below a picture is made this much smaller, and then blurred by so many of its pixels.
_BLUR_SCALE, _BLUR_SIGMA = 8, 4


def orientation(frame: "VideoFrame") -> tuple[int, int, int, int]:
    """Return the signs of a, b, c and d of a frame's display matrix. A matrix that is not a quarter turn is ignored."""
    matrix = libav.display_matrix(frame) or (1, 0, 0, 1)
    highest = max(map(abs, matrix)) or 1
    a, b, c, d = (round(value / highest) for value in matrix)
    return (a, b, c, d) if (a, b, c, d) in _TURNS else (1, 0, 0, 1)


def pixel_aspect(codec: Any) -> Fraction:
    """Return how much wider than high a pixel is; 1 if the clip does not state it, or states what no camera makes."""
    aspect = codec.sample_aspect_ratio
    if not aspect or not aspect.denominator or not Fraction(1, _MAX_ASPECT) <= libav.exact(aspect) <= _MAX_ASPECT:
        return Fraction(1)
    return libav.exact(aspect)


def display_size(frame: "VideoFrame", codec: Any) -> Size:
    """Return the width and height of a picture upright and with square pixels."""
    width, height = max(1, round(frame.width * pixel_aspect(codec))), frame.height
    return (height, width) if orientation(frame)[0] == 0 else (width, height)


@dataclass(frozen=True, slots=True)
class Bars:
    """The way that a picture of another ratio fits.

    Args:
        fit: with bars, cropped, or on a blurred copy of itself.
        colour: red, green and blue of the bars.
    """

    fit: Fit = "contain"
    colour: tuple[int, int, int] = (0, 0, 0)


class PictureFilter:
    """Turns decoded frames into pictures of one size and format.

    A graph of filters is made for the first frame, and another when the frames change in the middle of a clip.

    Args:
        codec: the decoder of the clip.
        size: width and height of the pictures.
        colours: the colours of the pictures; None for full-range RGB, to be looked at.
        pixel_format: the format of the pictures in libav.
        bars: the way that another ratio fits.
    """

    def __init__(
        self, codec: Any, size: Size, colours: Colours | None, pixel_format: str, bars: Bars | None = None
    ) -> None:
        self._codec = codec
        self._size = size
        self._colours = colours
        self._pixel_format = pixel_format
        self._bars = bars or Bars()
        self._fit: Fit = self._bars.fit
        self._key: tuple[Any, ...] = ()
        self._graph: Graph | None = None
        self._ends: tuple[FilterContext, FilterContext] | None = None

    def __call__(self, frame: "VideoFrame") -> "VideoFrame":
        """Return the picture of a frame, with the frame's time."""
        colours = Colours.of(frame, self._codec)
        key = (frame.width, frame.height, frame.format.name, colours, orientation(frame))
        if key != self._key or self._ends is None:
            self._graph, self._ends = self._made(frame, colours)
            self._key = key
        source, sink = self._ends
        source.push(frame)
        return cast("VideoFrame", next(ready(sink)))

    def _made(self, frame: "VideoFrame", colours: Colours) -> "tuple[Graph, tuple[FilterContext, FilterContext]]":
        graph = new_graph(PICTURE_THREADS)
        source = graph.add_buffer(
            width=frame.width,
            height=frame.height,
            format=cast("Any", frame.format),
            time_base=frame.time_base or Fraction(1, 1000),
        )
        with tempfile.TemporaryDirectory() as folder:
            steps = [*_TURNS[orientation(frame)], *self._coloured(colours, self._scaled_to(frame), Path(folder))]
            fitted = self._on_itself(graph, chain(graph, source, steps)) if self._is_blurred(frame) else None
            steps = [] if fitted is not None else [*steps, *self._fitted()]
            sink = chain(graph, fitted or source, [*steps, ("setsar", "1"), ("buffersink", "")])
            graph.configure()
        return graph, (source, sink)

    def _scaled_to(self, frame: "VideoFrame") -> Size:
        """Return the size of the picture without bars, or with what is cropped."""
        width, height = display_size(frame, self._codec)
        choose = max if self._fit == "cover" else min
        scale = choose(self._size[0] / width, self._size[1] / height)
        # Chroma has half the pixels, so bars of an odd size cannot be drawn.
        return tuple(  # type: ignore[return-value]
            whole if abs(side * scale - whole) < 1 else _even(side * scale, self._fit)
            for side, whole in zip((width, height), self._size, strict=True)
        )

    def _coloured(self, colours: Colours, size: Size, folder: Path) -> Iterator[tuple[str, str]]:
        source = "" if colours.matrix == 0 else f":in_color_matrix={colours.matrix_name}"
        source += f":in_range={'pc' if colours.is_full else 'tv'}"
        flags = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
        scale = f"{size[0]}:{size[1]}:{flags}{source}"
        target = self._colours
        is_mapped = not colours.is_sdr_709 and (target is None or not target.is_hdr)
        if is_mapped:
            table = folder / "sdr.cube"
            table.write_text(sdr_table(colours), "ascii")
            yield "scale", f"{scale}:out_range=pc"
            yield "format", "gbrp16le"
            yield "lut3d", f"file='{_escaped(table)}':interp=tetrahedral"
            scale = f"{size[0]}:{size[1]}:{flags}:in_range=pc"
        if target is None:
            yield "scale", f"{scale}:out_range=pc"
        else:
            yield "scale", f"{scale}:out_color_matrix={target.matrix_name}:out_range=tv"
        yield "format", self._pixel_format

    def _fitted(self) -> Steps:
        width, height = self._size
        if self._fit == "cover":
            return [("crop", f"{width}:{height}")]
        colour = bar_colour(self._bars.colour, self._colours)
        return [("pad", f"{width}:{height}:(ow-iw)/2:(oh-ih)/2:color=0x{bytes(colour).hex()}")]

    def _is_blurred(self, frame: "VideoFrame") -> bool:
        return self._fit == "blur" and self._scaled_to(frame) != self._size

    def _on_itself(self, graph: "Graph", picture: "FilterContext") -> "FilterContext":
        """Return the picture on a copy of itself that is blurred and fills the frame."""
        width, height = self._size
        # The copy is blurred when it is small, which looks the same and takes little time.
        small = [max(2, side // _BLUR_SCALE // 2 * 2) for side in self._size]
        both = graph.add("split", "2")
        picture.link_to(both)
        cover = f"{small[0]}:{small[1]}:force_original_aspect_ratio=increase:force_divisible_by=2"
        below = graph.add("scale", cover)
        both.link_to(below, 0, 0)
        blurred = [("crop", f"{small[0]}:{small[1]}"), ("gblur", f"{_BLUR_SIGMA}")]
        large = [("scale", f"{width}:{height}:bicubic"), ("format", self._pixel_format)]
        below = chain(graph, below, [*blurred, *large])
        overlay = graph.add("overlay", f"(W-w)/2:(H-h)/2:format={overlay_format(self._pixel_format)}")
        below.link_to(overlay, 0, 0)
        both.link_to(overlay, 1, 1)
        return chain(graph, overlay, [("format", self._pixel_format)])


def overlay_format(pixel_format: str) -> str:
    """Return the format in which libav's filter `overlay` lays one picture on another without changing its colours."""
    return {"yuv420p": "yuv420", "yuv420p10le": "yuv420p10"}.get(pixel_format, "rgb")


def bar_colour(colour: tuple[int, int, int], target: Colours | None) -> tuple[int, int, int]:
    """Return a colour of SDR as the picture has it: in HDR, white is paper and not the brightest light."""
    levels = sdr_levels(target.transfer) if target is not None and target.is_hdr else range(256)
    red, green, blue = (levels[level] for level in colour)
    return red, green, blue


def _even(length: float, fit: Fit) -> int:
    half = math.ceil(length / 2) if fit == "cover" else math.floor(length / 2)
    return max(2, half * 2)


def _escaped(path: Path) -> str:
    """Return a path as libav's filters read it, where a colon separates arguments."""
    return path.as_posix().replace(":", "\\:")
