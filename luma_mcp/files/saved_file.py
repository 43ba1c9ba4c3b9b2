"""A saved file, and finding it again: its sidecar says what it is, and its hash that it is so still."""

import glob
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luma_mcp.files import sidecar
from luma_mcp.files.atomic_file import digest
from luma_mcp.media.formats import MEDIA_TYPES


@dataclass(frozen=True, slots=True)
class SavedFile:
    """A saved file."""

    generation_id: str
    path: Path
    size_bytes: int
    sha256: str
    media_type: str
    url: str | None = None
    """The link that it came from; None for what was made here."""


IsIt = Callable[[dict[str, Any]], bool]
"""Return whether this content of a sidecar is that of the wanted file. A KeyError or TypeError counts as False."""


def proven(path: Path, generation_id: str, is_it: IsIt) -> SavedFile | None:
    """The file at a path, if it is the wanted one and has not changed since it was saved.

    Args:
        path: where it may be.
        generation_id: the generation that the file is named after.
        is_it: recognises its sidecar.
    """
    content = sidecar.read(path)
    try:
        if not content or not is_it(content) or path.is_symlink() or not path.is_file():
            return None
        sha256: str = content["file"]["sha256"]
        if digest(path) != sha256:
            return None
        return SavedFile(generation_id, path, path.stat().st_size, sha256, MEDIA_TYPES[path.suffix[1:]])
    except (OSError, KeyError, TypeError):
        return None


def find_numbered(place: Path, ending: str, generation_id: str, is_it: IsIt) -> SavedFile | None:
    """As `proven`, for a file at a place, or at its name with a number. `ending` is the file's, without the dot."""
    paths = sorted(place.parent.glob(f"{glob.escape(place.name)}*.{ending}"))
    return next(filter(None, (proven(path, generation_id, is_it) for path in paths)), None)
