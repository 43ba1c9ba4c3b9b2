"""The Files of the Agents API: local files are put there so that requests can name them. They cost nothing.

The same content is put there once: a file is named by the hash of its content. A file has no public URL, and expires
after a week.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from luma_mcp.backends.agents import decoding
from luma_mcp.backends.agents.decoding import UploadedFile
from luma_mcp.backends.transport import Sleep, Transport
from luma_mcp.domain.errors import FileError, TransientFileError

SendContent = Callable[[str, Mapping[str, str]], Awaitable[None]]
"""PUTs the content to a link with some headers. Raises: FileError."""

_LIFETIME = timedelta(days=7)
# A file that expires sooner is put there again.
_SHORTEST_REST = timedelta(days=1)
_PAGE, _MAX_PAGES = 100, 5
_LOOK_EVERY_SECONDS, _LONGEST_INGEST_SECONDS = 2.0, 120.0


class FilesApi:
    """The files of an account.

    Args:
        transport: speaks to the API.
        sleep: waits between looks.
        wall: Unix time.
    """

    def __init__(self, transport: Transport, sleep: Sleep, wall: Callable[[], float]) -> None:
        self._transport = transport
        self._sleep = sleep
        self._wall = wall

    async def check(self) -> None:
        """Return if the API answers and accepts the token."""
        await self._transport.read("GET", "/files", {"limit": 1})

    async def put(self, name: str, media_type: str, size_bytes: int, send_content: SendContent) -> str:
        """Put a file there, unless it is there already, and wait until it can be used; its id.

        Args:
            name: names the content; the same content has the same name.
            media_type: of the content.
            size_bytes: of the content.
            send_content: PUTs it to the link that Luma names.

        Raises:
            FileError: Luma cannot use it.
            LumaError: Luma cannot be asked.
        """
        found = await self._find(name, size_bytes)
        if found is not None:
            return found.id
        expires_at = datetime.fromtimestamp(self._wall(), UTC) + _LIFETIME
        body = {
            "mime_type": media_type,
            "size_bytes": size_bytes,
            "filename": name,
            "purpose": "input",
            "expires_at": expires_at.isoformat().replace("+00:00", "Z"),
        }
        created = decoding.read_created_file(await self._transport.read("POST", "/files", json=body))
        if created.target is None:
            raise TransientFileError("Luma named no place to put the file.", "Nothing was bought. Call again.")
        await send_content(created.target.url, created.target.headers)
        file = decoding.read_file(await self._transport.read("POST", f"/files/{created.id}/complete"))
        return await self._ingested(file)

    async def _find(self, name: str, size_bytes: int) -> UploadedFile | None:
        """A file with that content that can be used for a while."""
        latest = datetime.fromtimestamp(self._wall(), UTC) + _SHORTEST_REST
        query: dict[str, Any] = {"limit": _PAGE, "state": "ready"}
        for _ in range(_MAX_PAGES):
            page = decoding.read_files(await self._transport.read("GET", "/files", query))
            for file in page.files:
                is_same = (file.name, file.size_bytes, file.state) == (name, size_bytes, "ready")
                if is_same and (file.expires_at is None or file.expires_at > latest):
                    return file
            if page.next_cursor is None:
                break
            query["cursor"] = page.next_cursor
        return None

    async def _ingested(self, file: UploadedFile) -> str:
        """Wait until a file is ready."""
        waited = 0.0
        while file.state != "ready":
            if file.state in ("failed", "deleted"):
                raise FileError(
                    f"Luma cannot use the file: {file.failure_reason or file.state}.", "Nothing was bought. Convert it."
                )
            if waited >= _LONGEST_INGEST_SECONDS:
                raise TransientFileError("Luma did not take the file in time.", "Nothing was bought. Call again.")
            await self._sleep(_LOOK_EVERY_SECONDS)
            waited += _LOOK_EVERY_SECONDS
            file = decoding.read_file(await self._transport.read("GET", f"/files/{file.id}"))
        return file.id
