"""The day ends at midnight of the machine's time zone."""

from datetime import time

import pytest
from mcp import Client

from luma_mcp.emulator.app import Emulator
from tests.support.agent import Agent, HeldClock, unix_time

pytestmark = pytest.mark.anyio


async def test_a_purchase_counts_on_the_day_of_its_decision(agent: Agent, clock: HeldClock) -> None:
    clock.set_time_of_day(time(23, 59, 50))
    await agent.call("create_video", prompt="a boat")
    clock.seconds += 9
    before = await agent.call("get_credits")
    clock.seconds += 1
    after = await agent.call("get_credits")
    await agent.call("create_image", prompt="a boat")

    assert (before["spent_today_usd"], after["spent_today_usd"]) == (0.71, 0)
    assert (await agent.call("get_credits"))["spent_today_usd"] == 0.0173


async def test_the_day_s_cap_opens_at_midnight(serve, clock: HeldClock) -> None:
    clock.set_time_of_day(time(23, 59, 50))
    async with Client(serve(LUMA_MAX_USD_PER_DAY="1")) as client:
        agent = Agent(client)
        await agent.call("create_video", prompt="a boat")
        clock.seconds += 9
        refusal = await agent.refusal("create_video", prompt="another boat")
        clock.seconds += 1
        bought = await agent.call("create_video", prompt="another boat")

    assert "LUMA_MAX_USD_PER_DAY" in refusal
    assert bought["price_usd"] == 0.71


async def test_a_wait_over_midnight_keeps_what_was_bought(agent: Agent, emulator: Emulator, clock: HeldClock) -> None:
    clock.set_time_of_day(time(23, 59, 50))
    made = await agent.make("create_video", prompt="a boat")
    same = await agent.call("create_video", prompt="a boat")

    assert clock.wall() > unix_time(time(23, 59, 59)) + 1
    assert (same["generation_id"], same["recovered"]) == (made, True)
    assert len(emulator.dream_machine.billing.purchases()) == 1
