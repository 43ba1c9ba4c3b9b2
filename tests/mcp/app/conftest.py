"""The player in a real browser, in a host built on the official bridge of MCP Apps, against the emulator."""

import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.client import advertise
from playwright.async_api import Browser, FrameLocator, Page, async_playwright

from luma_mcp.composition import build_server
from luma_mcp.config.settings import Settings
from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.serving import serving
from tests.support.agent import TOKEN

HERE = Path(__file__).parent
BUNDLE = HERE / "node_modules" / ".bundle" / "host.js"
HOW = "apt-get install chromium; cd tests/mcp/app && npm install && npm run bundle"


@pytest.fixture(params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Playwright knows asyncio only."""
    return request.param


class ManualClock:
    """A clock that a test moves by hand, so that a dream lasts as long as it shall be looked at."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds


class Host:
    """A browser window with a host in it, and the server behind."""

    def __init__(self, page: Page, client: Client, emulator: Emulator, limiter: ManualClock, asset_origin: str) -> None:
        self.page = page
        self.client = client
        self.emulator = emulator
        self.asset_origin = asset_origin
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.troubles: list[str] = []
        self._pass_on = limiter

    @property
    def app(self) -> FrameLocator:
        return self.page.frame_locator("#app")

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """A call as the model makes it; the whole result, as it goes to the page."""
        result = await self.client.call_tool(tool, arguments)
        assert not result.is_error, result
        return plain(result)

    async def make(self, tool: str, **arguments: Any) -> str:
        """Buy something and let it be finished."""
        bought = await self.call(tool, **arguments)
        await self.pass_time(300)
        return bought["structuredContent"]["generation_id"]

    async def pass_time(self, seconds: float) -> None:
        self._pass_on.seconds += seconds
        await self.emulator.dream_machine.settle()

    async def show(
        self,
        tool: str,
        *,
        hears: dict[str, Any] | None = None,
        theme: str = "light",
        loads_nothing: bool = False,
        **arguments: Any,
    ) -> None:
        """What the host does when the model has called a tool: opens its page and hands over the result.

        With `loads_nothing` the files lie on a host that the page may not load from.
        """
        tools = {tool.name: plain(tool) for tool in (await self.client.list_tools()).tools}
        resource = plain((await self.client.read_resource("ui://luma/view")).contents[0])
        if loads_nothing:
            resource["_meta"]["ui"]["csp"]["resourceDomains"] = []
        result = hears or await self.call(tool, **arguments)
        values = {"tool": tools[tool], "input": arguments, "result": result, "resource": resource, "theme": theme}
        await self.page.evaluate("(given) => Host.show(given)", values)
        await self.app.locator(".state[data-state]").wait_for(timeout=10_000)

    async def _carry(self, text: str) -> str:
        requested = json.loads(text)
        self.calls.append((requested["name"], requested.get("arguments", {})))
        return json.dumps(plain(await self.client.call_tool(requested["name"], requested.get("arguments"))))

    def bought(self) -> list[tuple[str, dict[str, Any]]]:
        """The calls of the page that cost money or saved something."""
        return [
            call for call in self.calls if call[0] not in ("wait_for_generation", "wait_for_film", "get_generation")
        ]


def plain(value: Any) -> dict[str, Any]:
    return value.model_dump(by_alias=True, mode="json", exclude_none=True)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    chromium = shutil.which("chromium")
    assert chromium, f"These tests need Chromium: {HOW}"
    assert BUNDLE.exists(), f"These tests need the bridge of MCP Apps: {HOW}"
    async with async_playwright() as playwright:
        quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        started = await playwright.chromium.launch(executable_path=chromium, args=quiet)
        yield started
        await started.close()


@pytest.fixture(params=["auto"])
def era(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
async def host(browser: Browser, output: Path, ledger_path: Path, era: str) -> AsyncIterator[Host]:
    async with hosted(browser, output, ledger_path, era, TOKEN) as made:
        yield made


@pytest.fixture
async def agents_host(browser: Browser, output: Path, ledger_path: Path, era: str) -> AsyncIterator[Host]:
    """A host whose server has a key of the Agents API."""
    async with hosted(browser, output, ledger_path, era, f"luma-api-{TOKEN}") as made:
        yield made


@asynccontextmanager
async def hosted(browser: Browser, output: Path, ledger_path: Path, era: str, key: str) -> AsyncIterator[Host]:
    limiter = ManualClock()
    emulator = Emulator(token=TOKEN, credit_usd=1000, limits={}, clock=limiter.now)
    async with serving(emulator) as base_url:
        settings = Settings.from_environment(
            {
                "LUMA_TOKEN": key,
                "LUMA_BASE_URL": base_url,
                "LUMA_OUTPUT_DIR": str(output),
                "LUMA_LEDGER": str(ledger_path),
            }
        )
        apps = advertise("io.modelcontextprotocol/ui", {"mimeTypes": ["text/html;profile=mcp-app"]})
        async with Client(build_server(settings), mode=era, extensions=[apps]) as client:
            page = await browser.new_page(viewport={"width": 720, "height": 900})
            made = Host(page, client, emulator, limiter, base_url.removesuffix("/dream-machine/v1"))
            page.on("pageerror", lambda error: made.troubles.append(str(error)))
            await page.expose_function("carryToTheServer", made._carry)
            await page.set_content("<!doctype html><body style='margin:0'></body>")
            await page.add_script_tag(path=BUNDLE)
            yield made
            assert made.troubles == []
            await page.close()
