"""Connections of clients, at a server on loopback that may have ten."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from luma_mcp.mcp.http import connections
from luma_mcp.mcp.http.connections import HttpConnection

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

LIMIT = 10


@dataclass
class Served:
    """A server, and the requests for `/slow`, which wait until they may end."""

    url: str = ""
    started: asyncio.Event = field(default_factory=asyncio.Event)
    may_end: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            self.started.set()
            await self.may_end.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async def silent(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection that sends nothing."""
        url = httpx.URL(self.url)
        return await asyncio.open_connection(url.host, url.port)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    app = Served()
    config = uvicorn.Config(app, port=0, log_config=None, lifespan="off", http=HttpConnection, limit_concurrency=LIMIT)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    app.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    yield app
    app.may_end.set()
    server.force_exit = True
    await server.shutdown()


@pytest.fixture
async def caller() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as made:
        yield made


async def test_silent_connections_make_room_the_longest_silent_one_first(
    served: Served, caller: httpx.AsyncClient
) -> None:
    idle = [await served.silent() for _ in range(4 * LIMIT)]
    response = await caller.get(f"{served.url}/any")

    assert response.status_code == 200
    for reader, _ in idle[: 3 * LIMIT]:
        assert await reader.read() == b""
    assert not idle[-1][0].at_eof()
    for _, writer in idle:
        writer.close()


async def test_a_connection_that_is_kept_for_later_makes_room_too(served: Served, caller: httpx.AsyncClient) -> None:
    await caller.get(f"{served.url}/any")
    idle = [await served.silent() for _ in range(2 * LIMIT)]
    async with httpx.AsyncClient(trust_env=False, timeout=60) as other:
        assert (await other.get(f"{served.url}/any")).status_code == 200
    # Its connection is closed; a client opens another one.
    assert (await caller.get(f"{served.url}/any")).status_code == 200
    for _, writer in idle:
        writer.close()


async def test_a_request_under_way_is_never_closed(served: Served, caller: httpx.AsyncClient) -> None:
    slow = asyncio.create_task(caller.get(f"{served.url}/slow"))
    await served.started.wait()
    idle = [await served.silent() for _ in range(4 * LIMIT)]
    assert (await caller.get(f"{served.url}/any")).status_code == 200
    served.may_end.set()

    assert (await slow).status_code == 200
    for _, writer in idle:
        writer.close()


async def test_more_requests_at_once_than_connections_are_refused(served: Served, caller: httpx.AsyncClient) -> None:
    slow = [asyncio.create_task(caller.get(f"{served.url}/slow")) for _ in range(LIMIT - 1)]
    await served.started.wait()
    while True:
        refused = await caller.get(f"{served.url}/any")
        if refused.status_code != 200:
            break
    served.may_end.set()

    assert refused.status_code == 503
    assert {(await each).status_code for each in slow} <= {200, 503}


async def test_the_head_of_the_first_request_has_a_limited_time(
    served: Served, monkeypatch: pytest.MonkeyPatch, caller: httpx.AsyncClient
) -> None:
    monkeypatch.setattr(connections, "_HEAD_SECONDS", 0.05)
    reader, writer = await served.silent()
    writer.write(b"GET /any HTTP/1.1\r\nHost: a")

    assert await reader.read() == b""
    writer.close()
    slow = asyncio.create_task(caller.get(f"{served.url}/slow"))
    await served.started.wait()
    await asyncio.sleep(0.1)
    served.may_end.set()
    assert (await slow).status_code == 200
