"""The client of the Agents API, its files, and both APIs behind one backend."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any

import httpx
import pytest

from luma_mcp.backends.agents.client import Agents
from luma_mcp.backends.luma_apis import Bought, LumaApis
from luma_mcp.backends.transport import Transport
from luma_mcp.domain.errors import (
    AmbiguousPurchaseError,
    AuthenticationError,
    FileError,
    InvalidRequestError,
    LumaError,
    NotFoundError,
    ServerError,
)
from luma_mcp.domain.generation import Generation
from luma_mcp.domain.requests import VideoRequest
from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.faults import Fault
from tests.support.agent import HeldClock, InMemory

pytestmark = pytest.mark.anyio

KEY = "luma-api-test"
URL = "http://127.0.0.1:9/v1"
VIDEO = VideoRequest(model="ray-3.2", prompt="a boat")
ID = "d290f1ee-6c54-4b01-90e6-d701748f0851"


@pytest.fixture
def emulator(clock: HeldClock) -> Emulator:
    return Emulator(agents_token=KEY, limits={}, clock=clock.now, wall=clock.luma_wall)


@pytest.fixture
async def agents(transport: InMemory, clock: HeldClock) -> AsyncIterator[Agents]:
    client = Agents(
        Transport(KEY, base_url=URL, clock=clock, network=transport), sleep=clock.sleep, wall=clock.luma_wall
    )
    yield client
    await client.close()


def scripted(*answers: tuple[int, Any]) -> tuple[Agents, list[httpx.Request]]:
    """A client whose requests are answered in this order, the last one again and again."""
    requests: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        status, body = answers[min(len(requests), len(answers)) - 1]
        return httpx.Response(status, json=body)

    clock = HeldClock()
    to_luma = Transport(KEY, base_url=URL, network=httpx.MockTransport(handle), clock=clock)
    return Agents(to_luma, sleep=clock.sleep), requests


async def test_a_purchase_is_sent_once_and_a_read_again(agents: Agents, emulator: Emulator) -> None:
    made = await agents.submit(agents.encode(VIDEO), request_id="r")
    assert (made.state, made.kind, made.backend) == ("queued", "video", "agents")
    emulator.faults.append(Fault("error", method="GET", times=2, status=500))
    assert (await agents.get_generation(made.id)).id == made.id
    emulator.faults.append(Fault("error", method="POST", status=500))
    with pytest.raises(AmbiguousPurchaseError):
        await agents.submit(agents.encode(VIDEO), request_id="r")
    assert len(emulator.agents.billing.purchases()) == 1
    assert repr(agents) == f"Agents(base_url={URL!r})"


async def test_a_purchase_names_its_buyer_by_a_keyed_hash(
    agents: Agents, emulator: Emulator, transport: InMemory
) -> None:
    encoded = agents.encode(VIDEO)
    await agents.submit(encoded, request_id="r")
    for key, person in ((b"a", "anna"), (b"a", "anna"), (b"a", "ben"), (b"b", "anna")):
        to_luma = Transport(KEY, base_url=URL, network=transport, clock=HeldClock())
        await Agents(to_luma, user_key=key).submit(encoded, request_id="r", person=person)
    owner, anna, again, ben, elsewhere = (made.body.user_id for made in emulator.agents.generations.values())

    assert owner is None
    assert anna == again
    assert len({anna, ben, elsewhere, "anna", "ben"}) == 5
    assert {len(anna or ""), len(ben or "")} == {32}
    assert "user_id" not in encoded.body, "it is no part of what is bought"


async def test_an_answer_that_cannot_be_read_is_no_refusal() -> None:
    client, _ = scripted((201, {"id": ""}))
    with pytest.raises(AmbiguousPurchaseError):
        await client.submit(client.encode(VIDEO), request_id="r")


async def test_what_is_no_id_is_asked_of_nobody(agents: Agents, transport: InMemory) -> None:
    with pytest.raises(InvalidRequestError, match="not a generation id"):
        await agents.get_generation("../files")
    with pytest.raises(NotFoundError):
        await agents.get_generation(ID)
    assert len(transport.requests) == 1


async def test_a_key_that_is_refused_is_said(transport: InMemory) -> None:
    client = Agents(
        Transport("luma-api-other", base_url=URL, clock=HeldClock(), token_hint="Set it.", network=transport)
    )
    with pytest.raises(AuthenticationError, match="401") as caught:
        await client.ping()
    assert caught.value.hint == "Set it."


async def nowhere(_url: str, _headers: Mapping[str, str]) -> None:
    """The bytes go nowhere."""


PENDING = {"id": "f", "state": "pending"}
CREATED = PENDING | {"upload": {"url": "https://up.example/f", "headers": {}}}
EMPTY = {"data": [], "has_more": False}


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        ([(200, EMPTY), (201, PENDING)], "named no place"),
        ([(200, EMPTY), (201, CREATED), (200, {"id": "f", "state": "failed", "failure_reason": "bad"})], "cannot use"),
        ([(200, EMPTY), (201, CREATED), (200, PENDING)], "did not take the file in time"),
        ([(500, {})], "failed to answer"),
    ],
)
async def test_a_file_that_luma_does_not_take_is_an_error(answers: list[tuple[int, Any]], sentence: str) -> None:
    client, _ = scripted(*answers)
    with pytest.raises(LumaError, match=sentence) as caught:
        await client.files.put("a.png", "image/png", 3, nowhere)
    assert isinstance(caught.value, FileError | ServerError)


@pytest.mark.parametrize(
    ("found", "requests"),
    [
        ({"id": "g", "state": "ready", "filename": "a.png", "size_bytes": 3, "expires_at": "2999-01-01T00:00:00Z"}, 1),
        ({"id": "g", "state": "ready", "filename": "a.png", "size_bytes": 3}, 1),
        # Of another length, of another name, about to end.
        ({"id": "g", "state": "ready", "filename": "a.png", "size_bytes": 4}, 3),
        ({"id": "g", "state": "ready", "filename": "b.png", "size_bytes": 3}, 3),
        ({"id": "g", "state": "pending", "filename": "a.png", "size_bytes": 3}, 3),
        ({"id": "g", "state": "ready", "filename": "a.png", "size_bytes": 3, "expires_at": "2000-01-01T00:00:00Z"}, 3),
    ],
)
async def test_the_same_content_is_put_there_once(found: dict[str, Any], requests: int) -> None:
    client, sent = scripted(
        (200, {"data": [found], "has_more": False}), (201, CREATED), (200, {"id": "f", "state": "ready"})
    )
    file_id = await client.files.put("a.png", "image/png", 3, nowhere)

    assert (file_id, len(sent)) == ("g" if requests == 1 else "f", requests)


async def test_older_files_are_looked_through_a_few_pages_deep() -> None:
    client, sent = scripted((200, {"data": [], "has_more": True, "next_cursor": "n"}))
    with pytest.raises(LumaError):
        await client.files.put("a.png", "image/png", 3, nowhere)

    assert [request.method for request in sent[:6]] == ["GET"] * 5 + ["POST"]
    assert sent[1].url.params["cursor"] == "n"
    assert json.loads(sent[5].content)["filename"] == "a.png"


class Known:
    """A history with these purchases."""

    def __init__(self, *bought: Bought) -> None:
        self._bought = bought

    async def of(self, generation_id: str) -> Bought | None:
        return next((bought for bought in self._bought if bought.generation_id == generation_id), None)

    async def recent(self, generation_id: str) -> Bought | None:
        return None

    async def queued(self, queue_id: str) -> Generation | str | None:
        return None

    async def waiting(self, limit: int, person: str | None) -> list[Generation]:
        return []

    async def newest(self, backend: str) -> AsyncGenerator[Bought]:
        for bought in self._bought:
            if bought.backend == backend:
                yield bought

    async def of_person(self, person: str) -> AsyncIterator[Bought]:
        for bought in self._bought:
            yield bought


async def test_a_list_without_dream_machine_comes_from_the_ledger(agents: Agents, clock: HeldClock) -> None:
    made = await agents.submit(agents.encode(VIDEO), request_id="r")
    lost = Bought("e290f1ee-6c54-4b01-90e6-d701748f0851", "agents", {"prompt": "a ship"}, 0.3, 1.0)
    apis = LumaApis(Known(Bought(made.id, "agents", {"prompt": "a boat"}, 0.3, 2.0), lost), agents=agents)
    page = await apis.list_generations(limit=1)
    rest = await apis.list_generations(limit=5, offset=1)

    assert [(entry.id, entry.state, entry.prompt) for entry in page.generations] == [(made.id, "queued", "a boat")]
    assert page.has_more is True
    # Luma does not know it any more; what the ledger knows is told.
    (entry,) = rest.generations
    assert (entry.id, entry.state, entry.prompt) == (lost.generation_id, "unknown", "a ship")
    assert rest.has_more is False
    with pytest.raises(InvalidRequestError, match="has no balance"):
        await apis.get_credit_usd()


async def test_a_person_s_list_leaves_out_an_api_without_a_key_and_ends_at_its_limit(agents: Agents) -> None:
    elsewhere = Bought("15b7abb1-3741-4b7e-9615-1f9a16c7442d", "dream_machine", {"prompt": "a car"}, 0.3, 3.0)
    ids = ["e290f1ee-6c54-4b01-90e6-d701748f0851", "e290f1ee-6c54-4b01-90e6-d701748f0852"]
    apis = LumaApis(
        Known(elsewhere, *(Bought(name, "agents", {"prompt": "a ship"}, 0.3, 2.0) for name in ids)), agents=agents
    )
    first = await apis.list_of_person("anna", limit=1, offset=0)
    second = await apis.list_of_person("anna", limit=1, offset=1)

    assert ([entry.id for entry in first.generations], first.has_more) == (ids[:1], True)
    assert ([entry.id for entry in second.generations], second.has_more) == (ids[1:], False)


async def test_with_one_api_every_id_is_its(agents: Agents) -> None:
    apis = LumaApis(Known(), agents=agents)

    assert await apis.backend_of(ID) == "agents"
    with pytest.raises(NotFoundError):
        await apis.get_generation(ID)
    with pytest.raises(InvalidRequestError, match="no key for it") as caught:
        apis.of("dream_machine")
    assert "LUMA_TOKEN" in caught.value.hint
