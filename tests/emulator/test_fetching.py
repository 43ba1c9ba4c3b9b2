"""Where the emulator reads pictures and clips from: the internet and this machine, never another inside address."""

import http.server
import threading
from collections.abc import Iterator

import anyio
import pytest

from luma_mcp.emulator.fetching import fetch

pytestmark = [pytest.mark.anyio, pytest.mark.medium]


class Redirects(http.server.BaseHTTPRequestHandler):
    """Answers /to/URL with a redirect, and anything else with a text."""

    def do_GET(self) -> None:
        target = self.path.removeprefix("/to/")
        self.send_response(302 if target != self.path else 200)
        if target != self.path:
            self.send_header("Location", target)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"text")

    def log_message(self, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def origin() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Redirects)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


async def read(url: str) -> tuple[int, str, bytes]:
    return await fetch(url, seconds=5, max_bytes=100)


async def test_this_machine_is_read_and_may_redirect_to_itself(origin: str) -> None:
    assert await read(f"{origin}/a") == (200, "text/plain", b"text")
    assert await read(f"{origin}/to/{origin}/a") == (200, "text/plain", b"text")


@pytest.mark.parametrize(
    "inside", ["http://169.254.169.254/latest", "http://10.0.0.1/", "http://[fd00::1]/", "http://0.0.0.0/"]
)
async def test_an_inside_address_is_not_read_at_once_nor_by_a_redirect(origin: str, inside: str) -> None:
    for url in (inside, f"{origin}/to/{inside}"):
        with pytest.raises(OSError, match="inside this network"):
            await read(url)


async def test_the_internet_does_not_lead_back_here(origin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def getaddrinfo(host: str, port: int | None) -> list[tuple[object, ...]]:
        asked.append(host)
        # The name has a public address at first; the connection itself still goes to this machine.
        return [(0, 0, 0, "", ("1.1.1.1" if len(asked) == 1 else "127.0.0.1", port))]

    monkeypatch.setattr(anyio, "getaddrinfo", getaddrinfo)
    with pytest.raises(OSError, match="inside this network"):
        await read(f"{origin}/to/{origin}/a")
    assert len(asked) == 2


async def test_a_name_that_nobody_knows_is_an_error(origin: str) -> None:
    for url in ("http://nobody.invalid/", f"{origin}/to/http://nobody.invalid/"):
        with pytest.raises(OSError, match="ConnectError"):
            await read(url)
