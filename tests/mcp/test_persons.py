"""What one person made is kept from the others, over HTTP, unless the settings say that they share."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.types import ElicitResult, ResourceTemplateReference

from luma_mcp.composition import build_server
from luma_mcp.config.settings import Settings
from luma_mcp.emulator.app import Emulator
from luma_mcp.mcp.http.serving import make_app
from luma_mcp.mcp.tasks import IDENTIFIER, VERSION
from tests.sources.test_local_files import picture
from tests.support.agent import Agent, HeldClock, InMemory, text
from tests.support.plain_http import message_in, variables

pytestmark = pytest.mark.anyio

KEYS = {"anna": "zu8Hq2Lw0vXk4RtB", "ben": "Yp3Nd7Gs1mJc9FeA", "": "Kq5Wb8Xz2rTh6VuD"}
TOKENS = ",".join(f"{name}:{key}" if name else key for name, key in KEYS.items())
NOT_FOUND = "No generation has the id"


@pytest.fixture(params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """The transport is httpx2's for ASGI applications, in which both loops do the same."""
    return request.param


class Office:
    """One server, and what its people see."""

    def __init__(self, application: Any, era: str) -> None:
        self._application = application
        self._era = era

    @asynccontextmanager
    async def client(self, person: str, **options: Any) -> AsyncIterator[Client]:
        caller = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(self._application), headers={"authorization": f"Bearer {KEYS[person]}"}
        )
        async with (
            caller,
            Client(
                streamable_http_client("http://127.0.0.1:8080/mcp", http_client=caller), mode=self._era, **options
            ) as client,
        ):
            yield client

    async def call(self, person: str, tool: str, **arguments: Any) -> dict[str, Any]:
        async with self.client(person) as client:
            return await Agent(client).call(tool, **arguments)

    async def raw(
        self, person: str, method: str, name: str, params: dict[str, Any], version: str = VERSION
    ) -> dict[str, Any]:
        """The answer to a message of a client with tasks, which the SDK's client does not know."""
        meta = {
            "io.modelcontextprotocol/protocolVersion": VERSION,
            "io.modelcontextprotocol/clientCapabilities": {"extensions": {IDENTIFIER: {}}},
        }
        params = {**params, "_meta": meta} if version == VERSION else params
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        headers = {
            "authorization": f"Bearer {KEYS[person]}",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": version,
            "mcp-method": method,
            "mcp-name": name,
        }
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(self._application)) as caller:
            answer = await caller.post("http://127.0.0.1:8080/mcp", json=message, headers=headers)
        return message_in(answer.text)

    async def refusal(self, person: str, tool: str, **arguments: Any) -> str:
        async with self.client(person) as client:
            return await Agent(client).refusal(tool, **arguments)

    async def read(self, person: str, uri: str) -> dict[str, Any]:
        async with self.client(person) as client:
            return json.loads((await client.read_resource(uri)).contents[0].text)


OpenOffice = Callable[..., Awaitable[Office]]


@pytest.fixture
async def opened(
    transport: InMemory, clock: HeldClock, settings: Settings, era: str, output: Any, ledger_path: Any
) -> AsyncIterator[OpenOffice]:
    """Opens an office with settings of the test's own."""
    async with AsyncExitStack() as stack:

        async def build(**environment: str) -> Office:
            values = Settings.from_environment(
                variables(output, ledger_path, **{"LUMA_HTTP_TOKENS": TOKENS, **environment})
            )
            server = build_server(values, transport=transport, clock=clock)
            application = make_app(server, values)
            await stack.enter_async_context(server.session_manager.run())
            return Office(application, era)

        yield build


@pytest.fixture
async def office(opened: OpenOffice) -> Office:
    return await opened()


async def _clip(office: Office, person: str, clock: HeldClock, **arguments: Any) -> str:
    """A completed clip of somebody's."""
    bought = await office.call(person, "create_video", **{"prompt": "a boat", "resolution": "540p", **arguments})
    clock.seconds += 200
    waited = await office.call(person, "wait_for_generation", generation_ids=[bought["generation_id"]])
    assert waited["done"]
    return bought["generation_id"]


OTHERS_CALLS = [
    ("get_generation", {"generation_id": "ID"}),
    ("wait_for_generation", {"generation_ids": ["ID"], "timeout_seconds": 0}),
    ("delete_generation", {"generation_id": "ID"}),
    ("download_generation", {"generation_ids": ["ID"]}),
    ("view_generation", {"generation_id": "ID"}),
    ("extend_video", {"generation_id": "ID", "prompt": "on"}),
    ("upscale_video", {"generation_id": "ID"}),
    ("add_audio", {"generation_id": "ID"}),
    ("create_video", {"prompt": "a boat", "start_frame": "ID"}),
    ("create_video", {"prompt": "a boat", "end_frame": "ID#last"}),
    ("modify_video", {"source": "ID", "mode": "flex_1"}),
    ("reframe_video", {"source": "ID", "aspect_ratio": "1:1"}),
    ("create_image", {"prompt": "a boat", "image_refs": [{"source": "ID#first"}]}),
    ("reframe_image", {"source": "ID#first", "aspect_ratio": "1:1"}),
    ("edit_video", {"clips": ["ID"]}),
]


def _naming(arguments: Any, generation_id: str) -> Any:
    return json.loads(json.dumps(arguments).replace("ID", generation_id))


@pytest.mark.parametrize(("tool", "arguments"), OTHERS_CALLS)
async def test_a_person_does_not_reach_what_another_made(
    opened: OpenOffice, emulator: Emulator, clock: HeldClock, tool: str, arguments: dict[str, Any]
) -> None:
    office = await opened(LUMA_HTTP_DELETE="1")
    made = await _clip(office, "anna", clock)

    assert NOT_FOUND in await office.refusal("ben", tool, **_naming(arguments, made))
    assert emulator.dream_machine.billing.purchases() == [made]
    assert made in emulator.dream_machine.generations


async def test_every_tool_that_accepts_a_generation_is_tried_above(office: Office) -> None:
    async with office.client("anna") as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    takes = {
        name
        for name, tool in tools.items()
        if {"generation_id", "generation_ids"} & set(tool.input_schema["properties"])
    }

    assert takes <= {tool for tool, _ in OTHERS_CALLS}


FILM_TOOLS = {"create_film", "wait_for_film"}


async def test_a_person_does_not_reach_a_film_of_another(office: Office, emulator: Emulator) -> None:
    shots = {"shots": ["a boat", "a storm"], "resolution": "540p"}
    film = await office.call("anna", "create_film", **shots)
    named = {"film_id": film["film_id"]}

    assert "No film has the id" in await office.refusal("ben", "wait_for_film", **named, timeout_seconds=0)
    assert "No film has the id" in await office.refusal("ben", "create_film", **shots, **named)
    assert (await office.call("ben", "create_film", **shots))["film_id"] != film["film_id"]
    assert [entry["film_id"] for entry in (await office.read("anna", "luma://films"))["films"]] == [film["film_id"]]
    async with office.client("ben") as client:
        with pytest.raises(MCPError, match="No film has the id"):
            await client.read_resource(f"luma://films/{film['film_id']}")
        reference = ResourceTemplateReference(uri="luma://films/{film_id}")
        completed = await client.complete(reference, {"name": "film_id", "value": film["film_id"]})
    assert completed.completion.values == []
    assert (await office.call("", "wait_for_film", **named, timeout_seconds=0))["film_id"] == film["film_id"]
    assert len(emulator.dream_machine.billing.purchases()) == 2, "only what its own person, or the owner, waits for"


async def test_a_shot_of_a_film_is_not_made_of_what_another_made(
    office: Office, emulator: Emulator, clock: HeldClock
) -> None:
    clip = await _clip(office, "anna", clock)
    refused = await office.refusal("ben", "create_film", shots=[{"prompt": "a boat", "start": clip}])

    assert refused.startswith(f"Shot 1: {NOT_FOUND}")
    assert emulator.dream_machine.billing.purchases() == [clip]


async def test_every_tool_that_accepts_a_film_is_tried_above(office: Office) -> None:
    async with office.client("anna") as client:
        tools = (await client.list_tools()).tools

    assert {tool.name for tool in tools if "film_id" in tool.input_schema["properties"]} == FILM_TOOLS


async def test_the_owner_sees_what_every_person_made(office: Office, clock: HeldClock) -> None:
    made = await _clip(office, "anna", clock)

    assert (await office.call("", "get_generation", generation_id=made))["state"] == "completed"


async def test_the_same_call_of_two_people_is_two_purchases(office: Office, emulator: Emulator) -> None:
    calls = [await office.call(person, "create_video", prompt="a boat") for person in ("anna", "ben", "anna", "ben")]

    ids = [call["generation_id"] for call in calls]
    assert ids[:2] == ids[2:]
    assert len(set(ids)) == len(emulator.dream_machine.billing.purchases()) == 2


async def test_people_who_share_see_and_join_everything(
    opened: OpenOffice, emulator: Emulator, clock: HeldClock
) -> None:
    office = await opened(LUMA_HTTP_SHARED="1", LUMA_HTTP_DELETE="1")
    made = await _clip(office, "anna", clock)
    joined = await office.call("ben", "create_video", prompt="a boat", resolution="540p")

    assert (joined["generation_id"], joined["recovered"]) == (made, True)
    assert (await office.call("ben", "list_generations"))["generations"][0]["generation_id"] == made
    assert (await office.call("ben", "delete_generation", generation_id=made))["deleted"]
    assert emulator.dream_machine.billing.purchases() == [made]


async def test_each_lists_their_own_and_the_owner_all(office: Office, clock: HeldClock) -> None:
    made = {person: await _clip(office, person, clock, prompt=f"for {person}") for person in ("anna", "ben", "")}

    async def listed(person: str) -> list[str]:
        return [entry["generation_id"] for entry in (await office.call(person, "list_generations"))["generations"]]

    assert await listed("anna") == [made["anna"]]
    assert await listed("ben") == [made["ben"]]
    assert await listed("") == [made[""], made["ben"], made["anna"]]


async def test_a_list_of_ones_own_has_pages(office: Office) -> None:
    for number in range(3):
        await office.call("anna", "create_video", prompt=f"boat {number}")

    first = await office.call("anna", "list_generations", limit=2)
    rest = await office.call("anna", "list_generations", limit=2, offset=first["next_offset"])

    assert [entry["prompt"] for entry in first["generations"]] == ["boat 2", "boat 1"]
    assert [entry["prompt"] for entry in rest["generations"]] == ["boat 0"]
    assert "next_offset" not in rest


async def test_money_is_reported_of_ones_own_and_to_the_owner_by_person(office: Office) -> None:
    await office.call("anna", "create_video", prompt="a boat", resolution="540p")
    await office.call("ben", "create_image", prompt="a boat")

    assert (await office.call("anna", "get_credits"))["spent_today_usd"] == 0.4
    mine = await office.read("anna", "luma://spending")
    all_ = await office.read("", "luma://spending")

    assert mine["spent_today_usd"] == 0.4
    assert [purchase["kind"] for purchase in mine["purchases"]] == ["video"]
    assert "usd_by_person_today" not in mine
    assert mine["usd_by_model_today"] == {"ray-2": 0.4}
    assert all_["spent_today_usd"] == pytest.approx(sum(all_["usd_by_person_today"].values()), abs=1e-4)
    assert list(all_["usd_by_person_today"]) == ["anna", "ben"]
    assert list(all_["usd_by_model_today"]) == ["ray-2", "photon-1"]
    assert sum(all_["usd_by_day"].values()) == pytest.approx(all_["spent_today_usd"], abs=1e-4)


async def test_a_person_has_a_cap_of_their_own(opened: OpenOffice) -> None:
    office = await opened(LUMA_MAX_USD_PER_PERSON_PER_DAY="0.80", LUMA_MAX_USD_PER_DAY="1.50")

    async def buy(person: str, prompt: str) -> None:
        await office.call(person, "create_video", prompt=prompt, resolution="540p")

    await buy("anna", "one boat")
    await buy("anna", "two boats")
    refused = await office.refusal("anna", "create_video", prompt="three boats", resolution="540p")
    await buy("ben", "one boat")
    all_spent = await office.refusal("ben", "create_video", prompt="two boats", resolution="540p")

    assert "your cap for today (LUMA_MAX_USD_PER_PERSON_PER_DAY) of $0.80 has $0.80 spent" in refused
    assert "today's cap (LUMA_MAX_USD_PER_DAY) of $1.50 has $1.20 spent" in all_spent


async def test_a_resource_is_of_ones_own(office: Office, clock: HeldClock) -> None:
    made = await _clip(office, "anna", clock)

    assert (await office.read("anna", f"luma://generations/{made}"))["generation_id"] == made
    async with office.client("ben") as client:
        with pytest.raises(MCPError, match=NOT_FOUND):
            await client.read_resource(f"luma://generations/{made}")


async def test_only_ones_own_ids_are_completed(office: Office, clock: HeldClock) -> None:
    made = await _clip(office, "anna", clock)
    values: dict[str, list[str]] = {}
    for person in KEYS:
        async with office.client(person) as client:
            reference = ResourceTemplateReference(uri="luma://generations/{generation_id}")
            found = await client.complete(reference, {"name": "generation_id", "value": ""})
            values[person] = found.completion.values

    assert values == {"anna": [made], "ben": [], "": [made]}


@pytest.mark.parametrize("era", ["auto"])
async def test_a_task_belongs_to_its_person(office: Office) -> None:
    call = {"name": "create_video", "arguments": {"prompt": "a boat"}}
    task = (await office.raw("anna", "tools/call", "create_video", call))["result"]["taskId"]
    answers = {person: await office.raw(person, "tasks/get", task, {"taskId": task}) for person in KEYS}

    assert answers["anna"]["result"]["status"] == answers[""]["result"]["status"] == "working"
    assert answers["ben"]["error"]["message"] == "Task not found"


async def test_a_person_does_not_watch_what_another_made(office: Office, clock: HeldClock, era: str) -> None:
    made = await _clip(office, "anna", clock)
    uri = f"luma://generations/{made}"
    if era == "legacy":
        method, params, version = "resources/subscribe", {"uri": uri}, "2025-11-25"
    else:
        method, params, version = "subscriptions/listen", {"notifications": {"resourceSubscriptions": [uri]}}, VERSION
    refused = (await office.raw("ben", method, uri, params, version))["error"]["message"]

    if era == "legacy":
        # Without a connection nobody can be notified: the answer is the same for the owner of the generation.
        assert "keeps no connection" in refused
        assert (await office.raw("anna", method, uri, params, version))["error"]["message"] == refused
    else:
        assert NOT_FOUND in refused


@pytest.mark.medium
async def test_files_are_in_a_folder_of_ones_own(office: Office, clock: HeldClock, output: Any) -> None:
    """A picture that one saved is no source for another, by whatever path."""
    made = await _clip(office, "anna", clock)
    saved = await office.call("anna", "download_generation", generation_ids=[made])
    mine = saved["files"][0]["path"]
    (folder,) = (output / "persons").glob("anna-*")
    (folder / "hero.png").write_bytes(picture())
    (output / "everybodys.png").write_bytes(picture())

    assert mine.startswith(str(folder))
    for source in (str(folder / "hero.png"), f"persons/{folder.name}/hero.png", f"../{folder.name}/hero.png"):
        refused = await office.refusal("ben", "create_video", prompt="x y z", start_frame=source)
        assert "LUMA_UPLOAD_URL" not in refused, refused
    assert "LUMA_UPLOAD_URL" in await office.refusal("anna", "create_video", prompt="x y z", start_frame="hero.png")
    assert "LUMA_UPLOAD_URL" not in await office.refusal(
        "anna", "create_video", prompt="x y z", start_frame=str(output / "everybodys.png")
    )
    assert "outside the output folder" in await office.refusal(
        "ben", "download_generation", generation_ids=[await _clip(office, "ben", clock)], directory=f"../{folder.name}"
    )


@pytest.mark.parametrize("person", ["anna", ""])
async def test_deleting_over_http_must_be_allowed(
    opened: OpenOffice, emulator: Emulator, clock: HeldClock, person: str
) -> None:
    office = await opened()
    made = await _clip(office, person, clock)

    assert "LUMA_HTTP_DELETE=1" in await office.refusal(person, "delete_generation", generation_id=made)
    assert made in emulator.dream_machine.generations
    assert (await (await opened(LUMA_HTTP_DELETE="1")).call(person, "delete_generation", generation_id=made))["deleted"]


@pytest.mark.usefixtures("in_one_day")
async def test_over_stdio_everything_is_the_owners(office: Office, clock: HeldClock, agent: Agent) -> None:
    made = await _clip(office, "anna", clock)

    assert (await agent.call("get_generation", generation_id=made))["state"] == "completed"
    assert text(await agent.result("get_credits")).count("Spent today: $0.40") == 1


@pytest.mark.parametrize("era", ["auto"])
async def test_only_the_person_who_was_asked_can_approve(opened: OpenOffice, emulator: Emulator) -> None:
    office = await opened(LUMA_CONFIRM_ABOVE_USD="0.01")

    async def yes(*_: Any) -> ElicitResult:
        return ElicitResult(action="accept", content={"buy": True})

    async with office.client("anna", elicitation_callback=yes) as client:
        bought = await Agent(client).call("create_video", prompt="a boat")

    assert emulator.dream_machine.billing.purchases() == [bought["generation_id"]]
