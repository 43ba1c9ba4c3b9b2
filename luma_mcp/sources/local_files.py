"""Local files as sources: confined to the open folders, and checked before any use.

A model can be talked into naming any file. So only folders that the person opened are read, symbolic links that lead
out of them are not followed, and a file must be an image or a clip by its bytes, not by its name.
"""

import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import anyio
import anyio.to_thread

from luma_mcp.domain.apis import MAX_CLIP_BYTES, MAX_IMAGE_BYTES
from luma_mcp.domain.errors import FileError
from luma_mcp.domain.pricing import Footage
from luma_mcp.domain.text import cleaned
from luma_mcp.media import worker
from luma_mcp.media.formats import MEDIA_TYPES, sniff, sniff_sound
from luma_mcp.media.images import sendable
from luma_mcp.media.probe import ClipInfo, measure_file
from luma_mcp.sources import file_search
from luma_mcp.sources.open_inside import identities_of, open_inside

MAX_EDITED_BYTES = 500_000_000
_BLOCK_BYTES = 1024**2
_IMAGE_ENDINGS = frozenset({"jpg", "png", "webp", "gif"})
_EDITED_ENDINGS = _IMAGE_ENDINGS | {"mp4", "mov", "webm"}


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
        forbidden: files that are never opened, wherever they lie: the ledger.
    """

    def __init__(
        self, folders: Callable[[], Sequence[Path]], forbidden: Callable[[], Sequence[Path]] = tuple[Path, ...]
    ) -> None:
        self._folders = folders
        self._forbidden = forbidden

    async def image(self, source: str, *, max_bytes: int = MAX_IMAGE_BYTES) -> LocalFile:
        """An image of at most so many bytes, upright.

        Raises:
            FileError: it is not there, not inside an open folder, not an image, or too large.
        """
        name, data = await anyio.to_thread.run_sync(self._read, source, max_bytes, "pictures")
        if sniff(data) not in _IMAGE_ENDINGS:
            raise _not_a("picture", name, "Luma takes JPEG, PNG and WebP; convert it first.")
        try:
            sent = await worker.run(sendable, data, max_bytes)
        except FileError as error:
            raise FileError(f"{name!r}: {error}", error.hint) from error
        return LocalFile(name, sniff(sent) or "png", sent)

    async def clip(self, source: str, *, max_bytes: int = MAX_CLIP_BYTES) -> LocalFile:
        """A clip and its footage. Raises: as image."""
        name, data = await anyio.to_thread.run_sync(self._read, source, max_bytes, "clips")
        ending = sniff(data)
        if ending not in ("mp4", "mov"):
            raise _not_a("clip", name, "Luma takes MP4; convert it first.")
        try:
            info = await _measured(data)
        except FileError as error:
            raise _not_a("clip that can be read", name, error.full_text) from error
        return LocalFile(name, ending, data, Footage(info.width, info.height, info.seconds, info.frames))

    async def copy(self, source: str, target: Path, *, is_sound: bool = False) -> None:
        """Copy a clip, or a sound, for editing. The checked file is copied, whatever the path leads to later.

        Raises:
            FileError: it is not there, not inside an open folder, not of that kind, or too large.
        """
        await anyio.to_thread.run_sync(self._copy, source, target, is_sound)

    def _copy(self, source: str, target: Path, is_sound: bool) -> None:
        path = file_search.find(source, self._folders())
        label = cleaned(path.name, 80)
        try:
            with self._open(path) as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode) or not 0 < status.st_size <= MAX_EDITED_BYTES:
                    limit = MAX_EDITED_BYTES // 10**6
                    raise FileError(f"{label!r} is no file of 1 byte to {limit} MB.", "Name a smaller one.")
                head = file.read(16)
                if is_sound and sniff_sound(head) is None:
                    raise _not_a("sound", label, "MP3, WAV, FLAC, OGG and M4A are read; convert it first.")
                if not is_sound and sniff(head) not in _EDITED_ENDINGS:
                    raise _not_a(
                        "clip", label, "MP4, MOV, WebM, MKV, GIF, PNG, JPEG and WebP are read; convert it first."
                    )
                file.seek(0)
                with target.open("xb") as copy:
                    shutil.copyfileobj(file, copy, _BLOCK_BYTES)
        except OSError as error:
            raise FileError(f"{label!r} cannot be read: {error.strerror or type(error).__name__}.") from error

    def _open(self, path: Path) -> BinaryIO:
        """Open a file. Raises: OSError; FileError for one that must not be opened."""
        roots = [folder.resolve() for folder in self._folders()]
        root = next((root for root in roots if path.is_relative_to(root)), path.parent)
        return open_inside(root, path, identities_of(self._forbidden()))

    def _read(self, source: str, max_bytes: int, kind: str) -> tuple[str, bytes]:
        """The name and the content of a file. The open file is checked, not its path."""
        path = file_search.find(source, self._folders())
        label = cleaned(path.name, 80)
        try:
            with self._open(path) as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise FileError(f"{label!r} is no ordinary file.", "Name a picture or a clip.")
                if status.st_size > max_bytes:
                    size, limit = status.st_size / 1e6, max_bytes // 10**6
                    raise FileError(f"{label!r} has {size:.0f} MB, and Luma takes {kind} of at most {limit} MB.")
                data = file.read(max_bytes + 1)
        except OSError as error:
            raise FileError(f"{label!r} cannot be read: {error.strerror or type(error).__name__}.") from error
        if not data:
            raise FileError(f"{label!r} is empty.", "Perhaps it is still being written.")
        return label, data


def _not_a(kind: str, name: str, hint: str) -> FileError:
    return FileError(f"{name!r} is not a {kind}, whatever its name says.", hint)


async def _measured(data: bytes) -> ClipInfo:
    """The measures of a clip. The data that was read is measured, and not the present content of the file."""
    async with anyio.TemporaryDirectory() as folder:
        path = Path(folder) / "clip"
        await anyio.Path(path).write_bytes(data)
        return await worker.run(measure_file, path)
