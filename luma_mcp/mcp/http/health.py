"""The probes: `/healthz` for the process, `/readyz` for the ledger and Luma."""

import time
from collections.abc import Awaitable, Callable

import anyio
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from luma_mcp.domain.errors import LumaError
from luma_mcp.mcp.services import Services

_HEALTH, _READY = "/healthz", "/readyz"
# The lifetime of a result, and the longest wait for one: a probe itself waits a second or two.
_LEDGER_SECONDS, _LUMA_SECONDS = 2.0, 30.0
_LEDGER_TIMEOUT_SECONDS, _LUMA_TIMEOUT_SECONDS = 1.0, 0.8


class Health:
    """Reports without a token that the process runs (`/healthz`) and whether it can work (`/readyz`).

    It is ready while its ledger can be used. Luma is checked too, but a server that cannot reach Luma stays
    ready: it still returns a sentence, waits, and serves files, and all replicas would lose readiness at the same time.

    Args:
        inner: what is behind.
        services: the services that are checked.
        now: a monotonic clock.
    """

    def __init__(self, inner: ASGIApp, services: Services, now: Callable[[], float] = time.monotonic) -> None:
        self._inner = inner
        # The probes need no token, so their number of requests to the ledger and to Luma is bounded.
        self._ledger = _CachedProbe(services.purchases.ping_ledger, _LEDGER_SECONDS, _LEDGER_TIMEOUT_SECONDS, now)
        self._luma = _CachedProbe(services.backend.ping, _LUMA_SECONDS, _LUMA_TIMEOUT_SECONDS, now)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else ""
        if path == _HEALTH:
            await JSONResponse({"status": "ok"})(scope, receive, send)
        elif path == _READY:
            await (await self._readiness())(scope, receive, send)
        else:
            await self._inner(scope, receive, send)

    async def _readiness(self) -> Response:
        ledger, luma = await self._ledger.works(), await self._luma.works()
        states = {"ledger": "ok" if ledger else "cannot be used", "luma": "ok" if luma else "cannot be asked"}
        return JSONResponse({"status": "ok" if ledger else "not ready", **states}, 200 if ledger else 503)


class _CachedProbe:
    """The cached result of a probe, which runs at most once in so many seconds, and once at a time."""

    def __init__(
        self, probe: Callable[[], Awaitable[object]], seconds: float, timeout_seconds: float, now: Callable[[], float]
    ) -> None:
        self._probe = probe
        self._seconds = seconds
        self._timeout_seconds = timeout_seconds
        self._now = now
        self._probed_at: float | None = None
        self._works = False
        self._lock = anyio.Lock()

    async def works(self) -> bool:
        async with self._lock:
            if self._probed_at is None or self._now() - self._probed_at >= self._seconds:
                self._works = await self._check()
                self._probed_at = self._now()
            return self._works

    async def _check(self) -> bool:
        try:
            with anyio.fail_after(self._timeout_seconds):
                await self._probe()
        except (LumaError, TimeoutError):
            return False
        return True
