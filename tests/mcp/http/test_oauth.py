"""People sign in at an issuer of other people's making, through three replicas behind nginx with TLS."""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.serving import serving
from tests.support.agent import TOKEN, Agent, text
from tests.support.issuer_process import Browser, Kept, running, sign_in
from tests.support.team import KEY, Team

pytestmark = [pytest.mark.anyio, pytest.mark.services]


@pytest.fixture(params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with running() as url:
        yield url


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    made = Emulator(token=TOKEN, credit_usd=1000, limits={}, speed=20)
    yield made
    made.assets.close()


async def repeated(agent: Agent, tool: str, **arguments: Any) -> Any:
    """A call as clients make it: once more with the same arguments, if the replica that had it was killed."""
    for _ in range(5):
        try:
            return await agent.result(tool, **arguments)
        except MCPError:
            continue
    raise AssertionError("no replica answers")


@pytest.fixture
async def team(tmp_path: Path, emulator: Emulator, database: str, issuer: str) -> AsyncIterator[Team]:
    async with serving(emulator) as base_url:
        made = Team(
            tmp_path,
            base_url,
            database,
            LUMA_HTTP_TOKENS=f"owner-tool:{KEY}",
            LUMA_HTTP_PUBLIC_URL="https://localhost:{front}/mcp",
            LUMA_OAUTH_ISSUER=issuer,
            LUMA_OAUTH_ALLOWED="anna,ben@example.com",
            LUMA_MAX_USD_PER_PERSON_PER_DAY="0.80",
        )
        try:
            await anyio.to_thread.run_sync(made.wait_until_there)
            yield made
        finally:
            made.end()


class Signed:
    """A person who uses the SDK's client."""

    def __init__(self, team: Team, name: str) -> None:
        self.browser, self.kept = Browser(name), Kept()
        self._team = team

    @asynccontextmanager
    async def client(self, era: str = "auto") -> AsyncIterator[Agent]:
        auth = sign_in(self._team.url, self.browser, self.kept)
        async with (
            httpx2.AsyncClient(auth=auth, trust_env=False, timeout=60, verify=self._team.trust) as caller,
            Client(streamable_http_client(self._team.url, http_client=caller), mode=era) as client,
        ):
            yield Agent(client)


async def test_two_people_sign_in_buy_within_their_caps_and_see_their_own(
    team: Team, emulator: Emulator, era: str
) -> None:
    anna, ben = Signed(team, "anna"), Signed(team, "ben")
    made: dict[str, list[str]] = {}
    are_in: dict[str, anyio.Event] = {"anna": anyio.Event(), "ben": anyio.Event()}

    async def work(name: str, person: Signed) -> None:
        async with person.client(era) as agent:
            are_in[name].set()
            calls = [{"prompt": f"boat {number}", "resolution": "540p"} for number in range(3)]
            bought = [await repeated(agent, "create_video", **call) for call in calls]
            clips = [result.structured_content["generation_id"] for result in bought[:2]]
            assert "your cap for today" in text(bought[2])
            waited = await repeated(agent, "wait_for_generation", generation_ids=clips, timeout_seconds=60)
            assert waited.structured_content["done"]
            made[name] = clips

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work, "anna", anna)
        tasks.start_soon(work, "ben", ben)
        for event in are_in.values():
            await event.wait()
        await anyio.to_thread.run_sync(team.kill, 0)

    assert len(set(made["anna"]) | set(made["ben"])) == 4
    assert sorted(emulator.dream_machine.billing.purchases()) == sorted(made["anna"] + made["ben"])
    async with anna.client(era) as agent:
        assert "No generation has the id" in await agent.refusal("get_generation", generation_id=made["ben"][0])
        listed = (await agent.call("list_generations"))["generations"]
        assert sorted(entry["generation_id"] for entry in listed) == sorted(made["anna"])
        file = (await agent.call("download_generation", generation_ids=[made["anna"][0]]))["files"][0]
    # From another machine's point of view: no token, only the link; each time another replica may answer.
    async with httpx.AsyncClient(verify=team.trust, trust_env=False) as stranger:
        for _ in range(4):
            answer = await stranger.get(file["link"])
            assert answer.status_code == 200
            assert len(answer.content) == file["size_bytes"]
        assert answer.content[4:8] == b"ftyp"
        assert (await stranger.get(file["link"][:-40] + "x" * 40)).status_code == 404
        assert (await stranger.get(team.url.replace("/mcp", "/metrics"))).status_code == 404
    # She signed in once, and for no more than is needed; the client adds what renews its tokens.
    assert anna.browser.asked_scopes == ["luma:read luma:spend offline_access"]


async def test_who_is_not_on_the_list_does_not_get_in(team: Team) -> None:
    eve = Signed(team, "eve")
    with pytest.raises(BaseExceptionGroup):
        async with eve.client():
            raise AssertionError("she is in")
    assert eve.kept.tokens is not None, "the issuer lets her in"

    headers = {"authorization": f"Bearer {eve.kept.tokens.access_token}"}
    async with httpx.AsyncClient(verify=team.trust, trust_env=False, headers=headers) as caller:
        answer = await caller.post(team.url, json={})
    # No challenge, or her client would send her to sign in again for ever.
    assert answer.status_code == 403
    assert "www-authenticate" not in answer.headers
    assert "You are signed in, and may not use this server" in answer.json()["error"]


async def test_no_token_is_in_a_log(team: Team, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="luma_mcp")
    anna = Signed(team, "anna")
    async with anna.client() as agent:
        await agent.call("get_credits")
    assert anna.kept.tokens is not None
    token = anna.kept.tokens.access_token
    logs = "".join(log.read_text() for log in team.logs)

    assert '"person": "anna@127.0.0.1"' in logs
    assert token.rpartition(".")[2] not in logs
    assert KEY not in logs


async def test_a_token_that_has_ended_is_renewed(tmp_path: Path, emulator: Emulator, database: str) -> None:
    """After its end and the leeway the client signs in again or refreshes by itself, without a person."""
    with running(token_seconds=1) as url:
        async with serving(emulator) as base_url:
            team = Team(
                tmp_path,
                base_url,
                database,
                LUMA_HTTP_PUBLIC_URL="https://localhost:{front}/mcp",
                LUMA_OAUTH_ISSUER=url,
                LUMA_OAUTH_ALLOWED="*",
            )
            try:
                await anyio.to_thread.run_sync(team.wait_until_there)
                anna = Signed(team, "anna")
                async with anna.client() as agent:
                    await agent.call("get_credits")
                    first = anna.kept.tokens
                    await anyio.sleep(2)
                    await agent.call("get_credits")
                    assert first is not None
                    assert anna.kept.tokens is not None
                    assert anna.kept.tokens.access_token != first.access_token
            finally:
                team.end()
