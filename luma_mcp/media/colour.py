"""The colours of a picture track: how its numbers become light, by ITU-T H.273.

A clip that does not state its colours is read as players read it: HD as BT.709, smaller sizes as BT.601.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from luma_mcp.media import libav

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

BT709, UNSPECIFIED, SMPTE170M, BT2020 = 1, 2, 6, 9
SRGB_TRANSFER, PQ, HLG = 13, 16, 18
RGB_MATRIX, BT2020_MATRIX = 0, 9
LIMITED_RANGE, FULL_RANGE = 1, 2

# The names of matrices in libav's filters, by their numbers. Others are read as BT.709.
_MATRIX_NAMES = {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
_HDR_TRANSFERS = frozenset({PQ, HLG})
# Primaries wider than those that an SDR file can have: BT.2020 and both kinds of P3.
WIDE_PRIMARIES = frozenset({BT2020, 11, 12})
_HD_WIDTH, _HD_HEIGHT = 1280, 720


@dataclass(frozen=True, slots=True)
class Colours:
    """The colours of a picture track. The numbers are those of ITU-T H.273.

    Args:
        primaries: the colours of red, green and blue.
        transfer: the curve between light and signal.
        matrix: the matrix between RGB and YUV; 0 for RGB itself.
        is_full: whether black is 0 and white the highest number.
    """

    primaries: int
    transfer: int
    matrix: int
    is_full: bool

    @classmethod
    def of(cls, frame: "VideoFrame", codec: Any) -> Self:
        """Return the colours of a decoded frame, completed where the clip does not state them."""
        primaries, transfer, matrix, color_range = libav.colour_numbers(frame, codec)
        is_hd = frame.width >= _HD_WIDTH or frame.height >= _HD_HEIGHT
        default = BT709 if is_hd else SMPTE170M
        if frame.format.is_rgb or frame.format.has_palette:
            return cls(_stated(primaries, BT709), _stated(transfer, SRGB_TRANSFER), RGB_MATRIX, is_full=True)
        return cls(
            _stated(primaries, default),
            _stated(transfer, default),
            _stated(matrix, default),
            color_range == FULL_RANGE or frame.format.name.startswith("yuvj"),
        )

    @property
    def is_hdr(self) -> bool:
        """True if the curve is PQ or HLG."""
        return self.transfer in _HDR_TRANSFERS

    @property
    def is_sdr_709(self) -> bool:
        """True if an SDR file can have these primaries and this curve, so that only the matrix and range change."""
        return not self.is_hdr and self.primaries not in WIDE_PRIMARIES

    @property
    def matrix_name(self) -> str:
        """The name of the matrix in libav's filters."""
        return _MATRIX_NAMES.get(self.matrix, "bt709")

    @property
    def encoded(self) -> "Colours":
        """The colours of a file that is encoded from this track: SDR as BT.709, HDR with its own curve."""
        if self.is_hdr:
            return Colours(BT2020, self.transfer, BT2020_MATRIX, is_full=False)
        if not self.is_sdr_709:
            return SDR
        transfer = BT709 if self.transfer == SRGB_TRANSFER else self.transfer
        return Colours(self.primaries, transfer, BT709, is_full=False)

    def tag(self, codec: Any) -> None:
        """State these colours in an encoder, which writes them into the stream and the file."""
        codec.color_primaries, codec.color_trc, codec.colorspace = self.primaries, self.transfer, self.matrix
        codec.color_range = FULL_RANGE if self.is_full else LIMITED_RANGE


SDR = Colours(BT709, BT709, BT709, is_full=False)


def _stated(number: int, default: int) -> int:
    """Return a number, or the default if it is not specified or reserved."""
    return default if number in (0, UNSPECIFIED, 3) else number
