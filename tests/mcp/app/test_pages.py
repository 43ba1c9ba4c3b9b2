"""Our server over HTTP in a real browser: which pages may call it, and the page for sending a file."""

from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser

from luma_mcp.composition import build_links
from luma_mcp.config.settings import Settings
from tests.sources.test_local_files import picture
from tests.support.agent import TOKEN
from tests.support.http_process import http_server

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

KEY = "zu8Hq2Lw0vXk4RtB"
PUBLIC = "http://localhost/mcp"
CALL = """async ([url, key]) => {
  const headers = {
    "authorization": `Bearer ${key}`, "content-type": "application/json",
    "accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-11-25",
  };
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "ping" });
  try {
    const answer = await fetch(url, { method: "POST", headers, body });
    return [answer.status, answer.headers.get("www-authenticate")];
  } catch (error) {
    return [0, String(error)];
  }
}"""


class _Blank(BaseHTTPRequestHandler):
    """Answers every request with a page that has nothing in it."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>A page</title>")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def pages() -> Iterator[int]:
    """The port of pages on this machine: a browser lets no other page reach loopback without asking."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Blank) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture
async def url(tmp_path: Path, pages: int) -> AsyncIterator[str]:
    variables = {
        "LUMA_HTTP_TOKENS": KEY,
        "LUMA_HTTP_ALLOWED_ORIGINS": f"http://chat.localhost:{pages}",
        "LUMA_HTTP_PUBLIC_URL": PUBLIC,
        "LUMA_TOKEN": TOKEN,
    }
    async with http_server("http://127.0.0.1:9/x", tmp_path / "out", **variables) as address:
        yield address


@pytest.mark.parametrize(
    ("name", "key", "expected"),
    [
        ("chat.localhost", KEY, [200, None]),
        ("chat.localhost", "wrong", [401, 'Bearer realm="dream-machine-mcp"']),
        ("localhost", KEY, [200, None]),
        ("other.localhost", KEY, [0, "TypeError: Failed to fetch"]),
        ("evil.chat.localhost", KEY, [0, "TypeError: Failed to fetch"]),
    ],
)
async def test_only_pages_of_allowed_origins_call_it(
    browser: Browser, url: str, pages: int, name: str, key: str, expected: list[Any]
) -> None:
    page = await browser.new_page()
    await page.goto(f"http://{name}:{pages}/")

    assert await page.evaluate(CALL, [url, key]) == expected


async def test_a_person_sends_a_picture_by_the_page(browser: Browser, url: str, tmp_path: Path) -> None:
    settings = Settings.from_environment({"LUMA_TOKEN": TOKEN, "LUMA_HTTP_PUBLIC_URL": PUBLIC})
    # The same account as the server's, so the same key seals.
    settings = settings.model_copy(update={"base_url": "http://127.0.0.1:9/x"})
    links = build_links(settings)
    assert links is not None
    link = f"{url.removesuffix('/mcp')}{urlsplit(links.to_send('').url).path}"
    (tmp_path / "hero.png").write_bytes(picture())
    page = await browser.new_page(viewport={"width": 600, "height": 500})
    troubles: list[str] = []
    page.on("console", lambda message: troubles.append(message.text))
    await page.goto(link)
    await page.screenshot(path=tmp_path / "form.png")
    await page.set_input_files("input[type=file]", tmp_path / "hero.png")
    await page.click("button")
    await page.wait_for_selector("text=the file is here")
    await page.screenshot(path=tmp_path / "thanks.png")
    (sent,) = (tmp_path / "out" / "received").glob("upload-*.png")

    assert sent.read_bytes() == picture()
    assert troubles == []
