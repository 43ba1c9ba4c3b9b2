"""Three replicas behind nginx, with one ledger in PostgreSQL: real processes, all on loopback."""

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.serving import serving
from tests.support.agent import TOKEN
from tests.support.team import KEY, Team

pytestmark = [pytest.mark.anyio, pytest.mark.services]


@pytest.fixture(params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    made = Emulator(token=TOKEN, credit_usd=1000, limits={}, speed=20)
    yield made
    made.assets.close()


@pytest.fixture
async def base_url(emulator: Emulator) -> AsyncIterator[str]:
    async with serving(emulator) as url:
        yield url


@pytest.fixture
def team(tmp_path: Path, base_url: str, database: str, request: pytest.FixtureRequest) -> Iterator[Team]:
    made = Team(tmp_path, base_url, database, **getattr(request, "param", {}))
    try:
        made.wait_until_there()
        yield made
    finally:
        made.end()


@asynccontextmanager
async def client_of(url: str, era: str, trust: ssl.SSLContext | bool = True) -> AsyncIterator[Client]:
    headers = {"authorization": f"Bearer {KEY}"}
    async with (
        httpx2.AsyncClient(headers=headers, trust_env=False, timeout=60, verify=trust) as caller,
        Client(streamable_http_client(url, http_client=caller), mode=era) as client,
    ):
        yield client


async def call(client: Client, tool: str, **arguments: Any) -> Any:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result
    return result.structured_content


async def test_a_purchase_of_one_replica_is_waited_for_at_another_while_the_first_is_killed(
    team: Team, emulator: Emulator, era: str
) -> None:
    async with client_of(team.url_of(0), era) as first:
        bought = await call(first, "create_video", prompt="a boat", resolution="540p", model="ray-flash-2")
    async with client_of(team.url_of(1), era) as second, anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, team.kill, 0)
        waited = await call(second, "wait_for_generation", generation_ids=[bought["generation_id"]], timeout_seconds=60)

    assert waited["done"]
    assert [generation["state"] for generation in waited["generations"]] == ["completed"]
    assert emulator.dream_machine.billing.purchases() == [bought["generation_id"]]
    async with client_of(team.url, era, team.trust) as any_other:
        for _ in range(6):
            assert (await call(any_other, "get_generation", generation_id=bought["generation_id"]))[
                "state"
            ] == "completed"


@pytest.mark.parametrize("team", [{"LUMA_MAX_USD_PER_DAY": "5"}], indirect=True)
async def test_eight_clients_at_three_replicas_stay_within_one_day_s_cap(team: Team, emulator: Emulator) -> None:
    answer: list[bool] = []

    async def spend(number: int) -> None:
        async with client_of(team.url, "auto" if number % 2 else "legacy", team.trust) as client:
            for turn in range(5):
                wanted = {"prompt": f"boat {number} {turn}", "resolution": "540p"}
                result = await client.call_tool("create_video", wanted)
                answer.append(not result.is_error)

    async with anyio.create_task_group() as tasks:
        for number in range(8):
            tasks.start_soon(spend, number)

    assert len(answer) == 40
    assert (
        sum(answer) == len(emulator.dream_machine.billing.purchases()) == 12
    )  # 12 x $0.40; a thirteenth would pass $5
    assert min(team.share().values()) > 5, "the balancer used all three"


async def test_a_question_of_one_replica_accepts_its_response_at_another(
    tmp_path: Path, base_url: str, database: str, emulator: Emulator
) -> None:
    """The sealed state of a question can be opened by every replica with the same token."""
    from mcp.types import ElicitResult

    team = Team(tmp_path, base_url, database, LUMA_CONFIRM_ABOVE_USD="0.10")
    try:
        team.wait_until_there()

        async def yes(*_: Any) -> ElicitResult:
            return ElicitResult(action="accept", content={"buy": True})

        headers = {"authorization": f"Bearer {KEY}"}
        async with (
            httpx2.AsyncClient(headers=headers, trust_env=False, timeout=60, verify=team.trust) as caller,
            Client(streamable_http_client(team.url, http_client=caller), elicitation_callback=yes) as client,
        ):
            for number in range(6):
                await call(client, "create_video", prompt=f"boat {number}", resolution="540p")
    finally:
        team.end()

    assert len(emulator.dream_machine.billing.purchases()) == 6
