"""Real TLS on loopback: certificates, names that are pinned, and the proxy that a company has between."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest
import trustme
from anyio.abc import ByteStream, SocketStream
from anyio.streams.tls import TLSListener

from luma_mcp.backends.dream_machine.client import DreamMachine
from luma_mcp.backends.transport import Transport
from luma_mcp.domain.errors import FileError, UnreachableError
from luma_mcp.domain.generation import Generation, Output
from luma_mcp.files.fetcher import Fetcher
from luma_mcp.files.saved_file import SavedFile
from luma_mcp.files.service import DownloadService
from luma_mcp.net import ssrf as guard
from tests.support.agent import TOKEN, HeldClock

pytestmark = pytest.mark.anyio

MP4 = b"\x00\x00\x00\x18ftypmp42" + b"clip" * 50_000


@pytest.fixture(params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


@dataclass
class Server:
    """Answers everything with a clip, or with a page of credits, over TLS."""

    port: int = 0
    received: bytes = b""

    async def answer(self, stream: ByteStream) -> None:
        async with stream:
            requested = await stream.receive()
            self.received += requested
            body = b'{"credit_balance": 150}' if b"/credits" in requested else MP4
            await stream.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


@dataclass
class Proxy:
    """Opens tunnels, all of which end at one place, and remembers what it was asked."""

    to: int
    port: int = 0
    received: bytes = b""
    opened: list[str] = field(default_factory=list[str])
    refuses: bool = False

    async def answer(self, client: SocketStream) -> None:
        async with client:
            head = await client.receive()
            self.opened.append(head.split()[1].decode())
            self.received += head
            if self.refuses:
                await client.send(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                return
            await client.send(b"HTTP/1.1 200 OK\r\n\r\n")
            async with await anyio.connect_tcp("127.0.0.1", self.to) as server, anyio.create_task_group() as both_ways:
                both_ways.start_soon(self._pass_on, client, server)
                await self._pass_on(server, client)
                both_ways.cancel_scope.cancel()

    async def _pass_on(self, source: SocketStream, sink: SocketStream) -> None:
        try:
            async for block in source:
                self.received += block
                await sink.send(block)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return


@pytest.fixture
def authority(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> trustme.CA:
    """A company's own CA, which this machine trusts by SSL_CERT_FILE."""
    made = trustme.CA()
    place = tmp_path_factory.mktemp("ca") / "ca.pem"
    made.cert_pem.write_to_path(str(place))
    monkeypatch.setenv("SSL_CERT_FILE", str(place))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return made


@asynccontextmanager
async def serving(authority: trustme.CA, *names: str, host: str = "127.0.0.1") -> AsyncIterator[Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    listener = await anyio.create_tcp_listener(local_host=host)
    server = Server(listener.extra_attributes[anyio.abc.SocketAttribute.local_port]())
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(TLSListener(listener, context, standard_compatible=False).serve, server.answer)
        yield server
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def proxied(to: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Proxy]:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    proxy = Proxy(to.port, listener.extra_attributes[anyio.abc.SocketAttribute.local_port]())
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, proxy.answer)
        yield proxy
        tasks.cancel_scope.cancel()


async def unknown(_host: str, _port: int) -> list[str]:
    """What a company's own resolver says of names outside."""
    raise OSError("Name or service not known")


def leads_to(*addresses: str) -> guard.Resolve:
    async def look_up(_host: str, _port: int) -> list[str]:
        return list(addresses)

    return look_up


@pytest.fixture
def loopback_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a server on this machine can stand for one of the internet."""
    monkeypatch.setattr(guard, "is_public_address", lambda address: address in ("127.0.0.1", "::1"))


async def keep(folder: Path, url: str, look_up: guard.Resolve) -> SavedFile:
    async def received(_size: int, _length: int | None) -> None:
        """Nobody listens."""

    async def again(_generation_id: str) -> Generation:
        raise AssertionError("nothing has expired")

    downloads = DownloadService(lambda: folder, Fetcher(api_url="https://api.example/v1", resolve_host=look_up), again)
    try:
        generation = Generation(id="a-clip", state="completed", outputs=(Output("video", url),))
        return await downloads.save(generation, on_bytes=received)
    finally:
        await downloads.close()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_the_certificate_is_that_of_the_name_though_the_address_is_pinned(
    authority: trustme.CA, loopback_is_public: None, tmp_path: Path, address: str
) -> None:
    async with serving(authority, "cdn.example", host=address) as server:
        saved = await keep(tmp_path, f"https://cdn.example:{server.port}/v.mp4", leads_to(address))

    assert saved.path.read_bytes() == MP4
    assert f"Host: cdn.example:{server.port}".encode() in server.received


async def test_every_address_of_a_name_is_tried(
    authority: trustme.CA, loopback_is_public: None, tmp_path: Path
) -> None:
    async with serving(authority, "cdn.example") as server:
        saved = await keep(tmp_path, f"https://cdn.example:{server.port}/v.mp4", leads_to("::1", "127.0.0.1"))

    assert saved.path.read_bytes() == MP4


async def test_another_name_s_certificate_is_refused_and_the_file_not_begun(
    authority: trustme.CA, loopback_is_public: None, tmp_path: Path
) -> None:
    async with serving(authority, "other.example") as server:
        with pytest.raises(FileError, match=r"certificate of cdn\.example is not trusted") as caught:
            await keep(tmp_path, f"https://cdn.example:{server.port}/v.mp4", leads_to("127.0.0.1"))

    assert "SSL_CERT_FILE" in caught.value.hint
    assert server.received == b""
    assert list(tmp_path.iterdir()) == []


async def test_a_download_goes_by_the_proxy_which_knows_the_name(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(authority, "cdn.example") as server, proxied(server, monkeypatch) as proxy:
        saved = await keep(tmp_path, "https://cdn.example/v.mp4", unknown)

    assert saved.path.read_bytes() == MP4
    assert proxy.opened == ["cdn.example:443"]


async def test_what_is_excepted_from_the_proxy_goes_direct_and_pinned(
    authority: trustme.CA, loopback_is_public: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(authority, "cdn.example") as server, proxied(server, monkeypatch) as proxy:
        monkeypatch.setenv("NO_PROXY", "cdn.example")
        saved = await keep(tmp_path, f"https://cdn.example:{server.port}/v.mp4", leads_to("127.0.0.1"))

    assert saved.path.read_bytes() == MP4
    assert proxy.opened == []


@pytest.mark.parametrize(
    ("url", "look_up"),
    [
        ("https://wiki.corp.example/v.mp4", leads_to("10.0.0.7")),
        ("https://10.0.0.7/v.mp4", guard.resolve),
        ("https://intranet/v.mp4", unknown),
        ("https://169.254.169.254/latest", guard.resolve),
    ],
)
async def test_a_proxy_is_no_way_inside(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, look_up: guard.Resolve
) -> None:
    async with serving(authority, "cdn.example") as server, proxied(server, monkeypatch) as proxy:
        with pytest.raises(FileError, match=r"not a public address|cannot be found"):
            await keep(tmp_path, url, look_up)

    assert proxy.opened == []


async def test_the_proxy_sees_neither_the_token_nor_what_is_asked(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    luma = DreamMachine(Transport(TOKEN, base_url="https://api.example/dream-machine/v1", clock=HeldClock()))
    async with serving(authority, "api.example") as server, proxied(server, monkeypatch) as proxy:
        assert await luma.get_credit_usd() == 1.5
        await luma.close()

    assert proxy.opened == ["api.example:443"]
    assert TOKEN.encode() in server.received
    assert TOKEN.encode() not in proxy.received
    assert b"credits" not in proxy.received


async def test_a_proxy_that_refuses_is_named_and_nothing_was_bought(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    luma = DreamMachine(Transport(TOKEN, base_url="https://api.example/dream-machine/v1", clock=HeldClock()))
    async with serving(authority, "api.example") as server, proxied(server, monkeypatch) as proxy:
        proxy.refuses = True
        with pytest.raises(UnreachableError, match="ProxyError") as caught:
            await luma.get_credit_usd()
        await luma.close()

    assert "Nothing was sent" in caught.value.hint
    assert "proxy" in caught.value.hint
    assert server.received == b""


async def test_a_certificate_of_nobody_we_know_is_said_with_what_to_do(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(trustme.CA(), "localhost") as server:
        luma = DreamMachine(Transport(TOKEN, base_url=f"https://localhost:{server.port}/v1", clock=HeldClock()))
        with pytest.raises(UnreachableError, match=r"certificate of https://localhost:.* is not trusted") as caught:
            await luma.get_credit_usd()
        await luma.close()

    assert "SSL_CERT_FILE" in caught.value.hint
    assert server.received == b""
