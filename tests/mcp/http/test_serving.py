"""Serving over Streamable HTTP: who is let in, what is refused, and that it is the same server."""

import json
import logging
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, closing, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import anyio
import httpx
import httpx2
import pytest
import uvicorn
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from luma_mcp.composition import build_server
from luma_mcp.config.settings import Settings, SettingsError
from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.serving import serving
from luma_mcp.mcp.http import serving as http_serving
from luma_mcp.mcp.http.body_timeout import BodyTimeout
from luma_mcp.mcp.http.json_log import JsonLines
from luma_mcp.mcp.http.request_framing import RequestFraming
from tests.support.agent import TOKEN
from tests.support.http_process import call_over_http, http_process, http_server
from tests.support.processes import until_elsewhere

pytestmark = [pytest.mark.anyio, pytest.mark.medium]

KEY = "Wm4xT8vKc2LrQ9pZ"
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
WANTED = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


@pytest.fixture(params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """uvicorn is asyncio's."""
    return request.param


def settings(**environment: str) -> Settings:
    return Settings.from_environment({"LUMA_TOKEN": TOKEN, "LUMA_BASE_URL": "http://127.0.0.1:9/x", **environment})


@asynccontextmanager
async def door(**environment: str) -> AsyncIterator[httpx.AsyncClient]:
    """A caller before the application, without a socket."""
    values = settings(**environment)
    server = build_server(values)
    transport = httpx.ASGITransport(http_serving.make_app(server, values))
    async with (
        server.session_manager.run(),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as c,
    ):
        yield c


async def call(caller: httpx.AsyncClient, **headers: str) -> httpx.Response:
    return await caller.post("/mcp", json=PING, headers={**WANTED, **headers})


async def test_health_needs_no_token() -> None:
    async with door(LUMA_HTTP_TOKENS=KEY) as caller:
        answer = await caller.get("/healthz")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": f"Basic {KEY}"}, 401),
        ({"authorization": KEY}, 401),
        ({"authorization": f"Bearer {TOKEN}"}, 401),
        ({"authorization": f"Bearer {KEY}"}, 200),
        ({"authorization": f"bearer {KEY}"}, 200),
        ({"authorization": "Bearer Hn7sB3yFd6JgX5uE"}, 200),
    ],
)
async def test_only_who_has_a_token_is_let_in(message: dict[str, str], status: int) -> None:
    async with door(LUMA_HTTP_TOKENS=f"{KEY},Hn7sB3yFd6JgX5uE") as caller:
        answer = await call(caller, **message)

    assert answer.status_code == status
    assert ("www-authenticate" in answer.headers) == (status == 401)
    assert TOKEN not in answer.text


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ({"host": "luma.example.com"}, 200),
        ({"host": "LUMA.Example.com"}, 200),
        ({"host": "luma.example.com."}, 200),
        ({"host": "Luma.example.com.:8443"}, 200),
        ({"host": "luma.example.com.evil.example.com"}, 421),
        ({"host": "luma.example.com:port"}, 421),
        ({"host": ""}, 421),
        ({"host": "evil.example.com"}, 421),
        ({"host": "127.0.0.1:8080"}, 200),
        ({"origin": "https://chat.example.com"}, 200),
        ({"origin": "https://evil.example.com"}, 403),
        ({"origin": "http://localhost:3000"}, 200),
    ],
)
async def test_a_page_elsewhere_cannot_reach_it_through_a_browser(message: dict[str, str], status: int) -> None:
    values = {"LUMA_HTTP_ALLOWED_HOSTS": "luma.example.com", "LUMA_HTTP_ALLOWED_ORIGINS": "https://chat.example.com"}
    async with door(**values) as caller:
        assert (await call(caller, **message)).status_code == status


async def test_a_body_that_is_far_too_large_is_refused() -> None:
    async with door() as caller:
        answer = await caller.post("/mcp", content=b"x" * (http_serving.MAX_BODY_BYTES + 1), headers=WANTED)

    assert answer.status_code == 413


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "luma.example.com"])
def test_off_loopback_a_token_is_demanded(host: str) -> None:
    values = settings(LUMA_HTTP_HOST=host)
    with pytest.raises(SettingsError, match=f"LUMA_HTTP_TOKENS must be set to serve on {host}"):
        http_serving.make_app(build_server(values), values)

    values = settings(LUMA_HTTP_HOST=host, LUMA_HTTP_TOKENS=KEY)
    assert http_serving.make_app(build_server(values), values)


def test_a_token_that_can_be_guessed_is_refused() -> None:
    with pytest.raises(SettingsError, match="LUMA_HTTP_TOKENS cannot be used: each must have 16 characters"):
        settings(LUMA_HTTP_TOKENS=f"{KEY},short")


def test_tokens_are_not_shown() -> None:
    assert KEY not in repr(settings(LUMA_HTTP_TOKENS=KEY))


class Process:
    """The real program, serving."""

    def __init__(self, tmp_path: Path, *arguments: str, **environment: str) -> None:
        values = {"LUMA_TOKEN": TOKEN, "LUMA_LEDGER": str(tmp_path / "ledger.sqlite3")}
        self.log = tmp_path / "log"
        command = [sys.executable, "-m", "luma_mcp", "serve", "--http", "--port", "0", *arguments]
        self.started = subprocess.Popen(
            command,
            env={**os.environ, "LUMA_LOG_LEVEL": "INFO", **values, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.started.stdout is not None
        self._output = self.started.stdout
        self._received: list[str] = []

    @cached_property
    def port(self) -> int:
        """Where it says that it serves, once it does. Nothing more is said if it has ended."""
        for line in self._output:
            self._received.append(line)
            if '"serving"' in line:
                return json.loads(line)["port"]
        raise AssertionError(self._received)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    def end(self) -> int:
        self.started.send_signal(signal.SIGTERM)
        return self.ended(15)

    def ended(self, within_seconds: float) -> int:
        """Its exit code; what it has said is in the log then."""
        code = self.started.wait(within_seconds)
        with self._output:
            self.log.write_text("".join([*self._received, *self._output]))
        return code


@pytest.fixture
def process(tmp_path: Path):
    made = Process(tmp_path, LUMA_HTTP_TOKENS=KEY, LUMA_BASE_URL="http://127.0.0.1:9/x")
    assert made.port
    yield made
    if made.started.poll() is None:
        made.started.kill()
        made.ended(15)


@asynccontextmanager
async def client_of(url: str, era: str, key: str = KEY) -> AsyncIterator[Client]:
    headers = {"authorization": f"Bearer {key}"}
    async with (
        httpx2.AsyncClient(headers=headers, trust_env=False, timeout=60) as caller,
        Client(streamable_http_client(url, http_client=caller), mode=era) as client,
    ):
        yield client


async def test_the_real_process_speaks_both_eras_and_stops_in_order(process: Process, era: str) -> None:
    async with client_of(process.url, era) as client:
        tools = (await client.list_tools()).tools
        answer: Any = await client.call_tool("create_video", {"prompt": "a boat", "dry_run": True})

    assert len(tools) == 20
    assert answer.structured_content["price_usd"] == 0.71
    began = time.monotonic()
    assert process.end() == 0
    assert time.monotonic() - began < 13
    lines = [json.loads(line) for line in process.log.read_text().splitlines()]
    (serving,) = (line for line in lines if line["message"] == "serving")
    assert (serving["host"], serving["port"], serving["path"]) == ("127.0.0.1", process.port, "/mcp")
    requests = [line for line in lines if line["message"] == "request" and line["path"] == "/mcp"]
    assert requests
    assert all({"time", "level", "method", "status", "milliseconds"} <= set(line) for line in requests)
    assert KEY not in process.log.read_text()
    assert TOKEN not in process.log.read_text()


def test_a_fault_of_our_own_is_one_line_with_its_trace() -> None:
    fault = ZeroDivisionError("by zero")
    record = logging.LogRecord("a", logging.ERROR, "x", 1, "it failed", None, (type(fault), fault, None))
    line = json.loads(JsonLines().format(record))

    assert line["message"] == "it failed"
    assert line["trace"].endswith("ZeroDivisionError: by zero")


def test_no_name_in_a_line_of_the_log_steers_a_terminal() -> None:
    name = "a\x1b[2J\x9b2J\u2028\u202e\ud83d"
    line = JsonLines().format(logging.LogRecord("a", logging.INFO, "x", 1, "%s", (name,), None))

    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["message"] == name


def test_a_client_that_leaves_in_the_middle_of_its_request_is_no_fault(process: Process) -> None:
    head = f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\n"
    head += "Accept: application/json, text/event-stream\r\nExpect: 100-continue\r\n"
    for version in ("", "MCP-Protocol-Version: 2026-07-28\r\n"):
        with socket.create_connection(("127.0.0.1", process.port)) as client:
            client.sendall((head + version + "Content-Length: 900\r\n\r\n").encode())
            # The server says so when it begins to read.
            assert client.recv(100).startswith(b"HTTP/1.1 100 ")
            client.sendall(b'{"jsonrpc"')
    assert process.end() == 0

    message = process.log.read_text()
    assert message.count('"method": "POST"') == 2
    assert "Traceback" not in message


def test_health_needs_no_token_and_the_port_is_the_logged_one(process: Process) -> None:
    answer = httpx.get(f"http://127.0.0.1:{process.port}/healthz", trust_env=False)

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_what_does_not_start_does_not_report_that_it_serves(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed"})

    with suppress(SystemExit):  # newer versions of uvicorn exit by themselves
        await http_serving._Server(uvicorn.Config(broken, port=0, log_config=None), lambda: None).serve()

    assert "serving" not in caplog.messages


def test_what_cannot_be_served_is_one_sentence_and_no_trace(tmp_path: Path) -> None:
    made = Process(tmp_path, "--host", "0.0.0.0", LUMA_BASE_URL="http://127.0.0.1:9/x")

    assert made.ended(30) == 2
    assert made.log.read_text().startswith("dream-machine-mcp cannot start: LUMA_HTTP_TOKENS must be set")
    assert len(made.log.read_text().splitlines()) == 1


PAGE = "https://app.example"


async def test_a_page_of_an_allowed_origin_may_call_it() -> None:
    """A browser asks first, without a token."""
    asked = {"origin": PAGE, "access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    async with door(LUMA_HTTP_TOKENS=KEY, LUMA_HTTP_ALLOWED_ORIGINS=PAGE) as caller:
        preflight = await caller.options("/mcp", headers=asked)
        answer = await call(caller, authorization=f"Bearer {KEY}", origin=PAGE)
        refused = await call(caller, origin=PAGE)
        stranger = await caller.options("/mcp", headers={**asked, "origin": "https://other.example"})
        near = await caller.options("/mcp", headers={**asked, "origin": f"{PAGE}.evil.example"})

    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == PAGE
    assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, PAGE)
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, PAGE)
    for other in (stranger, near):
        assert "access-control-allow-origin" not in other.headers


async def test_there_are_no_documents_about_signing_in() -> None:
    async with door(LUMA_HTTP_TOKENS=KEY) as caller:
        for path in (
            "oauth-protected-resource",
            "oauth-authorization-server",
            "oauth-protected-resource/mcp",
            "mcp.json",
        ):
            assert (await caller.get(f"/.well-known/{path}")).status_code == 404


async def test_a_slash_at_the_end_is_no_redirect_that_would_leave_tls() -> None:
    async with door() as caller:
        answer = await caller.post("/mcp/", json=PING, headers=WANTED)

    assert answer.status_code == 200


@pytest.mark.parametrize("host", ["luma.example.com", "luma.example.com:443", "luma.example.com:8443"])
async def test_a_name_that_is_allowed_may_come_with_any_port(host: str) -> None:
    async with door(LUMA_HTTP_ALLOWED_HOSTS="luma.example.com") as caller:
        assert (await call(caller, host=host)).status_code == 200


async def test_a_name_that_is_not_allowed_is_refused_with_the_setting() -> None:
    async with door() as caller:
        answer = await call(caller, host="luma.example.com")

    assert answer.status_code == 421
    assert answer.json() == {
        "error": "This server does not answer to the name luma.example.com. LUMA_HTTP_ALLOWED_HOSTS must have it."
    }


async def test_a_body_that_does_not_end_holds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await anyio.sleep_forever()

    inner = httpx.ASGITransport(BodyTimeout(echo, seconds=0.2))
    async with httpx.AsyncClient(transport=inner, base_url="http://127.0.0.1") as caller:
        assert (await caller.post("/mcp", content=b"{}")).content == b"{}"
        assert (await caller.post("/mcp", content=slow())).status_code == 408


async def test_a_body_that_does_not_end_is_late_whatever_the_application_makes_of_it() -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await anyio.sleep_forever()

    async def careless(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await Request(scope, receive).body()
        except TimeoutError:
            await Response(status_code=500)(scope, receive, send)

    async def early(scope: Scope, receive: Receive, send: Send) -> None:
        await Response(status_code=413)(scope, receive, send)
        await Request(scope, receive).body()

    statuses: list[int] = []
    for application in (careless, early):
        inner = httpx.ASGITransport(BodyTimeout(application, seconds=0.1), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=inner, base_url="http://127.0.0.1") as caller:
            statuses.append((await caller.post("/mcp", content=slow())).status_code)

    assert statuses == [408, 413]


@pytest.mark.parametrize(
    "headers",
    [
        [("content-length", "2"), ("transfer-encoding", "chunked")],
        [("Transfer-Encoding", "chunked"), ("Content-Length", "2")],
        [("host", "luma.example.com")],
    ],
)
async def test_a_request_without_a_certain_end_is_refused_and_its_connection_closed(
    headers: list[tuple[str, str]],
) -> None:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def never(*_arguments: object) -> Any:
        raise AssertionError

    raw = [(name.encode(), value.encode()) for name, value in [("host", "127.0.0.1"), *headers]]
    await RequestFraming(never)({"type": "http", "method": "POST", "path": "/mcp", "headers": raw}, never, send)

    assert sent[0]["status"] == 400
    assert (b"connection", b"close") in sent[0]["headers"]


async def test_a_time_out_of_what_is_served_is_not_one_of_the_body() -> None:
    async def slow_inside(scope: Scope, receive: Receive, send: Send) -> None:
        await Request(scope, receive).body()
        raise TimeoutError

    inner = httpx.ASGITransport(BodyTimeout(slow_inside))
    async with httpx.AsyncClient(transport=inner, base_url="http://127.0.0.1") as caller:
        with pytest.raises(TimeoutError):
            await caller.post("/mcp", content=b"{}")


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    request = Request(scope, receive)
    await Response(await request.body())(scope, receive, send)


@pytest.mark.slow
def test_half_open_connections_do_not_stop_it(process: Process) -> None:
    head = b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n"
    with ExitStack() as stack:
        for number in range(300):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", process.port)))
            client.sendall(head if number % 2 else head + b"\r\n{")
        answer = httpx.get(f"http://127.0.0.1:{process.port}/healthz", trust_env=False, timeout=1)
        socket.create_connection(("127.0.0.1", process.port)).close()
        silent = stack.enter_context(socket.create_connection(("127.0.0.1", process.port)))
        silent.settimeout(20)

        assert answer.json() == {"status": "ok"}
        assert silent.recv(1) == b"", "who says nothing is hung up on"
    assert process.end() == 0


@pytest.mark.slow
@pytest.mark.parametrize("version", ["2025-11-25", "2025-06-18"])
async def test_an_open_wait_returns_when_the_server_stops(tmp_path: Path, version: str) -> None:
    """As not done yet, so that the client calls again, and reaches another replica."""
    emulator = Emulator(speed=1)
    async with serving(emulator) as base_url, http_process(base_url, tmp_path / "out") as (url, server):
        headers = {**WANTED, "MCP-Protocol-Version": version}
        async with httpx.AsyncClient(timeout=60, trust_env=False, headers=headers) as client:
            bought = await call_over_http(client, url, "create_video", {"prompt": "a boat", "resolution": "540p"})
            ids = [bought["structuredContent"]["generation_id"]]
            answers: list[dict[str, Any]] = []

            async def wait() -> None:
                call = {"generation_ids": ids, "timeout_seconds": 600}
                answers.append(await call_over_http(client, url, "wait_for_generation", call))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait)
                await until_elsewhere(
                    lambda: any(method == "GET" and ids[0] in path for method, path in emulator.requests)
                )
                began = time.monotonic()
                server.terminate()

    assert time.monotonic() - began < 13
    assert [answer["structuredContent"]["done"] for answer in answers] == [False]
    assert answers[0]["structuredContent"]["generations"][0]["generation_id"] == ids[0]


@pytest.mark.slow
@pytest.mark.parametrize("proxy", ["socks4://127.0.0.1:1/", "ftp://127.0.0.1:1/", "http://127.0.0.1:1/"])
async def test_a_purchase_that_never_left_leaves_no_reservation(tmp_path: Path, proxy: str) -> None:
    variables = {"ALL_PROXY": proxy, "NO_PROXY": "localhost,[::1]", "LUMA_LOG_LEVEL": "ERROR"}
    async with (
        http_server("https://api.example/dream-machine/v1", tmp_path / "out", **variables) as url,
        httpx.AsyncClient(timeout=60, trust_env=False) as client,
    ):
        bought = await call_over_http(client, url, "create_image", {"prompt": "a boat"})

    assert bought["isError"] is True
    assert "Nothing was sent." in bought["content"][0]["text"]
    with closing(sqlite3.connect(tmp_path / "purchases.sqlite3")) as ledger:
        assert ledger.execute("SELECT state FROM purchases").fetchall() == [("refused",)]
