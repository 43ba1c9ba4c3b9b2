"""Both keys, and one of Luma's APIs refused, limited, broken or gone: what the other has is not affected."""

from collections.abc import AsyncIterator, Callable

import pytest
from mcp import Client

from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.faults import Fault
from luma_mcp.emulator.habits import Habits
from luma_mcp.ledger.history import PurchaseHistory
from tests.support.agent import TOKEN, Agent, HeldClock, emulator_of_both

pytestmark = pytest.mark.anyio

KEY = f"luma-api-{TOKEN}"
DREAM_MACHINE, AGENTS = "/dream-machine/*", "/v1/generations*"
OLD_CLIP = {"prompt": "a boat", "model": "ray-flash-2", "resolution": "540p"}
NEW_CLIP = {"prompt": "a boat", "model": "ray-3.2", "resolution": "540p"}
WAYS_OFF: dict[str, Callable[[str], Fault]] = {
    "refused": lambda path: Fault("error", path=path, status=401, times=1000),
    "limited": lambda path: Fault("limit", path=path, seconds=300, times=1000),
    "broken": lambda path: Fault("error", path=path, status=503, times=1000),
    "garbled": lambda path: Fault("garble", path=path, times=1000),
    "gone": lambda path: Fault("error", path=path, status=410, times=1000),
    "silent": lambda path: Fault("drop", path=path, times=1000),
}


@pytest.fixture
def emulator(clock: HeldClock) -> Emulator:
    return emulator_of_both(clock, KEY, {})


@pytest.fixture
async def both(serve) -> AsyncIterator[Agent]:
    async with Client(serve(LUMA_AGENTS_API_KEY=KEY)) as client:
        yield Agent(client)


@pytest.mark.parametrize("way", WAYS_OFF)
async def test_what_the_agents_api_has_is_listed_while_dream_machine_is_off(
    both: Agent, emulator: Emulator, clock: HeldClock, way: str
) -> None:
    old = (await both.call("create_video", **OLD_CLIP))["generation_id"]
    new = (await both.call("create_video", **NEW_CLIP))["generation_id"]
    clock.seconds += 600
    emulator.faults.append(WAYS_OFF[way](DREAM_MACHINE))

    listed = await both.call("list_generations")
    credit = await both.call("get_credits")
    ping = await both.call("ping")

    assert [entry["generation_id"] for entry in listed["generations"]] == [new]
    assert listed["unavailable"].startswith("Generations of Dream Machine are missing: ")
    assert (await both.call("get_generation", generation_id=new))["state"] == "completed"
    assert credit["spent_today_usd"] > 0
    assert credit["unavailable"]
    assert "credit_usd" not in credit
    # Nobody reads what a ping answers.
    assert way == "garbled" or ping["unavailable"].startswith("Dream Machine does not: ")
    assert (await both.call("create_video", **{**NEW_CLIP, "take": 2}))["generation_id"]
    del emulator.faults[-1]
    assert {entry["generation_id"] for entry in (await both.call("list_generations"))["generations"]} >= {old, new}


@pytest.mark.parametrize("way", WAYS_OFF)
async def test_what_dream_machine_has_is_listed_while_the_agents_api_is_off(
    both: Agent, emulator: Emulator, clock: HeldClock, way: str
) -> None:
    old = (await both.call("create_video", **OLD_CLIP))["generation_id"]
    new = (await both.call("create_video", **NEW_CLIP))["generation_id"]
    clock.seconds += 600
    emulator.faults.append(WAYS_OFF[way](AGENTS))

    listed = await both.call("list_generations")

    states = {entry["generation_id"]: entry["state"] for entry in listed["generations"]}
    assert states == {old: "completed", new: "unknown"}
    assert listed["unavailable"].startswith("Generations of the Luma Agents API are missing: ")
    assert (await both.call("get_generation", generation_id=old))["state"] == "completed"
    assert (await both.call("get_credits"))["credit_usd"] > 0
    assert (await both.call("create_video", **{**OLD_CLIP, "take": 2}))["generation_id"]


async def test_a_refund_of_one_api_frees_the_cap_while_the_other_is_off(
    serve, emulator: Emulator, clock: HeldClock
) -> None:
    async with Client(serve(LUMA_AGENTS_API_KEY=KEY, LUMA_MAX_USD_PER_DAY="0.20")) as client:
        agent = Agent(client)
        await agent.call("create_video", **{**NEW_CLIP, "prompt": "a boat [fail: too wild]"})
        clock.seconds += 600
        emulator.faults.append(WAYS_OFF["broken"](DREAM_MACHINE))

        assert (await agent.call("create_video", **NEW_CLIP))["generation_id"]


async def test_what_luma_has_retired_is_not_blamed_on_the_arguments(both: Agent, emulator: Emulator) -> None:
    emulator.faults.append(WAYS_OFF["gone"]("/dream-machine/*/credits"))
    emulator.faults.append(WAYS_OFF["gone"](DREAM_MACHINE))

    ping = await both.call("ping")

    assert "Luma has retired this (410)." in ping["unavailable"]
    assert "Change the arguments" not in ping["unavailable"]


async def test_a_server_with_one_key_states_what_is_wrong_with_it(serve, emulator: Emulator) -> None:
    async with Client(serve(LUMA_AGENTS_API_KEY=KEY)) as client:
        agent = Agent(client)
        emulator.faults.extend([WAYS_OFF["broken"](DREAM_MACHINE), WAYS_OFF["broken"]("/v1/*")])
        assert "failed to answer (503)" in await agent.refusal("ping")
    async with Client(serve()) as client:
        agent = Agent(client)
        for tool in ("ping", "list_generations", "get_credits"):
            assert "failed to answer (503)" in await agent.refusal(tool)


READS = {
    "get_generation": lambda generation_id: {"generation_id": generation_id},
    "wait_for_generation": lambda generation_id: {"generation_ids": [generation_id], "timeout_seconds": 0},
    "view_generation": lambda generation_id: {"generation_id": generation_id},
    "download_generation": lambda generation_id: {"generation_ids": [generation_id]},
    "extend_video": lambda generation_id: {"generation_id": generation_id, "prompt": "on", "dry_run": True},
    "create_video": lambda generation_id: {"start_frame": generation_id, "prompt": "on", "dry_run": True},
}


class TestLumaThatDoesNotKnowANewGenerationYet:
    @pytest.fixture
    def emulator(self, clock: HeldClock) -> Emulator:
        emulator = emulator_of_both(clock, KEY, {})
        emulator.habits = Habits(get_lag=70)
        return emulator

    @pytest.mark.parametrize("keys", [{}, {"LUMA_AGENTS_API_KEY": KEY}])
    @pytest.mark.parametrize("tool", READS)
    async def test_one_bought_a_moment_ago_is_never_not_found(self, serve, keys: dict[str, str], tool: str) -> None:
        async with Client(serve(**keys)) as client:
            agent = Agent(client)
            generation_id = (await agent.call("create_video", **OLD_CLIP))["generation_id"]
            result = await client.call_tool(tool, READS[tool](generation_id))
            resource = await client.read_resource(f"luma://generations/{generation_id}")

        assert "No generation has the id" not in str(result.content)
        assert "unknown" in resource.contents[0].text

    async def test_it_is_not_bought_again_while_the_history_cannot_be_read(
        self, serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def unknown(_self: PurchaseHistory, _generation_id: str) -> None:
            return None

        monkeypatch.setattr(PurchaseHistory, "recent", unknown)
        async with Client(serve()) as client:
            agent = Agent(client)
            first = await agent.call("create_video", **OLD_CLIP)
            second = await agent.call("create_video", **OLD_CLIP)

        assert (second["generation_id"], second["recovered"]) == (first["generation_id"], True)
