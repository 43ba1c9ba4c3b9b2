"""What operators ask: health, readiness, metrics."""

import builtins
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from luma_mcp.composition import build_server
from luma_mcp.config.settings import Settings
from luma_mcp.domain.errors import LedgerError, UnreachableError
from luma_mcp.domain.meter import NO_METER
from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.faults import Fault
from luma_mcp.mcp.http import health
from luma_mcp.mcp.http.metrics import prometheus_meter
from luma_mcp.mcp.http.serving import make_app
from tests.support import plain_http
from tests.support.agent import TOKEN, HeldClock, InMemory

pytestmark = pytest.mark.anyio

KEYS = {"anna": "zu8Hq2Lw0vXk4RtB", "metrics": "Yp3Nd7Gs1mJc9FeA", "": "Kq5Wb8Xz2rTh6VuD"}
SECRET_PROMPT = "a boat that nobody may know of"


@pytest.fixture(params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """httpx's transport for ASGI applications is of either; what is tested does not differ."""
    return request.param


class Operated:
    """A server that counts, and those who ask it."""

    def __init__(self, http: httpx.AsyncClient, server: Any) -> None:
        self.http = http
        self.services = server.services

    async def get(self, path: str, person: str | None = None) -> httpx.Response:
        return await self.http.get(
            path, headers={"authorization": f"Bearer {KEYS[person]}"} if person is not None else {}
        )

    async def call(self, person: str, tool: str, **arguments: Any) -> dict[str, Any]:
        return await plain_http.call(self.http, KEYS[person], tool, **arguments)

    async def metrics(self) -> dict[tuple[str, ...], float]:
        """The values by name and labels in alphabetical order, without those of histograms but their counts."""
        found: dict[tuple[str, ...], float] = {}
        for family in text_string_to_metric_families((await self.get("/metrics", "metrics")).text):
            for sample in family.samples:
                if not sample.name.endswith(("_bucket", "_sum", "_created")):
                    found[(sample.name, *(sample.labels[name] for name in sorted(sample.labels)))] = sample.value
        return found


OpenServer = Callable[..., Awaitable[Operated]]


@pytest.fixture
async def opened(transport: InMemory, clock: HeldClock, output: Path, ledger_path: Path) -> AsyncIterator[OpenServer]:
    async with AsyncExitStack() as stack:

        async def build(**environment: str) -> Operated:
            tokens = ",".join(f"{name}:{key}" if name else key for name, key in KEYS.items())
            settings = Settings.from_environment(
                plain_http.variables(output, ledger_path, **{"LUMA_HTTP_TOKENS": tokens, **environment})
            )
            server = build_server(settings, transport=transport, clock=clock, meter=prometheus_meter())
            asgi = httpx.ASGITransport(make_app(server, settings))
            await stack.enter_async_context(server.session_manager.run())
            await stack.enter_async_context(server.services.running())
            caller = await stack.enter_async_context(
                httpx.AsyncClient(transport=asgi, base_url="http://127.0.0.1:8080")
            )
            return Operated(caller, server)

        yield build


@pytest.fixture
async def server(opened: OpenServer) -> Operated:
    return await opened()


async def test_it_is_ready_while_its_ledger_can_be_used(server: Operated) -> None:
    answer = await server.get("/readyz")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "ledger": "ok", "luma": "ok"})


async def test_it_is_not_ready_without_its_ledger(opened: OpenServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    server = await opened(LUMA_LEDGER=str(tmp_path / "file" / "ledger.sqlite3"))
    answer = await server.get("/readyz")

    assert answer.status_code == 503
    assert answer.json() == {"status": "not ready", "ledger": "cannot be used", "luma": "ok"}
    assert (await server.get("/healthz")).status_code == 200


async def test_luma_s_absence_is_reported_and_takes_no_replica_out(server: Operated, emulator: Emulator) -> None:
    emulator.faults.append(Fault("error", path="*", times=100))
    answer = await server.get("/readyz")

    assert (answer.status_code, answer.json()["luma"]) == (200, "cannot be asked")


class Asked:
    """Something that may work, and how often it was asked for."""

    def __init__(self) -> None:
        self.times = 0
        self.error: Exception | None = None
        self.seconds = 0.0

    async def __call__(self) -> None:
        self.times += 1
        await anyio.sleep(self.seconds)
        if self.error is not None:
            raise self.error


async def test_probes_need_no_token_and_cause_no_more_requests() -> None:
    now, asked = [0.0], Asked()
    cached = health._CachedProbe(asked, 30, 5, lambda: now[0])
    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(cached.works)
    assert asked.times == 1

    asked.error = UnreachableError("no way there")
    now[0] = 29.0
    assert await cached.works()
    now[0] = 30.0
    assert not await cached.works()
    asked.error = None
    assert not await cached.works()
    now[0] = 60.0
    assert await cached.works()


async def test_what_does_not_answer_does_not_work() -> None:
    asked = Asked()
    asked.seconds = 10

    assert not await health._CachedProbe(asked, 30, 0.05, lambda: 0.0).works()


async def test_purchases_calls_and_responses_are_counted(
    server: Operated, clock: HeldClock, emulator: Emulator
) -> None:
    await server.call("anna", "create_video", prompt=SECRET_PROMPT, resolution="540p")
    await server.call("anna", "create_video", prompt=SECRET_PROMPT, resolution="540p")
    await server.call("anna", "create_video", prompt=SECRET_PROMPT, resolution="540p", dry_run=True)
    await server.call("", "create_image", prompt=SECRET_PROMPT)
    await server.call("anna", "create_video", prompt="x")
    emulator.dream_machine.billing.credit_cents = 0
    await server.call("anna", "create_video", prompt="another boat")
    found = await server.metrics()

    assert found["luma_purchases_total", "dream_machine", "bought", "anna"] == 1
    assert found["luma_purchases_total", "dream_machine", "joined", "anna"] == 1
    assert found["luma_purchases_total", "dream_machine", "refused", "anna"] == 1
    assert found["luma_purchases_total", "dream_machine", "bought", ""] == 1
    assert found["luma_purchased_usd_total", "dream_machine", "anna"] == pytest.approx(0.4)
    assert found["luma_tool_calls_total", "done", "anna", "create_video"] == 3
    assert found["luma_tool_calls_total", "refused", "anna", "create_video"] == 2
    assert found["luma_tool_seconds_count", "create_video"] == 5
    assert found["luma_api_seconds_count", "dream_machine", "POST", "201"] == 2
    assert found["luma_api_seconds_count", "dream_machine", "POST", "400"] == 1
    assert found["luma_ledger_purchases_today", "accepted"] == 2
    assert found["luma_ledger_purchases_today", "refused"] == 1
    assert found["luma_ledger_usd_today", "accepted"] == pytest.approx(0.4, abs=0.02)
    assert found["luma_waits",] == 0


async def test_what_waits_and_what_is_to_be_done_is_counted(opened: OpenServer, clock: HeldClock) -> None:
    server = await opened(LUMA_MAX_CONCURRENT="1", LUMA_SAVE="all")
    for prompt in ("boat", "harbour", "storm"):
        await server.call("anna", "create_video", prompt=prompt, resolution="540p")
    await server.call("anna", "create_film", shots=[{"prompt": SECRET_PROMPT}], resolution="540p")
    clock.seconds += 60
    found = await server.metrics()

    assert found["luma_queue_purchases", "dream_machine", "video", "anna"] == 2
    assert 60 <= found["luma_queue_oldest_seconds", "dream_machine", "video", "anna"] < 120
    assert [found["luma_jobs", kind] for kind in ("film", "save", "event")] == [1, 1, 0]


async def test_what_is_in_doubt_is_counted_as_that(server: Operated, transport: InMemory) -> None:
    transport.fails_after.append(httpx.ReadTimeout("too late"))
    transport.fails_before.append(httpx.ReadTimeout("too late"))
    await server.call("anna", "create_video", prompt="a boat", resolution="540p")
    found = await server.metrics()

    assert found["luma_purchases_total", "dream_machine", "in doubt", "anna"] == 1
    assert found["luma_api_seconds_count", "dream_machine", "POST", "0"] == 1
    assert found["luma_ledger_purchases_today", "lost"] == 1


async def test_a_mistake_of_ours_is_counted_as_that(server: Operated, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(server.services.purchases, "get_generation", broken)
    await server.call("", "get_generation", generation_id="15b7abb1-3741-4b7e-9615-1f9a16c7442d")

    assert (await server.metrics())["luma_tool_calls_total", "failed", "", "get_generation"] == 1


async def test_no_prompt_link_or_token_is_counted(server: Operated, clock: HeldClock) -> None:
    await server.call("anna", "create_video", prompt=SECRET_PROMPT)
    text = (await server.get("/metrics", "metrics")).text

    assert SECRET_PROMPT not in text
    assert not any(key in text for key in KEYS.values())
    assert TOKEN not in text
    assert "https://" not in text


@pytest.mark.parametrize(("person", "status"), [(None, 401), ("anna", 403), ("metrics", 200), ("", 200)])
async def test_the_metrics_need_a_right(server: Operated, person: str | None, status: int) -> None:
    assert (await server.get("/metrics", person)).status_code == status


async def test_the_token_for_metrics_does_nothing_else(server: Operated, emulator: Emulator) -> None:
    for tool in ("create_video", "get_credits"):
        assert (await server.call("metrics", tool, prompt="a boat"))["isError"]

    assert emulator.dream_machine.billing.purchases() == []


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("resources/read", {"uri": "luma://spending"}),
        ("resources/read", {"uri": "luma://films"}),
        ("resources/subscribe", {"uri": "luma://generations/15b7abb1-3741-4b7e-9615-1f9a16c7442d"}),
        (
            "completion/complete",
            {
                "ref": {"type": "ref/resource", "uri": "luma://generations/{generation_id}"},
                "argument": {"name": "generation_id", "value": ""},
            },
        ),
    ],
)
async def test_the_token_for_metrics_reads_nothing_else(
    opened: OpenServer, method: str, params: dict[str, Any]
) -> None:
    server = await opened(LUMA_HTTP_SHARED="1")
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answers = {
        name: plain_http.message_in(
            (
                await server.http.post(
                    "/mcp", json=message, headers={**plain_http.HEADERS, "authorization": f"Bearer {KEYS[name]}"}
                )
            ).text
        )
        for name in ("metrics", "anna")
    }

    assert answers["metrics"]["error"]["message"] == "You may not read here. Ask who runs this server."
    assert "You may not read" not in str(answers["anna"])


async def test_without_a_connection_no_client_subscribes_for_all(server: Operated) -> None:
    """Before protocol 2026-07-28 a stateless server has no connection that tells persons apart."""
    uri = "luma://generations/15b7abb1-3741-4b7e-9615-1f9a16c7442d"
    answers: list[dict[str, Any]] = []
    for method in ("resources/subscribe", "resources/unsubscribe"):
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"uri": uri}}
        headers = {**plain_http.HEADERS, "authorization": f"Bearer {KEYS['']}"}
        answers.append(plain_http.message_in((await server.http.post("/mcp", json=message, headers=headers)).text))

    assert "keeps no connection over HTTP" in answers[0]["error"]["message"]
    assert answers[1]["result"] == {}


@pytest.mark.parametrize("path", ["/metrics", "/mcp", "/.well-known/oauth-protected-resource"])
async def test_another_name_reaches_no_path(server: Operated, path: str) -> None:
    headers = {"host": "evil.example.com", "authorization": f"Bearer {KEYS['metrics']}"}

    assert (await server.http.get(path, headers=headers)).status_code == 421


async def test_metrics_without_a_ledger_report_it(server: Operated, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_days: int) -> None:
        raise LedgerError("The ledger is gone.")

    monkeypatch.setattr(server.services.purchases, "totals", broken)
    answer = await server.get("/metrics", "metrics")

    assert (answer.status_code, answer.json()["error"]) == (503, "The ledger is gone.")


async def test_without_the_library_the_metrics_state_what_to_install(
    serve: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = builtins.__import__

    def without(name: str, *arguments: Any, **named: Any) -> Any:
        if name == "prometheus_client":
            raise ImportError(name)
        return load(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    assert prometheus_meter() is None
    asgi = httpx.ASGITransport(make_app(serve(), settings))
    async with httpx.AsyncClient(transport=asgi, base_url="http://127.0.0.1") as caller:
        answer = await caller.get("/metrics")

    assert answer.status_code == 501
    assert "uv tool install '.[metrics]'" in answer.text


def test_without_a_meter_nothing_is_counted() -> None:
    NO_METER.count_call("ping", "", "done", 1.0)
    NO_METER.count_purchase("agents", "", "bought", 1.0)
    NO_METER.count_response("agents", "GET", 200, 1.0)
