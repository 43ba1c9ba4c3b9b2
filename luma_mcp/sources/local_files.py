"""Local files as sources: found, confined to the open folders, and checked before anything is done with them.

A model can be talked into naming any file. So only folders that the person opened are read, symbolic links that lead
out of them are not followed, and a file must be an image or a clip by its bytes, not by its name.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import anyio.to_thread

from luma_mcp.domain.catalogue import MAX_CLIP_BYTES, MAX_IMAGE_BYTES
from luma_mcp.domain.errors import FileError
from luma_mcp.domain.pricing import Footage
from luma_mcp.domain.text import cleaned
from luma_mcp.media.formats import MEDIA_TYPES, sniff
from luma_mcp.media.images import open_image
from luma_mcp.media.probe import measure
from luma_mcp.sources import file_search

_IMAGE_ENDINGS = frozenset({"jpg", "png", "webp", "gif"})
_ORIENTATION_TAG = 0x0112


@dataclass(frozen=True, slots=True)
class LocalFile:
    """An image or a clip that may be sent to Luma. An image has no footage."""

    name: str
    ending: str
    data: bytes
    footage: Footage | None = None

    @property
    def media_type(self) -> str:
        return MEDIA_TYPES[self.ending]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


class LocalFiles:
    """Reads local files.

    Args:
        folders: the folders that the person opened; a function, for finding the default costs time.
    """

    def __init__(self, folders: Callable[[], Sequence[Path]]) -> None:
        self._folders = folders

    async def image(self, source: str, *, max_bytes: int = MAX_IMAGE_BYTES) -> LocalFile:
        """An image of at most so many bytes, upright.

        Raises:
            FileError: it is not there, not inside an open folder, not an image, or too large.
        """
        return await anyio.to_thread.run_sync(self._image, source, max_bytes)

    async def clip(self, source: str, *, max_bytes: int = MAX_CLIP_BYTES) -> LocalFile:
        """A clip and its footage. Raises: as image."""
        return await anyio.to_thread.run_sync(self._clip, source, max_bytes)

    def _image(self, source: str, max_bytes: int) -> LocalFile:
        name, data = self._read(source, max_bytes, "pictures")
        ending = sniff(data)
        if ending not in _IMAGE_ENDINGS:
            raise _not_a("picture", name, "Luma takes JPEG, PNG and WebP; convert it first.")
        return LocalFile(name, ending, _upright(name, data))

    def _clip(self, source: str, max_bytes: int) -> LocalFile:
        name, data = self._read(source, max_bytes, "clips")
        ending = sniff(data)
        if ending not in ("mp4", "mov"):
            raise _not_a("clip", name, "Luma takes MP4; convert it first.")
        try:
            info = measure(BytesIO(data))
        except FileError as error:
            raise _not_a("clip that can be read", name, f"{error} {error.hint}".strip()) from error
        return LocalFile(name, ending, data, Footage(info.width, info.height, info.seconds, info.frames))

    def _read(self, source: str, max_bytes: int, what: str) -> tuple[str, bytes]:
        """The name and the content of a file. The open file is what is checked, not its path."""
        path = file_search.find(source, self._folders())
        shown = cleaned(path.name, 80)
        try:
            with _open(path) as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise FileError(f"{shown!r} is no ordinary file.", "Name a picture or a clip.")
                if status.st_size > max_bytes:
                    size, limit = status.st_size / 1e6, max_bytes // 10**6
                    raise FileError(f"{shown!r} has {size:.0f} MB, and Luma takes {what} of at most {limit} MB.")
                data = file.read(max_bytes + 1)
        except OSError as error:
            raise FileError(f"{shown!r} cannot be read: {error.strerror or type(error).__name__}.") from error
        if not data:
            raise FileError(f"{shown!r} is empty.", "Perhaps it is still being written.")
        return shown, data


def _not_a(what: str, name: str, hint: str) -> FileError:
    return FileError(f"{name!r} is not a {what}, whatever its name says.", hint)


def _open(path: Path) -> BinaryIO:
    """Open a file. A symbolic link that replaced it meanwhile is not followed, and a pipe does not block."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags), "rb")


def _upright(name: str, data: bytes) -> bytes:
    """The image turned upright, without the EXIF orientation, which not every reader obeys."""
    from PIL import Image  # noqa: PLC0415 - see images

    try:
        image = open_image(data)
    except FileError as error:
        raise FileError(f"{name!r}: {error}", error.hint) from error
    with Image.open(BytesIO(data)) as original:
        image_format = original.format or "PNG"
        if original.getexif().get(_ORIENTATION_TAG, 1) in (0, 1):
            return data
    out = BytesIO()
    image.save(out, image_format, quality=95)
    return out.getvalue()
