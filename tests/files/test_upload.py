"""Sending a local file to a link of Luma's answer."""

from collections.abc import Generator

import httpx
import pytest

from luma_mcp.domain.errors import FileError
from luma_mcp.files.upload import Uploader

pytestmark = pytest.mark.anyio

API = "https://agents.lumalabs.ai/v1"


async def public(_host: str, _port: int) -> list[str]:
    return ["93.184.216.34", "93.184.216.35"]


async def private(_host: str, _port: int) -> list[str]:
    return ["10.0.0.1"]


def uploader(*answers: int | Exception, resolve=public) -> tuple[Uploader, list[httpx.Request]]:
    requests: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        answer = answers[min(len(requests), len(answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer)

    return Uploader(api_url=API, transport=httpx.MockTransport(handle), resolve_host=resolve), requests


async def put(upload: Uploader, url: str, headers: dict[str, str], content: tuple[bytes, ...] = (b"ab", b"c")) -> None:
    def blocks() -> Generator[bytes]:
        yield from content

    await upload.put(url, headers, sum(map(len, content)), blocks)


async def test_the_bytes_go_with_the_signed_headers_to_the_checked_address() -> None:
    upload, requests = uploader(200)
    headers = {"Content-Type": "image/png", "Authorization": "Bearer x", "Cookie": "c", "x-amz-meta-a": "1"}
    await put(upload, "https://store.example:8443/f?sig=1", headers)

    (request,) = requests
    assert (request.method, request.content, request.url.host) == ("PUT", b"abc", "93.184.216.34")
    assert request.headers["host"] == "store.example:8443"
    assert (request.headers["content-length"], "transfer-encoding" in request.headers) == ("3", False)
    assert (request.headers["content-type"], request.headers["x-amz-meta-a"]) == ("image/png", "1")
    assert not {"authorization", "cookie"} & set(request.headers)
    assert request.extensions["sni_hostname"] == "store.example"


async def test_it_is_sent_again_when_the_way_or_the_store_fails() -> None:
    upload, requests = uploader(httpx.ConnectError("no"), 503, 200)
    await put(upload, "https://store.example/f", {})

    assert [request.url.host for request in requests] == ["93.184.216.34", "93.184.216.35", "93.184.216.34"]
    assert requests[0].headers["host"] == "store.example"


@pytest.mark.parametrize(
    ("answer", "sentence", "sent"),
    [(403, r"refused by Luma's file store \(403\)", 1), (500, "it failed", 3), (httpx.ReadError("x"), "ReadError", 3)],
)
async def test_a_store_that_does_not_take_it_is_an_error(answer: int | Exception, sentence: str, sent: int) -> None:
    upload, requests = uploader(answer)
    with pytest.raises(FileError, match=sentence) as caught:
        await put(upload, "https://store.example/f", {})

    assert len(requests) == sent
    assert "Nothing was bought" in caught.value.hint


@pytest.mark.parametrize(
    ("url", "resolve"),
    [
        ("http://store.example/f", public),
        ("https://store.example/f", private),
        ("https://me:secret@store.example/f", public),
        ("file:///etc/passwd", public),
    ],
)
async def test_a_link_that_leads_inside_gets_nothing(url: str, resolve) -> None:
    upload, requests = uploader(200, resolve=resolve)
    with pytest.raises(FileError):
        await put(upload, url, {})

    assert requests == []


async def test_a_file_that_cannot_be_read_to_its_end_is_not_sent_again() -> None:
    upload, requests = uploader(200)

    def blocks() -> Generator[bytes]:
        yield b"a"
        raise FileError("changed")

    with pytest.raises(FileError, match="changed"):
        await upload.put("https://store.example/f", {}, 3, blocks)
    assert requests == []
