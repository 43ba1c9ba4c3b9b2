"""Fixtures of the tests of purchases."""

from collections.abc import AsyncIterator

import pytest
from mcp import Client

from luma_mcp.composition import build_server
from luma_mcp.config.settings import Settings
from luma_mcp.emulator.app import Emulator
from tests.support.agent import Agent, HeldClock, InMemory
from tests.support.ledgers import close_later, engine, ledger, other, wall

__all__ = ["close_later", "engine", "ledger", "other", "wall"]


@pytest.fixture
async def working(settings: Settings, transport: InMemory, clock: HeldClock, era: str) -> AsyncIterator[Agent]:
    """An agent of a server that runs jobs."""
    server = build_server(settings, transport=transport, clock=clock, with_jobs=True)
    async with Client(server, mode=era) as client:
        yield Agent(client)


@pytest.fixture
async def video(agent: Agent, emulator: Emulator) -> str:
    made = await agent.make("create_video", prompt="the source", resolution="540p")
    emulator.dream_machine.billing.entries.clear()
    return made
