"""The Files of the Agents API as the store of local files: no bucket is needed."""

from collections.abc import Awaitable, Callable

from luma_mcp.domain.media_refs import name_of_file
from luma_mcp.sources.local_files import LocalFile

PutFile = Callable[[str, str, bytes], Awaitable[str]]
"""Puts content there under a name, with its media type; the id of the file. Raises: LumaError."""


class LumaFiles:
    """Puts local files there, each under the hash of its content.

    Args:
        put_file: uploads a file.
    """

    def __init__(self, put_file: PutFile) -> None:
        self._put_file = put_file

    async def location(self, file: LocalFile) -> str:
        """The name of the file in a request until it is uploaded."""
        return name_of_file(file.sha256, file.ending)

    async def put(self, file: LocalFile) -> str:
        """The id of the file. Raises: LumaError."""
        return await self._put_file(f"{file.sha256}.{file.ending}", file.media_type, file.data)
