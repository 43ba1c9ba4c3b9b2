"""Sending a local file to a link that Luma's answer names. Like a download it has no token and trusts no link."""

from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import anyio.to_thread

from luma_mcp.domain.errors import FileError, TransientFileError
from luma_mcp.net import ssrf
from luma_mcp.net.pinned import PinnedClient

if TYPE_CHECKING:
    import httpx

_ATTEMPTS = 3
_SECONDS_OF_SILENCE = 60.0
_NOTHING = "Nothing was bought. Call again."
# Headers that would send more than the file.
_FORBIDDEN = frozenset({"authorization", "content-length", "cookie", "host", "proxy-authorization"})


class Uploader:
    """PUTs files to presigned links.

    Args:
        api_url: the API's base URL; a link may lead to the same host even if it is on this machine.
        transport: how bytes travel; a test gives its own.
        resolve_host: how names become addresses; a test gives its own.
    """

    def __init__(
        self,
        *,
        api_url: str,
        transport: "httpx.AsyncBaseTransport | None" = None,
        resolve_host: ssrf.Resolve = ssrf.resolve,
    ) -> None:
        self._client = PinnedClient(api_url=api_url, transport=transport, resolve_host=resolve_host)

    async def put(
        self, url: str, headers: Mapping[str, str], size: int, blocks: Callable[[], Generator[bytes]]
    ) -> None:
        """Send content, block by block, with the headers that the link was signed with.

        Args:
            url: the link.
            headers: the headers that Luma named.
            size: of the content, in bytes.
            blocks: reads the content from its begin. It may raise FileError.

        Raises:
            FileError: it cannot be sent, or not be read.
        """
        import httpx  # noqa: PLC0415 - costs 50 ms, which the start of the process shall not pay

        sent = {name: value for name, value in headers.items() if name.lower() not in _FORBIDDEN}
        sent["Content-Length"] = str(size)
        failure: Exception | None = None
        try:
            for _ in range(_ATTEMPTS):
                try:
                    response = await self._client.send(
                        "PUT", url, headers=sent, content=partial(_stream, blocks), read_seconds=_SECONDS_OF_SILENCE
                    )
                    await response.aclose()
                except (
                    httpx.HTTPError,
                    httpx.StreamError,
                    httpx.InvalidURL,
                    httpx.CookieConflict,
                    ValueError,
                ) as error:
                    failure = error
                    continue
                if response.is_success:
                    return
                if response.status_code < 500:
                    raise FileError(f"The file was refused by Luma's file store ({response.status_code}).", _NOTHING)
                failure = None
        finally:
            await self._client.close()
        reason = type(failure).__name__ if failure else "it failed"
        raise TransientFileError(f"The file cannot be sent to Luma's file store ({reason}).", _NOTHING)


async def _stream(blocks: Callable[[], Generator[bytes]]) -> AsyncGenerator[bytes]:
    """The blocks, read in worker threads."""
    with closing(blocks()) as reader:
        while block := await anyio.to_thread.run_sync(next, reader, b""):
            yield block
