"""What the tests of purchases share."""

import pytest
from support import Agent

from luma_mcp.emulator.app import Emulator


@pytest.fixture
async def video(agent: Agent, emulator: Emulator) -> str:
    made = await agent.make("create_video", prompt="the source", resolution="540p")
    emulator.machine.account.book.clear()
    return made
