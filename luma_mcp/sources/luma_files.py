"""The Files of the Agents API as the store of local files: no bucket is needed."""

from collections.abc import Awaitable, Callable, Generator, Mapping

from luma_mcp.domain.media_refs import name_of_file
from luma_mcp.sources.local_files import LocalFile

SendContent = Callable[[str, Mapping[str, str]], Awaitable[None]]
"""PUTs the content to a link with some headers. Raises: FileError."""
PutFile = Callable[[str, str, int, SendContent], Awaitable[str]]
"""Puts content there under a name, with its media type and size; the id of the file. Raises: LumaError."""
PutBlocks = Callable[[str, Mapping[str, str], int, Callable[[], Generator[bytes]]], Awaitable[None]]
"""PUTs so many bytes to a link with some headers. Raises: FileError."""


class LumaFiles:
    """Puts local files there, each under the hash of its content.

    Args:
        put_file: registers a file, and has its content sent.
        put_blocks: sends content.
    """

    def __init__(self, put_file: PutFile, put_blocks: PutBlocks) -> None:
        self._put_file = put_file
        self._put_blocks = put_blocks

    async def location(self, file: LocalFile) -> str:
        """The name of the file in a request until it is uploaded."""
        return name_of_file(file.sha256, file.ending)

    async def put(self, file: LocalFile) -> str:
        """The id of the file. Raises: LumaError."""

        async def send(url: str, headers: Mapping[str, str]) -> None:
            await self._put_blocks(url, headers, file.size, file.blocks)

        return await self._put_file(f"{file.sha256}.{file.ending}", file.media_type, file.size, send)
