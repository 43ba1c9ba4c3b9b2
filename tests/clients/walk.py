"""What each client in Python does: list the tools, buy, wait, look, and err. `python walk.py CLIENT TRANSPORT`.

SERVER is the command line of the server as JSON, SERVER_URL its address over HTTP. It runs in an environment of the
client's own, so it imports nothing of this project.
"""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

COMMAND, *ARGUMENTS = json.loads(os.environ["SERVER"])
URL = os.environ["SERVER_URL"]
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("SERVER", "SERVER_URL")}
# Text, whether there is a picture, and whether it is an error.
Answer = tuple[str, bool, bool]
Call = Callable[[str, dict[str, Any]], Awaitable[Answer]]


def answer_of(result: Any) -> Answer:
    """The answer in a result of the SDK."""
    texts = [part.text for part in result.content if part.type == "text"]
    return "\n".join(texts), any(part.type == "image" for part in result.content), bool(result.isError)


@asynccontextmanager
async def python_sdk(transport: str) -> AsyncIterator[tuple[list[str], Call]]:
    from mcp import ClientSession, StdioServerParameters
    from mcp.client.stdio import stdio_client
    from mcp.client.streamable_http import streamablehttp_client

    server = StdioServerParameters(command=COMMAND, args=ARGUMENTS, env=ENVIRONMENT)
    streams: Any = stdio_client(server) if transport == "stdio" else streamablehttp_client(URL)
    async with streams as (read, write, *_), ClientSession(read, write) as session:
        await session.initialize()

        async def call(tool: str, arguments: dict[str, Any]) -> Answer:
            return answer_of(await session.call_tool(tool, arguments))

        yield [tool.name for tool in (await session.list_tools()).tools], call


@asynccontextmanager
async def langchain(transport: str) -> AsyncIterator[tuple[list[str], Call]]:
    from langchain_core.tools import ToolException
    from langchain_mcp_adapters.client import MultiServerMCPClient

    server: dict[str, Any] = {"transport": "streamable_http", "url": URL}
    if transport == "stdio":
        server = {"transport": "stdio", "command": COMMAND, "args": ARGUMENTS, "env": ENVIRONMENT}
    tools = {tool.name: tool for tool in await MultiServerMCPClient({"luma": server}).get_tools()}

    async def call(tool: str, arguments: dict[str, Any]) -> Answer:
        message = {"type": "tool_call", "id": "1", "name": tool, "args": arguments}
        try:
            result = await tools[tool].ainvoke(message)
        except ToolException as error:
            return str(error), False, True
        return str(result.content), "image" in str(result.content)[:100_000], result.status == "error"

    yield list(tools), call


@asynccontextmanager
async def openai_agents(transport: str) -> AsyncIterator[tuple[list[str], Call]]:
    from agents.mcp import MCPServerStdio, MCPServerStreamableHttp

    if transport == "stdio":
        server: Any = MCPServerStdio(
            {"command": COMMAND, "args": ARGUMENTS, "env": ENVIRONMENT}, client_session_timeout_seconds=60
        )
    else:
        server = MCPServerStreamableHttp({"url": URL}, client_session_timeout_seconds=60)
    async with server:

        async def call(tool: str, arguments: dict[str, Any]) -> Answer:
            return answer_of(await server.call_tool(tool, arguments))

        yield [tool.name for tool in await server.list_tools()], call


@asynccontextmanager
async def mcp_use(transport: str) -> AsyncIterator[tuple[list[str], Call]]:
    from mcp_use import MCPClient

    server: dict[str, Any] = {"url": URL}
    if transport == "stdio":
        server = {"command": COMMAND, "args": ARGUMENTS, "env": ENVIRONMENT}
    client = MCPClient.from_dict({"mcpServers": {"luma": server}})
    session = await client.create_session("luma")

    async def call(tool: str, arguments: dict[str, Any]) -> Answer:
        return answer_of(await session.call_tool(tool, arguments))

    yield [tool.name for tool in await session.list_tools()], call
    await client.close_all_sessions()


CLIENTS = {"python-sdk": python_sdk, "langchain": langchain, "openai-agents": openai_agents, "mcp-use": mcp_use}


async def walk(name: str, transport: str) -> None:
    async with CLIENTS[name](transport) as (names, call):
        assert {"create_image", "view_generation"} <= set(names), names

        text, _, failed = await call("create_image", {"prompt": f"a boat for {name} over {transport}", "format": None})
        assert not failed, text
        found = re.search(r"[0-9a-f]{8}-[0-9a-f-]{27}", text)
        assert found, text

        text, _, _ = await call("wait_for_generation", {"generation_ids": [found[0]]})
        assert "is completed" in text, text

        text, has_picture, _ = await call("view_generation", {"generation_id": found[0]})
        assert has_picture, text

        text, _, failed = await call("create_video", {"prompt": "a boat", "last_frame": "https://a.example/a.png"})
        assert failed, text
        assert "It is called end_frame here" in text, text
    print(f"{name} over {transport}: {len(names)} tools, bought, waited, saw, erred")


if __name__ == "__main__":
    asyncio.run(walk(sys.argv[1], sys.argv[2]))
