"""Paid once, whatever Luma's habits are: how it echoes, dates, orders, pages, lags and spells, times every fault.

Each example is a whole life: purchases are made, one of them goes wrong, the client repeats it as clients do, and in
the end the emulator's own list of charges is compared with what was wanted and with what the ledger says.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp import Client

from luma_mcp.composition import build_server
from luma_mcp.config.settings import Settings
from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.faults import Fault
from luma_mcp.emulator.habits import Dates, Echo, Errors, Habits, More, Order, States
from luma_mcp.purchasing.reconcile import ABSENT_AFTER_SECONDS
from tests.support.agent import BASE_URL, TOKEN, Agent, HeldClock, InMemory
from tests.support.spending_calls import SPENDING, arguments

HABITS = st.builds(
    Habits,
    echo=st.sampled_from(Echo.__args__),
    dates=st.sampled_from(Dates.__args__),
    order=st.sampled_from(Order.__args__),
    more=st.sampled_from(More.__args__),
    page=st.sampled_from([0, 3]),
    list_lag=st.sampled_from([0.0, 2.0, 70.0]),
    get_lag=st.sampled_from([0.0, 5.0]),
    states=st.sampled_from(States.__args__),
    errors=st.sampled_from(Errors.__args__),
    balance_lag=st.sampled_from([0.0, 60.0]),
)
FAULTS = st.sampled_from(
    [
        Fault("drop", method="POST", after=True),
        Fault("drop", method="POST"),
        Fault("error", method="POST", after=True, status=504),
        Fault("error", method="POST", status=502),
        Fault("error", method="POST", after=True, status=403),
        Fault("error", method="POST", after=True, status=429),
        Fault("garble", method="POST"),
        Fault("cut", method="POST"),
        Fault("limit", method="POST", seconds=0),
    ]
)
REPEATS = st.lists(st.sampled_from([0.0, 1.0, 30.0, 75.0, ABSENT_AFTER_SECONDS + 1]), min_size=1, max_size=4)


async def _readable(_url: str) -> bytes:
    """Every link leads to something, so that no generation fails: a failed one is rightly bought anew."""
    return b"a picture"


async def _history(
    tool: str, habits: Habits, fault: Fault, pauses: list[float], folder: Any, *, is_first: bool = False
) -> dict[str, Any]:
    """What a client that repeats its call gets; `is_first`: its server has no earlier purchase in its ledger."""
    clock = HeldClock()
    emulator = Emulator(token=TOKEN, credit_usd=1000, limits={}, clock=clock.now, wall=clock.luma_wall, fetch=_readable)
    environment = {
        "LUMA_TOKEN": TOKEN,
        "LUMA_BASE_URL": BASE_URL,
        "LUMA_OUTPUT_DIR": str(folder),
        "LUMA_LEDGER": str(folder / "purchases.sqlite3"),
        "LUMA_MAX_USD_PER_DAY": "100",
    }

    def serve(**changes: str) -> Client:
        settings = Settings.from_environment(environment | changes)
        return Client(build_server(settings, transport=InMemory(emulator), clock=clock, with_jobs=True))

    async with serve(**({"LUMA_LEDGER": str(folder / "of-somebody-else.sqlite3")} if is_first else {})) as client:
        agent = Agent(client)
        video = await agent.make("create_video", prompt="the source", resolution="540p")
        await agent.call("create_image", prompt="something earlier")
    counted_elsewhere = len(emulator.dream_machine.billing.entries) if is_first else 0
    clock.seconds += 300
    emulator.habits = habits
    async with serve() as client:
        agent = Agent(client)
        before = len(emulator.dream_machine.billing.purchases())
        emulator.faults.append(replace(fault))
        received: list[str] = []
        for pause in [0.0, *pauses]:
            clock.seconds += pause
            result = await agent.result(tool, **arguments(tool, video))
            if result.structured_content is not None:
                received.append(result.structured_content["generation_id"])
        emulator.faults.clear()
        emulator.habits = Habits()
        received = [await _sent(agent, name) for name in received]
        bought = emulator.dream_machine.billing.purchases()[before:]
        await agent.call("get_credits")
        await anyio.sleep(0.05)
        money = await agent.call("get_credits")
    emulator.assets.close()
    return {
        "bought": bought, "received": received, "money": money, "emulator": emulator,
        "counted_elsewhere": counted_elsewhere,
    }  # fmt: skip


async def _sent(agent: Agent, name: str) -> str:
    """The id of a generation, by the id that was received; a purchase that waits for a slot is waited for."""
    if not name.startswith("purchase-"):
        return name
    waited = await agent.call("wait_for_generation", generation_ids=[name], timeout_seconds=1800)
    return waited["generations"][0]["generation_id"]


@pytest.mark.slow
@pytest.mark.parametrize("tool", sorted(SPENDING))
def test_nothing_is_bought_twice_and_no_id_is_lost(tool: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    @settings(max_examples=25, print_blob=True)
    @given(habits=HABITS, fault=FAULTS, pauses=REPEATS, is_first=st.booleans())
    def histories(habits: Habits, fault: Fault, pauses: list[float], is_first: bool) -> None:
        folder = tmp_path_factory.mktemp("life")
        outcome = anyio.run(partial(_history, tool, habits, fault, pauses, folder, is_first=is_first))
        bought, received, money = outcome["bought"], outcome["received"], outcome["money"]

        assert len(bought) <= 1, "bought beyond what was wanted"
        assert set(received) <= set(bought), "an id that is none of ours"
        assert len(set(received)) <= 1
        charged = sum(
            entry.cents / 100 if entry.what == "charge" else -entry.cents / 100
            for entry in outcome["emulator"].dream_machine.billing.entries[outcome["counted_elsewhere"] :]
        )
        assert money["spent_today_usd"] + money["reserved_usd"] >= charged - 0.01, "money that nobody counts"

    histories()


HABIT_CASES = [
    Habits(echo="missing"), Habits(echo="partial"), Habits(echo="trimmed"), Habits(echo="types"),
    Habits(echo="camel"), Habits(echo="string"), Habits(echo="copies"), Habits(echo="rewritten"),
    Habits(echo="enhanced"), Habits(dates="missing"),
    Habits(dates="naive"), Habits(dates="epoch"), Habits(order="oldest"), Habits(order="shuffled"),
    Habits(more="missing"), Habits(more="never"), Habits(page=1), Habits(states="upper"), Habits(states="other"),
    Habits(list_lag=70), Habits(get_lag=5), Habits(balance_lag=60),
]  # fmt: skip


@pytest.mark.parametrize("habits", HABIT_CASES, ids=str)
@pytest.mark.parametrize("after", [True, False])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_lost_answer_costs_once_under_every_habit(habits: Habits, after: bool, is_first: bool, tmp_path) -> None:
    """Repeated at once, after a minute and a half, and when absence would be certain."""
    fault = Fault("drop", method="POST", after=after)
    pauses = [1.0, 90.0, ABSENT_AFTER_SECONDS]
    outcome = anyio.run(partial(_history, "create_video", habits, fault, pauses, tmp_path, is_first=is_first))

    assert len(outcome["bought"]) <= 1
    assert set(outcome["received"]) <= set(outcome["bought"])
    if after and habits.echo in ("faithful", "trimmed", "types", "camel", "string") and habits.dates != "missing":
        assert outcome["received"], "an id that could have been found"


@pytest.mark.anyio
@pytest.mark.parametrize("states", ["upper", "other"])
async def test_a_wait_ends_however_states_are_spelt(agent: Agent, emulator: Emulator, states: States) -> None:
    emulator.habits.states = states
    await agent.make("create_image", prompt="a boat")
    failed = (await agent.call("create_image", prompt="a boat [fail]"))["generation_id"]
    waited = await agent.call("wait_for_generation", generation_ids=[failed], timeout_seconds=600)

    assert (waited["done"], waited["generations"][0]["state"]) == (True, "failed")


@pytest.mark.anyio
async def test_what_was_bought_a_second_ago_is_never_not_found(agent: Agent, emulator: Emulator, clock) -> None:
    emulator.habits.get_lag = 30
    bought = (await agent.call("create_image", prompt="a boat"))["generation_id"]
    state = (await agent.call("get_generation", generation_id=bought))["state"]
    waited = await agent.call("wait_for_generation", generation_ids=[bought], timeout_seconds=600)

    assert state == "unknown"
    assert waited["done"] is True


@pytest.mark.anyio
async def test_the_credit_floor_holds_though_the_balance_lags(serve, emulator: Emulator, era: str) -> None:
    emulator.habits.balance_lag = 60
    floor = str(1000 - 2 * 0.71 - 0.01)
    ids: list[str] = []
    async with Client(serve(LUMA_MIN_CREDIT_USD=floor), mode=era) as client:

        async def buy(take: int) -> None:
            result = await Agent(client).result("create_video", prompt="a boat", take=take)
            if result.structured_content is not None:
                ids.append(result.structured_content["generation_id"])

        async with anyio.create_task_group() as tasks:
            for take in range(1, 21):
                tasks.start_soon(buy, take)

    assert sorted(ids) == sorted(emulator.dream_machine.billing.purchases())
    assert len(ids) == 2
