"""Serving over Streamable HTTP, for a team: several replicas behind one address, all with the same account.

Nothing is kept between requests, so any replica answers any request; both eras of the protocol are spoken. Whoever can
reach this server spends the account's money, so off loopback a bearer token is demanded. The Luma token is neither
accepted from clients nor given to them.
"""

import hmac
import json
import logging
import signal
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from luma_mcp.domain.addresses import LOOPBACK
from luma_mcp.settings import Settings, SettingsError

PATH, HEALTH = "/mcp", "/healthz"
# What a tool is asked fits in a fraction of it: a prompt has 5,000 characters at the most.
MOST_BODY_BYTES = 1024 * 1024
_LOOPBACK_HOSTS = ("127.0.0.1:*", "localhost:*", "[::1]:*", "127.0.0.1", "localhost", "[::1]")
_LOOPBACK_ORIGINS = ("http://127.0.0.1:*", "http://localhost:*", "http://[::1]:*")
# Waits are cut, and clients call again; a purchase that is under way is in the ledger.
_GRACE_SECONDS = 5

_log = logging.getLogger(__name__)


def run(server: MCPServer[Any], settings: Settings) -> int:
    """Serve until a signal; the exit code.

    Raises:
        SettingsError: it would be open to everybody.
    """
    application = app(server, settings)
    _log_as_json(settings.log_level)
    config = uvicorn.Config(
        application,
        host=settings.http_host,
        port=settings.http_port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    _Server(config).run()
    return 0  # pragma: no cover - Python 3.11 loses the tracer where a task was cancelled


class _Server(uvicorn.Server):
    """Says where it listens, stops in order on a signal, and then has ended well; uvicorn's own dies of the signal."""

    async def main_loop(self) -> None:
        # Not sooner: the port may be taken, or with 0 be any.
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        _log.warning("serving", extra={"facts": {"host": host, "port": port, "path": PATH}})
        await super().main_loop()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def app(server: MCPServer[Any], settings: Settings) -> ASGIApp:
    """The application, with its doors.

    Raises:
        SettingsError: it would be open to everybody.
    """
    if settings.http_host not in LOOPBACK and not settings.http_tokens:
        raise SettingsError(
            f"LUMA_HTTP_TOKENS must be set to serve on {settings.http_host}, for whoever reaches this server spends "
            "your credits. Set it to a long random text, and give that to your clients as their bearer token."
        )
    hosts = [*_LOOPBACK_HOSTS, *settings.http_allowed_hosts]
    origins = [*_LOOPBACK_ORIGINS, *settings.http_allowed_origins]
    inner = server.streamable_http_app(
        streamable_http_path=PATH,
        stateless_http=True,
        max_request_body_size=MOST_BODY_BYTES,
        transport_security=TransportSecuritySettings(allowed_hosts=hosts, allowed_origins=origins),
    )
    tokens = [token.get_secret_value() for token in settings.http_tokens]
    return _Logged(_Healthy(_Guarded(inner, tokens)))


class _Healthy:
    """Answers the question whether the process is there, to anybody: it says nothing else."""

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == HEALTH:
            await JSONResponse({"status": "ok"})(scope, receive, send)
            return
        await self._inner(scope, receive, send)


class _Guarded:
    """Lets in who has one of the tokens; everybody where there are none."""

    def __init__(self, inner: ASGIApp, tokens: list[str]) -> None:
        self._inner = inner
        self._tokens = [token.encode() for token in tokens]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._tokens and not self._has_token(scope):
            refusal = {"error": "A bearer token is needed: Authorization: Bearer ..."}
            wanted = {"WWW-Authenticate": 'Bearer realm="dream-machine-mcp"'}
            await JSONResponse(refusal, 401, wanted)(scope, receive, send)
            return
        await self._inner(scope, receive, send)

    def _has_token(self, scope: Scope) -> bool:
        header = dict(scope["headers"]).get(b"authorization", b"")
        scheme, _, token = header.partition(b" ")
        # Each is compared, so that the time tells nothing.
        fits = [hmac.compare_digest(token.strip(), known) for known in self._tokens]
        return scheme.lower() == b"bearer" and any(fits)


class _Logged:
    """Writes a line for each request: what was asked, how it ended, how long it took. Never a header or a body."""

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        began, status = time.monotonic(), 0

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._inner(scope, receive, note)
        finally:
            facts = {
                "method": scope["method"],
                "path": scope["path"][:200],
                "status": status,
                "milliseconds": round((time.monotonic() - began) * 1000, 1),
                "client": (scope.get("client") or ("",))[0],
            }
            _log.info("request", extra={"facts": facts})


class _JsonLines(logging.Formatter):
    """A line of JSON for each record, for those who collect them."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    """A client that goes away in the middle of its request is not; the SDK and uvicorn tell of it with a trace."""
    return not (record.exc_info and isinstance(record.exc_info[1], ClientDisconnect))


def _log_as_json(level: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    handler.addFilter(_is_worth_a_line)
    logging.basicConfig(level=level, handlers=[handler], force=True)
