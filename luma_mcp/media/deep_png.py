"""PNGs of 16 bits a channel, turned upright without a loss: Pillow has 8 bits for colour. These functions block."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, cast

from luma_mcp.media import libav
from luma_mcp.media.filters import chain, ready
from luma_mcp.media.image_metadata import PNG_SIGNATURE, png_chunks

# What turns a picture upright, by its EXIF orientation: filters of libav.
_TURNS: Mapping[int, Sequence[tuple[str, str]]] = {
    2: (("hflip", ""),), 3: (("hflip", ""), ("vflip", "")), 4: (("vflip", ""),), 5: (("transpose", "cclock_flip"),),
    6: (("transpose", "clock"),), 7: (("transpose", "clock_flip"),), 8: (("transpose", "cclock"),),
}  # fmt: skip
_DEPTH_AT = 24
# The chunks that state how its numbers are shown.
_COLOUR_CHUNKS = frozenset({b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"sBIT", b"cICP", b"mDCV", b"cLLI"})


def is_deep(data: bytes) -> bool:
    """Return whether a file is a PNG of 16 bits a channel."""
    return data.startswith(PNG_SIGNATURE) and data[_DEPTH_AT : _DEPTH_AT + 1] == b"\x10"


def turned_deep(data: bytes, orientation: int) -> bytes:
    """Return a PNG of 16 bits a channel upright; its colour profile stays byte for byte."""
    import av  # noqa: PLC0415 - see libav.load
    from av.filter import Graph  # noqa: PLC0415 - see libav.load

    with libav.open_input(BytesIO(data), "png_pipe") as container:
        frame = next(container.decode(video=0))
    graph = Graph()
    pixel_format = frame.format.name
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=cast("Any", frame.format), time_base=cast("Any", frame.time_base)
    )
    sink = chain(graph, source, [*_TURNS[orientation], ("format", pixel_format), ("buffersink", "")])
    graph.configure()
    source.push(frame)
    turned = next(ready(sink))
    codec = cast("Any", av.CodecContext.create("png", "w"))
    codec.width, codec.height, codec.pix_fmt, codec.time_base = (
        turned.width,
        turned.height,
        pixel_format,
        frame.time_base,
    )
    encoded = b"".join(bytes(packet) for packet in [*codec.encode(turned), *codec.encode(None)])
    head, *rest = ((kind, encoded[start:end]) for kind, start, end in png_chunks(encoded))
    colour = [data[start:end] for kind, start, end in png_chunks(data) if kind in _COLOUR_CHUNKS]
    return b"".join((PNG_SIGNATURE, head[1], *colour, *(chunk for kind, chunk in rest if kind in (b"IDAT", b"IEND"))))
