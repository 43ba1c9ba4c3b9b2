"""What operators and their programs ask: is the process there, can it work, and what has it done."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from luma_mcp.domain.catalogue import BackendName
from luma_mcp.domain.errors import LumaError
from luma_mcp.domain.meter import Buying, Outcome
from luma_mcp.mcp.persons import current_person
from luma_mcp.mcp.services import Services

HEALTH, READY, METRICS = "/healthz", "/readyz", "/metrics"
METRICS_PERSON = "metrics"
"""The name of the token that reads the metrics, and does nothing else."""
# How long an answer is kept, and how long one is waited for: a probe waits a second or two itself.
_LEDGER_SECONDS, _LUMA_SECONDS = 2.0, 30.0
_LEDGER_TIMEOUT_SECONDS, _LUMA_TIMEOUT_SECONDS = 2.0, 0.8
_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Healthy:
    """Answers anybody whether the process is there (`/healthz`) and whether it can work (`/readyz`).

    It is ready while its ledger can be used. Luma is asked too and shown, but a server that cannot reach Luma stays
    in: it still says so in a sentence, waits, and serves files, and every other replica would be out at the same time.

    Args:
        inner: what is behind.
        services: what is asked.
        now: a monotonic clock.
    """

    def __init__(self, inner: ASGIApp, services: Services, now: Callable[[], float] = time.monotonic) -> None:
        self._inner = inner
        # Anybody may ask, so nobody can have the ledger or Luma asked at will.
        self._ledger = _CachedProbe(services.purchases.ledger_time, _LEDGER_SECONDS, _LEDGER_TIMEOUT_SECONDS, now)
        self._luma = _CachedProbe(services.backend.ping, _LUMA_SECONDS, _LUMA_TIMEOUT_SECONDS, now)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else ""
        if path == HEALTH:
            await JSONResponse({"status": "ok"})(scope, receive, send)
        elif path == READY:
            await (await self._readiness())(scope, receive, send)
        else:
            await self._inner(scope, receive, send)

    async def _readiness(self) -> Response:
        ledger, luma = await self._ledger.works(), await self._luma.works()
        parts = {"ledger": "ok" if ledger else "cannot be used", "luma": "ok" if luma else "cannot be asked"}
        return JSONResponse({"status": "ok" if ledger else "not ready", **parts}, 200 if ledger else 503)


class _CachedProbe:
    """Whether something works, asked for at most every so many seconds, by one at a time."""

    def __init__(
        self, ask: Callable[[], Awaitable[object]], seconds: float, timeout_seconds: float, now: Callable[[], float]
    ) -> None:
        self._ask = ask
        self._seconds = seconds
        self._timeout_seconds = timeout_seconds
        self._now = now
        self._asked_at: float | None = None
        self._works = False
        self._lock = anyio.Lock()

    async def works(self) -> bool:
        async with self._lock:
            if self._asked_at is None or self._now() - self._asked_at >= self._seconds:
                self._works = await self._answer()
                self._asked_at = self._now()
            return self._works

    async def _answer(self) -> bool:
        try:
            with anyio.fail_after(self._timeout_seconds):
                await self._ask()
        except (LumaError, TimeoutError):
            return False
        return True


class PrometheusMeter:
    """Counts, and writes the counts down as Prometheus reads them (extra `metrics`).

    Raises:
        ImportError: prometheus-client is not installed.
    """

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram  # noqa: PLC0415 - an extra

        self._registry = CollectorRegistry()
        made: dict[str, Any] = {"registry": self._registry}
        self._calls = Counter("luma_tool_calls", "Calls of tools.", ("tool", "person", "outcome"), **made)
        self._call_seconds = Histogram("luma_tool_seconds", "How long calls take.", ("tool",), buckets=_BUCKETS, **made)
        self._purchases = Counter(
            "luma_purchases", "What became of wishes to buy.", ("backend", "person", "outcome"), **made
        )
        self._usd = Counter("luma_purchased_usd", "Dollars of what was bought.", ("backend", "person"), **made)
        self._answers = Histogram(
            "luma_api_seconds", "How long Luma takes.", ("backend", "method", "status"), buckets=_BUCKETS, **made
        )
        self._today = Gauge("luma_ledger_usd_today", "Dollars of today in the ledger.", ("state",), **made)
        self._states = Gauge("luma_ledger_purchases_today", "Purchases of today in the ledger.", ("state",), **made)
        self._waits = Gauge("luma_waits", "Generations that somebody waits for.", **made)

    def called(self, tool: str, person: str, outcome: Outcome, seconds: float) -> None:
        """A tool was called."""
        self._calls.labels(tool, person, outcome).inc()
        self._call_seconds.labels(tool).observe(seconds)

    def purchased(self, backend: BackendName, person: str, outcome: Buying, usd: float) -> None:
        """Somebody wanted to buy something."""
        self._purchases.labels(backend, person, outcome).inc()
        self._usd.labels(backend, person).inc(usd)

    def answered(self, backend: BackendName, method: str, status: int, seconds: float) -> None:
        """An API of Luma's answered."""
        self._answers.labels(backend, method, str(status)).observe(seconds)

    async def page(self, services: Services) -> bytes:
        """Everything that was counted, with what the ledger and the waits are now. Raises: LedgerError."""
        from prometheus_client import generate_latest  # noqa: PLC0415

        self._today.clear()
        self._states.clear()
        for total in await services.purchases.totals(0):
            self._today.labels(total.state).inc(total.micros / 1e6)
            self._states.labels(total.state).inc(total.purchases)
        self._waits.set(services.poller.tracked)
        return generate_latest(self._registry)


class Measured:
    """Answers `/metrics` to the owner, and to who has the token of that name.

    Args:
        inner: what is behind.
        services: what is counted.
        meter: what has counted; None if prometheus-client is not installed.
    """

    def __init__(self, inner: ASGIApp, services: Services, meter: PrometheusMeter | None) -> None:
        self._inner = inner
        self._services = services
        self._meter = meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != METRICS:
            await self._inner(scope, receive, send)
            return
        await (await self._answer())(scope, receive, send)

    async def _answer(self) -> Response:
        person = current_person()
        if not person.is_owner and person.name != METRICS_PERSON:
            sentence = f"The metrics are for the owner, and for the token named {METRICS_PERSON} in LUMA_HTTP_TOKENS."
            return JSONResponse({"error": sentence}, 403)
        if self._meter is None:
            sentence = "Install dream-machine-mcp[metrics]; it brings the library that counts."
            return JSONResponse({"error": sentence}, 501)
        try:
            return Response(await self._meter.page(self._services), media_type="text/plain; version=0.0.4")
        except LumaError as error:
            return JSONResponse({"error": error.full_text}, 503)


def prometheus_meter() -> PrometheusMeter | None:
    """What counts; None if its library is not installed."""
    try:
        return PrometheusMeter()
    except ImportError:
        return None
