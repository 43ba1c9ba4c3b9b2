"""A generation as an MCP task, for clients that declare the extension."""

from datetime import datetime
from typing import Any

import httpx
import pytest
from mcp import Client, MCPError
from mcp.client import advertise
from mcp.types import CallToolResult

from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.faults import Fault
from luma_mcp.mcp.tasks import IDENTIFIER, Tasks, derive_key
from tests.support.agent import Agent, HeldClock

pytestmark = pytest.mark.anyio

ADVERTISED = [advertise(IDENTIFIER, {})]


async def raw(client: Client, method: str, **params: Any) -> dict[str, Any]:
    """A request as it goes over the wire, for the SDK's client knows nothing of tasks."""
    dispatcher = client.session._dispatcher
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {"extensions": {IDENTIFIER: {}}},
    }
    return await dispatcher.send_raw_request(method, {**params, "_meta": meta}, None)


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    return await raw(client, "tools/call", name=tool, arguments=arguments)


@pytest.fixture
async def client(serve):
    async with Client(serve(), extensions=ADVERTISED) as made:
        yield made


async def test_a_purchase_becomes_a_task_that_ends_with_the_tools_result(
    client: Client, emulator: Emulator, clock: HeldClock
) -> None:
    result = await call(client, "create_video", prompt="a boat")
    (generation_id,) = emulator.dream_machine.generations
    assert (result["resultType"], result["status"], result["pollIntervalMs"]) == ("task", "working", 5000)

    assert (await raw(client, "tasks/get", taskId=result["taskId"]))["status"] == "working"
    clock.seconds += 100
    done = await raw(client, "tasks/get", taskId=result["taskId"])
    assert datetime.fromisoformat(done["lastUpdatedAt"]).timestamp() == pytest.approx(clock.wall())
    answer = CallToolResult.model_validate(done["result"]).structured_content

    assert (done["resultType"], done["status"]) == ("complete", "completed")
    assert answer is not None
    assert (answer["generation_id"], answer["state"], answer["price_usd"]) == (generation_id, "completed", 0.71)
    assert "download_generation" in answer["next"]


@pytest.mark.parametrize(("until", "status"), [("all", "working"), ("any", "completed")])
async def test_a_wait_becomes_a_task(client: Client, clock: HeldClock, until: str, status: str) -> None:
    agent = Agent(client)
    video = emulated(await call(client, "create_video", prompt="a boat"))
    image = emulated(await call(client, "create_image", prompt="a boat"))
    result = await call(client, "wait_for_generation", generation_ids=[video, image], until=until)
    assert result["resultType"] == "task"
    clock.seconds += 20

    assert (await raw(client, "tasks/get", taskId=result["taskId"]))["status"] == status
    clock.seconds += 100
    done = await raw(client, "tasks/get", taskId=result["taskId"])
    assert done["result"]["structuredContent"]["done"] is True
    assert [generation["state"] for generation in done["result"]["structuredContent"]["generations"]] == [
        "completed"
    ] * 2
    assert (await agent.call("wait_for_generation", generation_ids=[video]))["done"] is True


def emulated(task: dict[str, Any]) -> str:
    return task["statusMessage"].rpartition(" ")[2]


async def test_what_is_over_needs_no_task(client: Client, clock: HeldClock) -> None:
    video = emulated(await call(client, "create_video", prompt="a boat"))
    clock.seconds += 100

    result = await call(client, "wait_for_generation", generation_ids=[video])
    assert result["resultType"] == "complete"
    assert result["structuredContent"]["done"] is True


async def test_refusals_and_dry_runs_and_reads_need_no_task(client: Client) -> None:
    assert (await call(client, "create_video", prompt="no"))["isError"] is True
    assert (await call(client, "create_video", prompt="a boat", dry_run=True))["resultType"] == "complete"
    assert (await call(client, "get_credits"))["resultType"] == "complete"


async def test_a_failed_generation_is_a_completed_task(client: Client, clock: HeldClock) -> None:
    result = await call(client, "create_video", prompt="a boat [fail]")
    clock.seconds += 100
    done = await raw(client, "tasks/get", taskId=result["taskId"])

    assert done["status"] == "completed"
    assert done["result"]["structuredContent"]["state"] == "failed"


async def test_another_process_with_the_same_token_answers(client: Client, serve, clock: HeldClock) -> None:
    result = await call(client, "create_video", prompt="a boat")
    clock.seconds += 100
    async with Client(serve(), extensions=ADVERTISED) as other:
        assert (await raw(other, "tasks/get", taskId=result["taskId"]))["status"] == "completed"


async def test_a_process_with_another_token_does_not(client: Client, serve) -> None:
    result = await call(client, "create_video", prompt="a boat")
    async with Client(serve(LUMA_TOKEN="another"), extensions=ADVERTISED) as other:
        with pytest.raises(MCPError, match="Task not found"):
            await raw(other, "tasks/get", taskId=result["taskId"])


@pytest.mark.parametrize("task_id", ["", "x", "a.b", "é.ü", "e30.AAAA", "." * 3000])
async def test_an_unknown_id_is_not_found(client: Client, emulator: Emulator, task_id: str) -> None:
    for method in ("tasks/get", "tasks/cancel", "tasks/update"):
        with pytest.raises(MCPError, match="Task not found"):
            await raw(client, method, taskId=task_id)
    assert emulator.requests == []


async def test_cancelling_and_updating_are_acknowledged_and_change_nothing(client: Client, emulator: Emulator) -> None:
    result = await call(client, "create_video", prompt="a boat")
    for method in ("tasks/cancel", "tasks/update"):
        answer = await raw(client, method, taskId=result["taskId"])
        assert answer["resultType"] == "complete"

    assert len(emulator.dream_machine.generations) == 1


async def test_luma_failing_is_an_error_of_asking_and_not_of_the_task(client: Client, emulator: Emulator) -> None:
    result = await call(client, "create_video", prompt="a boat")
    emulator.faults.append(Fault("error", method="GET", times=3, status=503))
    with pytest.raises(MCPError, match=r"Luma failed to answer \(503\)"):
        await raw(client, "tasks/get", taskId=result["taskId"])

    assert (await raw(client, "tasks/get", taskId=result["taskId"]))["status"] == "working"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_clients_without_the_extension_see_no_difference(serve, mode: str) -> None:
    extensions = ADVERTISED if mode == "legacy" else None
    async with Client(serve(), mode=mode, extensions=extensions) as plain:
        bought = await Agent(plain).call("create_video", prompt="a boat")
        waited = await Agent(plain).call("wait_for_generation", generation_ids=[bought["generation_id"]])

    assert waited["done"] is False
    assert waited["waited_seconds"] == 45


async def test_who_does_not_declare_it_may_not_ask(serve) -> None:
    async with Client(serve()) as plain:
        with pytest.raises(MCPError) as caught:
            await plain.session._dispatcher.send_raw_request(
                "tasks/get",
                {
                    "taskId": "x",
                    "_meta": {
                        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                        "io.modelcontextprotocol/clientCapabilities": {},
                    },
                },
                None,
            )

    assert caught.value.error.code == -32021


async def test_over_http_two_replicas_answer_for_each_other_and_the_header_must_agree(serve, clock: HeldClock) -> None:
    result, read = await over_http(
        serve(), "tools/call", "create_video", name="create_video", arguments={"prompt": "a boat"}
    )
    assert result == 200
    task_id = read["result"]["taskId"]
    clock.seconds += 100

    status, read = await over_http(serve(), "tasks/get", task_id, taskId=task_id)
    assert (status, read["result"]["status"]) == (200, "completed")
    _, read = await over_http(serve(), "tasks/get", "another", taskId=task_id)
    assert read["error"]["code"] == -32020


async def over_http(server, method: str, header: str, /, **params: Any) -> tuple[int, dict[str, Any]]:
    """One request to a replica of its own."""
    app = server.streamable_http_app(stateless_http=True, json_response=True)
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {"extensions": {IDENTIFIER: {}}},
    }
    headers = {
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": method,
        "mcp-name": header,
    }
    async with (
        server.session_manager.run(),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8000") as http,
    ):
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
        answer = await http.post("/mcp", json=body, headers=headers)
        return answer.status_code, answer.json()


def test_every_account_has_a_key_of_its_own() -> None:
    assert derive_key("a", "t") == derive_key("a", "t")
    assert len({derive_key("a", "t"), derive_key("b", "t"), derive_key("a", "u")}) == 3
    assert Tasks.identifier == "io.modelcontextprotocol/tasks"
