"""A film's plan comes back whole, and a film is changed by the numbers of its shots."""

import json
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from luma_mcp.emulator.app import Emulator
from tests.mcp.tools.test_films import FORM, Person, bought
from tests.support.agent import Agent, once, text

pytestmark = [pytest.mark.anyio, pytest.mark.medium]

LONG = "a boat at dawn, " + "seen from far above, soft light on the water, " * 20
SHOTS = [
    {"prompt": LONG, "concepts": ["orbit_left"]},
    {"prompt": "it drifts off", "start": "continue"},
    {"prompt": "a storm comes", "duration": "9s", "take": 2},
    {"prompt": "the harbour at night"},
]
WAIT = {"timeout_seconds": 1800}


async def made(agent: Agent) -> dict[str, Any]:
    film = await agent.call("create_film", shots=SHOTS, **FORM)
    return await agent.call("wait_for_film", film_id=film["film_id"], **WAIT)


def reasons(quoted: dict[str, Any]) -> dict[int, str]:
    return {shot["number"]: shot["reason"] for shot in quoted["shots"]}


@once
async def test_the_plan_comes_back_whole_and_buys_nothing_as_it_is(agent: Agent, emulator: Emulator) -> None:
    film = await made(agent)
    waited = await agent.call("wait_for_film", film_id=film["film_id"], plan=True, **WAIT)
    (resource,) = (await agent.client.read_resource(f"luma://films/{film['film_id']}")).contents
    sidecar = json.loads(Path(film["path"]).with_suffix(".mp4.json").read_text())

    plan = waited["plan"]
    assert plan["shots"] == SHOTS
    assert (plan["model"], plan["resolution"]) == ("ray-flash-2", "540p")
    assert json.loads(resource.text)["plan"] == plan
    assert [shot["prompt"] for shot in sidecar["shots"]] == [shot["prompt"] for shot in SHOTS]
    assert "plan" not in await agent.call("wait_for_film", film_id=film["film_id"], **WAIT)
    quoted = await agent.call("create_film", **plan, dry_run=True)
    again = await agent.call("create_film", **plan)
    assert (quoted["price_usd"], again["film_id"], bought(emulator)) == (0, film["film_id"], 4)
    assert set(reasons(quoted).values()) == {"it stays"}


@once
async def test_one_shot_changed_by_its_number_buys_what_depends_on_it_and_says_so(
    agent: Agent, emulator: Emulator
) -> None:
    film = await made(agent)
    change = {"film_id": film["film_id"], "changes": [{"number": 1, "prompt": "a boat at dusk"}]}

    dry = await agent.result("create_film", **change, dry_run=True)
    quoted = await agent.call("create_film", **change, dry_run=True)
    await agent.call("create_film", **change)
    after = await agent.call("wait_for_film", film_id=film["film_id"], plan=True, **WAIT)

    assert reasons(quoted) == {1: "it is changed", 2: "it continues shot 1", 3: "it stays", 4: "it stays"}
    assert [shot["price_usd"] for shot in quoted["shots"]] == [0.14, 0.14, 0, 0]
    assert quoted["price_usd"] == 0.28
    assert "2 of 4 shots that would be bought: $0.28" in text(dry)
    assert f"Spent on this film so far: ${film['spent_usd']:.2f}" in text(dry)
    assert bought(emulator) == 6
    assert after["spent_usd"] == pytest.approx(film["spent_usd"])
    assert after["plan"]["shots"] == [{**SHOTS[0], "prompt": "a boat at dusk"}, *SHOTS[1:]]


@once
async def test_shots_are_removed_added_and_cut_loose_by_number(agent: Agent, emulator: Emulator) -> None:
    film = await made(agent)
    changes = [
        {"number": 2, "start": "cut"},
        {"number": 3, "remove": True},
        {"after": 0, "shot": {"prompt": "a title card"}},
        {"after": 4, "prompt": "the end"},
    ]

    quoted = await agent.call("create_film", film_id=film["film_id"], changes=changes, dry_run=True)
    await agent.call("create_film", film_id=film["film_id"], changes=changes)
    after = await agent.call("wait_for_film", film_id=film["film_id"], plan=True, **WAIT)

    assert [shot["prompt"] for shot in after["plan"]["shots"]] == [
        "a title card", LONG, "it drifts off", "the harbour at night", "the end",
    ]  # fmt: skip
    assert "start" not in after["plan"]["shots"][2]
    assert reasons(quoted) == {
        1: "it is new", 2: "it stays", 3: "it is changed", 4: "it stays", 5: "it is new",
    }  # fmt: skip
    assert bought(emulator) == 7


@once
async def test_what_failed_is_bought_again_with_its_reason(agent: Agent) -> None:
    film = await agent.call("create_film", shots=["a boat [fail]", "a storm"], **FORM)
    await agent.call("wait_for_film", film_id=film["film_id"], **WAIT)

    quoted = await agent.call(
        "create_film", film_id=film["film_id"], changes=[{"number": 2, "prompt": "a calm"}], dry_run=True
    )

    assert reasons(quoted) == {1: "it was not made", 2: "it is changed"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"changes": [{"number": 7, "prompt": "a bird"}]}, "The film has no shot 7. It has shots 1 to 4."),
        ({"changes": [{"after": 5, "prompt": "a bird"}]}, "The film has no shot 5."),
        ({"changes": [{"prompt": "a bird"}]}, "A change has either number"),
        ({"changes": [{"number": 1, "after": 1}]}, "A change has either number"),
        ({"changes": [{"number": 1, "take": 2}, {"number": 1, "remove": True}]}, "Shot 1 is changed twice."),
        ({"changes": [{"number": 1, "colour": "red"}]}, "Change 1: colour"),
        ({"changes": [{"after": 1, "shot": 3}]}, "shot of a change is an object with a prompt"),
        ({"changes": [{"number": 1, "duration": "7s"}]}, "Change 1: duration"),
        ({"changes": [{"number": 0, "prompt": "a bird"}]}, "Change 1: number"),
        ({"changes": [{"number": 1, "remove": True}], "shots": ["a bird"]}, "needs shots or changes"),
        ({}, "A film needs shots"),
        ({"changes": [{"number": 1, "concepts": ["nothing"]}]}, "Change 1:"),
        ({"changes": [{"number": number, "remove": True} for number in (1, 2, 3, 4)]}, "A film has 1 to 100 shots"),
    ],
)
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("era", ["auto"])
async def test_a_change_that_cannot_be_is_refused_in_a_sentence(
    agent: Agent, arguments: dict[str, Any], sentence: str, emulator: Emulator
) -> None:
    film = await agent.call("create_film", shots=SHOTS, **FORM)

    told = await agent.refusal("create_film", film_id=film["film_id"], **arguments)

    assert sentence in told
    assert bought(emulator) == 0


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("arguments", [{"changes": [{"number": 1, "take": 2}]}, {"cancel": True}])
async def test_changes_and_cancel_are_for_a_film_that_exists(agent: Agent, arguments: dict[str, Any]) -> None:
    assert "for a film that exists" in await agent.refusal("create_film", **arguments)


@once
async def test_a_cancelled_film_gives_back_what_is_not_bought(agent: Agent, emulator: Emulator) -> None:
    film = await agent.call("create_film", shots=SHOTS, **FORM)
    reserved = (await agent.call("get_credits"))["reserved_usd"]

    cancelled = await agent.call("create_film", film_id=film["film_id"], cancel=True)
    waited = await agent.call("wait_for_film", film_id=film["film_id"], **WAIT)
    again = await agent.call("create_film", film_id=film["film_id"], cancel=True)

    assert reserved > 0.5
    assert (await agent.call("get_credits"))["reserved_usd"] == 0
    assert {shot["state"] for shot in waited["shots"]} == {"stopped"}
    assert waited["shots"][0]["reason"] == "The film was cancelled."
    assert (cancelled["done"], again["state"], bought(emulator)) == (True, "stopped", 0)


@once
async def test_a_film_that_is_cancelled_half_way_keeps_what_luma_makes(agent: Agent, emulator: Emulator) -> None:
    film = await agent.call("create_film", shots=SHOTS, **FORM)
    await agent.call("wait_for_film", film_id=film["film_id"], timeout_seconds=5)
    running = bought(emulator)

    await agent.call("create_film", film_id=film["film_id"], cancel=True)
    waited = await agent.call("wait_for_film", film_id=film["film_id"], **WAIT)

    states = [shot["state"] for shot in waited["shots"]]
    assert (running, bought(emulator)) == (3, 3)
    assert states == ["completed", "stopped", "completed", "completed"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_question_names_what_is_bought_and_why(serve: Any) -> None:
    person = Person(buys=True)
    async with Client(serve(LUMA_CONFIRM_ABOVE_USD="0.10"), elicitation_callback=person) as client:
        agent = Agent(client)
        film = await made(agent)
        await agent.call("create_film", film_id=film["film_id"], changes=[{"number": 1, "take": 2}])

    assert person.questions[1].startswith("Buy 2 of the 4 shots of a film at Luma with ray-flash-2 for $0.28?")
    assert "Shot 2 (5s, start: continue, it continues shot 1): 'it drifts off'." in person.questions[1]
    assert "Shot 3" not in person.questions[1]


@once
async def test_a_prompt_comes_back_whole_from_get_generation(agent: Agent) -> None:
    film = await made(agent)

    generation = await agent.call("get_generation", generation_id=film["shots"][0]["generation_id"])

    assert generation["prompt"] == LONG.strip()
