"""Colours of clips: BT.709, and BT.2020 with the PQ curve for HDR."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from functools import cache
from itertools import pairwise, product
from pathlib import Path
from typing import Any, cast

from av import VideoFrame
from av.filter import Graph
from PIL import Image

# Primaries, transfer and matrix by ITU-T H.273, and libav's number of the limited range.
BT709_TAGS = (1, 1, 1, 1)
PQ_TAGS = (9, 16, 9, 1)
_BT2020_MATRIX = 9
_WHITE_NITS = 203.0
_GAMMA = 2.4
_SIZE = 33
_M1, _M2 = 2610 / 16384, 2523 / 32
_C1, _C2, _C3 = 3424 / 4096, 2413 / 128, 2392 / 128
_TO_BT2020 = ((0.6274, 0.3293, 0.0433), (0.0691, 0.9195, 0.0114), (0.0164, 0.0880, 0.8956))
_TO_BT709 = ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187))
_BASE = Fraction(1, 1000)
_FLAGS = "flags=accurate_rnd+full_chroma_int"


def encoded_frames(pictures: Iterable[Image.Image], *, hdr: bool) -> Iterator[VideoFrame]:
    """Yield pictures as frames of YUV; with `hdr` as PQ, where white is as bright as paper."""
    if hdr:
        steps = [
            ("format", "gbrp10le"), ("lut3d", _pq_table()),
            ("scale", f"{_FLAGS}:in_range=pc:out_color_matrix=bt2020:out_range=tv"), ("format", "yuv420p10le"),
        ]  # fmt: skip
    else:
        steps = [("scale", f"{_FLAGS}:out_color_matrix=bt709:out_range=tv"), ("format", "yuv420p")]
    graph: _Steps | None = None
    for picture in pictures:
        frame = cast("VideoFrame", VideoFrame.from_image(picture.convert("RGB")))
        graph = graph or _Steps(frame, steps)
        yield graph(frame)


def pictures_of(frames: Iterable[VideoFrame]) -> Iterator[Image.Image]:
    """Yield frames as pictures in the colours that they state; those that state none are BT.601."""
    graphs: dict[tuple[int, int, str, int], _Steps] = {}
    for frame in frames:
        key = (frame.width, frame.height, frame.format.name, int(frame.colorspace))
        if key not in graphs:
            matrix = {1: "bt709", _BT2020_MATRIX: "bt2020"}.get(key[3], "bt601")
            steps = [("scale", f"{_FLAGS}:in_color_matrix={matrix}:out_range=pc")]
            if matrix == "bt2020":
                steps += [("format", "gbrp10le"), ("lut3d", _sdr_table())]
            graphs[key] = _Steps(frame, [*steps, ("format", "rgb24")])
        yield cast("Image.Image", graphs[key](frame).to_image())


class _Steps:
    """Filters one behind the other, for frames like the first."""

    def __init__(self, frame: VideoFrame, steps: Sequence[tuple[str, str]]) -> None:
        self._graph = Graph()
        pixel_format = cast("Any", frame.format)
        self._source = self._graph.add_buffer(
            width=frame.width, height=frame.height, format=pixel_format, time_base=_BASE
        )
        with tempfile.TemporaryDirectory() as folder:
            filters = [self._source, *(self._made(name, values, Path(folder)) for name, values in steps)]
            filters.append(self._graph.add("buffersink"))
            for before, after in pairwise(filters):
                before.link_to(after)
            self._graph.configure()
        self._sink = filters[-1]

    def _made(self, name: str, values: str, folder: Path) -> Any:
        if name == "lut3d":
            table = folder / "table.cube"
            table.write_text(values, "ascii")
            path = table.as_posix().replace(":", "\\:")
            values = f"file='{path}':interp=tetrahedral"
        return self._graph.add(name, values)

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        frame.pts, frame.time_base = 0, _BASE
        self._source.push(frame)
        return cast("VideoFrame", self._sink.pull())


@cache
def _pq_table() -> str:
    def pq(values: Sequence[float]) -> list[float]:
        return [_pq(max(light, 0.0)) for light in _mixed(_TO_BT2020, [value**_GAMMA for value in values])]

    return _table(pq)


@cache
def _sdr_table() -> str:
    def sdr(values: Sequence[float]) -> list[float]:
        return [min(max(light, 0.0), 1.0) ** (1 / _GAMMA) for light in _mixed(_TO_BT709, [_light(v) for v in values])]

    return _table(sdr)


def _table(mapped: Any) -> str:
    levels = [index / (_SIZE - 1) for index in range(_SIZE)]
    rows = (mapped((red, green, blue)) for blue, green, red in product(levels, repeat=3))
    lines = (" ".join(f"{value:.6f}" for value in row) for row in rows)
    return "\n".join([f"LUT_3D_SIZE {len(levels)}", *lines, ""])


def _mixed(matrix: Sequence[Sequence[float]], values: Sequence[float]) -> list[float]:
    return [sum(a * b for a, b in zip(row, values, strict=True)) for row in matrix]


def _pq(light: float) -> float:
    """Return the PQ signal of light, where 1 is white."""
    power = (light * _WHITE_NITS / 10_000) ** _M1
    return float(((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2)


def _light(signal: float) -> float:
    power = signal ** (1 / _M2)
    return float((max(power - _C1, 0.0) / (_C2 - _C3 * power)) ** (1 / _M1) * 10_000 / _WHITE_NITS)
