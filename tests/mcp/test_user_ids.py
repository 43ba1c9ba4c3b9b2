"""The Agents API learns which purchases are of the same person, and never who that is."""

from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from luma_mcp.composition import build_server
from luma_mcp.config.settings import Settings
from luma_mcp.emulator.app import Emulator
from luma_mcp.mcp.http.serving import make_app
from tests.support.agent import TOKEN, Agent, HeldClock, InMemory, emulator_of_both
from tests.support.plain_http import variables

pytestmark = pytest.mark.anyio

KEY = f"luma-api-{TOKEN}"
PERSONS = {"anna": "zu8Hq2Lw0vXk4RtB", "ben": "Yp3Nd7Gs1mJc9FeA", "": "Kq5Wb8Xz2rTh6VuD"}
TOKENS = ",".join(f"{name}:{key}" if name else key for name, key in PERSONS.items())


@pytest.fixture(params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """The transport is httpx2's for ASGI applications, in which both loops do the same."""
    return request.param


@pytest.fixture
def emulator(clock: HeldClock) -> Emulator:
    return emulator_of_both(clock, KEY, {})


async def test_each_person_has_a_user_id_that_is_the_same_at_every_replica(
    transport: InMemory, clock: HeldClock, emulator: Emulator, output: Any, ledger_path: Any
) -> None:
    values = Settings.from_environment(variables(output, ledger_path, LUMA_TOKEN=KEY, LUMA_HTTP_TOKENS=TOKENS))
    for replica in range(2):
        server = build_server(values, transport=transport, clock=clock)
        application = make_app(server, values)
        async with server.session_manager.run():
            for name, token in PERSONS.items():
                caller = httpx2.AsyncClient(
                    transport=httpx2.ASGITransport(application), headers={"authorization": f"Bearer {token}"}
                )
                at = streamable_http_client("http://127.0.0.1:8080/mcp", http_client=caller)
                async with caller, Client(at) as client:
                    call = {"prompt": f"a boat of {name or 'the owner'}", "take": replica + 1}
                    await Agent(client).call("create_image", **call)

    ids = [made.body.user_id for made in emulator.agents.generations.values()]
    assert ids[:3] == ids[3:]
    assert ids[2] is None, "the owner of the key"
    assert len({ids[0], ids[1], *PERSONS}) == 5
