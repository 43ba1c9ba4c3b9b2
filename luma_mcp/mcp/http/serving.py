"""Serving over Streamable HTTP, for a team: several replicas behind one address, all with the same account.

No state is held between requests, so any replica serves any request; MCP 2026-07-28 and earlier are supported. A client
that reaches this server spends the account's money, so on a non-loopback address a bearer token is demanded. The Luma
token is neither accepted from clients nor sent to them.
"""

import logging
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
import uvicorn
from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import ASGIApp

from luma_mcp.config.settings import Settings, SettingsError
from luma_mcp.domain.addresses import LOOPBACK
from luma_mcp.domain.person import DELETE_SCOPE, SCOPES
from luma_mcp.mcp.http.access_log import AccessLog
from luma_mcp.mcp.http.authentication import Authentication
from luma_mcp.mcp.http.body_timeout import BodyTimeout
from luma_mcp.mcp.http.connections import HttpConnection
from luma_mcp.mcp.http.cors import with_cors
from luma_mcp.mcp.http.health import Health
from luma_mcp.mcp.http.host_errors import PATH, HostErrors
from luma_mcp.mcp.http.issuer import Issuer
from luma_mcp.mcp.http.json_log import log_as_json
from luma_mcp.mcp.http.metrics import Metrics, PrometheusMeter
from luma_mcp.mcp.http.protected_resource import ProtectedResource
from luma_mcp.mcp.http.public_paths import PublicPaths
from luma_mcp.mcp.http.request_framing import RequestFraming
from luma_mcp.mcp.http.tokens import IssuedTokens, NamedTokens
from luma_mcp.mcp.rights import METRICS_PERSON
from luma_mcp.mcp.server import ToolServer

# The arguments of a tool need a fraction of it: a prompt has at most 5,000 characters.
MAX_BODY_BYTES = 1024 * 1024
_LOOPBACK_HOSTS = ("127.0.0.1:*", "localhost:*", "[::1]:*", "127.0.0.1", "localhost", "[::1]")
_LOOPBACK_ORIGINS = ("http://127.0.0.1:*", "http://localhost:*", "http://[::1]:*")
# Waits are cut, and clients call again; a purchase that is under way is in the ledger.
_GRACE_SECONDS = 10
_MAX_CONNECTIONS = 2000

_log = logging.getLogger(__name__)
# The address is logged at every level of the settings, and is no warning.
_log.setLevel(logging.INFO)


def run(server: ToolServer, settings: Settings, *, on_stop: Callable[[], None]) -> int:
    """Serve until a signal; the exit code.

    Args:
        server: the server.
        settings: the settings.
        on_stop: called on the event loop when the server shall stop, so that open waits can still return.

    Raises:
        SettingsError: it would be open without a token.
    """
    application = make_app(server, settings)
    log_as_json(settings.log_level)
    config = uvicorn.Config(
        application,
        host=settings.http_host,
        port=settings.http_port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        http=HttpConnection,
        limit_concurrency=_MAX_CONNECTIONS,
    )
    _Server(config, on_stop).run()
    return 0  # pragma: no cover - Python 3.11 loses the tracer where a task was cancelled


class _Server(uvicorn.Server):
    """Logs its address, stops in order on a signal, and then exits with 0; uvicorn's own exits by the signal."""

    def __init__(self, config: uvicorn.Config, on_stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_stop = on_stop

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_stop()
        await super().shutdown(sockets)

    async def main_loop(self) -> None:
        # Not earlier: the port may be in use, or with 0 be any.
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        _log.info("serving", extra={"facts": {"host": host, "port": port, "path": PATH}})
        await super().main_loop()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def make_app(server: ToolServer, settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> ASGIApp:
    """The application inside its middleware.

    Args:
        server: the server.
        settings: the settings.
        transport: carries bytes to the OAuth issuer; the network unless a test passes one.

    Raises:
        SettingsError: it would be open without a token.
    """
    if settings.http_host not in LOOPBACK and not settings.http_tokens and not settings.oauth_issuer:
        raise SettingsError(
            f"LUMA_HTTP_TOKENS must be set to serve on {settings.http_host}, for whoever reaches this server spends "
            "your credits. Set it to a long random text, and give that to your clients as their bearer token; or set "
            "LUMA_OAUTH_ISSUER, and let people sign in."
        )
    # A name without a port is that name with any: proxies pass on the port, also the usual one.
    names = [*settings.http_allowed_hosts]
    if settings.http_public_url:
        names.append(urlsplit(settings.http_public_url).hostname or "")
    named = [name for host in map(str.lower, names) for name in (host, f"{host}:*")]
    hosts = [*_LOOPBACK_HOSTS, *named]
    origins = [*_LOOPBACK_ORIGINS, *settings.http_allowed_origins]
    inner = server.streamable_http_app(
        streamable_http_path=PATH,
        stateless_http=True,
        max_request_body_size=MAX_BODY_BYTES,
        transport_security=TransportSecuritySettings(allowed_hosts=hosts, allowed_origins=origins),
    )
    meter = server.services.meter
    metrics = Metrics(inner, server.services, meter if isinstance(meter, PrometheusMeter) else None)
    application: ASGIApp = HostErrors(BodyTimeout(_authenticated(metrics, server, settings, transport)), hosts)
    links = server.services.links
    if links is not None:
        application = PublicPaths(application, links, lambda: settings.output_folder, server.services.poller.poll_now)
    return AccessLog(RequestFraming(with_cors(Health(application, server.services), origins)))


def _authenticated(
    inner: ASGIApp, server: ToolServer, settings: Settings, transport: httpx.AsyncBaseTransport | None
) -> ASGIApp:
    """The application behind the middleware that authenticates requests."""
    granted = SCOPES if settings.http_delete else tuple(scope for scope in SCOPES if scope != DELETE_SCOPE)
    issued, resource = None, None
    if settings.oauth_issuer and settings.http_public_url:
        issued = IssuedTokens(
            Issuer(settings.oauth_issuer, transport=transport),
            audience=settings.oauth_audience or settings.http_public_url,
            allowed=settings.oauth_allowed,
            scopes=settings.oauth_scopes,
        )
        resource = ProtectedResource(settings.http_public_url, settings.oauth_issuer, settings.oauth_scopes)
    is_open = not settings.http_tokens and not settings.oauth_issuer
    return Authentication(
        inner,
        named=NamedTokens(settings.named_tokens, granted, without_rights=[METRICS_PERSON]),
        issued=issued,
        resource=resource,
        rights=server.rights,
        open_scopes=granted if is_open else None,
    )
