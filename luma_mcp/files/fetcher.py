"""Fetching an asset. The network is not trusted, and this HTTP client has no token.

A download that breaks off continues where it stopped if the server can say that the file is the same; if not, it
begins again. A URL that the SSRF guard refuses is not fetched, also after a redirect.
"""

import re
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, cast

import anyio

from luma_mcp.domain.errors import FileError, TransientFileError
from luma_mcp.domain.text import cleaned
from luma_mcp.files.atomic_file import MAX_BYTES, PartFile
from luma_mcp.net import ssrf
from luma_mcp.net.http import HINT_CA, is_certificate_error
from luma_mcp.net.pinned import PinnedClient, redirect_of
from luma_mcp.net.ssrf import host_of

if TYPE_CHECKING:
    import httpx

OnBytes = Callable[[int, int | None], Awaitable[None]]

_SPARE_BYTES = 64 * 1024**2
_REPORT_EVERY_BYTES = 1024**2
_STALL_SECONDS, _WHOLE_SECONDS = 30.0, 900.0
# How often in a row a download may break off without having come any further.
_ATTEMPTS = 3
_MAX_REDIRECTS = 4
_GONE_STATUSES = frozenset({401, 403, 404, 410})
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


class GoneError(FileError):
    """There is nothing behind the link any more; a newer link may lead to it."""


class Fetcher:
    """Fetches assets.

    Args:
        api_url: the API's base URL; assets may come from the same host even if it is on this machine.
        transport: carries the bytes; the network unless a test gives another.
        resolve_host: finds the addresses of a name; the system unless a test gives another.
    """

    def __init__(
        self,
        *,
        api_url: str,
        transport: "httpx.AsyncBaseTransport | None" = None,
        resolve_host: ssrf.Resolve = ssrf.resolve,
    ) -> None:
        self._client = PinnedClient(api_url=api_url, transport=transport, resolve_host=resolve_host, large_reads=True)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def fetch(self, url: str, part: PartFile, on_bytes: OnBytes) -> None:
        """Write what is behind a link to a file.

        Args:
            url: the link.
            part: the file, with nothing in it yet.
            on_bytes: reported how many bytes there are and, if known, how many there will be.

        Raises:
            GoneError: there is nothing behind the link any more.
            FileError: it cannot be fetched, or is no picture or clip.
            OSError: it cannot be written.
        """
        validator = _Validator()
        stalled_attempts = 0
        try:
            with anyio.fail_after(_WHOLE_SECONDS):
                while True:
                    before = part.size
                    try:
                        return await self._continue(url, part, on_bytes, validator)
                    except _CutShortError as error:
                        stalled_attempts = 0 if part.size > before > 0 else stalled_attempts + 1
                        if stalled_attempts == _ATTEMPTS:
                            hint = "Nothing was lost at Luma; call download_generation again."
                            raise TransientFileError(str(error), hint) from error
        except TimeoutError:
            raise TransientFileError("The download took too long.", "Call download_generation again.") from None

    async def _continue(self, url: str, part: PartFile, on_bytes: OnBytes, validator: "_Validator") -> None:
        """Fetch what is missing, or all of it."""
        import httpx  # noqa: PLC0415 - costs 50 ms, which the start of the process shall not pay

        at = url
        for _ in range(_MAX_REDIRECTS + 1):
            host = cleaned(host_of(at), 80)
            try:
                response = await self._client.send(
                    "GET", at, headers=validator.headers_for_the_rest(part.size), read_seconds=_STALL_SECONDS
                )
                async with aclosing(response):
                    target = redirect_of(at, response)
                    if target is None:
                        return await _receive(response, part, on_bytes, validator)
                    at = target
            except (httpx.InvalidURL, httpx.CookieConflict, httpx.UnsupportedProtocol, UnicodeError) as error:
                raise FileError(
                    f"The link to {host} cannot be fetched ({type(error).__name__}).", "Ask again with get_generation."
                ) from error
            except (httpx.HTTPError, httpx.StreamError) as error:
                if is_certificate_error(error):
                    raise FileError(f"The certificate of {host} is not trusted here.", HINT_CA) from error
                raise _CutShortError(f"The download broke off ({type(error).__name__}).") from error
        raise FileError("The link leads from one address to the next without end.")


class _CutShortError(Exception):
    """A download that may go better a second time."""


class _Validator:
    """The validator of a file behind a link: a changed file is fetched again from its start."""

    def __init__(self) -> None:
        self._etag_or_date: str | None = None

    def remember(self, response: "httpx.Response") -> None:
        etag = response.headers.get("etag", "")
        if response.status_code == 200:
            # A weak tag promises the same meaning, not the same bytes.
            self._etag_or_date = etag if etag.startswith('"') else response.headers.get("last-modified")

    def headers_for_the_rest(self, size: int) -> dict[str, str]:
        """The headers that ask for what is missing, and for all of it if it has changed."""
        if not size or self._etag_or_date is None:
            return {}
        return {"Range": f"bytes={size}-", "If-Range": self._etag_or_date}


async def _receive(response: "httpx.Response", part: PartFile, on_bytes: OnBytes, validator: _Validator) -> None:
    """Write what an answer brings: the rest of the file, or all of it."""
    whole = _whole_length(response, part.size)
    if response.status_code == 200 and part.size:
        await part.start_over()
    validator.remember(response)
    _check_space(part.folder, whole and whole - part.size)
    reported = part.size
    async with aclosing(cast("AsyncGenerator[bytes]", response.aiter_raw())) as pieces:
        async for piece in pieces:
            await part.write(piece)
            if part.size - reported >= _REPORT_EVERY_BYTES:
                reported = part.size
                await on_bytes(reported, whole)
    await on_bytes(part.size, whole)
    if whole is not None and part.size != whole:
        raise _CutShortError(f"The download broke off after {part.size} of {whole} bytes.")
    is_chunked = "chunked" in response.headers.get("transfer-encoding", "").lower()
    # Without a length, a connection that broke looks like one that ended.
    if whole is None and not is_chunked and not await part.is_whole():
        raise _CutShortError(f"The download broke off after {part.size} bytes, in the middle of the file.")


def _whole_length(response: "httpx.Response", size: int) -> int | None:
    """The length of the file if the response states it. Raises: FileError, if the response has no file to save."""
    status = response.status_code
    if status in _GONE_STATUSES:
        raise GoneError(f"The asset is gone or its link has expired ({status}).", "get_generation may give a new link.")
    if status >= 500:
        raise _CutShortError(f"The asset's server failed ({status}).")
    if status not in (200, 206):
        raise FileError(f"The asset's server answered {status}.")
    encodings = {word.strip().lower() for word in response.headers.get("content-encoding", "").split(",")}
    # S3 says so of what was sent to it in signed pieces, and gives it out whole.
    if encodings - {"", "identity", "aws-chunked"}:
        raise FileError("The asset came compressed, which was not asked for.")
    if status == 206:
        content_range = _RANGE.fullmatch(response.headers.get("content-range", ""))
        if content_range is None or int(content_range[1]) != size:
            raise FileError("The asset's server answered another part than the one asked for.")
        length: int | None = int(content_range[2])
    else:
        content_length = response.headers.get("content-length", "")
        length = int(content_length) if content_length.isdecimal() else None
    if length is not None and length > MAX_BYTES:
        raise FileError(f"The asset is larger than {MAX_BYTES // 1024**3} GB.")
    return length


def _check_space(folder: Path, missing: int | None) -> None:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if shutil.disk_usage(existing).free < (missing or 0) + _SPARE_BYTES:
        raise FileError(f"There is not enough free space in {folder}.", "Free some, or set LUMA_OUTPUT_DIR elsewhere.")
