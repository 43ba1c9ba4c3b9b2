"""`python -m benchmarks.faults`: every kind of fault, for every tool that spends, over stdio and HTTP, at both APIs.

Real servers meet a raw Luma that shares no code with them nor with the emulator. A client wants one purchase; it calls
until it hears of an id, or that nobody can say. What counts: nothing is bought twice, every purchase is told by its id
or as in doubt, and the money of each is counted once. All waiting of a purchase is cut short. `--write` puts the tables
into docs/budget.md.
"""

import itertools
import json
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

import anyio
import anyio.abc
import httpx

from benchmarks.rows import PAGE, grid, into_page
from tests.support.http_process import call_over_http, http_process
from tests.support.hurried import hurried
from tests.support.raw_luma import RawLuma, Script, raw
from tests.support.spending_calls import AGENTS_SPENDING, SPENDING, named
from tests.support.stdio_process import Wire, started

BUDGET_PAGE = PAGE.with_name("budget.md")
# What is told of a purchase that nobody can say anything of.
DISPUTED = "disputed"
PATIENCE_SECONDS, RESPONSE_SECONDS, PAUSE_SECONDS, MAX_CALLS = 1.0, 60.0, 0.5, 60
# The clip that other purchases are made of.
CLIP = "11111111-1111-4111-8111-111111111111"
CLIP_BODY = {
    "generation_type": "video", "prompt": "a boat", "model": "ray-2", "aspect_ratio": "16:9", "resolution": "540p",
    "duration": "5s", "_at": "2026-01-01T00:00:00Z",
}  # fmt: skip
TRANSPORTS = ("stdio", "HTTP")

Event = Literal["", "cancelled", "SIGKILL", "SIGTERM", "SIGSTOP"]


@dataclass(frozen=True)
class Kind:
    """The kind of fault.

    Args:
        what: for the table.
        script: what Luma does with the first POST.
        event: what happens to the call or to the server while Luma has not answered.
        patience: after how many seconds the client gives up.
    """

    what: str
    script: Callable[[], Script] = Script
    event: Event = ""
    patience: float = RESPONSE_SECONDS


def _with_response(response: bytes, **options: Any) -> Callable[[], Script]:
    return partial(Script, answer=response, **options)


_HTML = "<html>gateway</html>"
KINDS = (
    Kind("nothing"),
    Kind("the client gives up silently, and calls again", partial(Script, answer_after=3), "", PATIENCE_SECONDS),
    Kind("the client cancels, and calls again", partial(Script, answer_after=3), "cancelled", PATIENCE_SECONDS),
    Kind("accepted; the connection is closed", _with_response(b"")),
    Kind("accepted; half an answer", _with_response(raw(201, '{"id": "', "application/json")[:-3])),
    Kind("accepted; an answer that is not JSON", _with_response(raw(201, _HTML))),
    Kind("accepted; a redirect", _with_response(raw(307, ""))),
    Kind("accepted; a proxy's 403", _with_response(raw(403, _HTML))),
    Kind("accepted; a proxy's 429", _with_response(raw(429, _HTML))),
    Kind("accepted; 504", _with_response(raw(504, ""))),
    Kind("504, and accepted two seconds later", _with_response(raw(504, ""), accept_after=2)),
    Kind("500, and never accepted", _with_response(raw(500, ""), refuses=True)),
    Kind("Luma's own 400", _with_response(raw(400, '{"detail": "No."}', "application/json"), refuses=True)),
    Kind("Luma's own 429", _with_response(raw(429, '{"detail": "Slower."}', "application/json"), refuses=True)),
    Kind("accepted; the server is killed (SIGKILL)", partial(Script, answer_after=30), "SIGKILL"),
    Kind("accepted; the server is ended (SIGTERM)", partial(Script, answer_after=3), "SIGTERM"),
    Kind("accepted; the server is stopped (SIGSTOP), another is asked", partial(Script, answer_after=3), "SIGSTOP"),
)


class Server(Protocol):
    """A server that can be called."""

    process: anyio.abc.Process

    async def call(self, tool: str, arguments: dict[str, Any], patience: float, *, cancel: bool) -> Any:
        """The result; None if the client gave up or the server is gone."""
        ...


class StdioServer:
    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._numbers = itertools.count(1)
        self.process = wire.process

    async def call(self, tool: str, arguments: dict[str, Any], patience: float, *, cancel: bool) -> Any:
        number = next(self._numbers)
        try:
            await self._wire.call(number, tool, **arguments)
            with anyio.move_on_after(patience):
                while True:
                    message = await self._wire.receive()
                    if message["id"] == number:
                        return message["result"]
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.IncompleteRead, TimeoutError):
            return None
        if cancel:
            await self._wire.send_message(method="notifications/cancelled", params={"requestId": number})
        return None


class HttpServer:
    def __init__(self, url: str, process: anyio.abc.Process) -> None:
        self._url = url
        self.process = process

    async def call(self, tool: str, arguments: dict[str, Any], patience: float, *, cancel: bool) -> Any:
        """A client over HTTP cancels by closing the connection; one that is silent leaves it open."""
        client = httpx.AsyncClient(timeout=120, trust_env=False)
        try:
            with anyio.move_on_after(patience):
                return await call_over_http(client, self._url, tool, arguments)
        except (httpx.HTTPError, StopIteration):
            pass
        finally:
            if cancel:
                with anyio.CancelScope(shield=True):
                    await client.aclose()
        return None


@dataclass(frozen=True)
class Api:
    """One of Luma's APIs: the calls that spend there, and what makes a server speak it."""

    name: str
    mark: str
    calls: dict[str, dict[str, Any]]
    patches: tuple[str, ...] = ()


APIS = (
    Api("Dream Machine", "faults", SPENDING),
    Api("Agents API", "agents-faults", AGENTS_SPENDING, ("os.environ['LUMA_TOKEN'] = 'luma-api-test'",)),
)


@asynccontextmanager
async def serving(api: Api, transport: str, base_url: str, output: Path) -> AsyncGenerator[Server]:
    if transport == "stdio":
        async with started(base_url, output, *hurried(*api.patches)) as wire:
            await wire.shake_hands()
            yield StdioServer(wire)
    else:
        command = hurried(*api.patches, arguments=("serve", "--http"))
        async with http_process(base_url, output, *command, LUMA_LOG_LEVEL="CRITICAL") as (url, process):
            yield HttpServer(url, process)


@dataclass
class Outcome:
    """The outcomes of the wishes of one kind over one transport."""

    wanted: int = 0
    bought: int = 0
    reports: int = 0
    disputed: int = 0
    twice: int = 0
    untold: int = 0
    miscounted: int = 0
    mistakes: list[str] = field(default_factory=list[str])


class Run:
    """One kind over one transport: a Luma, a ledger and a server of its own, and one wish for each tool."""

    def __init__(self, api: Api, kind: Kind, transport: str, folder: Path, stack: AsyncExitStack) -> None:
        self._api = api
        self._kind = kind
        self._transport = transport
        self._output = folder / "out"
        self._stack = stack
        self._luma = RawLuma(accepted={CLIP: dict(CLIP_BODY)}, completed={CLIP})
        self._base_url = ""

    async def outcome(self) -> Outcome:
        self._base_url = await self._stack.enter_async_context(self._luma.serving())
        outcome, server = Outcome(), await self._start()
        for tool, call in self._api.calls.items():
            wish, before, counted = named(call, CLIP), set(self._luma.accepted), await _counted(server)
            quote = await server.call(tool, wish | {"dry_run": True}, RESPONSE_SECONDS, cancel=False)
            price = quote["structuredContent"]["price_usd"]
            self._luma.scripts[:] = [self._kind.script()]
            if self._kind.event in ("SIGKILL", "SIGTERM", "SIGSTOP"):
                server = await self._strike(server, tool, wish)
            reported_id = await self._reported(server, tool, wish)
            bought = set(self._luma.accepted) - before
            difference = await _counted(server) - counted
            is_counted = round(difference, 2) == round(price, 2)
            is_disputed = reported_id == DISPUTED
            outcome.wanted += 1
            outcome.bought += len(bought)
            outcome.reports += reported_id in bought
            outcome.disputed += is_disputed
            outcome.twice += max(0, len(bought) - 1)
            outcome.untold += 0 if is_disputed else len(bought - {reported_id})
            outcome.miscounted += not is_counted
            if not is_counted or len(bought) > 1 or not (is_disputed or bought == {reported_id}):
                facts = f"{len(bought)} bought, told {reported_id}, ${difference:.2f} counted of ${price:.2f}"
                outcome.mistakes.append(f"{self._kind.what}, {tool}, {self._transport}: {facts}")
        return outcome

    async def _start(self) -> Server:
        return await self._stack.enter_async_context(serving(self._api, self._transport, self._base_url, self._output))

    async def _reported(self, server: Server, tool: str, wish: dict[str, Any]) -> str | None:
        """Call until there is an id, or until nobody can say."""
        for _ in range(MAX_CALLS):
            result = await server.call(tool, wish, self._kind.patience, cancel=self._kind.event == "cancelled")
            if result is not None and not result.get("isError"):
                return result["structuredContent"]["generation_id"]
            if result is not None and "nobody can say whether it was bought" in str(result):
                return DISPUTED
            await anyio.sleep(PAUSE_SECONDS)
        return None

    async def _strike(self, server: Server, tool: str, wish: dict[str, Any]) -> Server:
        """Send the server a signal once Luma has accepted; another server that shares its ledger."""
        accepted, other = len(self._luma.accepted), await self._start()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(server.call, tool, wish, RESPONSE_SECONDS, cancel=False))
            with anyio.fail_after(RESPONSE_SECONDS):
                while len(self._luma.accepted) == accepted:  # noqa: ASYNC110
                    await anyio.sleep(0.02)
            server.process.send_signal(getattr(signal, self._kind.event))
            if self._kind.event == "SIGSTOP":
                # Its lease runs out meanwhile.
                await anyio.sleep(3)
                await other.call(tool, wish, RESPONSE_SECONDS, cancel=False)
                server.process.send_signal(signal.SIGCONT)
        return other


async def _counted(server: Server) -> float:
    """The cost of the day's purchases, as the server states it."""
    result = await server.call("get_credits", {}, RESPONSE_SECONDS, cancel=False)
    credit = result["structuredContent"]
    return credit["spent_today_usd"] + credit["reserved_usd"]


async def table_of(api: Api, mistakes: list[str]) -> str:
    """Every kind at one API, as Markdown; what is wrong is added to the mistakes."""
    head = ("what goes wrong", *TRANSPORTS, "told by id", "told as in doubt", "bought twice", "not told", "miscounted")
    lines: list[tuple[str, ...]] = [head]
    for kind in KINDS:
        outcomes: list[Outcome] = []
        for transport in TRANSPORTS:
            async with AsyncExitStack() as stack:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                outcomes.append(await Run(api, kind, transport, folder, stack).outcome())
        bought = (f"{outcome.bought} of {outcome.wanted}" for outcome in outcomes)
        names = ("told", "disputed", "twice", "untold", "miscounted")
        counts = (sum(getattr(outcome, name) for outcome in outcomes) for name in names)
        lines.append((kind.what, *bought, *map(str, counts)))
        print(api.name, *lines[-1], sep=" | ", flush=True)
        mistakes += [mistake for outcome in outcomes for mistake in outcome.mistakes]
    return grid(lines)


async def main() -> int:
    mistakes: list[str] = []
    for api in APIS:
        written = await table_of(api, mistakes)
        if "--write" in sys.argv:
            into_page(api.mark, written, BUDGET_PAGE)
    print(json.dumps(mistakes, indent=1))
    return bool(mistakes)


if __name__ == "__main__":
    sys.exit(anyio.run(main))
