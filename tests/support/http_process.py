"""Our server as a process, spoken to over HTTP without the SDK's client."""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import anyio.to_thread
import httpx

from tests.support.processes import free_port, once_it_listens
from tests.support.stdio_process import INHERITED, environment_for

_HEADERS = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"}


@asynccontextmanager
async def http_server(base_url: str, output: Path, *command: str, **variables: str) -> AsyncIterator[str]:
    """A server whose ledger is beside the folder for files; its address."""
    async with http_process(base_url, output, *command, **variables) as (url, _):
        yield url


@asynccontextmanager
async def http_process(
    base_url: str, output: Path, *command: str, **variables: str
) -> AsyncIterator[tuple[str, anyio.abc.Process]]:
    """As `http_server`; its address and its process."""
    port = str(free_port())
    environment = {**INHERITED, **environment_for(base_url, output), **variables, "LUMA_HTTP_PORT": port}
    arguments = command or (sys.executable, "-m", "luma_mcp", "serve", "--http")
    process = await anyio.open_process(arguments, env=environment, stderr=None)
    try:
        await anyio.to_thread.run_sync(once_it_listens, "GET", f"http://127.0.0.1:{port}/healthz")
        yield f"http://127.0.0.1:{port}/mcp", process
    finally:
        if process.returncode is None:
            process.terminate()
        with anyio.CancelScope(shield=True):
            await process.wait()


async def call_over_http(client: httpx.AsyncClient, url: str, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The result of one call. Raises: httpx.HTTPError."""
    call = {"name": tool, "arguments": arguments}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    text = (await client.post(url, json=message, headers=_HEADERS)).text
    data = next(line for line in text.splitlines() if line.startswith(("data: {", "{")))
    return json.loads(data.removeprefix("data: "))["result"]
