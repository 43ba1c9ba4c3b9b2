"""Calls over stdio: our runner against the SDK's, and our get_generation against a bare tool that does the same GET."""

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks.apis import APIS, Api
from benchmarks.rows import Row, ratio, spread
from benchmarks.starting import INITIALIZE, INITIALIZED, console_script

ROUNDS, WARMING_UP = 400, 40
THE_SDKS_RUNNER = """
from luma_mcp.composition import build_server
from luma_mcp.config.settings import Settings
build_server(Settings.from_environment()).run()
"""
A_BARE_TOOL = """
import os
import httpx
from mcp.server.mcpserver import MCPServer
server, http = MCPServer("bare"), None
@server.tool()
async def get_generation(generation_id: str) -> dict:
    global http
    http = http or httpx.AsyncClient(headers={"Authorization": "Bearer x"})
    return (await http.get(os.environ["LUMA_BASE_URL"] + "/generations/" + generation_id)).json()
@server.tool()
async def create_image(prompt: str, take: int) -> dict:
    global http
    http = http or httpx.AsyncClient(headers={"Authorization": "Bearer " + os.environ["LUMA_TOKEN"]})
    body = {"model": os.environ["MODEL"], "prompt": prompt}
    return (await http.post(os.environ["POST_URL"], json=body)).json()
server.run()
"""
A_CAREFUL_TOOL = """
import os
import sqlite3
import anyio.to_thread
import httpx
from mcp.server.mcpserver import MCPServer
server = MCPServer("careful")
file = sqlite3.connect(os.environ["LUMA_LEDGER"], isolation_level=None, check_same_thread=False)
file.execute("PRAGMA journal_mode = WAL")
file.execute("PRAGMA synchronous = FULL")
file.execute("CREATE TABLE purchases (take INTEGER PRIMARY KEY, prompt TEXT, generation_id TEXT)")
http = httpx.AsyncClient(
    headers={"Authorization": "Bearer " + os.environ["LUMA_TOKEN"]}, limits=httpx.Limits(max_keepalive_connections=0)
)
@server.tool()
async def create_image(prompt: str, take: int) -> dict:
    await anyio.to_thread.run_sync(file.execute, "INSERT INTO purchases VALUES (?, ?, NULL)", (take, prompt))
    body = {"model": os.environ["MODEL"], "prompt": prompt}
    answer = (await http.post(os.environ["POST_URL"], json=body)).json()
    change = "UPDATE purchases SET generation_id = ? WHERE take = ?"
    await anyio.to_thread.run_sync(file.execute, change, (answer["id"], take))
    return answer
server.run()
"""


class Pipe:
    """A server at the other end of a pipe."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self._ids = itertools.count(2)
        self._send(INITIALIZE)
        self.hello: dict[str, Any] = self._read()["result"]
        self._send(INITIALIZED)

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        self._send({"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params})
        return self._read()["result"]

    def call(self, tool: str, **arguments: Any) -> tuple[float, dict[str, Any]]:
        """Seconds, and the result."""
        started_at = time.perf_counter()
        result = self.ask("tools/call", name=tool, arguments=arguments)
        taken = time.perf_counter() - started_at
        assert not result.get("isError"), result
        return taken, result

    def call_at_once(self, tool: str, calls: list[dict[str, Any]]) -> tuple[float, list[dict[str, Any]]]:
        """Seconds until the last result, and every result in the order of the calls."""
        ids = [next(self._ids) for _ in calls]
        started_at = time.perf_counter()
        for number, arguments in zip(ids, calls, strict=True):
            call = {"name": tool, "arguments": arguments}
            self._send({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": call})
        results: dict[int, dict[str, Any]] = {}
        while len(results) < len(ids):
            message = self._read()
            results[message["id"]] = message["result"]
        return time.perf_counter() - started_at, [results[number] for number in ids]

    def refused(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The result of a call that is refused."""
        result = self.ask("tools/call", name=tool, arguments=arguments)
        assert result["isError"], result
        return result

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        self._process.stdin.flush()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


@contextmanager
def piped(command: list[str], environment: dict[str, str]) -> Generator[Pipe]:
    quiet = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env={**os.environ, **environment}, **quiet) as process:  # type: ignore[call-overload]
        try:
            yield Pipe(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()


@contextmanager
def emulated(*more: str) -> Generator[str]:
    """An emulator in a process of its own, with more arguments; its base URL."""
    command = [sys.executable, "-m", "luma_mcp", "emulator", "--port", "0", "--speed", "1000", "--no-limits", *more]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            words = next(line for line in process.stdout if "http://" in line).split()
            yield next(word.rstrip(".,") for word in words if word.startswith("http://"))
        finally:
            process.terminate()


def rows() -> list[Row]:
    with ExitStack() as stack:
        base_url = stack.enter_context(emulated())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        values = {"LUMA_TOKEN": "x", "LUMA_BASE_URL": base_url, "LUMA_LEDGER": str(folder / "ledger.sqlite3")}
        scripts = {"sdk": THE_SDKS_RUNNER, "bare": A_BARE_TOOL}
        for name, text in scripts.items():
            (folder / f"{name}.py").write_text(text)
        ours = stack.enter_context(piped([sys.executable, str(console_script())], values))
        sdk, bare = (
            stack.enter_context(piped([sys.executable, str(folder / f"{name}.py")], values)) for name in scripts
        )
        generation_id = bought(base_url)
        echo = in_turns(ours, sdk, "list_concepts")
        get = in_turns(ours, bare, "get_generation", generation_id=generation_id)
    return [
        Row("list_concepts over stdio; floor: the same by the SDK's runner", *compared(echo), "<= 0.6x at p50"),
        Row("get_generation over stdio; floor: a bare tool with the same GET", *compared(get), "<= 1.3x at p50"),
        *(row for api in APIS for row in purchase_rows(api)),
    ]


def purchase_rows(api: Api) -> list[Row]:
    """A purchase, and its repeat, at one API."""
    takes = itertools.count(1)
    with ExitStack() as stack:
        base_url = stack.enter_context(emulated())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        values = {
            "LUMA_TOKEN": api.token, "LUMA_BASE_URL": base_url,
            "MODEL": api.model, "POST_URL": base_url.removesuffix("/dream-machine/v1") + api.path,
        }  # fmt: skip

        def started(name: str, command: list[str]) -> Pipe:
            return stack.enter_context(piped(command, {**values, "LUMA_LEDGER": str(folder / f"{name}.sqlite3")}))

        def script(name: str, text: str) -> Pipe:
            (folder / f"{name}.py").write_text(text)
            return started(name, [sys.executable, str(folder / f"{name}.py")])

        def new() -> dict[str, object]:
            return {"prompt": "a boat", "take": next(takes)}

        ours = started("ours", [sys.executable, str(console_script())])
        bare, careful = script("bare", A_BARE_TOOL), script("careful", A_CAREFUL_TOOL)
        buy = in_turns(ours, bare, "create_image", rounds=200, changing=new)
        buy_carefully = in_turns(ours, careful, "create_image", rounds=200, changing=new)
        again = in_turns(ours, bare, "create_image", rounds=200, prompt="a boat", take=1)
    return [
        Row(f"create_image, {api.name}; floor: a bare tool with the same POST", *compared(buy), "<= 1.25x at p50"),
        Row(
            f"create_image, {api.name}; floor: a tool that connects anew and writes to disk before and after its POST",
            *compared(buy_carefully),
            "<= 1.25x at p50",
        ),
        Row(f"the same again, joined, {api.name}; floor: the bare tool, which buys", *compared(again)),
    ]


def bought(base_url: str) -> str:
    body = {"prompt": "a boat", "model": "photon-1"}
    response = httpx.post(
        f"{base_url}/generations/image", json=body, headers={"Authorization": "Bearer x"}, trust_env=False
    )
    return response.json()["id"]


def in_turns(
    item: Pipe,
    other: Pipe,
    tool: str,
    *,
    rounds: int = ROUNDS,
    changing: Callable[[], dict[str, Any]] = dict,
    **arguments: Any,
) -> tuple[list[float], list[float]]:
    seconds: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + WARMING_UP):
        for side, pipe in zip(seconds, (item, other), strict=True):
            taken, _ = pipe.call(tool, **arguments, **changing())
            if number >= WARMING_UP:
                side.append(taken)
    return seconds


def compared(sides: tuple[list[float], list[float]]) -> tuple[str, str, str]:
    ours, floor = sides
    return spread(ours), spread(floor), ratio(ours, floor)
