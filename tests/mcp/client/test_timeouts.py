"""A wait is as long as the client lets it be."""

import pytest
from mcp import Client
from mcp.types import Implementation

from tests.support.agent import Agent

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("name", "seconds"),
    [("claude-code", 240), ("codex-mcp-client", 240), ("Visual Studio Code", 240), ("gemini-cli-mcp-client", 20),
     ("claude-ai", 45), ("cursor-vscode", 45), ("", 45)],
)  # fmt: skip
async def test_the_default_follows_the_clients_name(serve, era: str, name: str, seconds: float) -> None:
    async with Client(serve(), mode=era, client_info=Implementation(name=name, version="1")) as client:
        # A generation that is never over while we wait.
        bought = await Agent(client).call("create_video", prompt="a boat")
        waited = await Agent(client).call("wait_for_generation", generation_ids=[bought["generation_id"]])

    assert waited["waited_seconds"] == pytest.approx(min(seconds, 60), abs=6)
