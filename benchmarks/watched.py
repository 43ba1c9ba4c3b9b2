"""Servers that are looked at while they are used: what each holds at one moment, and how to begin one."""

import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO, TypeVar

import anyio
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

_T = TypeVar("_T")


@dataclass(frozen=True)
class Sight:
    """The resources that a server holds at one moment."""

    minute: float
    memory_mb: float
    handles: int
    sockets: int
    threads: int
    tasks: int
    objects: int


@dataclass
class Watched:
    """A server that is looked at."""

    name: str
    report: Path
    sights: list[Sight] = field(default_factory=list[Sight])

    async def check(self, minute: float) -> Sight:
        """Raises: TimeoutError, if it does not say what it holds."""
        pid = int(json.loads(self.report.read_text())["pid"])
        self.report.unlink()
        os.kill(pid, signal.SIGUSR1)
        with anyio.fail_after(30):
            await until(lambda: anyio.Path(self.report).exists(), every=0.02)
        result = json.loads(self.report.read_text())
        process = Path(f"/proc/{pid}")
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        open_now = _open_in(process)
        sight = Sight(
            minute=minute,
            memory_mb=int(status["VmRSS"].split()[0]) / 1024,
            handles=len(open_now),
            sockets=sum(what.startswith("socket:") for what in open_now),
            threads=int(status["Threads"]),
            tasks=sum(result["tasks"].values()),
            objects=result["objects"],
        )
        self.sights.append(sight)
        return sight


async def until(condition: Callable[[], Awaitable[_T]], every: float = 0.1) -> _T:
    """Ask again and again; the first answer that says something. The caller says for how long at the most."""
    while not (response := await condition()):  # noqa: ASYNC110 - of another process
        await anyio.sleep(every)
    return response


def _open_in(process: Path) -> list[str]:
    """The targets of its handles."""
    targets: list[str] = []
    for handle in (process / "fd").iterdir():
        # It may be closed by now.
        with suppress(FileNotFoundError):
            targets.append(str(handle.readlink()))
    return targets


@asynccontextmanager
async def http_server(watched: Watched, variables: dict[str, str], log: TextIO) -> AsyncGenerator[str]:
    """Its address."""
    command = [sys.executable, "-m", "benchmarks.telling", str(watched.report), "serve", "--http", "--port", "0"]
    process = await anyio.open_process(command, env={**os.environ, **variables}, stdout=log, stderr=log)
    try:
        with anyio.fail_after(60):
            port = await until(lambda: _printed_port(anyio.Path(log.name)))
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        # It has ended by itself where it could not start.
        with suppress(ProcessLookupError):
            process.terminate()
        with anyio.CancelScope(shield=True):
            await process.aclose()


async def _printed_port(log: anyio.Path) -> int | None:
    """The port on which it listens, which it prints once it does."""
    lines = (await log.read_text()).splitlines()
    return next((json.loads(line)["port"] for line in lines if '"serving"' in line), None)


@asynccontextmanager
async def stdio_client_of(watched: Watched, variables: dict[str, str], log: TextIO) -> AsyncGenerator[Client]:
    arguments = ["-m", "benchmarks.telling", str(watched.report)]
    server = StdioServerParameters(command=sys.executable, args=arguments, env={**os.environ, **variables})
    async with Client(stdio_client(server, errlog=log)) as client:
        await client.list_tools()
        yield client
