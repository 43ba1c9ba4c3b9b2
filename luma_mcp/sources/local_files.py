"""Local files as sources: found, confined to the open folders, and checked before anything is done with them.

A model can be talked into naming any file. So only folders that the person opened are read, symbolic links that lead
out of them are not followed, and a file must be an image or a clip by its bytes, not by its name.
"""

import hashlib
import os
import re
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

import anyio.to_thread

from luma_mcp.domain.catalogue import MAX_CLIP_BYTES, MAX_IMAGE_BYTES
from luma_mcp.domain.errors import FileError
from luma_mcp.domain.pricing import Footage
from luma_mcp.domain.text import cleaned
from luma_mcp.media.formats import MEDIA_TYPES, sniff
from luma_mcp.media.images import open_image
from luma_mcp.media.probe import measure

_IMAGE_ENDINGS = frozenset({"jpg", "png", "webp", "gif"})
_WINDOWS_PATH = re.compile(r"[A-Za-z]:[\\/]")
_LONGEST_NAME = 4096
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
        path = self._find(source)
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

    def _find(self, source: str) -> Path:
        """The file itself, inside an open folder, with symbolic links resolved."""
        shown, path = cleaned(source, 120), _path_of(source)
        roots = [root.resolve() for root in self._folders()]
        places = [path] if path.is_absolute() else [root / path for root in roots]
        for place in places:
            with suppress(OSError, ValueError, RuntimeError):
                file = place.resolve(strict=True)
                for root in roots:
                    if file.is_relative_to(root):
                        return _check_visible(file, root, shown)
                if path.is_absolute():
                    raise _outside(shown, roots)
        if path.is_absolute() and not any(_lexically_inside(path, root) for root in roots):
            # Outside the open folders, whether a file exists is not told.
            raise _outside(shown, roots)
        if ".." in path.parts:
            raise _outside(shown, roots)
        folders = ", ".join(str(root) for root in roots)
        raise FileError(f"There is no file {shown!r} in {folders}.", "Give its absolute path, and set LUMA_INPUT_DIRS.")


def _check_visible(file: Path, root: Path, shown: str) -> Path:
    if any(part.startswith(".") for part in file.relative_to(root).parts):
        raise FileError(f"{shown!r} is a hidden file.", "Copy it to a folder and name that are not hidden.")
    return file


def _outside(shown: str, roots: Sequence[Path]) -> FileError:
    folders = ", ".join(str(root) for root in roots)
    return FileError(
        f"{shown!r} is outside the folders that may be read: {folders}.",
        "Only the person can open another, with LUMA_INPUT_DIRS in this server's environment.",
    )


def _not_a(what: str, name: str, hint: str) -> FileError:
    return FileError(f"{name!r} is not a {what}, whatever its name says.", hint)


def _lexically_inside(path: Path, root: Path) -> bool:
    return Path(os.path.normpath(path)).is_relative_to(root)


def _path_of(source: str) -> Path:
    """The path that a path, a file URL, `~` or a Windows path under WSL stands for.

    Raises:
        FileError: it cannot be a path.
    """
    text = source.strip()
    if text.lower().startswith("file:"):
        url = urlsplit(text)
        if url.netloc not in ("", "localhost"):
            raise FileError(f"{cleaned(source, 120)!r} is on another machine.", "Name a file of this one.")
        text = unquote(url.path)
        # file:///C:/pictures/hero.png
        text = text[1:] if _WINDOWS_PATH.match(text[1:]) else text
    if not text or "\x00" in text or len(text) > _LONGEST_NAME or text.startswith(("\\\\", "//")):
        raise FileError(f"{cleaned(source, 120)!r} cannot be the path of a file here.", "Name a picture or a clip.")
    if os.name != "nt" and _WINDOWS_PATH.match(text):
        text = _wsl_path(text)
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise FileError(f"There is no home folder for {cleaned(source, 120)!r}.", "Give the absolute path.") from None


def _wsl_path(path: str) -> str:
    """The path under WSL, where C:/pictures is /mnt/c/pictures."""
    drive, rest = path[0].lower(), path[3:].replace("\\", "/")
    if not Path(f"/mnt/{drive}").is_dir():
        raise FileError(
            f"{cleaned(path, 120)!r} is a Windows path, and this server does not run on Windows.",
            "Give the path as this machine knows it.",
        )
    return f"/mnt/{drive}/{rest}"


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
