"""Links to this server for people who are elsewhere: to a saved file, to a page for sending one, for Luma's callbacks.

A link is sealed, so any replica with the same key can check it, and it ends by itself. Whoever has a link may use it,
as with Luma's own links.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import quote

from luma_mcp.domain.signing import Seal
from luma_mcp.files.service import RECEIVED

FILES, UPLOAD, CALLBACKS = "/files/", "/upload/", "/callbacks/"
FILE_SECONDS = 24 * 3600
UPLOAD_SECONDS = 30 * 60


@dataclass(frozen=True, slots=True)
class Upload:
    """A link for sending one file.

    Args:
        url: the link.
        source: what the file is called as a source, once it is there.
        seconds: how long the link works.
    """

    url: str
    source: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file that is sent goes: a folder inside the output folder, and its name without an ending."""

    folder: str
    name: str


class Links:
    """Makes and reads the links.

    Args:
        public_url: the address of this server that people paste; its other paths are siblings of `/mcp`.
        key: what the servers of one account share, and nobody else knows.
        wall: the time of day, in Unix time.
    """

    def __init__(self, public_url: str, key: bytes, wall: Callable[[], float]) -> None:
        self._base_url = public_url.rstrip("/").removesuffix("/mcp")
        self._files, self._uploads, self._callbacks = (Seal(key, name) for name in (FILES, UPLOAD, CALLBACKS))
        self._wall = wall

    @property
    def callback_url(self) -> str:
        """Where Luma posts the changes of generations. It does not end, for a generation may take long."""
        return f"{self._base_url}{CALLBACKS}{self._callbacks.seal({})}"

    def to_file(self, place: str) -> str:
        """A link to a file, by its path inside the output folder with `/`."""
        text = self._files.seal({"place": place, "until": self._until(FILE_SECONDS)})
        return f"{self._base_url}{FILES}{text}/{quote(PurePosixPath(place).name)}"

    def to_send(self, folder: str) -> Upload:
        """A link for sending one file into a folder inside the output folder."""
        name = f"upload-{secrets.token_hex(6)}"
        text = self._uploads.seal({"folder": folder, "name": name, "until": self._until(UPLOAD_SECONDS)})
        return Upload(f"{self._base_url}{UPLOAD}{text}", f"{RECEIVED}/{name}", UPLOAD_SECONDS)

    def file_of(self, text: str) -> str | None:
        """The path that a sealed text leads to; None if it is none of ours, or has ended."""
        content = self._files.open(text)
        return content["place"] if content and self._wall() < content["until"] else None

    def place_of(self, text: str) -> Place | None:
        """Where the file that is sent to a sealed text goes; None if it is none of ours, or has ended."""
        content = self._uploads.open(text)
        return Place(content["folder"], content["name"]) if content and self._wall() < content["until"] else None

    def is_callback(self, text: str) -> bool:
        """Whether a sealed text is the one that Luma was given."""
        return self._callbacks.open(text) is not None

    def _until(self, seconds: float) -> int:
        return int(self._wall() + seconds)
