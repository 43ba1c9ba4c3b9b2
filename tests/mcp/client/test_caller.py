"""The user of a client is asked, and a question that nobody answered is no answer."""

from types import SimpleNamespace
from typing import Any

import pytest
from mcp import Client
from mcp.types import ClientCapabilities, ElicitationCapability, ElicitResult

from luma_mcp.emulator.app import Emulator
from luma_mcp.mcp.client.caller import McpCaller
from tests.support.agent import Agent

pytestmark = pytest.mark.anyio

BOAT = {"prompt": "a boat", "resolution": "540p"}


@pytest.mark.parametrize(
    "response",
    [ElicitResult(action="cancel"), ElicitResult(action="accept"), ElicitResult(action="accept", content={"buy": ""})],
    ids=["cancel", "accept without content", "accept with something else"],
)
async def test_a_question_without_a_response_is_no_refusal_of_the_user(
    serve: Any, era: str, emulator: Emulator, response: ElicitResult
) -> None:
    async def host(_context: object, _params: object) -> ElicitResult:
        return response

    async with Client(serve(LUMA_CONFIRM_ABOVE_USD="0.01"), mode=era, elicitation_callback=host) as client:
        refusal = await Agent(client).refusal("create_video", **BOAT)

    assert "nobody answered the question: the host closed it" in refusal
    assert "Nothing was bought. Tell the user what it costs" in refusal
    assert "did not want" not in refusal
    assert emulator.dream_machine.billing.purchases() == []


@pytest.mark.parametrize(
    "response", [ElicitResult(action="decline"), ElicitResult(action="accept", content={"buy": False})]
)
async def test_a_no_is_a_refusal_of_the_user(serve: Any, era: str, emulator: Emulator, response: ElicitResult) -> None:
    async def host(_context: object, _params: object) -> ElicitResult:
        return response

    async with Client(serve(LUMA_CONFIRM_ABOVE_USD="0.01"), mode=era, elicitation_callback=host) as client:
        assert "did not want to buy this" in await Agent(client).refusal("create_video", **BOAT)

    assert emulator.dream_machine.billing.purchases() == []


async def test_where_quotes_are_allowed_a_host_without_a_user_buys_by_quote(
    serve: Any, era: str, emulator: Emulator
) -> None:
    async def host(_context: object, _params: object) -> ElicitResult:
        return ElicitResult(action="cancel")

    server = serve(LUMA_CONFIRM_ABOVE_USD="0.01", LUMA_CONFIRM_BY="quote")
    async with Client(server, mode=era, elicitation_callback=host) as client:
        agent = Agent(client)
        refusal = await agent.refusal("create_video", **BOAT)
        quote_id = (await agent.call("create_video", **BOAT, dry_run=True))["quote_id"]
        await agent.call("create_video", **BOAT, quote_id=quote_id)

    assert "Call it with dry_run=true" in refusal
    assert len(emulator.dream_machine.billing.purchases()) == 1


@pytest.mark.parametrize(
    ("elicitation", "can_ask"),
    [(None, False), ({}, True), ({"form": {}}, True), ({"form": {}, "url": {}}, True), ({"url": {}}, False)],
)
def test_a_form_is_sent_to_clients_that_show_forms(elicitation: dict[str, Any] | None, can_ask: bool) -> None:
    made = None if elicitation is None else ElicitationCapability.model_validate(elicitation)
    context: Any = SimpleNamespace(client_capabilities=ClientCapabilities(elicitation=made))

    assert McpCaller(context).can_ask is can_ask
    assert McpCaller(SimpleNamespace(client_capabilities=None)).can_ask is False  # type: ignore[arg-type]
