"""The tags of a file as they are in it, without a default for what it does not state. These functions block."""

from pathlib import Path

from luma_mcp.domain.errors import FileError
from luma_mcp.media import libav
from luma_mcp.media.formats import sniff
from luma_mcp.media.origin import C2PA_MARKS, contains
from luma_mcp.media.probe import inspect_file, open_clip

_HEAD_BYTES = 64


def describe_file(path: Path) -> tuple[str, ...]:
    """Describe a picture or a clip, a short text for each fact: format, size, then for a clip rate, colours and sound.

    Raises: FileError, if it is neither; OSError.
    """
    with path.open("rb") as file:
        kind = sniff(file.read(_HEAD_BYTES)) or "an unknown format"
    return (*(_clip(path, kind) if kind in ("mp4", "mov", "webm") else _picture(path, kind)), _origin(path))


def _picture(path: Path, kind: str) -> tuple[str, ...]:
    from PIL import Image, UnidentifiedImageError  # noqa: PLC0415 - see libav.load

    try:
        with Image.open(path) as picture:
            return kind, f"{picture.width}x{picture.height}", picture.mode
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise FileError(f"The file is {kind}, and is no picture that can be read.") from error


def _clip(path: Path, kind: str) -> tuple[str, ...]:
    details = inspect_file(path)
    with path.open("rb") as file, open_clip(file) as container:
        stream = container.streams.video[0]
        codec, frame = stream.codec_context, next(container.decode(stream))
        primaries, transfer, matrix, colour_range = libav.colour_numbers(frame, codec)
        name = codec.name
    info = details.info
    return (
        f"{kind} {name}",
        f"{info.width}x{info.height}",
        f"{float(details.rate):.3f} frames a second",
        f"{info.seconds:.2f} s",
        f"colour tags {primaries}/{transfer}/{matrix}, range {colour_range}",
        "with sound" if info.has_sound else "silent",
    )


def _origin(path: Path) -> str:
    """Return whether the file carries C2PA. Only the marks are searched for; nothing is proved by them."""
    return "with C2PA" if contains(path, C2PA_MARKS) else "without C2PA"
