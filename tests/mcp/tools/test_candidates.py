"""Several takes by one call: one price, one approval, an id for each, and each bought once."""

from typing import Any

import pytest
from mcp import Client
from mcp.types import ElicitResult

from luma_mcp.domain.generation import Generation
from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.faults import Fault
from luma_mcp.mcp.results import updated_purchase
from tests.support.agent import Agent, HeldClock

pytestmark = pytest.mark.anyio

BOAT = {"prompt": "a boat", "resolution": "540p", "model": "ray-flash-2"}
PRICE = 0.14


def bought(emulator: Emulator) -> list[str]:
    return emulator.dream_machine.billing.purchases()


async def test_each_take_has_an_id_and_is_that_of_a_call_of_its_own(agent: Agent, emulator: Emulator) -> None:
    result = await agent.result("create_video", **BOAT, count=3)
    made: dict[str, Any] = result.structured_content or {}
    ids = made["generation_ids"]

    assert len(set(ids)) == 3
    assert sorted(bought(emulator)) == sorted(ids)
    assert (made["generation_id"], made["price_usd"], made["dry_run"]) == (ids[0], pytest.approx(3 * PRICE), False)
    assert "recovered" not in made
    assert f"Bought 3 takes: 1 is {ids[0]}, 2 is {ids[1]}, 3 is {ids[2]}." in str(result.content)
    assert made["next"].startswith("wait_for_generation(generation_ids=[")
    for take, generation_id in enumerate(ids, 1):
        assert (await agent.call("create_video", **BOAT, take=take))["generation_id"] == generation_id
    assert len(bought(emulator)) == 3


async def test_the_same_call_buys_nothing_again_and_a_larger_count_buys_the_rest(
    agent: Agent, emulator: Emulator
) -> None:
    first = await agent.call("create_video", **BOAT, count=2)
    again = await agent.call("create_video", **BOAT, count=2)
    dry = await agent.call("create_video", **BOAT, count=4, dry_run=True)
    more = await agent.call("create_video", **BOAT, count=4)

    assert (again["generation_ids"], again["recovered"]) == (first["generation_ids"], True)
    assert dry["price_usd"] == pytest.approx(2 * PRICE)
    assert dry["request"].startswith("2 of 4 takes of ")
    assert more["generation_ids"][:2] == first["generation_ids"]
    assert "Bought before: take 1, 2." in more["next"]
    assert len(bought(emulator)) == 4


async def test_they_may_begin_at_any_take(agent: Agent, emulator: Emulator) -> None:
    first = await agent.call("create_image", prompt="a boat", take=2)
    made = await agent.call("create_image", prompt="a boat", take=2, count=2)

    assert made["generation_ids"][0] == first["generation_id"]
    assert len(bought(emulator)) == 2


async def test_the_dry_run_has_the_price_of_all(agent: Agent, emulator: Emulator) -> None:
    result = await agent.result("create_video", **BOAT, count=8, dry_run=True)
    dry: dict[str, Any] = result.structured_content or {}

    assert dry["price_usd"] == pytest.approx(8 * PRICE)
    assert "generation_ids" not in dry
    assert "8 takes of " in str(result.content)
    assert bought(emulator) == []


@pytest.mark.parametrize("count", [0, 9, "many"])
async def test_there_are_one_to_eight(agent: Agent, emulator: Emulator, count: object) -> None:
    assert "count" in await agent.refusal("create_video", **BOAT, count=count)
    assert bought(emulator) == []


@pytest.mark.parametrize(
    "setting", ["LUMA_MAX_USD_PER_CALL", "LUMA_MAX_USD_PER_DAY", "LUMA_MAX_USD_PER_PERSON_PER_DAY"]
)
async def test_a_cap_that_forbids_the_sum_forbids_all(serve: Any, emulator: Emulator, setting: str) -> None:
    async with Client(serve(**{setting: "0.30"})) as client:
        agent = Agent(client)
        refused = await agent.refusal("create_video", **BOAT, count=3)
        assert bought(emulator) == []
        two = await agent.call("create_video", **BOAT, count=2)

    assert "$0.42" in refused
    assert sorted(bought(emulator)) == sorted(two["generation_ids"])


class Person:
    """Answers questions, with yes unless a test says otherwise."""

    def __init__(self, *answers: str) -> None:
        self.asked: list[str] = []
        self._answers = list(answers)

    async def __call__(self, _ctx: Any, params: Any) -> ElicitResult:
        self.asked.append(params.message)
        action: Any = self._answers.pop(0) if self._answers else "accept"
        return ElicitResult(action=action, content={"buy": True} if action == "accept" else None)


async def test_the_person_is_asked_once_with_the_price_of_all(serve: Any, emulator: Emulator) -> None:
    """Also where one alone would need no question."""
    person = Person("decline")
    async with Client(serve(LUMA_CONFIRM_ABOVE_USD="0.20"), elicitation_callback=person) as client:
        agent = Agent(client)
        assert "did not want to buy" in await agent.refusal("create_video", **BOAT, count=3)
        assert bought(emulator) == []
        made = await agent.call("create_video", **BOAT, count=3)
        await agent.call("create_video", **BOAT, count=3)

    assert len(person.asked) == 2
    assert "for $0.42?" in person.asked[1]
    assert "3 takes of it, $0.14 each." in person.asked[1]
    assert sorted(bought(emulator)) == sorted(made["generation_ids"])


async def test_a_quote_is_for_that_number_of_takes(serve: Any, emulator: Emulator) -> None:
    async with Client(serve(LUMA_CONFIRM_ABOVE_USD="0.10", LUMA_CONFIRM_BY="quote")) as client:
        agent = Agent(client)
        two = (await agent.call("create_video", **BOAT, count=2, dry_run=True))["quote_id"]
        for other in ({"count": 3}, {}, {"count": 2, "take": 5}):
            assert "not for this request" in await agent.refusal("create_video", **{**BOAT, **other}, quote_id=two)
        made = await agent.call("create_video", **BOAT, count=2, quote_id=two)

    assert sorted(bought(emulator)) == sorted(made["generation_ids"])


async def test_what_cannot_be_bought_is_told_and_the_rest_stands(agent: Agent, emulator: Emulator) -> None:
    emulator.dream_machine.billing.credit_cents = 2 * PRICE * 100 + 1
    some = await agent.call("create_video", **BOAT, count=4)
    emulator.dream_machine.billing.credit_cents = 1000
    rest = await agent.call("create_video", **BOAT, count=4)

    assert len(some["generation_ids"]) == 2
    assert some["next"].count("insufficient credits") == 2
    assert some["price_usd"] == pytest.approx(2 * PRICE)
    assert set(some["generation_ids"]) < set(rest["generation_ids"])
    assert len(bought(emulator)) == 4


async def test_what_refuses_the_first_is_sent_once(agent: Agent, emulator: Emulator) -> None:
    emulator.dream_machine.billing.credit_cents = 0
    assert "insufficient credits" in await agent.refusal("create_video", **BOAT, count=4)
    assert len([method for method, _ in emulator.requests if method == "POST"]) == 1


async def test_a_first_one_in_doubt_stops_no_other(agent: Agent, emulator: Emulator) -> None:
    # What is listed for certain would be found at once.
    await agent.call("create_video", **{**BOAT, "prompt": "another"})
    emulator.faults.append(Fault("drop", path="*/video", after=True))
    emulator.faults.append(Fault("error", method="GET", path="*/generations", status=500, times=1000))
    made = await agent.call("create_video", **BOAT, count=3)

    assert len(made["generation_ids"]) == 2
    assert "Take 1 failed: The answer to this purchase was lost" in made["next"]
    assert len(bought(emulator)) == 4


async def test_one_that_has_failed_since_needs_a_question_of_its_own(
    serve: Any, emulator: Emulator, clock: HeldClock
) -> None:
    """It seemed to be bought, so its price was not in the question."""
    person = Person()
    async with Client(serve(LUMA_CONFIRM_ABOVE_USD="0.10"), elicitation_callback=person) as client:
        agent = Agent(client)
        emulator.faults.append(Fault("moderate"))
        first = await agent.call("create_video", **BOAT, count=2)
        clock.seconds += 600
        again = await agent.call("create_video", **BOAT, count=2)
        alone = await agent.call("create_video", **BOAT)

    assert len(person.asked) == 2
    assert "Take 1 failed: The person wants to be asked before it is bought again." in again["next"]
    assert again["generation_ids"] == first["generation_ids"][1:]
    assert alone["generation_id"] not in first["generation_ids"]


async def test_an_approval_pays_for_as_many_as_its_price_was_for(
    serve: Any, emulator: Emulator, clock: HeldClock
) -> None:
    """A take that was held when the price was told, and has failed since, is none of them."""
    async with Client(serve(LUMA_CONFIRM_ABOVE_USD="0.10", LUMA_CONFIRM_BY="quote")) as client:
        agent = Agent(client)
        emulator.faults.append(Fault("moderate"))
        alone = (await agent.call("create_video", **BOAT, dry_run=True))["quote_id"]
        first = await agent.call("create_video", **BOAT, quote_id=alone)
        quote_id = (await agent.call("create_video", **BOAT, count=2, dry_run=True))["quote_id"]
        both = await agent.call("create_video", **BOAT, count=2, quote_id=quote_id)
        clock.seconds += 600
        await agent.call("wait_for_generation", generation_ids=both["generation_ids"])
        again = await agent.call("create_video", **BOAT, quote_id=quote_id, count=2)

    assert both["generation_ids"][0] == first["generation_id"]
    assert len(bought(emulator)) == 2
    assert again["generation_ids"] == both["generation_ids"][1:]
    assert "yes has served for an earlier purchase" in again["next"]


async def test_those_that_are_bought_are_named_though_a_missing_one_is_refused(
    agent: Agent, emulator: Emulator
) -> None:
    held = [(await agent.call("create_video", **BOAT, take=take))["generation_id"] for take in (2, 3)]
    emulator.dream_machine.billing.credit_cents = 0
    made = await agent.call("create_video", **BOAT, count=4)

    assert made["generation_ids"] == held
    assert made["next"].count("insufficient credits") == 1
    assert len([method for method, _ in emulator.requests if method == "POST"]) == 3


def test_the_end_of_a_task_names_each() -> None:
    made = {"dry_run": False, "price_usd": 1.0, "generation_id": "a", "generation_ids": ["a", "b"], "next": "x"}
    ended = updated_purchase(made, [Generation(id="a", state="completed"), Generation(id="b", state="failed")])

    assert ended.model_dump(exclude_none=True)["generation_ids"] == ["a", "b"]
    assert ended.state == "completed, failed"
