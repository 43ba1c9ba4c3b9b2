"""The verification of Dream Machine finds each habit of the emulator, and nothing else."""

import pytest

from luma_mcp.cli.verify import command, report
from luma_mcp.cli.verify.facts import Fact
from luma_mcp.cli.verify.plan import plan
from luma_mcp.config.settings import Settings
from luma_mcp.emulator import habits as habits_module
from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.faults import Fault
from luma_mcp.emulator.habits import Habits
from tests.support.agent import HeldClock, InMemory

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
API = "Dream Machine"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def verify(settings: Settings, transport: InMemory, clock: HeldClock, size: str = "small") -> list[Fact]:
    found = await command.examine(settings, plan(["dream_machine"], size), transport, clock)
    return found[API]


@pytest.mark.parametrize(
    "habit",
    [
        "echo=missing", "echo=partial", "echo=trimmed", "echo=types", "echo=camel", "echo=string", "echo=copies",
        "echo=rewritten", "dates=missing", "dates=naive", "dates=epoch", "more=missing", "more=never", "page=1",
        "list_lag=70", "get_lag=12", "balance_lag=40", "states=upper", "states=other", "errors=html", "order=oldest",
    ],
)  # fmt: skip
async def test_a_habit_of_the_emulator_is_found_and_no_other(
    habit: str, settings: Settings, emulator: Emulator, transport: InMemory, clock: HeldClock
) -> None:
    emulator.habits = Habits(**dict([habits_module.parse(habit)]))

    found = await verify(settings, transport, clock)

    assert report.options(found) == [f"--habit {habit}"]


@pytest.mark.parametrize("habit", ["echo=enhanced", "order=shuffled"])
async def test_a_clip_shows_what_pictures_do_not(
    habit: str, settings: Settings, emulator: Emulator, transport: InMemory, clock: HeldClock
) -> None:
    emulator.habits = Habits(**dict([habits_module.parse(habit)]))

    found = await verify(settings, transport, clock, "usual")

    assert report.options(found) == [f"--habit {habit}"]


async def test_three_habits_together_are_found(
    settings: Settings, emulator: Emulator, transport: InMemory, clock: HeldClock
) -> None:
    emulator.habits = Habits(echo="camel", dates="naive", list_lag=30)

    found = await verify(settings, transport, clock)

    assert sorted(report.options(found)) == ["--habit dates=naive", "--habit echo=camel", "--habit list_lag=30"]


async def test_the_emulator_is_as_assumed_in_every_fact(
    settings: Settings, transport: InMemory, clock: HeldClock
) -> None:
    found = await verify(settings, transport, clock, "usual")

    assert [fact for fact in found if fact.differs] == []
    assert [fact.name for fact in found if fact.observed == "not observed"] == []
    assert len(found) >= 25


async def test_what_is_bought_stands_in_the_ledger_and_is_within_the_caps(
    settings: Settings, transport: InMemory, emulator: Emulator, clock: HeldClock
) -> None:
    capped = settings.model_copy(update={"max_usd_per_day": 0.005})

    found = await verify(capped, transport, clock)

    refused = next(fact for fact in found if fact.name == "unreadable: refused")
    assert "day" in refused.observed
    assert len(emulator.dream_machine.billing.purchases()) == 1


async def test_a_generation_that_is_never_found_is_reported_as_such(
    settings: Settings, emulator: Emulator, transport: InMemory, clock: HeldClock
) -> None:
    emulator.habits = Habits(get_lag=5000, list_lag=5000)

    observed = {fact.name: fact.observed for fact in await verify(settings, transport, clock)}

    assert observed["found by its id"] == observed["listed"] == "not within 300 s"
    assert observed["a failed generation is refunded"] == "not observed"


async def test_an_api_that_refuses_every_purchase_is_examined_without(
    settings: Settings, emulator: Emulator, transport: InMemory, clock: HeldClock
) -> None:
    emulator.faults.append(Fault("error", method="POST", path="*/image", status=400, times=100))

    observed = {fact.name: fact.observed for fact in await verify(settings, transport, clock)}

    assert {"image: refused", "unreadable: refused", "ping"} <= set(observed)
    assert observed["order of the list"] == observed["entries of a page"] == "not observed"
    assert "status of a purchase" not in observed


async def test_a_file_that_cannot_be_fetched_is_reported_and_the_rest_is_observed(
    settings: Settings, emulator: Emulator, transport: InMemory, clock: HeldClock
) -> None:
    emulator.faults.append(Fault("error", path="*/assets/*", status=404, times=100))

    observed = {fact.name: fact.observed for fact in await verify(settings, transport, clock)}

    assert "image: its file" not in observed
    assert "image: refused" in observed
    assert observed["status of a purchase"] == "201"


async def test_a_balance_that_is_not_told_leaves_prices_open(
    settings: Settings, emulator: Emulator, transport: InMemory, clock: HeldClock
) -> None:
    emulator.faults.append(Fault("error", path="*/credits", status=404, times=1000))

    observed = {fact.name: fact.observed for fact in await verify(settings, transport, clock)}

    assert observed["image: price in cents"] == "not observed"
    assert observed["credit"] == "NoneType"
