"""HTTP clients without credentials that trust what the operating system trusts."""

import logging
import ssl
from typing import TYPE_CHECKING, Any, Final

from luma_mcp import __version__

if TYPE_CHECKING:
    import httpcore
    import httpx

_CONNECT_SECONDS, _READ_SECONDS, _KEEP_ALIVE_SECONDS = 10.0, 60.0, 5.0
_LARGE_READ_BYTES = 256 * 1024
HINT_CA: Final = (
    "A company's proxy may sign in its place: set SSL_CERT_FILE to a file with that company's CA, "
    "or have the system trust it."
)


def open_http(
    transport: "httpx.AsyncBaseTransport | None" = None,
    *,
    proxy: str | None = None,
    large_reads: bool = False,
    keep_alive_seconds: float = _KEEP_ALIVE_SECONDS,
) -> "httpx.AsyncClient":
    """An HTTP client without credentials that trusts what the operating system trusts.

    Args:
        transport: carries the bytes; the network by default; tests pass another.
        proxy: the proxy that leads there (`proxies.proxy_for`).
        large_reads: read more bytes at a time, for downloads.
        keep_alive_seconds: how long a connection that is idle can be used again, if the other side has not closed it.
    """
    import httpx  # noqa: PLC0415 - costs 50 ms, and the start of the process does not need it
    import truststore  # noqa: PLC0415

    # They log every URL, and a signed one opens a file.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    client = httpx.AsyncClient(
        transport=transport,
        # `proxies` reads the settings of the environment.
        trust_env=False,
        proxy=proxy,
        verify=truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        timeout=httpx.Timeout(_READ_SECONDS, connect=_CONNECT_SECONDS),
        limits=httpx.Limits(
            max_connections=100,
            max_keepalive_connections=20 if keep_alive_seconds else 0,
            keepalive_expiry=keep_alive_seconds,
        ),
        # Nothing compressed: a small response could unpack to a very large one.
        headers={"Accept-Encoding": "identity", "User-Agent": f"dream-machine-mcp/{__version__}"},
    )
    if large_reads:
        _read_more_at_a_time(client)
    return client


def _read_more_at_a_time(client: "httpx.AsyncClient") -> None:
    """Let this client read 256 KB at a time.

    httpcore reads 64 KB at a time, and each piece costs the same at any size: a download lasts twice as long.
    The size is a class attribute (httpcore 1.0.9, `AsyncHTTP11Connection.READ_NUM_BYTES`), and httpx passes no option
    on (encode/httpx 0.28.1). The network backend of this client's own pools is replaced, so no other client of the
    process is changed.
    """
    inner: Any = client
    for transport in (inner._transport, *inner._mounts.values()):  # noqa: SLF001 - see above
        pool = getattr(transport, "_pool", None)
        if pool is not None:
            pool._network_backend = _LargeReadBackend(pool._network_backend)  # noqa: SLF001


class _LargeReadBackend:
    """httpcore's network backend, whose streams read more at a time."""

    def __init__(self, inner: "httpcore.AsyncNetworkBackend") -> None:
        self._inner = inner

    async def connect_tcp(self, *arguments: Any, **named: Any) -> "_LargeReadStream":
        return _LargeReadStream(await self._inner.connect_tcp(*arguments, **named))


class _LargeReadStream:
    """A network stream that ignores the requested size."""

    def __init__(self, inner: "httpcore.AsyncNetworkStream") -> None:
        self._inner = inner

    async def read(self, _max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's name
        return await self._inner.read(_LARGE_READ_BYTES, timeout=timeout)

    async def start_tls(self, *arguments: Any, **named: Any) -> "_LargeReadStream":
        return _LargeReadStream(await self._inner.start_tls(*arguments, **named))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def is_certificate_error(error: BaseException | None) -> bool:
    """Whether it failed because this machine does not trust the other side's certificate."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error is not None
