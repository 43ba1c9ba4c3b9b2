"""What lies over the pictures of an edit: pictures such as a logo, and captions.

A layer is drawn once, in the colours of the edit, and laid over each frame in its seconds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from luma_mcp.media.caption_drawing import drawn
from luma_mcp.media.captions import one_at_a_time
from luma_mcp.media.edit_plan import Corner, Edit, Overlay
from luma_mcp.media.filters import chain, new_graph, ready
from luma_mcp.media.images import open_image
from luma_mcp.media.picture import overlay_format
from luma_mcp.media.timeline import Timeline
from luma_mcp.media.tone_mapping import sdr_levels

if TYPE_CHECKING:
    from av.filter.context import FilterContext
    from av.filter.graph import Graph
    from av.video.frame import VideoFrame
    from PIL.Image import Image

# The distance to the edges, as a share of the shorter side.
_MARGIN = 0.04


@dataclass(frozen=True, slots=True)
class _Layer:
    """A picture with transparency, as large as the frames, and the frames over which it lies."""

    picture: "Image"
    first: int
    last: int


def with_layers(frames: Iterator["VideoFrame"], timeline: Timeline, plan: Edit) -> Iterator["VideoFrame"]:
    """Yield frames with what lies over them. Raises: FileError, if a picture cannot be read or a text not be drawn."""
    if not (plan.overlays or plan.captions):
        return frames
    return _laid_over(frames, timeline, plan)


def _laid_over(frames: Iterator["VideoFrame"], timeline: Timeline, plan: Edit) -> Iterator["VideoFrame"]:
    spans = _spans(timeline, plan)
    graph: _Overlaid | None = None
    above: frozenset[int] = frozenset()
    for number, frame in enumerate(frames):
        now = frozenset(index for index, (first, last, _) in enumerate(spans) if first <= number < last)
        if now != above:
            pictures = [spans[index][2]() for index in sorted(now)]
            graph = _Overlaid(_together(pictures), timeline) if pictures else None
            above = now
        yield graph(frame) if graph is not None else frame


def _spans(timeline: Timeline, plan: Edit) -> list[tuple[int, int, Any]]:
    """Return the first frame of each layer, the one behind its last, and the function that draws it."""
    rate, end = timeline.rate, timeline.seconds
    overlays = [(item.start, end if item.end is None else item.end, partial(_placed, item)) for item in plan.overlays]
    captions = [(item.start, item.end, partial(drawn, item.text)) for item in one_at_a_time(plan.captions)]
    return [
        (round(start * rate), round(last * rate), partial(draw, timeline.size))
        for start, last, draw in (*overlays, *captions)
    ]


def _placed(overlay: Overlay, size: tuple[int, int]) -> "Image":
    """Return a picture at its place on a transparent canvas. Raises: FileError, OSError."""
    from PIL import Image  # noqa: PLC0415 - see images

    picture = open_image(overlay.path.read_bytes(), keeps_transparency=True)
    width = max(1, round(overlay.width * size[0]))
    height = max(1, round(picture.height * width / picture.width))
    if height > size[1]:
        width, height = max(1, round(width * size[1] / height)), size[1]
    picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    if overlay.opacity < 1:
        picture.putalpha(picture.getchannel("A").point([round(level * overlay.opacity) for level in range(256)]))
    canvas = Image.new("RGBA", size)
    canvas.alpha_composite(picture, _corner(overlay.corner, (width, height), size))
    return canvas


def _corner(corner: Corner, picture: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """Return the left and the upper edge of a picture at a corner."""
    margin = round(min(size) * _MARGIN)
    far = [max(0, whole - side - margin) for whole, side in zip(size, picture, strict=True)]
    near = [min(margin, whole - side) for whole, side in zip(size, picture, strict=True)]
    if corner == "center":
        return (size[0] - picture[0]) // 2, (size[1] - picture[1]) // 2
    return (far if "right" in corner else near)[0], (far if "bottom" in corner else near)[1]


def _together(pictures: Sequence["Image"]) -> "Image":
    first, *others = pictures
    for other in others:
        first.alpha_composite(other)
    return first


class _Overlaid:
    """Lays one picture over frames, in their own format, so that no colour of theirs is converted."""

    def __init__(self, picture: "Image", timeline: Timeline) -> None:
        self._above = _converted(picture, timeline)
        self._number = 0
        self._graph, self._ends = _overlay_graph(timeline, self._above)

    def __call__(self, frame: "VideoFrame") -> "VideoFrame":
        below, above, sink = self._ends
        self._number += 1
        for source, pushed in ((below, frame), (above, self._above)):
            pushed.pts, pushed.time_base = self._number, Fraction(1, 1000)
            source.push(pushed)
        return cast("VideoFrame", next(ready(sink)))


def _overlay_graph(
    timeline: Timeline, above: "VideoFrame"
) -> "tuple[Graph, tuple[FilterContext, FilterContext, FilterContext]]":
    graph = new_graph()
    width, height = timeline.size
    sources = [
        graph.add_buffer(width=width, height=height, format=cast("Any", name), time_base=Fraction(1, 1000))
        for name in (timeline.pixel_format, above.format.name)
    ]
    overlay = graph.add("overlay", f"0:0:format={overlay_format(timeline.pixel_format)}")
    for pad, source in enumerate(sources):
        source.link_to(overlay, 0, pad)
    sink = chain(graph, overlay, [("format", timeline.pixel_format), ("buffersink", "")])
    graph.configure()
    return graph, (sources[0], sources[1], sink)


def _converted(picture: "Image", timeline: Timeline) -> "VideoFrame":
    """Return a picture as a frame with transparency, in the colours of the edit."""
    from av import VideoFrame as Frame  # noqa: PLC0415 - see libav.load

    colours = timeline.colours
    if colours is not None and colours.is_hdr:
        picture = picture.point([*(sdr_levels(colours.transfer) * 3), *range(256)])
    frame = Frame(picture.width, picture.height, "rgba")
    plane, row = frame.planes[0], picture.width * 4
    data = picture.tobytes()
    lines = (data[at : at + row].ljust(plane.line_size, b"\0") for at in range(0, len(data), row))
    plane.update(b"".join(lines))
    frame.pts, frame.time_base = 0, Fraction(1, 1000)
    if colours is None:
        return frame
    graph = new_graph()
    source = graph.add_buffer(
        width=picture.width, height=picture.height, format=cast("Any", "rgba"), time_base=Fraction(1, 1000)
    )
    wanted = "yuva420p10le" if colours.is_hdr else "yuva420p"
    matrix = f"out_color_matrix={colours.matrix_name}:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_int"
    sink = chain(graph, source, [("scale", matrix), ("format", wanted), ("buffersink", "")])
    graph.configure()
    source.push(frame)
    return cast("VideoFrame", next(ready(sink)))
