"""Messages of MCP 2025-11-25 over plain HTTP, for clients that look at status and headers."""

import json
from pathlib import Path
from typing import Any

import httpx

from tests.support.agent import BASE_URL, TOKEN

HEADERS = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-11-25"}


def variables(output: Path, ledger_path: Path, **environment: str) -> dict[str, str]:
    """The environment of a server that a test builds itself."""
    return {
        "LUMA_TOKEN": TOKEN,
        "LUMA_BASE_URL": BASE_URL,
        "LUMA_OUTPUT_DIR": str(output),
        "LUMA_LEDGER": str(ledger_path),
        **environment,
    }


def tool_call(tool: str, **arguments: Any) -> dict[str, Any]:
    """The message that calls a tool."""
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}


def result_of(answer: httpx.Response) -> dict[str, Any]:
    """The result in an answer."""
    return message_in(answer.text)["result"]


def message_in(text: str) -> dict[str, Any]:
    """The first message of an answer, which may be a stream of events."""
    lines = [line.removeprefix("data: ") for line in text.splitlines()]
    return json.loads(next(line for line in lines if line.startswith("{")))


async def call(http: httpx.AsyncClient, key: str, tool: str, **arguments: Any) -> dict[str, Any]:
    """The result of a call."""
    headers = {**HEADERS, "authorization": f"Bearer {key}"}
    return result_of(await http.post("/mcp", json=tool_call(tool, **arguments), headers=headers))
