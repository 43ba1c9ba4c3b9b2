"""The person's caps, and asking the person."""

from contextlib import nullcontext

import pytest
from mcp import Client, MCPError
from mcp.types import ElicitResult

from luma_mcp.domain.errors import BudgetError
from luma_mcp.emulator.app import Emulator
from luma_mcp.ledger.caps import Balance, Budget, Spending, check_call, check_credit, check_day
from tests.support.agent import Agent, HeldClock

pytestmark = pytest.mark.anyio


async def test_the_cap_for_one_call_is_kept(serve, era: str, emulator: Emulator) -> None:
    async with Client(serve(LUMA_MAX_USD_PER_CALL="0.50"), mode=era) as client:
        text = await Agent(client).refusal("create_video", prompt="a boat")
        await Agent(client).call("create_video", prompt="a boat", resolution="540p")

    assert text == (
        "This costs $0.71 (published), and the cap for one call (LUMA_MAX_USD_PER_CALL) is $0.50. Nothing was bought. "
        "Only the person can change that, in this server's environment."
    )
    assert len(emulator.dream_machine.billing.purchases()) == 1


async def test_an_assumed_price_counts_like_any_other(serve, era: str, emulator: Emulator) -> None:
    async with Client(serve(LUMA_MAX_USD_PER_CALL="1"), mode=era) as client:
        video = await Agent(client).make("create_video", prompt="a boat")
        text = await Agent(client).refusal("upscale_video", generation_id=video, resolution="4k")

    assert "This costs $6.38 (assumed)" in text


async def test_the_days_cap_is_kept_and_refunds_count(serve, era: str, emulator: Emulator, clock: HeldClock) -> None:
    async with Client(serve(LUMA_MAX_USD_PER_DAY="1.50"), mode=era) as client:
        agent = Agent(client)
        await agent.call("create_video", prompt="a boat")
        await agent.call("create_video", prompt="a boat [fail]")
        text = await agent.refusal("create_video", prompt="a third boat")
        clock.seconds += 300
        await agent.call("create_video", prompt="a third boat")

    assert "today's cap (LUMA_MAX_USD_PER_DAY) of $1.50 has $1.42 spent and $0.00 reserved" in text
    assert "Only the person can change the cap" in text
    assert len(emulator.dream_machine.billing.purchases()) == 3


async def test_what_must_stay_in_the_account_stays(serve, era: str, emulator: Emulator) -> None:
    async with Client(serve(LUMA_MIN_CREDIT_USD="999.50"), mode=era) as client:
        text = await Agent(client).refusal("create_video", prompt="a boat")

        assert emulator.dream_machine.billing.purchases() == []
        affordable = await Agent(client).call("create_image", prompt="a boat")

    assert "the account has $1000.00, and $999.50 must stay in it (LUMA_MIN_CREDIT_USD)" in text
    assert emulator.dream_machine.billing.purchases() == [affordable["generation_id"]]


async def test_a_dry_run_needs_no_budget(serve, era: str) -> None:
    async with Client(serve(LUMA_MAX_USD_PER_CALL="0", LUMA_MAX_USD_PER_DAY="0"), mode=era) as client:
        assert (await Agent(client).call("create_video", prompt="a boat", dry_run=True))["price_usd"] == 0.71


class Person:
    """Somebody who is asked."""

    def __init__(self, action: str, *, buy: bool | None = None) -> None:
        self.answer = ElicitResult(action=action, content=None if buy is None else {"buy": buy})  # type: ignore[arg-type]
        self.requested: list[str] = []

    async def __call__(self, _context, params) -> ElicitResult:
        self.requested.append(params.message)
        return self.answer


async def test_the_person_is_asked_with_price_and_model_and_says_yes(serve, era: str, emulator: Emulator) -> None:
    person = Person("accept", buy=True)
    async with Client(serve(LUMA_CONFIRM_ABOVE_USD="0.50"), mode=era, elicitation_callback=person) as client:
        await Agent(client).call("create_video", prompt="a boat")
        await Agent(client).call("create_video", prompt="a boat", resolution="540p")

    assert person.requested == [
        (
            "Buy this at Luma (video with ray-2) for $0.71? aspect_ratio: 16:9; resolution: 720p; duration: 5s. "
            "Prompt: 'a boat'."
        )
    ]
    assert len(emulator.dream_machine.billing.purchases()) == 2


async def test_the_question_says_what_is_made_of_what_and_which_take(serve, emulator: Emulator) -> None:
    person = Person("accept", buy=True)
    async with Client(serve(LUMA_CONFIRM_ABOVE_USD="0.01"), elicitation_callback=person) as client:
        video = await Agent(client).make("create_video", prompt="a boat", resolution="540p")
        await Agent(client).call("upscale_video", generation_id=video, resolution="1080p", take=2)
        await Agent(client).call("add_audio", generation_id=video)

    assert person.requested[1].startswith("Buy this at Luma (upscale_video) for $")
    assert person.requested[2].endswith(f", an upper estimate? Made from: {video}.")
    assert person.requested[1].endswith(f", an upper estimate? Take 2 of it. resolution: 1080p. Made from: {video}.")
    assert len(emulator.dream_machine.billing.purchases()) == 3


async def test_a_yes_serves_once(serve, emulator: Emulator) -> None:
    """The same answer to the same question is sent again when the generation has failed and is to be bought anew."""
    person = Person("accept", buy=True)
    arguments = {"prompt": "a boat [fail]"}
    async with Client(serve(LUMA_CONFIRM_ABOVE_USD="0.50"), elicitation_callback=person) as client:
        first = await client.session.call_tool("create_video", arguments, allow_input_required=True)
        answers = {"input_responses": {"confirm": person.answer}, "request_state": first.request_state}
        bought = await client.session.call_tool("create_video", arguments, allow_input_required=True, **answers)
        await Agent(client).call(
            "wait_for_generation", generation_ids=[bought.structured_content["generation_id"]], timeout_seconds=600
        )
        again = await client.session.call_tool("create_video", arguments, allow_input_required=True, **answers)

    assert again.is_error
    assert "has served for an earlier purchase" in again.content[0].text
    assert len(emulator.dream_machine.billing.purchases()) == 1


def test_without_a_balance_no_floor_is_checked() -> None:
    check_credit(Budget(min_credit_usd=5), 1.0, None, 0.0)
    with pytest.raises(BudgetError):
        check_credit(Budget(min_credit_usd=5), 1.0, Balance(5.5, 0.0), 0.0)


@pytest.mark.parametrize("person", [Person("decline"), Person("accept", buy=False)])
async def test_a_person_who_does_not_say_yes_is_not_charged(
    serve, era: str, emulator: Emulator, person: Person
) -> None:
    async with Client(serve(LUMA_CONFIRM_ABOVE_USD="0.50"), mode=era, elicitation_callback=person) as client:
        text = await Agent(client).refusal("create_video", prompt="a boat")

    assert "did not want to buy this" in text
    assert emulator.dream_machine.billing.purchases() == []


async def test_a_client_that_cannot_ask_cannot_buy(serve, era: str, emulator: Emulator) -> None:
    async with Client(serve(LUMA_CONFIRM_ABOVE_USD="0.50"), mode=era) as client:
        text = await Agent(client).refusal("create_video", prompt="a boat")

    assert "this client cannot ask" in text
    assert emulator.dream_machine.billing.purchases() == []


async def test_a_yes_to_one_question_is_no_yes_to_another(serve, emulator: Emulator) -> None:
    """The answer of an earlier question is sent along with a dearer request."""
    person = Person("accept", buy=True)
    async with Client(serve(LUMA_CONFIRM_ABOVE_USD="0.50"), elicitation_callback=person) as client:
        first = await client.session.call_tool("create_video", {"prompt": "a boat"}, allow_input_required=True)
        with pytest.raises(MCPError, match="requestState"):
            await client.session.call_tool(
                "create_video", {"prompt": "a boat", "resolution": "4k"}, allow_input_required=True,
                input_responses={"confirm": person.answer}, request_state=first.request_state,
            )  # fmt: skip
        without_state = await client.session.call_tool(
            "create_video", {"prompt": "a boat"}, allow_input_required=True,
            input_responses={"confirm": person.answer},
        )  # fmt: skip

    assert type(without_state).__name__ == "InputRequiredResult"
    assert emulator.dream_machine.billing.purchases() == []


@pytest.mark.parametrize(
    ("usd", "spent", "reserved", "is_allowed"),
    [
        (0.71, 0.29, 0.0, True), (0.71, 0.1, 0.19, True), (0.1, 0.2, 0.7, True),
        (0.710001, 0.29, 0.0, False), (0.71, 0.29, 0.000001, False), (0.000001, 1.0, 0.0, False), (0.0, 1.0, 0.0, True),
    ],
)  # fmt: skip
def test_a_day_s_cap_may_be_reached_and_not_passed(usd: float, spent: float, reserved: float, is_allowed: bool) -> None:
    """To the micro-dollar: floats of cents do not add up exactly."""
    with nullcontext() if is_allowed else pytest.raises(BudgetError, match="LUMA_MAX_USD_PER_DAY"):
        check_day(Budget(max_usd_per_day=1.0), usd, Spending(spent, reserved, 3))


@pytest.mark.parametrize(("usd", "is_allowed"), [(0.5, True), (0.500001, False)])
def test_a_call_s_cap_may_be_reached_and_not_passed(usd: float, is_allowed: bool) -> None:
    with nullcontext() if is_allowed else pytest.raises(BudgetError, match="LUMA_MAX_USD_PER_CALL"):
        check_call(Budget(max_usd_per_call=0.5), usd, "a price")


@pytest.mark.parametrize(
    ("usd", "sent_since", "is_allowed"), [(0.5, 0.2, True), (0.500001, 0.2, False), (0.5, 0.200001, False)]
)
def test_the_floor_of_the_credit_may_be_reached_and_not_passed(usd: float, sent_since: float, is_allowed: bool) -> None:
    with nullcontext() if is_allowed else pytest.raises(BudgetError, match="LUMA_MIN_CREDIT_USD"):
        check_credit(Budget(min_credit_usd=5000.0), usd, Balance(5000.7, 0.0), sent_since)


@pytest.mark.parametrize(
    ("floor", "sentence", "way_out"),
    [
        (
            2.0,
            "This costs $0.71, the account has $2.00, and $2.00 must stay in it (LUMA_MIN_CREDIT_USD).",
            "Nothing was bought. Only the person can change that, in this server's environment.",
        ),
        (
            0.0,
            "This costs $0.71, the account has $0.70.",
            "Nothing was bought. API credit is bought at https://platform.lumalabs.ai.",
        ),
    ],
)
async def test_a_floor_is_the_person_s_and_a_lack_of_credit_is_mended_at_luma(
    floor: float, sentence: str, way_out: str
) -> None:
    balance = Balance(floor or 0.7, read_at=0)
    with pytest.raises(BudgetError) as caught:
        check_credit(Budget(min_credit_usd=floor), 0.71, balance, 0.0)

    assert (str(caught.value), caught.value.hint) == (sentence, way_out)
