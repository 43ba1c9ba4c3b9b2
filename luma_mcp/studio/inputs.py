"""Local files that a person or a model names: found, confined, and looked into before anything is done with them.

A model can be talked into naming any file, so only folders that the person has opened are read, links in them that lead
out are not followed, and what is read must be a picture or a clip by its bytes, not by its name.
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

from luma_mcp.luma.errors import FileError
from luma_mcp.luma.wire import quoted
from luma_mcp.studio.files import MEDIA_TYPES, sniff
from luma_mcp.studio.frames import Form, measure
from luma_mcp.studio.pictures import open_picture

# Luma's limits for what it works on (docs.lumalabs.ai/docs/modify-video, /reframe). It states none for keyframes and
# references, so the limit for pictures is theirs too.
MOST_PICTURE_BYTES, MOST_CLIP_BYTES = 10 * 1000**2, 100 * 1000**2
_PICTURES = frozenset({"jpg", "png", "webp", "gif"})
_WINDOWS_PATH = re.compile(r"[A-Za-z]:[\\/]")
_LONGEST_NAME = 4096
_ORIENTATION_TAG = 0x0112


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A picture or clip that may be sent."""

    name: str
    ending: str
    data: bytes
    form: Form | None = None
    """What a clip measures; None for a picture."""

    @property
    def media_type(self) -> str:
        return MEDIA_TYPES[self.ending]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


class Inputs:
    """Reads local files from the folders that are open to it.

    Args:
        folders: those folders; a function, for finding the default costs time.
    """

    def __init__(self, folders: Callable[[], Sequence[Path]]) -> None:
        self._folders = folders

    async def picture(self, source: str) -> LocalFile:
        """A picture, upright.

        Raises:
            FileError: it is not there, not inside an open folder, not a picture, or too large.
        """
        return await anyio.to_thread.run_sync(self._picture, source)

    async def clip(self, source: str) -> LocalFile:
        """A clip, measured. Raises: as picture."""
        return await anyio.to_thread.run_sync(self._clip, source)

    def _picture(self, source: str) -> LocalFile:
        name, data = self._read(source, MOST_PICTURE_BYTES, "pictures")
        ending = sniff(data)
        if ending not in _PICTURES:
            raise _not_a("picture", name, "Luma takes JPEG, PNG and WebP; convert it first.")
        return LocalFile(name, ending, _upright(name, data))

    def _clip(self, source: str) -> LocalFile:
        name, data = self._read(source, MOST_CLIP_BYTES, "clips")
        ending = sniff(data)
        if ending not in ("mp4", "mov"):
            raise _not_a("clip", name, "Luma takes MP4; convert it first.")
        try:
            form = measure(BytesIO(data))
        except FileError as error:
            raise _not_a("clip that can be read", name, error.hint) from error
        return LocalFile(name, ending, data, form)

    def _read(self, source: str, most_bytes: int, what: str) -> tuple[str, bytes]:
        """Name and content of a file, from the very file that was checked."""
        path = self._found(source)
        shown = quoted(path.name, 80)
        try:
            with _opened(path) as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise FileError(f"{shown!r} is no ordinary file.", "Name a picture or a clip.")
                if status.st_size > most_bytes:
                    size, most = status.st_size / 1e6, most_bytes // 10**6
                    raise FileError(f"{shown!r} has {size:.0f} MB, and Luma takes {what} of at most {most} MB.")
                data = file.read(most_bytes + 1)
        except OSError as error:
            raise FileError(f"{shown!r} cannot be read: {error.strerror or type(error).__name__}.") from error
        if not data:
            raise FileError(f"{shown!r} is empty.", "Perhaps it is still being written.")
        return shown, data

    def _found(self, source: str) -> Path:
        """The file itself, which lies in an open folder, whatever links lead to it."""
        shown, named = quoted(source, 120), _path_of(source)
        roots = [root.resolve() for root in self._folders()]
        places = [named] if named.is_absolute() else [root / named for root in roots]
        for place in places:
            with suppress(OSError, ValueError, RuntimeError):
                file = place.resolve(strict=True)
                for root in roots:
                    if file.is_relative_to(root):
                        return _visible(file, root, shown)
                if named.is_absolute():
                    raise _outside(shown, roots)
        if named.is_absolute() and not any(_lexically_inside(named, root) for root in roots):
            # Whether it exists is nobody's business outside the open folders.
            raise _outside(shown, roots)
        if ".." in named.parts:
            raise _outside(shown, roots)
        folders = ", ".join(str(root) for root in roots)
        raise FileError(f"There is no file {shown!r} in {folders}.", "Give its absolute path, and set LUMA_INPUT_DIRS.")


def _visible(file: Path, root: Path, shown: str) -> Path:
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
    """The path that is meant by a path, a file URL, `~`, or a Windows path seen from Linux on the same machine.

    Raises:
        FileError: it cannot be a path.
    """
    text = source.strip()
    if text.lower().startswith("file:"):
        url = urlsplit(text)
        if url.netloc not in ("", "localhost"):
            raise FileError(f"{quoted(source, 120)!r} is on another machine.", "Name a file of this one.")
        text = unquote(url.path)
        # file:///C:/pictures/hero.png
        text = text[1:] if _WINDOWS_PATH.match(text[1:]) else text
    if not text or "\x00" in text or len(text) > _LONGEST_NAME or text.startswith(("\\\\", "//")):
        raise FileError(f"{quoted(source, 120)!r} cannot be the path of a file here.", "Name a picture or a clip.")
    if os.name != "nt" and _WINDOWS_PATH.match(text):
        text = _as_linux_sees_it(text)
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise FileError(f"There is no home folder for {quoted(source, 120)!r}.", "Give the absolute path.") from None


def _as_linux_sees_it(path: str) -> str:
    """Where Linux under Windows keeps the drives: C:/pictures is /mnt/c/pictures."""
    drive, rest = path[0].lower(), path[3:].replace("\\", "/")
    if not Path(f"/mnt/{drive}").is_dir():
        raise FileError(
            f"{quoted(path, 120)!r} is a Windows path, and this server does not run on Windows.",
            "Give the path as this machine knows it.",
        )
    return f"/mnt/{drive}/{rest}"


def _opened(path: Path) -> BinaryIO:
    """The file, opened so that a link put in its place meanwhile is not followed and a pipe does not block."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags), "rb")


def _upright(name: str, data: bytes) -> bytes:
    """A picture that is the right way up without the note that says how to turn it, which not everybody heeds."""
    from PIL import Image  # noqa: PLC0415 - see pictures

    try:
        picture = open_picture(data)
    except FileError as error:
        raise FileError(f"{name!r}: {error}", error.hint) from error
    with Image.open(BytesIO(data)) as original:
        kind = original.format or "PNG"
        if original.getexif().get(_ORIENTATION_TAG, 1) in (0, 1):
            return data
    out = BytesIO()
    picture.save(out, kind, quality=95)
    return out.getvalue()
