"""Fixtures of the tests of the ledger."""

import pytest

from luma_mcp.emulator.app import Emulator
from tests.support.agent import Agent
from tests.support.ledgers import close_later, engine, ledger, other, wall

__all__ = ["close_later", "engine", "ledger", "other", "wall"]


@pytest.fixture
async def video(agent: Agent, emulator: Emulator) -> str:
    made = await agent.make("create_video", prompt="the source", resolution="540p")
    emulator.dream_machine.billing.entries.clear()
    return made
