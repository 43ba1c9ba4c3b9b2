"""Fixtures of the tests of the ledger. In all of them the plan of every statement is checked."""

from collections.abc import Iterator

import pytest

from luma_mcp.emulator.app import Emulator
from tests.support import plans
from tests.support.agent import Agent
from tests.support.ledgers import close_later, engine, ledger, other, wall

__all__ = ["close_later", "engine", "ledger", "other", "wall"]


_KNOWN: set[tuple[str, str]] = set()


@pytest.fixture(autouse=True)
def checked_plans(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No statement of the ledger may scan a table, in any test here."""
    with plans.checked(monkeypatch, _KNOWN):
        yield


@pytest.fixture
async def video(agent: Agent, emulator: Emulator) -> str:
    made = await agent.make("create_video", prompt="the source", resolution="540p")
    emulator.dream_machine.billing.entries.clear()
    return made
