"""The verification of the Agents API."""

import pytest

from luma_mcp.cli.verify import command, report
from luma_mcp.cli.verify.facts import Fact
from luma_mcp.cli.verify.plan import plan
from luma_mcp.config.settings import Settings
from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.faults import Fault
from luma_mcp.emulator.limiter import Limits
from tests.support.agent import HeldClock, InMemory, emulator_of_both

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
API = "The Luma Agents API"
KEY = "luma-api-verified"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings.from_environment(
        {
            "LUMA_AGENTS_API_KEY": KEY,
            "LUMA_AGENTS_BASE_URL": "http://127.0.0.1:9/v1",
            "LUMA_OUTPUT_DIR": str(tmp_path / "output"),
            "LUMA_LEDGER": str(tmp_path / "purchases.sqlite3"),
        }
    )


async def verify(settings: Settings, emulator: Emulator, clock: HeldClock, size: str = "small") -> list[Fact]:
    found = await command.examine(settings, plan(["agents"], size), InMemory(emulator), clock)
    return found[API]


async def test_the_emulator_is_as_assumed_in_every_fact(settings: Settings, clock: HeldClock) -> None:
    emulator = emulator_of_both(clock, KEY, limits={"agents": Limits(30, 10)})

    found = await verify(settings, emulator, clock, "usual")

    assert [fact for fact in found if fact.differs] == []
    assert [fact.name for fact in found if fact.observed == "not observed"] == []
    assert len(found) >= 19


async def test_a_limit_of_the_plan_is_found_with_the_option_for_it(settings: Settings, clock: HeldClock) -> None:
    emulator = emulator_of_both(clock, KEY, limits={"agents": Limits(12, 10)})

    found = await verify(settings, emulator, clock)

    assert report.options(found) == ["--limits 12,10"]


async def test_a_purchase_that_is_refused_is_reported_and_the_rest_goes_on(
    settings: Settings, clock: HeldClock
) -> None:
    emulator = emulator_of_both(clock, KEY)
    emulator.faults.append(Fault("error", method="POST", path="*/generations", status=402, times=2))

    found = await verify(settings, emulator, clock)

    names = [fact.name for fact in found]
    assert "image: refused" in names
    assert "status of a new file" in names
    assert "status of a purchase" not in names
    assert emulator.agents.billing.purchases() == []


async def test_an_api_that_does_not_respond_is_not_observed(settings: Settings, clock: HeldClock) -> None:
    emulator = emulator_of_both(clock, KEY)
    emulator.faults.append(Fault("drop", path="*", times=1000))

    found = await verify(settings, emulator, clock)

    assert {fact.observed for fact in found if fact.assumed} <= {"not observed", "None", ""}
    assert not report.options(found)
