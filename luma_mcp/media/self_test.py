"""A check that the installed libraries can write, measure and decode a clip. It blocks."""

import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

from luma_mcp.domain.errors import FileError
from luma_mcp.media import libav
from luma_mcp.media.frames import frames_at
from luma_mcp.media.images import open_image, small_jpeg

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_SIZE = 64
_FRAMES = 3
_FRAMES_PER_SECOND = 24


def check_libraries() -> str:
    """Write a clip of three frames, decode its last frame, and write and read that as a JPEG.

    Returns:
        The names and versions of the libraries.

    Raises:
        FileError: a library is missing, or the frame that was decoded is not the one that was written.
    """
    av = libav.load()
    import PIL  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "check.mp4"
        with av.open(str(path), "w", format="mp4") as output:
            stream = output.add_stream("libx264", rate=_FRAMES_PER_SECOND)
            stream.width, stream.height, stream.pix_fmt = _SIZE, _SIZE, "yuv420p"
            for frame in _grey_frames():
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        info, decoded = frames_at(path, [float("inf")])
    picture = open_image(small_jpeg(decoded[-1][1], _SIZE))
    brightness = cast("tuple[int, int, int]", picture.getpixel((_SIZE // 2, _SIZE // 2)))[0]
    if info.frames != _FRAMES or abs(brightness - _level(_FRAMES - 1)) > 12:
        raise FileError(
            f"A clip of {_FRAMES} frames is read as {info.frames} frames with the wrong brightness {brightness}.",
            f"Install another version of av than {libav.version()}.",
        )
    return f"PyAV {libav.version()} and Pillow {PIL.__version__}"


def _level(number: int) -> int:
    return 60 + 60 * number


def _grey_frames() -> "Iterator[VideoFrame]":
    from av import VideoFrame  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415 - costs 20 ms, which only looking at images shall pay

    for number in range(_FRAMES):
        frame = cast("VideoFrame", VideoFrame.from_image(Image.new("RGB", (_SIZE, _SIZE), (_level(number),) * 3)))
        frame.pts, frame.time_base = number, Fraction(1, _FRAMES_PER_SECOND)
        yield frame
