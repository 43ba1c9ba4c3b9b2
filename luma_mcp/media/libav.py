"""Access to libav through PyAV, with the differences between the versions of PyAV.

PyAV breaks its interface at each major version. Versions 15 to 19 are supported; pyproject.toml states the same range.
"""

import struct
from collections.abc import Mapping
from fractions import Fraction
from types import ModuleType
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from luma_mcp.domain.errors import FileError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame


def load() -> ModuleType:
    """Import PyAV at its first use, because the import takes 60 ms that only media work needs.

    Raises:
        FileError: no wheel of PyAV exists for this platform.
    """
    try:
        import av  # noqa: PLC0415 - see frames
    except ImportError as error:
        raise FileError(
            "Clips cannot be read here: the package av is not installed for this platform.",
            "Install av, or download the clip and view it elsewhere.",
        ) from error
    return av


def version() -> str:
    """Return the version of PyAV, or `none` if it is not installed."""
    from importlib import metadata  # noqa: PLC0415

    try:
        return metadata.version("av")
    except metadata.PackageNotFoundError:
        return "none"


def open_input(file: BinaryIO, container_format: str, options: Mapping[str, str] | None = None) -> "InputContainer":
    """Open a file object in a container format that the caller chose; libav never guesses it.

    The options are those of the container format in libav.

    Text in the metadata of a file may have any encoding and is never shown. PyAV before 19 raises an error for text
    that is not UTF-8 unless `metadata_errors` is set; PyAV 19 accepts such text and no longer has the argument.

    Raises:
        FFmpegError: the file does not have this format.
    """
    av = load()
    arguments: dict[str, Any] = {} if _major(av) >= 19 else {"metadata_errors": "ignore"}
    if options:
        arguments["options"] = dict(options)
    return cast("InputContainer", av.open(file, format=container_format, **arguments))


def exact(rational: Any) -> Fraction:
    """Return a number of PyAV as a fraction. PyAV 19 has a type of its own for them."""
    return Fraction(rational.numerator, rational.denominator)


def display_matrix(frame: "VideoFrame") -> tuple[int, int, int, int] | None:
    """Return the part of a frame's display matrix that turns and flips it; None if the frame has no matrix.

    The four numbers are a, b, c and d of ISO/IEC 14496-12, section 6.2.2, in 16.16 fixed point. PyAV itself reports the
    angle only, which does not tell a flip.
    """
    from av.sidedata.sidedata import Type  # noqa: PLC0415

    data = cast("Any", frame).side_data.get(Type.DISPLAYMATRIX)
    if data is None:
        return None
    a, b, _, c, d = struct.unpack_from("<5i", bytes(data))
    return a, b, c, d


def colour_numbers(frame: "VideoFrame", codec: Any) -> tuple[int, int, int, int]:
    """Return the primaries, transfer, matrix and range of a frame, in the numbers of ITU-T H.273 and of libav's ranges.

    A frame has no primaries and no transfer before PyAV 17; the decoder has those of the stream.
    """
    primaries = getattr(frame, "color_primaries", None)
    transfer = getattr(frame, "color_trc", None)
    return (
        int(codec.color_primaries if primaries is None else primaries),
        int(codec.color_trc if transfer is None else transfer),
        int(frame.colorspace),
        int(frame.color_range),
    )


def _major(av: ModuleType) -> int:
    return int(str(av.__version__).partition(".")[0])
