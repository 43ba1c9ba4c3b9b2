"""Opening a file inside a folder without following a link on the way.

A path that was checked may lead elsewhere a moment later, when a folder of it has become a link. So every step is
opened by the descriptor of the one before, and no step is a link.
"""

import os
from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO

from luma_mcp.domain.errors import FileError

FileIdentity = tuple[int, int]
"""Device and inode."""

_HAS_DESCRIPTORS = os.open in os.supports_dir_fd and os.stat in os.supports_dir_fd
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
# A pipe does not block.
_FILE = os.O_RDONLY | _NO_LINK | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def identities_of(paths: Collection[Path]) -> frozenset[FileIdentity]:
    """Device and inode of the files that are there."""
    identities = set[FileIdentity]()
    for path in paths:
        try:
            status = path.stat()
        except (OSError, ValueError):
            continue
        identities.add((status.st_dev, status.st_ino))
    return frozenset(identities)


def open_inside(root: Path, path: Path, forbidden: Collection[FileIdentity] = ()) -> BinaryIO:
    """Open a file for reading.

    Args:
        root: the folder, with its own links resolved.
        path: the file, inside the folder.
        forbidden: files that must not even be opened: closing one releases the locks that this process has on it.

    Raises:
        FileError: it is one of the forbidden files.
        OSError: it cannot be opened, or a step of its path is a link.
        ValueError: it is not inside the folder.
    """
    *folders, name = path.relative_to(root).parts or (".",)
    if not _HAS_DESCRIPTORS:  # pragma: no cover - Windows
        _check_identity(path.lstat(), forbidden)
        return os.fdopen(os.open(path, _FILE), "rb")
    folder = os.open(root, _FOLDER)
    try:
        for step in folders:
            inner = os.open(step, _FOLDER | _NO_LINK, dir_fd=folder)
            os.close(folder)
            folder = inner
        _check_identity(os.stat(name, dir_fd=folder, follow_symlinks=False), forbidden)
        return os.fdopen(os.open(name, _FILE, dir_fd=folder), "rb")
    finally:
        os.close(folder)


def _check_identity(status: os.stat_result, forbidden: Collection[FileIdentity]) -> None:
    if (status.st_dev, status.st_ino) in forbidden:
        raise FileError("That is the purchase ledger of this server.", "Name a picture or a clip.")
