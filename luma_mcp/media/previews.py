"""Previews of files: a small image of a picture, a contact sheet of a clip or of layers. These functions block.

Each is a JPEG of at most 150 KB, so that it takes little room in a conversation.
"""

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from luma_mcp.media.contact_sheet import CELL_SIDE, SHEET_SIDE, contact_sheet
from luma_mcp.media.frames import frames_at
from luma_mcp.media.images import open_image, small_jpeg
from luma_mcp.media.probe import ClipInfo, probe

if TYPE_CHECKING:
    from PIL.Image import Image

_STILL_SIDE = 1024


class Rendered(NamedTuple):
    """A preview: the JPEG, if one was wanted; what is known of the file; the moments of the frames that are shown."""

    jpeg: bytes | None
    info: ClipInfo
    moments: tuple[float, ...] = ()


def of_picture(path: Path, with_image: bool) -> Rendered:
    """A picture made small. Raises: FileError, OSError."""
    image = open_image(path.read_bytes())
    return Rendered(small_jpeg(image, _STILL_SIDE) if with_image else None, _size_of(image))


def of_layers(layers: Sequence[tuple[str, Path]], with_image: bool) -> Rendered:
    """A sheet of layers, each with its label. The size is that of the last. Raises: FileError, OSError."""
    pictures: list[tuple[str, Image]] = []
    info = ClipInfo(0, 0, 0.0, 0.0, has_sound=False)
    for label, path in layers:
        image = open_image(path.read_bytes())
        info = _size_of(image)
        image.thumbnail((CELL_SIDE, CELL_SIDE))
        pictures.append((label, image))
    return Rendered(small_jpeg(contact_sheet(pictures), SHEET_SIDE) if with_image else None, info)


def of_clip(path: Path, frames: int, with_image: bool) -> Rendered:
    """A sheet of frames from the first to the last, each with its time in seconds. Raises: FileError, OSError."""
    with path.open("rb") as file:
        info = probe(file)
    if not with_image:
        return Rendered(None, info)
    moments = [info.seconds * number / (frames - 1) for number in range(frames)]
    info, cells = frames_at(path, moments, max_side=CELL_SIDE)
    sheet = contact_sheet([(f"{moment:.2f} s", frame) for moment, frame in cells])
    return Rendered(small_jpeg(sheet, SHEET_SIDE), info, tuple(round(moment, 2) for moment, _ in cells))


def of_shots(path: Path, seconds: Sequence[float]) -> bytes:
    """A sheet of a film with the middle of each shot, labelled with its number and time. Raises: FileError, OSError.

    Args:
        path: the film.
        seconds: how long each shot is; the film may be a frame longer or shorter for each.
    """
    with path.open("rb") as file:
        info = probe(file)
    stretch = info.seconds / sum(seconds)
    starts = accumulate(seconds, initial=0.0)
    moments = [(start + length / 2) * stretch for start, length in zip(starts, seconds, strict=False)]
    _, cells = frames_at(path, moments, max_side=CELL_SIDE)
    labelled = [(f"{number}: {moment:.1f} s", frame) for number, (moment, frame) in enumerate(cells, start=1)]
    return small_jpeg(contact_sheet(labelled), SHEET_SIDE)


def _size_of(image: "Image") -> ClipInfo:
    return ClipInfo(image.width, image.height, 0.0, 0.0, has_sound=False)
