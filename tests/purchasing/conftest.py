"""What the tests of purchases share."""

from collections.abc import Callable
from pathlib import Path

import pytest

from luma_mcp.emulator.app import Emulator
from luma_mcp.purchasing.ledger import Ledger
from luma_mcp.purchasing.postgres import PostgresStore
from luma_mcp.purchasing.sqlite import SqliteStore
from luma_mcp.purchasing.store import Store
from tests.support.agent import Agent, Wall


@pytest.fixture
async def video(agent: Agent, emulator: Emulator) -> str:
    made = await agent.make("create_video", prompt="the source", resolution="540p")
    emulator.dream_machine.billing.entries.clear()
    return made


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture(params=["file", pytest.param("database", marks=pytest.mark.services)])
def engine(request: pytest.FixtureRequest, ledger_path: Path, wall: Wall) -> Callable[[], Store]:
    """Makes another connection to the same ledger, as another process has."""
    if request.param == "file":
        return lambda: SqliteStore(lambda: ledger_path, now=wall)
    address = request.getfixturevalue("database")

    class Shifted(PostgresStore):
        """A database whose clock the test sets."""

        def transaction(self, work):
            def with_clock(transaction):
                transaction.now = wall
                return work(transaction)

            return super().transaction(with_clock)

    return lambda: Shifted(address)


@pytest.fixture
async def ledger(engine):
    made = Ledger(engine(), account="me", owner="this server")
    yield made
    await made.close()


@pytest.fixture
async def other(engine):
    """The ledger as another server has it."""
    made = Ledger(engine(), account="me", owner="another server")
    yield made
    await made.close()
