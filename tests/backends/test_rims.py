"""The rim to httpx and to proxies: whatever that library raises becomes an error of ours, in each of its places."""

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from luma_mcp.backends.dream_machine.client import DreamMachine
from luma_mcp.backends.transport import Transport
from luma_mcp.domain.errors import AmbiguousPurchaseError, LumaError, UnreachableError
from luma_mcp.domain.generation import Generation, Output
from luma_mcp.domain.requests import VideoRequest
from luma_mcp.files.fetcher import Fetcher
from luma_mcp.files.service import DownloadService
from luma_mcp.files.upload import Uploader
from luma_mcp.net.proxies import proxy_for
from luma_mcp.sources.local_files import LocalFile
from tests.support.agent import HeldClock

pytestmark = pytest.mark.anyio
BASE_URL = "https://api.example/dream-machine/v1"
# Raised before anything is sent.
NEVER_LEFT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


def classes_of_httpx() -> Iterator[type[Exception]]:
    for _, value in sorted(vars(httpx).items()):
        if inspect.isclass(value) and issubclass(value, Exception):
            yield value


def made(kind: type[Exception]) -> Exception:
    """An error of that class, whatever its constructor wants."""
    request = httpx.Request("GET", BASE_URL)
    values = {"message": "of a library", "request": request, "response": httpx.Response(500, request=request)}
    wanted = inspect.signature(kind.__init__).parameters
    return kind(**{name: value for name, value in values.items() if name in wanted})


class Raising(httpx.AsyncBaseTransport):
    """A network that raises; at once, or when the body is read."""

    def __init__(self, error: BaseException, *, late: bool) -> None:
        self._error = error
        self._late = late

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if not self._late:
            raise self._error
        return httpx.Response(200, stream=Body(self._error), request=request)


class Body(httpx.AsyncByteStream):
    def __init__(self, error: BaseException) -> None:
        self._error = error

    async def __aiter__(self) -> Any:
        yield b"{"
        raise self._error


async def public(_host: str, _port: int) -> list[str]:
    return ["8.8.8.8"]


@pytest.mark.parametrize("late", [False, True], ids=["at once", "in the body"])
@pytest.mark.parametrize("kind", [*classes_of_httpx(), OSError, ValueError], ids=lambda kind: kind.__name__)
async def test_every_error_of_the_http_client_becomes_ours(kind: type[Exception], late: bool, tmp_path: Path) -> None:
    error = made(kind) if kind not in (OSError, ValueError) else httpx.ReadError("of a library")

    def network() -> Raising:
        return Raising(error, late=late)

    luma = DreamMachine(Transport("x", base_url=BASE_URL, network=network(), clock=HeldClock()))
    request = luma.encode(VideoRequest(model="ray-2", prompt="a boat"))
    with pytest.raises(LumaError):
        await luma.get_credit_usd()
    with pytest.raises(LumaError) as caught:
        await luma.submit(request, request_id="an id")
    sent = late or not isinstance(error, NEVER_LEFT)
    assert isinstance(caught.value, AmbiguousPurchaseError) == sent, "what may have left is never called refused"
    await luma.close()

    async def again(_generation_id: str) -> Generation:
        return generation

    generation = Generation(id="a", state="completed", outputs=(Output("video", "https://cdn.example/a.mp4"),))
    fetcher = Fetcher(api_url=BASE_URL, transport=network(), resolve_host=public)
    downloads = DownloadService(lambda: tmp_path, fetcher, again)
    with pytest.raises(LumaError):
        await downloads.save(generation, on_bytes=_ignore)
    await downloads.close()
    assert list(tmp_path.iterdir()) == []
    if not late:
        with pytest.raises(LumaError):
            await Uploader(api_url=BASE_URL, transport=network(), resolve_host=public).put(
                "https://cdn.example/a", {}, 1, LocalFile.of_bytes("a", "png", b"x").blocks
            )


async def _ignore(_size: int, _length: int | None) -> None:
    """Nobody listens."""


@pytest.mark.parametrize(
    "link",
    ["https://cdn.example/\x7f", "https://cdn.example/" + "x" * 70_000, "https://\u2100.example/a", "https://[x/"],
)
async def test_a_link_that_httpx_refuses_is_an_error_of_ours(link: str, tmp_path: Path) -> None:
    generation = Generation(id="a", state="completed", outputs=(Output("video", link),))

    async def again(_generation_id: str) -> Generation:
        return generation

    network = httpx.MockTransport(lambda request: httpx.Response(404, request=request))
    downloads = DownloadService(
        lambda: tmp_path, Fetcher(api_url=BASE_URL, transport=network, resolve_host=public), again
    )
    with pytest.raises(LumaError):
        await downloads.save(generation, on_bytes=_ignore)
    with pytest.raises(LumaError):
        await Uploader(api_url=BASE_URL, transport=network, resolve_host=public).put(
            link, {}, 1, LocalFile.of_bytes("a", "png", b"x").blocks
        )
    await downloads.close()


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def set_to(**values: str) -> None:
        for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
            for spelled in (name, name.upper()):
                monkeypatch.delenv(spelled, raising=False)
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return set_to


@pytest.mark.parametrize(
    ("values", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://proxy:3128"}, "http://proxy:3128"),
        ({"HTTPS_PROXY": "proxy:3128"}, "http://proxy:3128"),
        ({"ALL_PROXY": "http://proxy:3128"}, "http://proxy:3128"),
        ({"HTTP_PROXY": "http://proxy:3128"}, None),
        ({"HTTPS_PROXY": "http://proxy:3128", "ALL_PROXY": "socks://x:1/"}, "http://proxy:3128"),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "localhost,127.0.0.0/8,[::1],::1"}, "http://proxy:3128"),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "api.example"}, None),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "*"}, None),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": ".example"}, None),
    ],
)
def test_the_proxy_that_is_set_is_used(settings, values: dict[str, str], proxy: str | None) -> None:
    settings(**values)

    assert proxy_for(BASE_URL) == proxy


def test_this_machine_is_reached_without_a_proxy(settings) -> None:
    settings(HTTP_PROXY="http://proxy:3128", HTTPS_PROXY="http://proxy:3128", ALL_PROXY="http://proxy:3128")

    for host in ("127.0.0.1:8085", "localhost:8085", "[::1]:8085"):
        assert proxy_for(f"http://{host}/dream-machine/v1") is None


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("ftp://me:secret@proxy:21", "The proxy ftp://... that is set cannot be used."),
        ("http://", "cannot be used"),
        ("http://proxy:99999", "cannot be used"),
        ("socks4://proxy:1080", "cannot be used"),
        ("socks://127.0.0.1:1080/", "speaks SOCKS, and the package socksio is missing"),
        ("socks5h://127.0.0.1:1080/", "speaks SOCKS, and the package socksio is missing"),
    ],
)
async def test_a_proxy_that_cannot_be_used_is_said_and_nothing_is_sent(
    settings, monkeypatch: pytest.MonkeyPatch, address: str, sentence: str
) -> None:
    settings(ALL_PROXY=address)
    monkeypatch.setattr("luma_mcp.net.proxies.find_spec", lambda _name: None)
    luma = DreamMachine(Transport("x", base_url=BASE_URL, clock=HeldClock()))

    request = luma.encode(VideoRequest(model="ray-2", prompt="a boat"))
    for call in (luma.get_credit_usd, partial(luma.submit, request, request_id="an id")):
        with pytest.raises(UnreachableError) as caught:
            await call()
        assert sentence in str(caught.value)
        assert "Nothing was sent." in caught.value.hint
        assert "secret" not in caught.value.full_text
        assert not isinstance(caught.value, AmbiguousPurchaseError)


def test_a_socks_proxy_is_used_where_its_package_is_there(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings(ALL_PROXY="socks://127.0.0.1:1080/")
    monkeypatch.setattr("luma_mcp.net.proxies.find_spec", lambda _name: object())

    assert proxy_for(BASE_URL) == "socks5://127.0.0.1:1080/"


@pytest.mark.parametrize("base_url", ["https://\u2100.example/v1", "https://api.example/\x00"])
async def test_an_address_that_is_none_is_said_and_nothing_is_sent(base_url: str) -> None:
    network = httpx.MockTransport(lambda request: httpx.Response(200, request=request))
    luma = DreamMachine(Transport("x", base_url=base_url, network=network, clock=HeldClock()))
    request = luma.encode(VideoRequest(model="ray-2", prompt="a boat"))

    with pytest.raises(UnreachableError, match="is no address") as caught:
        await luma.submit(request, request_id="an id")
    assert "Nothing was sent." in caught.value.hint


def test_what_is_no_url_has_no_proxy(settings) -> None:
    settings(ALL_PROXY="http://proxy:3128")

    assert proxy_for("https://[a/") is proxy_for("https://a:99999/") is proxy_for("nothing") is None
