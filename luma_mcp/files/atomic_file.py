"""Files that are written whole or not at all, under names that every operating system takes, and never over another.

Saved files are written by this module only.
"""

import contextlib
import hashlib
import os
import re
import secrets
import unicodedata
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import anyio
import anyio.to_thread

from luma_mcp.domain.errors import FileError
from luma_mcp.media.formats import MEDIA_TYPES, is_whole, sniff

MAX_BYTES = 2 * 1024**3
MAX_NAME_LENGTH = 60
_HEAD_BYTES = 16
# What is hashed and written in one go. Hashing lets the other threads run, and many small pieces would make them fight.
_BLOCK_BYTES = 4 * 1024**2
# The combining marks of Latin, Greek and Cyrillic letters; those of other scripts are vowels and parts of letters.
_ACCENTS = re.compile("[\u0300-\u036f]")
# Names that Windows keeps for devices, with any extension.
_DEVICES = frozenset({"CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in range(10))})


class PartFile:
    """A file that is not whole yet. Leaving the context deletes it, unless it was finished.

    A thread hashes and writes one block while the next one is received. A disk error is raised by a later call, at the
    latest by `finish`.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self._buffer = bytearray()
        self._writer = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None
        self._sha256 = hashlib.sha256()
        self._head = b""
        self.size = 0

    @classmethod
    async def begin(cls, folder: Path) -> Self:
        """Begin a file in a folder, which is made if it is not there."""

        def create() -> tuple[Path, BinaryIO]:
            make_folder(folder)
            path = folder / f".{secrets.token_hex(8)}.part"
            return path, path.open("xb")

        return cls(*await anyio.to_thread.run_sync(create))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._discard)

    def _discard(self) -> None:
        self._writer.shutdown()
        # A full disk refuses what is still in the buffer once more.
        with contextlib.suppress(OSError):
            self._file.close()
        self._path.unlink(missing_ok=True)

    @property
    def folder(self) -> Path:
        """The folder of the file."""
        return self._path.parent

    @property
    def sha256(self) -> str:
        """Of the finished file, in hex."""
        return self._sha256.hexdigest()

    @property
    def media_type(self) -> str:
        return MEDIA_TYPES[self._ending()]

    async def write(self, piece: bytes) -> None:
        """Add a piece.

        Raises:
            FileError: it is too large now, or the beginning is not that of a picture or clip.
            OSError: an earlier piece could not be written.
        """
        if len(self._head) < _HEAD_BYTES:
            self._head = (self._head + piece)[:_HEAD_BYTES]
            if len(self._head) == _HEAD_BYTES:
                self._ending()
        self.size += len(piece)
        if self.size > MAX_BYTES:
            raise FileError(f"The asset is larger than {MAX_BYTES // 1024**3} GB.")
        self._buffer += piece
        if len(self._buffer) >= _BLOCK_BYTES:
            await self._flush_buffer()

    async def start_over(self) -> None:
        """Throw away what is written."""
        await self._wait_for_write()
        self._buffer.clear()
        self._head, self.size, self._sha256 = b"", 0, hashlib.sha256()
        await anyio.to_thread.run_sync(self._file.truncate, 0)
        self._file.seek(0)

    async def _flush_buffer(self) -> None:
        """Give the buffer to the writing thread, once the block before is written."""
        await self._wait_for_write()
        self._writing = self._writer.submit(self._append, self._buffer)
        self._buffer = bytearray()

    async def _wait_for_write(self) -> None:
        """Wait for the block that is being written. Raises: OSError."""
        writing, self._writing = self._writing, None
        if writing is not None:
            await anyio.to_thread.run_sync(writing.result)

    def _append(self, block: bytearray) -> None:
        self._sha256.update(block)
        self._file.write(block)

    def _ending(self) -> str:
        ending = sniff(self._head)
        if ending is None:
            raise FileError("What came is neither a picture nor a clip.", "Ask again with get_generation.")
        return ending

    async def is_whole(self) -> bool:
        """Return whether the written bytes are a whole file by its own structure."""
        await self._flush_buffer()
        await self._wait_for_write()
        self._file.flush()
        return await anyio.to_thread.run_sync(is_whole, self._path, self._ending())

    async def finish(self, name: str) -> Path:
        """Give the file its name and the right ending, synced to disk. A name that is taken gets a number.

        Raises:
            FileError: it is neither a picture nor a clip.
            OSError: it cannot be written.
        """
        await self._flush_buffer()
        await self._wait_for_write()
        return await anyio.to_thread.run_sync(self._finish, f"{name}.{self._ending()}")

    def _finish(self, name: str) -> Path:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        stem, ending = name.rsplit(".", 1)
        number = 1
        while True:
            target = self._path.with_name(name if number == 1 else f"{stem}-{number}.{ending}")
            if _move_without_overwriting(self._path, target) or self._has_content_of(target):
                return target
            number += 1

    def _has_content_of(self, other: Path) -> bool:
        """Return whether the file that has the name already has the same content."""
        if other.is_symlink() or not other.is_file() or other.stat().st_size != self.size:
            return False
        return digest(other) == self.sha256


def make_folder(folder: Path) -> None:
    """Make a folder, and those around it, for its owner alone; one that exists keeps its rights. Raises: OSError."""
    if not folder.parent.exists():
        make_folder(folder.parent)
    folder.mkdir(exist_ok=True, mode=0o700)


def write_beside(file: Path, ending: str, text: str) -> None:
    """Write a text for its owner alone next to a file, as the name and one more ending, unless there is one already.

    Raises: OSError.
    """
    part = file.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as writing:
            writing.write(text)
        _move_without_overwriting(part, file.with_name(file.name + ending))
    finally:
        part.unlink(missing_ok=True)


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hex. Raises: OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _move_without_overwriting(source: Path, target: Path) -> bool:
    """Give a file its final name without overwriting; False if the name is taken."""
    try:
        os.link(source, target)
    except FileExistsError:
        return False
    except OSError:
        # A file system without links: take the name first, then move over our own empty file.
        try:
            target.open("xb").close()
        except FileExistsError:
            return False
        source.replace(target)
    return True


def safe_name(text: str, *, max_length: int = MAX_NAME_LENGTH) -> str:
    """Words as a file name that every operating system takes; empty if nothing of them can be used.

    Letters and digits of every script stay, in lower case; those of Latin, Greek and Cyrillic lose their accents.

    Args:
        text: the words.
        max_length: of the name, in bytes of UTF-8, which is what file systems count.
    """
    decomposed = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", text).lower())
    plain = unicodedata.normalize("NFC", _ACCENTS.sub("", decomposed))
    spaced = "".join(character if _is_of_a_word(character) else " " for character in plain)
    # A mark belongs to the letter before it, so none begins a word.
    words = [word.lstrip(_marks(word)) for word in spaced.split()]
    name = "-".join(filter(None, words)).encode()[:max_length].decode(errors="ignore").rstrip("-")
    return f"{name}-" if name.upper() in _DEVICES else name


def _is_of_a_word(character: str) -> bool:
    return unicodedata.category(character)[0] in "LNM"


def _marks(word: str) -> str:
    """The characters of a word that are no letters and no digits."""
    return "".join(character for character in word if unicodedata.category(character)[0] == "M")
