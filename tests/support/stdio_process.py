"""Our server as a process, spoken to line by line."""

import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

SECONDS_TO_STOP = 5
INHERITED = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME") or name.startswith("COV")}


def environment_for(base_url: str, output: Path) -> dict[str, str]:
    ledger_path = output.parent / "purchases.sqlite3"
    return {
        "LUMA_TOKEN": "test",
        "LUMA_BASE_URL": base_url,
        "LUMA_OUTPUT_DIR": str(output),
        "LUMA_LEDGER": str(ledger_path),
    }


class Wire:
    """A server process, spoken to line by line."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self.stdin = process.stdin
        self.stdout = BufferedByteReceiveStream(process.stdout)

    async def send_message(self, **message: Any) -> None:
        await self.stdin.send(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    async def next(self) -> dict[str, Any]:
        """The next message."""
        with anyio.fail_after(30):
            return json.loads(await self.stdout.receive_until(b"\n", 1_000_000))

    async def receive(self) -> dict[str, Any]:
        """The next answer; notifications are passed over."""
        while "id" not in (received := await self.next()):
            pass
        return received

    async def shake_hands(self) -> dict[str, Any]:
        client = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
        await self.send_message(id=0, method="initialize", params=client)
        answer = await self.receive()
        await self.send_message(method="notifications/initialized")
        return answer

    async def call(self, number: int, tool: str, **arguments: Any) -> None:
        await self.send_message(id=number, method="tools/call", params={"name": tool, "arguments": arguments})

    async def exit_code(self) -> int:
        with anyio.fail_after(SECONDS_TO_STOP):
            return await self.process.wait()


@asynccontextmanager
async def started(base_url: str, output: Path, *command: str) -> AsyncIterator[Wire]:
    environment = {**INHERITED, **environment_for(base_url, output)}
    arguments = command or (sys.executable, "-m", "luma_mcp")
    process = await anyio.open_process(arguments, env=environment, stderr=None)
    assert process.stdin is not None
    try:
        yield Wire(process)
        # The end of input ends it in good order; only then does it write down what was covered.
        await process.stdin.aclose()
        with anyio.move_on_after(SECONDS_TO_STOP):
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
        await process.aclose()
