"""Local files as sources: confined to the open folders, and checked before any use.

A model can be talked into naming any file. So only folders that the person opened are read, symbolic links that lead
out of them are not followed, and a file must be an image or a clip by its bytes, not by its name.

A clip is never held in memory. It is read twice: a copy is measured, and what is sent must have the hash of that copy.
"""

import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Self

import anyio
import anyio.to_thread

from luma_mcp.domain.apis import MAX_CLIP_BYTES, MAX_IMAGE_BYTES
from luma_mcp.domain.errors import FileError
from luma_mcp.domain.pricing import Footage
from luma_mcp.domain.text import cleaned
from luma_mcp.media import worker
from luma_mcp.media.formats import MEDIA_TYPES, sniff, sniff_sound
from luma_mcp.media.images import sendable
from luma_mcp.media.probe import measure_file
from luma_mcp.sources import file_search
from luma_mcp.sources.open_inside import identities_of, open_inside

MAX_EDITED_BYTES = 500_000_000
MAX_CAPTION_BYTES = 1_000_000
_BLOCK_BYTES, _HEAD_BYTES = 1024**2, 16
_IMAGE_ENDINGS = frozenset({"jpg", "png", "webp", "gif"})
_CAPTION_ENDINGS = frozenset({".srt", ".vtt"})
_EDITED_ENDINGS = _IMAGE_ENDINGS | {"mp4", "mov", "webm"}


@dataclass(frozen=True, slots=True)
class LocalFile:
    """An image or a clip that may be sent to Luma.

    Args:
        name: the name for people.
        ending: of its form, such as `png`.
        size: in bytes.
        sha256: the hash of the content that was checked.
        open: opens the file. It raises OSError and FileError.
        footage: the measures of a clip; None for an image.
    """

    name: str
    ending: str
    size: int
    sha256: str
    open: Callable[[], BinaryIO]
    footage: Footage | None = None

    @classmethod
    def of_bytes(cls, name: str, ending: str, data: bytes) -> Self:
        """A file whose content is in memory."""
        return cls(name, ending, len(data), hashlib.sha256(data).hexdigest(), partial(BytesIO, data))

    @property
    def media_type(self) -> str:
        return MEDIA_TYPES[self.ending]

    def blocks(self) -> Generator[bytes]:
        """The content, in blocks of at most a megabyte.

        Raises:
            FileError: the content is not the one that was checked, or cannot be read; before the last block.
        """
        digest, size, last = hashlib.sha256(), 0, b""
        try:
            with self.open() as file:
                for block in _blocks_of(file):
                    digest.update(block)
                    size += len(block)
                    if size > self.size:
                        break
                    if last:
                        yield last
                    last = block
        except OSError as error:
            raise _unreadable(self.name, error) from error
        if digest.hexdigest() != self.sha256:
            raise FileError(f"{self.name!r} was changed while it was sent.", "Nothing was bought. Call again.")
        yield last


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
        name, data = await anyio.to_thread.run_sync(self._read, source, max_bytes)
        if sniff(data) not in _IMAGE_ENDINGS:
            raise _not_a("picture", name, "Luma takes JPEG, PNG and WebP; convert it first.")
        try:
            sent = await worker.run(sendable, data, max_bytes)
        except FileError as error:
            raise FileError(f"{name!r}: {error}", error.hint) from error
        return LocalFile.of_bytes(name, sniff(sent) or "png", sent)

    async def clip(self, source: str, *, max_bytes: int = MAX_CLIP_BYTES) -> LocalFile:
        """A clip and its footage. Raises: as image."""
        async with anyio.TemporaryDirectory() as folder:
            # The copy is measured, and not the present content of the file.
            copy = Path(folder) / "clip"
            name, path, digest = await anyio.to_thread.run_sync(self._copy_hashed, source, copy, max_bytes)
            ending = await anyio.to_thread.run_sync(_sniffed, copy)
            if ending not in ("mp4", "mov"):
                raise _not_a("clip", name, "Luma takes MP4; convert it first.")
            try:
                info = await worker.run(measure_file, copy)
            except FileError as error:
                raise _not_a("clip that can be read", name, error.full_text) from error
            size = copy.stat().st_size
        footage = Footage(info.width, info.height, info.seconds, info.frames)
        return LocalFile(name, ending, size, digest, partial(self._open, path), footage)

    async def captions(self, source: str) -> str:
        """The text of a file of captions. Raises: as image."""
        if Path(source).suffix.lower() not in _CAPTION_ENDINGS:
            raise FileError(f"{cleaned(source, 80)!r} is no SRT.", "Name a .srt or .vtt file, or give the text of one.")
        name, data = await anyio.to_thread.run_sync(self._read_captions, source)
        for encoding in ("utf-16",) if data.startswith((b"\xff\xfe", b"\xfe\xff")) else ("utf-8-sig", "cp1252"):
            with suppress(UnicodeDecodeError):
                return data.decode(encoding)
        raise _not_a("text", name, "Save it as UTF-8.")

    async def copy(self, source: str, target: Path, *, is_sound: bool = False) -> None:
        """Copy a clip, or a sound, for editing. The checked file is copied, whatever the path leads to later.

        Raises:
            FileError: it is not there, not inside an open folder, not of that kind, or too large.
        """
        await anyio.to_thread.run_sync(self._copy, source, target, is_sound)

    def _copy(self, source: str, target: Path, is_sound: bool) -> None:
        with self._opened(source) as (label, _path, file):
            size = os.fstat(file.fileno()).st_size
            if not 0 < size <= MAX_EDITED_BYTES:
                limit = MAX_EDITED_BYTES // 10**6
                raise FileError(f"{label!r} is no file of 1 byte to {limit} MB.", "Name a smaller one.")
            head = file.read(_HEAD_BYTES)
            if is_sound and sniff_sound(head) is None:
                raise _not_a("sound", label, "MP3, WAV, FLAC, OGG and M4A are read; convert it first.")
            if not is_sound and sniff(head) not in _EDITED_ENDINGS:
                raise _not_a("clip", label, "MP4, MOV, WebM, MKV, GIF, PNG, JPEG and WebP are read; convert it first.")
            file.seek(0)
            with target.open("xb") as copy:
                shutil.copyfileobj(file, copy, _BLOCK_BYTES)

    def _copy_hashed(self, source: str, target: Path, max_bytes: int) -> tuple[str, Path, str]:
        """Copy a clip; its name, its path, and the hash of what was copied."""
        digest = hashlib.sha256()
        with self._opened(source) as (label, path, file), target.open("xb") as copy:
            _check_size(label, file, max_bytes, "clips")
            for block in _blocks_of(file):
                digest.update(block)
                copy.write(block)
                if copy.tell() > max_bytes:
                    raise FileError(f"{label!r} grows while it is read.", "Wait until it is written.")
        return label, path, digest.hexdigest()

    def _read(self, source: str, max_bytes: int) -> tuple[str, bytes]:
        """The name and the content of a picture."""
        with self._opened(source) as (label, _path, file):
            _check_size(label, file, max_bytes, "pictures")
            return label, file.read(max_bytes + 1)

    def _read_captions(self, source: str) -> tuple[str, bytes]:
        with self._opened(source) as (label, _path, file):
            data = file.read(MAX_CAPTION_BYTES + 1)
            if len(data) > MAX_CAPTION_BYTES:
                raise FileError(f"{label!r} is larger than captions are ({MAX_CAPTION_BYTES // 10**6} MB).")
            return label, data

    @contextmanager
    def _opened(self, source: str) -> Generator[tuple[str, Path, BinaryIO]]:
        """A file: its name for people, its path, and the open file, which is checked, and not its path."""
        path = file_search.find(source, self._folders())
        label = cleaned(path.name, 80)
        try:
            with self._open(path) as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise FileError(f"{label!r} is no ordinary file.", "Name a picture or a clip.")
                yield label, path, file
        except OSError as error:
            raise _unreadable(label, error) from error

    def _open(self, path: Path) -> BinaryIO:
        """Open a file. Raises: OSError; FileError for one that must not be opened."""
        roots = [folder.resolve() for folder in self._folders()]
        root = next((root for root in roots if path.is_relative_to(root)), path.parent)
        return open_inside(root, path, identities_of(self._forbidden()))


def _check_size(label: str, file: BinaryIO, max_bytes: int, kind: str) -> None:
    """Raises: FileError, if it is empty or has more bytes than Luma reads."""
    size = os.fstat(file.fileno()).st_size
    if size > max_bytes:
        limit = max_bytes // 10**6
        raise FileError(f"{label!r} has {size / 1e6:.0f} MB, and Luma takes {kind} of at most {limit} MB.")
    if not size:
        raise FileError(f"{label!r} is empty.", "Perhaps it is still being written.")


def _blocks_of(file: BinaryIO) -> Iterator[bytes]:
    return iter(partial(file.read, _BLOCK_BYTES), b"")


def _sniffed(path: Path) -> str | None:
    with path.open("rb") as file:
        return sniff(file.read(_HEAD_BYTES))


def _unreadable(label: str, error: OSError) -> FileError:
    return FileError(f"{label!r} cannot be read: {error.strerror or type(error).__name__}.")


def _not_a(kind: str, name: str, hint: str) -> FileError:
    return FileError(f"{name!r} is not a {kind}, whatever its name says.", hint)
