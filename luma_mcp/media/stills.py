"""Pictures as clips: a picture is shown for some seconds. These functions block."""

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

from luma_mcp.media.colour import BT709, RGB_MATRIX, SRGB_TRANSFER, Colours
from luma_mcp.media.formats import sniff
from luma_mcp.media.images import is_animated, open_image
from luma_mcp.media.probe import ClipDetails, ClipInfo

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

STILL_SECONDS = 3
_STILL_RATE = Fraction(24)


class StillCodec:
    """The decoder of a picture, for the filters of clips: its pixels are square, and it states its colours."""

    sample_aspect_ratio = None
    color_primaries, color_trc = BT709, SRGB_TRANSFER


def is_still(path: Path) -> bool:
    """Return whether a file is a picture that does not move. Raises: FileError, OSError."""
    with path.open("rb") as file:
        kind = sniff(file.read(16))
    return kind in ("jpg", "png", "webp") and not (kind == "webp" and is_animated(path.read_bytes()))


def inspect_still(path: Path) -> ClipDetails:
    """Measure a picture as a clip. Raises: FileError, OSError."""
    image = open_image(path.read_bytes())
    info = ClipInfo(image.width, image.height, STILL_SECONDS, float(_STILL_RATE), has_sound=False, frames=1)
    colours = Colours(BT709, SRGB_TRANSFER, RGB_MATRIX, is_full=True)
    return ClipDetails(info, Fraction(), Fraction(), Fraction(STILL_SECONDS), _STILL_RATE, colours, is_still=True)


def still_frame(path: Path) -> "VideoFrame":
    """Return a picture as the frame of a clip. Raises: FileError, OSError."""
    from av import VideoFrame as Frame  # noqa: PLC0415 - see libav.load

    frame = cast("VideoFrame", Frame.from_image(open_image(path.read_bytes())))
    frame.pts, frame.time_base = 0, Fraction(1, 1000)
    return frame
