"""A purchase on bad ways: proxies that fail before it is sent, and responses that are cut."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest

from luma_mcp.backends import transport
from luma_mcp.backends.agents.client import Agents
from luma_mcp.backends.agents.encoding import encode as encode_for_agents
from luma_mcp.backends.dream_machine.client import DreamMachine
from luma_mcp.backends.dream_machine.encoding import encode
from luma_mcp.backends.transport import Transport
from luma_mcp.domain.errors import AmbiguousPurchaseError, UnreachableError
from luma_mcp.domain.requests import VideoRequest
from tests.support.agent import HeldClock
from tests.support.raw_luma import RawLuma, Script, raw

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

ID = "15b7abb1-3741-4b7e-9615-1f9a16c7442d"
WHOLE = json.dumps({"id": ID, "type": "video", "state": "queued", "model": "ray-3.2"})
AGENTS_REQUEST = encode_for_agents(VideoRequest(model="ray-3.2", prompt="a boat"))


class Proxy:
    """A proxy of the tests' own: it reads one head and does what a test says."""

    def __init__(self, manner: str) -> None:
        self.manner = manner
        self.heads: list[bytes] = []

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[str]:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(RESPONSES[self.manner])
            await writer.drain()
            if self.manner == "tunnels, then closes":
                await reader.read(1)
        if self.manner == "resets":
            writer.transport.abort()
        writer.close()


RESPONSES = {
    "closes": b"",
    "resets": b"",
    "junk": b"\x00\x01 this is no HTTP\r\n\r\n",
    "half a head": b"HTTP/1.1 200 Connec",
    "refuses": b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
    "fails": b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\nnone",
    "tunnels, then closes": b"HTTP/1.1 200 Connection established\r\n\r\n",
}


@pytest.mark.parametrize("manner", RESPONSES)
async def test_a_proxy_that_fails_at_connect_is_certainly_not_a_purchase(
    manner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = Proxy(manner)
    async with proxy.serving() as address:
        monkeypatch.setenv("HTTPS_PROXY", address)
        client = Agents(Transport("luma-api-key", base_url="https://agents.example.com/v1", clock=HeldClock()))
        with pytest.raises(UnreachableError, match="cannot be reached") as caught:
            await client.submit(AGENTS_REQUEST, request_id="r")
        await client.close()

    assert "Nothing was sent" in caught.value.hint
    assert [head.split()[0] for head in proxy.heads] == [b"CONNECT"]
    assert all(b"luma-api-key" not in head for head in proxy.heads)


@pytest.mark.parametrize("manner", ["closes", "resets", "junk"])
async def test_a_proxy_that_was_sent_the_purchase_itself_leaves_it_in_doubt(
    manner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without TLS there is no CONNECT: the proxy reads the purchase, and may have passed it on."""
    proxy = Proxy(manner)
    async with proxy.serving() as address:
        monkeypatch.setenv("HTTP_PROXY", address)
        client = Agents(Transport("luma-api-key", base_url="http://agents.example.com/v1", clock=HeldClock()))
        with pytest.raises(AmbiguousPurchaseError):
            await client.submit(AGENTS_REQUEST, request_id="r")
        await client.close()

    assert [head.split()[0] for head in proxy.heads] == [b"POST"]


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        # Before a connection stands.
        ("httpcore._backends.auto.AutoBackend.connect_tcp", UnreachableError),
        # Before anything was traced, so nobody knows.
        ("httpcore.AsyncConnectionPool.handle_async_request", ZeroDivisionError),
    ],
)
async def test_a_mistake_of_a_library_is_no_purchase_only_before_a_connection_stands(
    place: str, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_arguments: object, **_named: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(place, fails)
    client = Agents(Transport("luma-api-key", base_url="http://127.0.0.1:9/v1", clock=HeldClock()))
    with pytest.raises(kind):
        await client.submit(AGENTS_REQUEST, request_id="r")
    with pytest.raises(ZeroDivisionError):
        await client.get_generation(ID)
    await client.close()


async def submit(luma: RawLuma, *, to_agents: bool = True) -> str:
    async with luma.serving() as base_url:
        if to_agents:
            client = Agents(
                Transport("luma-api-key", base_url=base_url.replace("/dream-machine", ""), clock=HeldClock())
            )
            encoded = AGENTS_REQUEST
        else:
            client = DreamMachine(Transport("a-key", base_url=base_url, clock=HeldClock()))
            encoded = encode(VideoRequest(model="ray-2", prompt="a boat"))
        try:
            return (await client.submit(encoded, request_id="r")).id
        finally:
            await client.close()


def cut(body: str, at: int, status: int = 201) -> bytes:
    """A response that promises all of a body and ends in the middle."""
    head, _, data = raw(status, body, "application/json").partition(b"\r\n\r\n")
    return head + b"\r\n\r\n" + data[:at]


@pytest.mark.parametrize("to_agents", [True, False])
@pytest.mark.parametrize("status", [200, 201, 202])
async def test_a_success_with_a_whole_generation_is_a_purchase(status: int, to_agents: bool) -> None:
    luma = RawLuma(scripts=[Script(answer=raw(status, WHOLE, "application/json"))])

    assert await submit(luma, to_agents=to_agents) == ID


@pytest.mark.parametrize("to_agents", [True, False])
@pytest.mark.parametrize("at", [WHOLE.index(ID) + len(ID) + 1, WHOLE.index("queued") + 3, len(WHOLE) - 1])
async def test_a_response_that_is_cut_after_the_id_is_a_purchase(at: int, to_agents: bool) -> None:
    luma = RawLuma(scripts=[Script(answer=cut(WHOLE, at))])

    assert await submit(luma, to_agents=to_agents) == ID


@pytest.mark.parametrize(
    "answer",
    [
        cut(WHOLE, WHOLE.index(ID) + 10),
        cut(WHOLE, 0),
        cut(json.dumps({"trace": {"id": ID}, "id": ID}), 60),
        cut("<html>" + WHOLE, 90),
        cut(WHOLE, 70, status=502),
        cut(json.dumps({"detail": "Invalid API key", "more": 1}), 35, status=401),
    ],
)
async def test_a_response_that_is_cut_before_the_id_leaves_it_in_doubt(answer: bytes) -> None:
    with pytest.raises(AmbiguousPurchaseError):
        await submit(RawLuma(scripts=[Script(answer=answer)]))


@dataclass
class KeepAlive:
    """A Luma that keeps connections open, and counts them.

    Args:
        header: of its responses.
        closes: whether it closes each connection after its response, without a word.
        held: responses wait for this event.
    """

    header: str = ""
    closes: bool = False
    held: asyncio.Event = field(default_factory=asyncio.Event)
    connections: int = 0
    purchases: list[int] = field(default_factory=list[int])
    arrived: asyncio.Queue[int] = field(default_factory=asyncio.Queue[int])
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[Agents]:
        self.held.set()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            client = Agents(Transport("luma-api-key", base_url=f"http://127.0.0.1:{port}/v1", clock=HeldClock()))
            yield client
            await client.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r")[0]))
                self.purchases.append(number)
                self.arrived.put_nowait(number)
                await self.held.wait()
                body = WHOLE.encode()
                writer.write(
                    f"HTTP/1.1 201 Created\r\n{self.header}Content-Length: {len(body)}\r\n\r\n".encode() + body
                )
                await writer.drain()
                if self.closes:
                    break
        writer.close()
        self.closed.set()


async def test_a_series_of_purchases_goes_over_one_connection() -> None:
    luma = KeepAlive()
    async with luma.serving() as client:
        for _ in range(3):
            await client.submit(AGENTS_REQUEST, request_id="r")
    assert luma.purchases == [1, 1, 1]


async def test_a_connection_that_the_other_side_closed_carries_no_purchase() -> None:
    luma = KeepAlive(closes=True)
    async with luma.serving() as client:
        for _ in range(3):
            await client.submit(AGENTS_REQUEST, request_id="r")
            await luma.closed.wait()
    assert luma.purchases == [1, 2, 3]


async def test_a_connection_that_was_idle_for_longer_carries_no_purchase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_PURCHASE_IDLE_SECONDS", 0.001)
    luma = KeepAlive()
    async with luma.serving() as client:
        for _ in range(2):
            await client.submit(AGENTS_REQUEST, request_id="r")
            await asyncio.sleep(0.01)
    assert luma.purchases == [1, 2]


async def test_a_connection_from_before_the_machine_slept_carries_no_purchase(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of the HTTP library stands still meanwhile. One that is in use is not closed."""
    asleep = 0.0
    monkeypatch.setattr(transport, "suspend_aware_now", lambda: time.monotonic() + asleep)
    luma = KeepAlive()
    async with luma.serving() as client:
        asleep = 1.0
        await client.submit(AGENTS_REQUEST, request_id="r")
        luma.held.clear()
        under_way = asyncio.create_task(client.submit(AGENTS_REQUEST, request_id="r"))
        assert [await luma.arrived.get(), await luma.arrived.get()] == [1, 1]
        asleep = 10.0
        later = asyncio.create_task(client.submit(AGENTS_REQUEST, request_id="r"))
        assert await luma.arrived.get() == 2
        luma.held.set()
        await asyncio.gather(under_way, later)
        await client.submit(AGENTS_REQUEST, request_id="r")
        # The first one was closed once nothing was under way on it.
        await luma.closed.wait()
    assert luma.purchases == [1, 1, 2, 2]


@pytest.mark.parametrize(("seconds", "connections"), [(2, [1, 2, 3]), (3, [1, 2, 3]), (4, [1, 1, 1]), (75, [1, 1, 1])])
async def test_a_connection_that_luma_closes_soon_carries_one_purchase(seconds: int, connections: list[int]) -> None:
    luma = KeepAlive(header=f"Keep-Alive: timeout={seconds}, max=100\r\n")
    async with luma.serving() as client:
        for _ in range(3):
            await client.submit(AGENTS_REQUEST, request_id="r")
    assert luma.purchases == connections
