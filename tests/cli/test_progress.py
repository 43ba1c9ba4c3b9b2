"""Progress reaches commands as data: a sentence, and states by the ids of generations or by shots."""

import re
from collections.abc import Mapping
from typing import Any

import pytest
from mcp import Client
from mcp.types import ToolListChangedNotification

from luma_mcp.cli.progress import WITH_PROGRESS, ProgressListener
from tests.support.agent import Agent, once

pytestmark = pytest.mark.anyio

BOAT = {"prompt": "a boat", "resolution": "540p", "model": "ray-flash-2"}
LONG = {"timeout_seconds": 1800}
Report = tuple[str, dict[str, str]]


class Reports(list[Report]):
    """The progress reports of a client's calls."""

    def add(self, message: str, states: Mapping[str, str]) -> None:
        self.append((message, dict(states)))


async def test_a_wait_reports_the_states_of_generations_by_their_ids(serve: Any, era: str) -> None:
    reports = Reports()
    async with Client(serve(), mode=era, message_handler=ProgressListener(reports.add)) as client:
        bought = [(await Agent(client).call("create_video", **BOAT, take=take))["generation_id"] for take in (1, 2)]
        await client.call_tool("wait_for_generation", {"generation_ids": bought, **LONG}, meta=WITH_PROGRESS)

    assert {tuple(states) for _, states in reports} == {tuple(bought)}
    assert reports[-1][1] == dict.fromkeys(bought, "completed")
    assert re.match(r"\d+ s: " + bought[0][:8], reports[0][0])


@once
@pytest.mark.medium
async def test_a_film_reports_the_states_of_its_shots_and_then_the_bytes_that_are_saved(serve: Any, era: str) -> None:
    reports = Reports()
    async with Client(serve(), mode=era, message_handler=ProgressListener(reports.add)) as client:
        film = await Agent(client).call(
            "create_film", shots=["a boat at dawn", "a storm"], resolution="540p", model="ray-flash-2"
        )
        await client.call_tool("wait_for_film", {"film_id": film["film_id"], **LONG}, meta=WITH_PROGRESS)

    with_states = [states for _, states in reports if states]
    assert with_states[-1] == {"shot 1": "completed", "shot 2": "completed"}
    assert {message.partition(":")[0] for message, states in reports if not states} == {"Saving the film"}


async def test_a_call_that_asks_for_no_progress_gets_none(serve: Any, era: str) -> None:
    reports = Reports()
    async with Client(serve(), mode=era, message_handler=ProgressListener(reports.add)) as client:
        bought = (await Agent(client).call("create_video", **BOAT))["generation_id"]
        await Agent(client).call("wait_for_generation", generation_ids=[bought])

    assert reports == []


async def test_other_messages_of_the_server_are_ignored() -> None:
    reports = Reports()
    await ProgressListener(reports.add)(ToolListChangedNotification())
    await ProgressListener()(ToolListChangedNotification())

    assert reports == []
