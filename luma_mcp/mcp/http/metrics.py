"""`/metrics`: counts of calls, purchases and latencies, as Prometheus reads them."""

from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from luma_mcp.domain.apis import APIS, BackendName
from luma_mcp.domain.errors import LumaError
from luma_mcp.domain.extras import install_hint
from luma_mcp.domain.meter import Outcome, PurchaseOutcome
from luma_mcp.ledger.events import EVENT
from luma_mcp.ledger.outbox import Outbox
from luma_mcp.ledger.purchase_queue import PurchaseQueue
from luma_mcp.ledger.purchases import SAVE
from luma_mcp.ledger.reservation_groups import OPEN_GROUP
from luma_mcp.mcp.persons import current_person
from luma_mcp.mcp.rights import METRICS_PERSON, may_read_metrics
from luma_mcp.mcp.services import Services

_METRICS = "/metrics"
_JOBS = {OPEN_GROUP: "film", SAVE: "save", EVENT: "event"}
_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class PrometheusMeter:
    """Counts, and writes the counts down as Prometheus reads them (extra `metrics`).

    Raises:
        ImportError: prometheus-client is not installed.
    """

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram  # noqa: PLC0415 - an extra

        self._registry = CollectorRegistry()
        options: dict[str, Any] = {"registry": self._registry}
        self._calls = Counter("luma_tool_calls", "Calls of tools.", ("tool", "person", "outcome"), **options)
        self._call_seconds = Histogram(
            "luma_tool_seconds", "How long calls take.", ("tool",), buckets=_BUCKETS, **options
        )
        self._purchases = Counter(
            "luma_purchases", "What became of wishes to buy.", ("backend", "person", "outcome"), **options
        )
        self._usd = Counter("luma_purchased_usd", "Dollars of what was bought.", ("backend", "person"), **options)
        self._responses = Histogram(
            "luma_api_seconds", "How long Luma takes.", ("backend", "method", "status"), buckets=_BUCKETS, **options
        )
        self._today = Gauge("luma_ledger_usd_today", "Dollars of today in the ledger.", ("state",), **options)
        self._states = Gauge("luma_ledger_purchases_today", "Purchases of today in the ledger.", ("state",), **options)
        labels = ("backend", "family", "person")
        self._queued = Gauge("luma_queue_purchases", "Purchases that wait for a slot at Luma.", labels, **options)
        self._oldest = Gauge("luma_queue_oldest_seconds", "How long the oldest of them waits.", labels, **options)
        self._open = Gauge("luma_jobs", "Jobs that the ledger names: films, saves, events.", ("kind",), **options)
        self._waits = Gauge("luma_waits", "Generations that somebody waits for.", **options)

    def count_call(self, tool: str, person: str, outcome: Outcome, seconds: float) -> None:
        """Count a call of a tool."""
        self._calls.labels(tool, person, outcome).inc()
        self._call_seconds.labels(tool).observe(seconds)

    def count_purchase(self, backend: BackendName, person: str, outcome: PurchaseOutcome, usd: float) -> None:
        """Count a purchase, or an attempt."""
        self._purchases.labels(backend, person, outcome).inc()
        self._usd.labels(backend, person).inc(usd)

    def count_response(self, backend: BackendName, method: str, status: int, seconds: float) -> None:
        """Count a response of an API of Luma's."""
        self._responses.labels(backend, method, str(status)).observe(seconds)

    async def page(self, services: Services) -> bytes:
        """All counts, with the present state of the ledger and of the waits. Raises: LedgerError."""
        from prometheus_client import generate_latest  # noqa: PLC0415

        self._today.clear()
        self._states.clear()
        for total in await services.purchases.totals(0):
            self._today.labels(total.state).inc(total.micros / 1e6)
            self._states.labels(total.state).inc(total.purchases)
        await self._read_queue(services)
        self._waits.set(services.poller.tracked)
        return generate_latest(self._registry)

    async def _read_queue(self, services: Services) -> None:
        """Read what waits, and what is to be done, from the ledger. Raises: LedgerError."""
        self._queued.clear()
        self._oldest.clear()
        purchases = services.purchases
        backends = {purchases.account_of(name): name for name in APIS}
        now = await purchases.ledger.now()
        for length in await PurchaseQueue(purchases.ledger).lengths():
            labels = (backends[length.account], length.family, length.person)
            self._queued.labels(*labels).set(length.purchases)
            self._oldest.labels(*labels).set(max(0.0, now - length.oldest_at))
        counts = await Outbox(purchases.ledger).counts()
        for kind, name in _JOBS.items():
            self._open.labels(name).set(counts.get(kind, 0))


class Metrics:
    """Serves `/metrics` to the owner, and to the person with the token of that name.

    Args:
        inner: the application behind.
        services: the services whose state is reported.
        meter: the meter; None if prometheus-client is not installed.
    """

    def __init__(self, inner: ASGIApp, services: Services, meter: PrometheusMeter | None) -> None:
        self._inner = inner
        self._services = services
        self._meter = meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != _METRICS:
            await self._inner(scope, receive, send)
            return
        await (await self._response())(scope, receive, send)

    async def _response(self) -> Response:
        person = current_person()
        if not may_read_metrics(person):
            sentence = f"The metrics are for the owner, and for the token named {METRICS_PERSON} in LUMA_HTTP_TOKENS."
            return JSONResponse({"error": sentence}, 403)
        if self._meter is None:
            sentence = install_hint("metrics")
            return JSONResponse({"error": sentence}, 501)
        try:
            return Response(await self._meter.page(self._services), media_type="text/plain; version=0.0.4")
        except LumaError as error:
            return JSONResponse({"error": error.full_text}, 503)


def prometheus_meter() -> PrometheusMeter | None:
    """The meter; None if its library is not installed."""
    try:
        return PrometheusMeter()
    except ImportError:
        return None
