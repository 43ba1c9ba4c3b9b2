"""A person's yes without a question: quotes for clients that cannot ask, and the player's buttons."""

import json
from typing import Any

import pytest
from mcp import Client
from mcp.client import advertise
from mcp.types import ElicitResult

from luma_mcp.domain.person import Person
from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.dream_machine.bodies import ImageBody, VideoBody
from luma_mcp.mcp.adapter import ACTIONS_META
from luma_mcp.mcp.app import page
from luma_mcp.mcp.approvals import BUTTON_SECONDS, QUOTE_SECONDS, Approvals
from tests.support.agent import Agent, HeldClock, fields_of, once, text

pytestmark = pytest.mark.anyio

BY_QUOTE = {"LUMA_CONFIRM_ABOVE_USD": "0.50", "LUMA_CONFIRM_BY": "quote"}
BOAT = {"prompt": "a boat"}  # $0.71
ANNA, BEN = Person("anna"), Person("ben")


@pytest.fixture
async def quoting(serve: Any, era: str) -> Any:
    async with Client(serve(**BY_QUOTE), mode=era) as client:
        yield Agent(client)


async def test_a_dry_run_returns_a_quote_that_buys_once(quoting: Agent, emulator: Emulator) -> None:
    refused = await quoting.refusal("create_video", **BOAT)
    quoted = await quoting.call("create_video", **BOAT, dry_run=True)
    bought = await quoting.call("create_video", **BOAT, quote_id=quoted["quote_id"])
    joined = await quoting.call("create_video", **BOAT, quote_id=quoted["quote_id"])

    assert "Call it with dry_run=true, tell the person the price" in refused
    assert "tell the person the price" in quoted["next"]
    assert emulator.dream_machine.billing.purchases() == [bought["generation_id"]]
    assert (joined["generation_id"], joined["recovered"]) == (bought["generation_id"], True)


async def test_an_approval_is_used_up_also_if_its_generation_is_deleted(quoting: Agent, emulator: Emulator) -> None:
    quote_id = (await quoting.call("create_video", **BOAT, dry_run=True))["quote_id"]
    bought = await quoting.call("create_video", **BOAT, quote_id=quote_id)
    await quoting.call("delete_generation", generation_id=bought["generation_id"])

    assert "yes has served" in await quoting.refusal("create_video", **BOAT, quote_id=quote_id)
    assert len(emulator.dream_machine.billing.purchases()) == 1


@pytest.mark.parametrize("changes", [{"prompt": "a ship"}, {"take": 2}, {"duration": "9s"}, {"quote_id": "x"}])
async def test_a_quote_is_for_what_was_quoted(quoting: Agent, emulator: Emulator, changes: dict[str, Any]) -> None:
    quote_id = (await quoting.call("create_video", **BOAT, dry_run=True))["quote_id"]

    assert "not for this request" in await quoting.refusal("create_video", **{**BOAT, "quote_id": quote_id, **changes})
    assert emulator.dream_machine.billing.purchases() == []


async def test_a_quote_ends(quoting: Agent, clock: HeldClock) -> None:
    quote_id = (await quoting.call("create_video", **BOAT, dry_run=True))["quote_id"]
    clock.seconds += QUOTE_SECONDS + 1

    assert "older than 15 minutes" in await quoting.refusal("create_video", **BOAT, quote_id=quote_id)


async def test_what_needs_no_approval_has_no_quote(quoting: Agent) -> None:
    dry = await quoting.call("create_video", **BOAT, resolution="540p", dry_run=True)

    assert "quote_id" not in dry
    assert await quoting.call("create_video", **BOAT, resolution="540p", quote_id="whatever")


async def test_without_the_setting_there_are_no_quotes(serve: Any, era: str) -> None:
    async with Client(serve(LUMA_CONFIRM_ABOVE_USD="0.50"), mode=era) as client:
        agent = Agent(client)
        dry = await agent.call("create_video", **BOAT, dry_run=True)
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        refused = await agent.refusal("create_video", **BOAT, quote_id="x")

    assert "quote_id" not in dry
    assert "quote_id" not in json.dumps(tools["create_video"].model_dump(mode="json"))
    assert "this client cannot ask" in refused


async def test_with_the_setting_the_argument_is_shown(quoting: Agent) -> None:
    tools = {tool.name: tool for tool in (await quoting.client.list_tools()).tools}

    assert "quote_id" in tools["create_video"].input_schema["properties"]
    assert "quote_id" in (tools["create_video"].output_schema or {})["properties"]


async def test_a_client_that_can_ask_asks(serve: Any, era: str, emulator: Emulator) -> None:
    """A quote is the weaker way: the model could take it without having shown it."""
    asked: list[str] = []

    async def no(_ctx: Any, params: Any) -> ElicitResult:
        asked.append(params.message)
        return ElicitResult(action="decline")

    async with Client(serve(**BY_QUOTE), mode=era, elicitation_callback=no) as client:
        agent = Agent(client)
        quote_id = (await agent.call("create_video", **BOAT, dry_run=True))["quote_id"]
        assert "did not want to buy" in await agent.refusal("create_video", **BOAT, quote_id=quote_id)

    assert len(asked) == 1
    assert emulator.dream_machine.billing.purchases() == []


@pytest.fixture
async def player(serve: Any, era: str) -> Any:
    extension = advertise("io.modelcontextprotocol/ui", {"mimeTypes": ["text/html;profile=mcp-app"]})
    async with Client(serve(LUMA_CONFIRM_ABOVE_USD="0.01"), mode=era, extensions=[extension]) as client:
        yield client


async def _offers(client: Client, tool: str, clock: HeldClock, emulator: Emulator) -> dict[str, dict[str, Any]]:
    """The buttons for a generation that another program made, so that nobody had to be asked for it."""
    body = (
        VideoBody(model="ray-2", prompt="a boat")
        if tool == "create_video"
        else ImageBody(model="photon-1", prompt="a boat")
    )
    made = emulator.dream_machine.accept(body)
    clock.seconds += 300
    result = await client.call_tool("get_generation", {"generation_id": made.id})
    return {offer["action"]: offer for offer in (result.meta or {})[ACTIONS_META]}


@once
@pytest.mark.parametrize("tool", ["create_video", "create_image"])
async def test_pressing_a_button_is_an_approval(
    player: Client, clock: HeldClock, emulator: Emulator, tool: str
) -> None:
    offers = await _offers(player, tool, clock, emulator)
    before = len(emulator.dream_machine.billing.purchases())
    for offer in offers.values():
        prompt = {"prompt": "and on it goes"} if offer.get("prompt") else {}
        take = {"take": 2} if offer["action"] == "variation" else {}
        result = await player.call_tool(offer["tool"], {**offer["arguments"], **prompt, **take})
        assert not result.is_error, (offer, result)

    assert len(emulator.dream_machine.billing.purchases()) == before + len(offers)


@once
async def test_an_approval_of_a_button_serves_for_one_take(
    player: Client, clock: HeldClock, emulator: Emulator
) -> None:
    offer = (await _offers(player, "create_image", clock, emulator))["variation"]
    results = [await player.call_tool(offer["tool"], {**offer["arguments"], "take": take}) for take in (2, 3, 2)]

    assert [result.is_error for result in results] == [False, True, False]
    assert "yes has served" in text(results[1])
    assert fields_of(results[2])["recovered"] is True
    assert len(emulator.dream_machine.billing.purchases()) == 2, "the one of another program, and one take"


@once
async def test_a_button_that_asks_for_no_prompt_is_for_its_own_alone(
    player: Client, clock: HeldClock, emulator: Emulator
) -> None:
    offers = await _offers(player, "create_image", clock, emulator)
    before = len(emulator.dream_machine.billing.purchases())
    other = await player.call_tool("create_image", {**offers["variation"]["arguments"], "prompt": "a ship", "take": 2})

    assert other.is_error
    assert len(emulator.dream_machine.billing.purchases()) == before


@once
async def test_a_button_that_asks_for_a_prompt_serves_one_of_them(
    player: Client, clock: HeldClock, emulator: Emulator
) -> None:
    offer = (await _offers(player, "create_image", clock, emulator))["animate"]
    results = [
        await player.call_tool(offer["tool"], {**offer["arguments"], "prompt": words})
        for words in ("it sails", "it sinks")
    ]

    assert [result.is_error for result in results] == [False, True]


@once
async def test_no_result_of_a_pressed_button_carries_its_approval(
    player: Client, clock: HeldClock, emulator: Emulator
) -> None:
    offer = (await _offers(player, "create_image", clock, emulator))["variation"]
    for take in (2, 2, 3):
        result = await player.call_tool(offer["tool"], {**offer["arguments"], "take": take})
        assert offer["arguments"]["quote_id"] not in result.model_dump_json()


def test_the_player_reports_no_approval() -> None:
    """Whatever is told to the model is built from arguments without it."""
    script = page()
    told = [line for line in script.splitlines() if "JSON.stringify(args" in line or "JSON.stringify(offer" in line]

    assert "JSON.stringify(withoutApproval(args))" in script
    assert told == []
    assert script.count("quote_id") == 2


@once
@pytest.mark.parametrize("changes", [{"resolution": "4k"}, {"generation_id": None}, {"quote_id": "x"}])
async def test_a_button_is_an_approval_to_nothing_else(
    player: Client, clock: HeldClock, emulator: Emulator, changes: dict[str, Any]
) -> None:
    offer = (await _offers(player, "create_video", clock, emulator))["upscale"]
    other = emulator.dream_machine.accept(_clip())
    clock.seconds += 300
    changes = {"generation_id": other.id} if "generation_id" in changes else changes
    before = len(emulator.dream_machine.billing.purchases())
    result = await player.call_tool("upscale_video", {**offer["arguments"], **changes})

    assert result.is_error
    assert len(emulator.dream_machine.billing.purchases()) == before


def _clip() -> Any:
    return VideoBody(model="ray-2", prompt="another boat")


@once
@pytest.mark.medium
async def test_the_model_does_not_see_what_a_button_sends(player: Client, clock: HeldClock, emulator: Emulator) -> None:
    await _offers(player, "create_video", clock, emulator)
    result = await player.call_tool("list_generations", {})

    assert "quote_id" not in json.dumps([part.model_dump(mode="json") for part in result.content])
    assert "quote_id" not in json.dumps(result.structured_content)


class Clock:
    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_a_quote_is_for_one_person_and_one_price() -> None:
    clock = Clock()
    approvals = Approvals(b"key", clock)
    quote = approvals.quote("boat 1", 0.71, ANNA)

    assert approvals.consent_by_quote(quote, "boat 1", 0.71, ANNA)
    assert approvals.consent_by_quote(quote, "boat 1", 0.5, ANNA)
    assert approvals.consent_by_quote(quote, "boat 1", 0.72, ANNA) is None
    assert approvals.consent_by_quote(quote, "boat 1", 0.71, BEN) is None
    assert approvals.consent_by_quote(quote, "boat 2", 0.71, ANNA) is None
    assert Approvals(b"other", clock).consent_by_quote(quote, "boat 1", 0.71, ANNA) is None
    assert approvals.consent_by_button(quote, "boat", {}, 0.71, ANNA) is None
    clock.seconds += QUOTE_SECONDS - 0.5
    assert approvals.consent_by_quote(quote, "boat 1", 0.71, ANNA)
    clock.seconds += 0.5
    assert approvals.consent_by_quote(quote, "boat 1", 0.71, ANNA) is None


@pytest.mark.parametrize("asks_for_prompt", [True, False])
def test_a_button_is_for_its_arguments_and_only_where_it_asks_for_a_prompt_for_any(asks_for_prompt: bool) -> None:
    clock = Clock()
    approvals = Approvals(b"key", clock)
    button = approvals.button_approval(
        "upscale_video", {"generation_id": "a", "resolution": "4k"}, 1.0, ANNA, asks_for_prompt=asks_for_prompt
    )

    def pressed(tool: str = "upscale_video", usd: float = 1.0, person: Person = ANNA, **changes: Any) -> str | None:
        arguments = {"resolution": "4k", "generation_id": "a", "quote_id": button, **changes}
        return approvals.consent_by_button(button, tool, arguments, usd, person)

    first = pressed()
    assert first
    assert pressed(dry_run=False) == pressed(take=2) == first
    assert pressed(prompt="more") == (first if asks_for_prompt else None)
    assert [pressed("add_audio"), pressed(usd=1.01), pressed(person=BEN), pressed(resolution="1080p")] == [None] * 4
    assert pressed(extra=1) is None
    assert approvals.consent_by_quote(button, "upscale_video", 1.0, ANNA) is None
    clock.seconds += BUTTON_SECONDS
    assert pressed() is None
