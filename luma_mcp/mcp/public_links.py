"""Links to this server for people who are elsewhere: to a saved file, to a page for sending one, for Luma's callbacks.

A link is signed, so any replica with the same key can check it, and it expires. A link is a bearer secret,
as Luma's own links are.
"""

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import quote

from luma_mcp.domain.signing import Signer, key_for
from luma_mcp.files.service import RECEIVED

FILES, UPLOAD, CALLBACKS = "/files/", "/upload/", "/callbacks/"
FILE_SECONDS = 24 * 3600
UPLOAD_SECONDS = 30 * 60


@dataclass(frozen=True, slots=True)
class Upload:
    """A link for sending one file.

    Args:
        url: the link.
        source: the name of the file as a source, once it is there.
        seconds: the lifetime of the link.
    """

    url: str
    source: str
    seconds: int


@dataclass(frozen=True, slots=True)
class UploadTarget:
    """The target of an upload: a folder inside the output folder, and a file name without an ending."""

    folder: str
    name: str


class Links:
    """Makes and reads the links.

    Args:
        public_url: the address of this server that people paste; its other paths are siblings of `/mcp`.
        key: the secret that the servers of one account share.
        wall: the time of day, in Unix time.
    """

    def __init__(self, public_url: str, key: bytes, wall: Callable[[], float]) -> None:
        self._base_url = public_url.rstrip("/").removesuffix("/mcp")
        self._files, self._uploads = (Signer(key, name) for name in (FILES, UPLOAD))
        # The same at every replica, for it is part of the request to Luma.
        self._callback_code = key_for(CALLBACKS, key).hex()
        self._wall = wall

    @property
    def callback_url(self) -> str:
        """The address for Luma's reports about generations. It does not expire, for a generation may take long."""
        return f"{self._base_url}{CALLBACKS}{self._callback_code}"

    def to_file(self, path: str) -> str:
        """A link to a file, by its path inside the output folder with `/`."""
        text = self._files.sign({"place": path}, now=self._wall())
        return f"{self._base_url}{FILES}{text}/{quote(PurePosixPath(path).name)}"

    def to_send(self, folder: str) -> Upload:
        """A link for sending one file into a folder inside the output folder."""
        name = f"upload-{secrets.token_hex(6)}"
        text = self._uploads.sign({"folder": folder, "name": name}, now=self._wall())
        return Upload(f"{self._base_url}{UPLOAD}{text}", f"{RECEIVED}/{name}", UPLOAD_SECONDS)

    def file_of(self, text: str) -> str | None:
        """The path in a signed text; None if the text is not ours, or has expired."""
        content = self._files.read(text, now=self._wall(), seconds=FILE_SECONDS)
        return content["place"] if content else None

    def upload_target(self, text: str) -> UploadTarget | None:
        """The target of an upload by a signed text; None if the text is not ours, or has expired."""
        content = self._uploads.read(text, now=self._wall(), seconds=UPLOAD_SECONDS)
        return UploadTarget(content["folder"], content["name"]) if content else None

    def is_callback(self, text: str) -> bool:
        """Check that a text is the code of the callback address."""
        return hmac.compare_digest(text.encode("utf-8", "replace"), self._callback_code.encode())
