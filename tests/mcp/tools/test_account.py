"""Credits, reach, and the camera's words."""

import pytest

from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.dream_machine.catalogue import CAMERA_MOTIONS, CONCEPTS
from luma_mcp.emulator.faults import Fault
from tests.support.agent import BASE_URL, Agent, text

pytestmark = pytest.mark.anyio


async def test_credits_are_reported_in_dollars(agent: Agent) -> None:
    await agent.call("create_video", prompt="a boat")

    assert (await agent.call("get_credits"))["credit_usd"] == pytest.approx(1000 - 0.71, abs=0.005)
    assert text(await agent.result("get_credits")).startswith("$999.29 of API credit")


async def test_ping_states_where_luma_answers(agent: Agent) -> None:
    assert await agent.call("ping") == {"ok": True, "base_url": BASE_URL}


async def test_the_camera_words_come_from_luma(agent: Agent) -> None:
    assert await agent.call("list_concepts") == {
        "words": list(CONCEPTS),
        "from_luma": True,
        "camera_motions": list(CAMERA_MOTIONS),
    }


async def test_luma_is_asked_once_for_its_words(agent: Agent, emulator: Emulator) -> None:
    for _ in range(3):
        await agent.call("list_concepts")

    assert emulator.requests == [("GET", "/generations/concepts/list"), ("GET", "/generations/camera_motion/list")]


async def test_without_luma_there_are_words_all_the_same(agent: Agent, emulator: Emulator) -> None:
    emulator.faults.append(Fault("error", path="*/list", times=100, status=404))
    answer = await agent.call("list_concepts")

    assert answer == {"words": list(CONCEPTS), "from_luma": False, "camera_motions": list(CAMERA_MOTIONS)}
    assert "Luma did not answer" in text(await agent.result("list_concepts"))


async def test_the_name_of_an_earlier_version_states_where_it_is_now(agent: Agent) -> None:
    assert await agent.refusal("list_camera_motions") == "list_concepts answers the camera motions too."
