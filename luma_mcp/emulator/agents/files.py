"""The Files of the Agents API: created, uploaded by a presigned PUT or in one multipart POST, ingested, used, deleted.

Luma publishes the shapes. How long an upload link is valid, how long ingest takes and the answer to a `complete`
without bytes are inferred.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from uuid import uuid4

from luma_mcp.emulator.agents.bodies import FileBody
from luma_mcp.emulator.agents.media import Media, measured
from luma_mcp.emulator.agents.rules import RefusedError

UPLOAD_SECONDS = 15 * 60.0
INGEST_SECONDS = 2.0
# A larger file must go by PUT.
MAX_INLINE_BYTES = 20 * 1024**2


class UnknownFileError(Exception):
    """No file has that id."""


@dataclass
class StoredFile:
    """A file. `upload_key` is part of the link that its bytes are PUT to."""

    id: str
    body: FileBody
    created_at: datetime
    upload_key: str
    data: bytes | None = None
    completed_at: float | None = None
    deleted_at: datetime | None = None
    media: Media | None = None
    failure_reason: str | None = None
    is_ingested: bool = False

    @property
    def state(self) -> Literal["pending", "ready", "failed", "deleted"]:
        if self.deleted_at is not None:
            return "deleted"
        if not self.is_ingested:
            return "pending"
        return "failed" if self.failure_reason else "ready"


class FileStore:
    """The files of a client.

    Args:
        wall: Unix time.
        speed: how many times faster than Luma files are ingested.
    """

    def __init__(self, wall: Callable[[], float], speed: float) -> None:
        self.files: dict[str, StoredFile] = {}
        self._wall = wall
        self._speed = speed

    def create(self, body: FileBody, data: bytes | None = None) -> StoredFile:
        """A new file; with its bytes it is ingested at once."""
        now = datetime.fromtimestamp(self._wall(), UTC)
        file = StoredFile(str(uuid4()), body, now, secrets.token_urlsafe(24), data)
        if data is not None:
            file.completed_at = self._wall()
        self.files[file.id] = file
        return file

    def get(self, file_id: str) -> StoredFile:
        """Raises: UnknownFileError."""
        file = self.files.get(file_id)
        if file is None:
            raise UnknownFileError(file_id)
        return self._ingested(file)

    def newest_first(self) -> list[StoredFile]:
        """Every file that was not deleted."""
        files = [self._ingested(file) for file in reversed(self.files.values())]
        return [file for file in files if file.state != "deleted"]

    def put(self, file_id: str, key: str, content_type: str, data: bytes) -> None:
        """The bytes of a presigned PUT. Raises: RefusedError, UnknownFileError."""
        file = self.files.get(file_id)
        if file is None or not secrets.compare_digest(key.encode(), file.upload_key.encode()):
            raise UnknownFileError(file_id)
        if self._wall() > file.created_at.timestamp() + UPLOAD_SECONDS:
            raise RefusedError(403, "Request has expired")
        if content_type != file.body.mime_type:
            raise RefusedError(403, "SignatureDoesNotMatch: Content-Type")
        if len(data) != file.body.size_bytes:
            raise RefusedError(400, "Content-Length does not match")
        file.data = data

    def complete(self, file_id: str) -> StoredFile:
        """Begin the ingest. Raises: RefusedError, UnknownFileError."""
        file = self.get(file_id)
        if file.data is None:
            raise RefusedError(409, "File has not been uploaded")
        if file.completed_at is None:
            file.completed_at = self._wall()
        return file

    def delete(self, file_id: str) -> None:
        """Mark a file as deleted. Raises: UnknownFileError."""
        self.get(file_id).deleted_at = datetime.fromtimestamp(self._wall(), UTC)

    def ready(self, field: str, file_id: str) -> Media:
        """A file that can be used. Raises: RefusedError."""
        file = self.files.get(file_id)
        if file is None or self._ingested(file).state != "ready" or file.media is None:
            raise RefusedError(422, f"{field}: file is not ready")
        return file.media

    def _ingested(self, file: StoredFile) -> StoredFile:
        """The file as it is now: a state is a function of time, so nothing runs in the background."""
        now = self._wall()
        expires_at = file.body.expires_at
        if expires_at is not None and file.deleted_at is None:
            # A date-time without a zone is taken for UTC.
            aware = expires_at if expires_at.tzinfo else expires_at.replace(tzinfo=UTC)
            if now > aware.timestamp():
                file.deleted_at = aware
        is_due = file.completed_at is not None and (now - file.completed_at) * self._speed >= INGEST_SECONDS
        if is_due and not file.is_ingested and file.data is not None:
            file.is_ingested = True
            try:
                file.media = measured("file", file.data, file.body.mime_type)
            except RefusedError as error:
                file.failure_reason = error.detail.removeprefix("file: ")
        return file
