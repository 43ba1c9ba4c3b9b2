"""What the tests stand on: an agent, a clock that is held, and a network without sockets."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import date, datetime, time
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from mcp import Client
from mcp.types import CallToolResult

from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.dream_machine.account import UnreadableInputError
from luma_mcp.emulator.faults import ConnectionDroppedError
from luma_mcp.emulator.limiter import Limits
from luma_mcp.mcp.adapter import FIELDS_META
from tests.support.secrecy import NEEDLE

# What passes between a client and a server in memory takes a few turns of the event loop.
_TURNS_BEFORE_TIME_PASSES = 50
_MAX_THREAD_SECONDS, _THREAD_POLL_SECONDS = 2.0, 0.0005
TOKEN = f"luma-test-{NEEDLE}"
BASE_URL = "http://127.0.0.1:9/dream-machine/v1"


_DAY = date(2026, 6, 15)


NOON = time(12)


class TimeOfDay:
    """The local time at which the clocks of tests start: noon, or that of `pytest --clock-start`."""

    start = NOON


def unix_time(of_day: time | None = None) -> float:
    """The Unix time of a local time on the fixed day; by default the one at which the clocks of tests start."""
    return datetime.combine(_DAY, of_day or TimeOfDay.start).timestamp()


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what happens beside the test; fail if it has not happened after half a minute."""
    with anyio.fail_after(30):
        while not await is_so():
            await anyio.lowlevel.checkpoint()


def once(test: Any) -> Any:
    """For what takes long because something is rendered: on one event loop and in one era, which make no difference."""
    return pytest.mark.parametrize("era", ["auto"])(pytest.mark.parametrize("anyio_backend", ["asyncio"])(test))


def fields_of(result: CallToolResult) -> dict[str, Any]:
    """The fields of a result: structured, or for what is to be looked at, in `_meta`."""
    return result.structured_content or (result.meta or {})[FIELDS_META]


class Threads:
    """The calls that run in worker threads: time does not pass beside them."""

    running = 0

    @classmethod
    def counted(cls, run_sync: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """`anyio.to_thread.run_sync`, whose calls are counted."""

        async def run(*arguments: Any, **named: Any) -> Any:
            cls.running += 1
            try:
                return await run_sync(*arguments, **named)
            finally:
                cls.running -= 1

        return run


class HeldClock:
    """A clock that moves only when somebody sleeps by it, and then at once. It starts on a fixed day."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.began = unix_time() - 1000.0
        self.wrong_by = 0.0
        """How far our own idea of the time of day is off; Luma's is right."""
        self.sleeps: list[float] = []

    def now(self) -> float:
        return self.seconds

    def luma_wall(self) -> float:
        return self.began + self.seconds

    def wall(self) -> float:
        return self.luma_wall() + self.wrong_by

    def set_time_of_day(self, local: time) -> None:
        """Set the wall's clock, on the fixed day."""
        self.began = unix_time(local) - self.seconds

    async def slept(self, times: int) -> None:
        """Wait until somebody has slept so often since the begin."""
        while len(self.sleeps) < times:
            await anyio.lowlevel.checkpoint()

    async def sleep(self, seconds: float) -> None:
        """Move the clock, once everybody else has done what there was to do."""
        self.sleeps.append(seconds)
        await _turns()
        # A thread may wait for this very sleeper.
        with anyio.move_on_after(_MAX_THREAD_SECONDS):
            while Threads.running:
                await anyio.sleep(_THREAD_POLL_SECONDS)
                await _turns()
        self.seconds += seconds


async def _turns() -> None:
    for _ in range(_TURNS_BEFORE_TIME_PASSES):
        await anyio.lowlevel.checkpoint()


class Wall:
    """A time of day that a test sets."""

    def __init__(self) -> None:
        self.seconds = unix_time()

    def __call__(self) -> float:
        return self.seconds


class InMemory(httpx.AsyncBaseTransport):
    """Leads to the emulator's app without a socket; a dropped connection looks as httpx makes it look."""

    def __init__(self, emulator: Emulator) -> None:
        self._asgi = httpx.ASGITransport(emulator.app)
        self.requests: list[httpx.Request] = []
        self.fails_before: list[Exception] = []
        """What goes wrong on the way there, for the next POSTs."""
        self.fails_after: list[Exception] = []
        """What goes wrong on the way back."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        spends = request.method == "POST"
        if spends and self.fails_before:
            raise self.fails_before.pop(0)
        try:
            answer = await self._asgi.handle_async_request(request)
        except ConnectionDroppedError as error:
            raise httpx.ReadError(str(error)) from error
        if spends and self.fails_after:
            await answer.aclose()
            raise self.fails_after.pop(0)
        return answer


INTERNET: dict[str, bytes] = {}
"""What the emulator finds when it fetches a link."""


async def fetch(url: str) -> bytes:
    """The internet, as far as the emulator sees it in tests."""
    if url in INTERNET:
        return INTERNET[url]
    raise UnreadableInputError(url)


def emulator_of_both(
    clock: HeldClock,
    key: str,
    pictures: Mapping[str, bytes] | None = None,
    limits: Mapping[str, Limits] | None = None,
) -> Emulator:
    """An emulator whose Agents API fetches its own links, and finds pictures in the internet.

    Args:
        clock: how time passes.
        key: the key of the Agents API.
        pictures: PNGs by their addresses.
        limits: by family of models; none by default.
    """

    async def fetch_url(url: str) -> tuple[int, str, bytes]:
        if url in (pictures or {}):
            return 200, "image/png", (pictures or {})[url]
        async with httpx.AsyncClient(transport=httpx.ASGITransport(made.app)) as client:
            answer = await client.get(url)
        return answer.status_code, answer.headers.get("content-type", ""), answer.content

    made = Emulator(
        token=TOKEN, agents_token=key, credit_usd=1000, limits=limits or {}, clock=clock.now, wall=clock.luma_wall,
        fetch=fetch, fetch_url=fetch_url,
    )  # fmt: skip
    return made


class Agent:
    """What a model does: call tools by name, read what comes back."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def result(self, tool: str, **arguments: Any) -> CallToolResult:
        result = await self.client.call_tool(tool, arguments)
        assert NEEDLE not in result.model_dump_json()
        return result

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The structured answer of a call that succeeds."""
        result = await self.result(tool, **arguments)
        assert not result.is_error, text(result)
        return fields_of(result)

    async def refusal(self, tool: str, **arguments: Any) -> str:
        """The sentence of a call that is refused."""
        result = await self.result(tool, **arguments)
        assert result.is_error, result
        return text(result)

    async def make(self, tool: str, **arguments: Any) -> str:
        """Buy and wait; the id of the completed generation."""
        generation_id = (await self.call(tool, **arguments))["generation_id"]
        waited = await self.call("wait_for_generation", generation_ids=[generation_id], timeout_seconds=1800)
        assert [generation["state"] for generation in waited["generations"]] == ["completed"], waited
        return generation_id


def text(result: CallToolResult) -> str:
    return "\n".join(getattr(part, "text", "") for part in result.content)
