"""Requests to untrusted links: each goes to an address that was checked, and carries no credentials."""

from collections.abc import AsyncIterable, Callable, Mapping
from typing import TYPE_CHECKING

from luma_mcp.net import ssrf
from luma_mcp.net.http import open_http
from luma_mcp.net.proxies import proxy_for

if TYPE_CHECKING:
    import httpx


class PinnedClient:
    """Sends requests to the addresses that the SSRF guard has checked.

    Args:
        api_url: the API's base URL; links may lead to the same host even if it is on this machine.
        transport: carries the bytes; the network by default; tests pass another.
        resolve_host: finds the addresses of a name; the operating system by default; tests pass another.
        large_reads: read more bytes at a time, for downloads.
    """

    def __init__(
        self,
        *,
        api_url: str,
        transport: "httpx.AsyncBaseTransport | None" = None,
        resolve_host: ssrf.Resolve = ssrf.resolve,
        large_reads: bool = False,
    ) -> None:
        self._api_url = api_url
        self._transport = transport
        self._resolve_host = resolve_host
        self._large_reads = large_reads
        self._http: dict[str | None, httpx.AsyncClient] = {}
        """By the proxy that they use."""

    async def close(self) -> None:
        """Close the connections. A later request opens new ones."""
        while self._http:
            _, http = self._http.popitem()
            await http.aclose()

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        content: Callable[[], AsyncIterable[bytes]] | None = None,
        read_seconds: float,
    ) -> "httpx.Response":
        """The response to a request, to be closed by the caller. Redirects are not followed (see `redirect_of`).

        Args:
            method: of the request.
            url: the link.
            headers: of the request.
            content: reads its body from the begin; without a body by default.
            read_seconds: the longest silence.

        Raises:
            FileError: the link may not be followed.
            UnreachableError: a proxy is set that cannot be used.
            httpx.InvalidURL, httpx.HTTPError, httpx.StreamError, httpx.CookieConflict: the request failed.
        """
        import httpx  # noqa: PLC0415 - costs 50 ms, and the start of the process does not need it

        proxy = proxy_for(url) if self._transport is None else None
        destination = await ssrf.check(
            url, api_url=self._api_url, resolve_host=self._resolve_host, by_proxy=proxy is not None
        )
        if proxy not in self._http:
            self._http[proxy] = open_http(self._transport, proxy=proxy, large_reads=self._large_reads)
        http = self._http[proxy]
        target, timeout = httpx.URL(url), httpx.Timeout(read_seconds, connect=10)
        # A request by a proxy is not pinned: the certificate would be held against the address.
        if not destination.addresses:
            request = http.build_request(
                method, target, headers=headers, content=content and content(), timeout=timeout
            )
            return await http.send(request, stream=True)
        host = destination.host if target.port is None else f"{destination.host}:{target.port}"
        failure: httpx.TransportError | None = None
        for address in destination.addresses:
            request = http.build_request(
                method,
                target.copy_with(host=address),
                headers={**headers, "Host": host},
                content=content and content(),
                extensions={"sni_hostname": destination.host},
                timeout=timeout,
            )
            try:
                return await http.send(request, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure = error
        raise failure or httpx.ConnectError("no address")


def redirect_of(url: str, response: "httpx.Response") -> str | None:
    """The link that a response redirects to; None if it does not redirect. Raises: httpx.InvalidURL."""
    import httpx  # noqa: PLC0415 - as above

    return str(httpx.URL(url).join(response.headers["location"])) if response.has_redirect_location else None
