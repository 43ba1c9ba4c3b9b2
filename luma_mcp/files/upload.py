"""Sending a local file to a link that Luma's answer names. Like a download it has no token and trusts no link."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from luma_mcp.backends.transport import open_http
from luma_mcp.domain.errors import FileError, TransientFileError
from luma_mcp.net import ssrf
from luma_mcp.net.proxies import proxy_for

if TYPE_CHECKING:
    import httpx

_ATTEMPTS = 3
_SECONDS_OF_SILENCE = 60.0
_NOTHING = "Nothing was bought. Call again."
# Headers that would send more than the file.
_FORBIDDEN = frozenset({"authorization", "cookie", "host", "proxy-authorization"})


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
        self._api_url = api_url
        self._transport = transport
        self._resolve_host = resolve_host

    async def put(self, url: str, headers: Mapping[str, str], data: bytes) -> None:
        """Send the bytes with the headers that the link was signed with. Raises: FileError."""
        import httpx  # noqa: PLC0415 - costs 50 ms, which the start of the process shall not pay

        try:
            proxy = proxy_for(url) if self._transport is None else None
            target = httpx.URL(url)
        except (httpx.InvalidURL, ValueError) as error:
            raise FileError("The link of Luma's file store is not a URL.", _NOTHING) from error
        place = await ssrf.check(
            url, api_url=self._api_url, resolve_host=self._resolve_host, by_proxy=proxy is not None
        )
        sent = {name: value for name, value in headers.items() if name.lower() not in _FORBIDDEN}
        failure: Exception | None = None
        async with open_http(self._transport, proxy=proxy) as http:
            for address in (place.addresses or (place.host,)) * _ATTEMPTS:
                pinned = target.copy_with(host=address) if place.addresses else target
                host = place.host if target.port is None else f"{place.host}:{target.port}"
                try:
                    answer = await http.put(
                        pinned,
                        content=data,
                        headers={**sent, "Host": host},
                        extensions={"sni_hostname": place.host},
                        timeout=httpx.Timeout(_SECONDS_OF_SILENCE, connect=10),
                    )
                except (
                    httpx.HTTPError,
                    httpx.StreamError,
                    httpx.InvalidURL,
                    httpx.CookieConflict,
                    ValueError,
                ) as error:
                    failure = error
                    continue
                if answer.is_success:
                    return
                if answer.status_code < 500:
                    raise FileError(f"The file was refused by Luma's file store ({answer.status_code}).", _NOTHING)
                failure = None
        reason = type(failure).__name__ if failure else "it failed"
        raise TransientFileError(f"The file cannot be sent to Luma's file store ({reason}).", _NOTHING)
