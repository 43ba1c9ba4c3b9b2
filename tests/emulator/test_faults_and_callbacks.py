"""What goes wrong on purpose, over real sockets, and what the emulator tells of by itself."""

import json
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from luma_mcp.emulator import __main__ as program
from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.dream_machine.account import UnreadableInputError
from luma_mcp.emulator.dream_machine.app import fetch_input
from luma_mcp.emulator.dream_machine.callbacks import deliver
from luma_mcp.emulator.faults import Fault, parse
from luma_mcp.emulator.serving import listen, serving
from tests.support.agent import until
from tests.support.processes import free_port

pytestmark = [pytest.mark.anyio, pytest.mark.medium]

VIDEO = {"model": "ray-2", "prompt": "a boat", "resolution": "540p"}


async def final(http: httpx.AsyncClient, generation_id: str) -> dict[str, Any]:
    """A generation once it is over."""
    found: dict[str, Any] = {}

    async def is_over() -> bool:
        found.update((await http.get(f"/generations/{generation_id}")).json())
        return found["state"] in ("completed", "failed")

    await until(is_over)
    return found


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def faulty() -> Emulator:
    return Emulator(speed=2000, limits={})


@pytest.fixture
async def http(faulty: Emulator) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        serving(faulty) as base_url,
        httpx.AsyncClient(base_url=base_url, headers={"Authorization": "Bearer x"}) as client,
    ):
        yield client


@pytest.mark.parametrize("after", [False, True])
async def test_a_dropped_connection_gives_no_answer(http: httpx.AsyncClient, faulty: Emulator, after: bool) -> None:
    faulty.faults.append(Fault("drop", method="POST", after=after))
    with pytest.raises(httpx.TransportError):
        await http.post("/generations/video", json=VIDEO)

    assert len(faulty.dream_machine.billing.purchases()) == int(after)
    assert (await http.post("/generations/video", json=VIDEO)).status_code == 201


async def test_an_answer_cut_in_half_does_not_arrive_whole(http: httpx.AsyncClient, faulty: Emulator) -> None:
    faulty.faults.append(Fault("cut", method="POST"))
    with pytest.raises(httpx.TransportError):
        await http.post("/generations/video", json=VIDEO)

    assert len(faulty.dream_machine.billing.purchases()) == 1


async def test_an_asset_can_be_cut_and_can_expire(http: httpx.AsyncClient, faulty: Emulator) -> None:
    made = (await http.post("/generations/image", json={"model": "photon-1", "prompt": "a boat"})).json()
    link = (await final(http, made["id"]))["assets"]["image"]
    faulty.faults.extend([Fault("cut", path="/assets/*"), Fault("expire", path="/assets/*")])

    with pytest.raises(httpx.TransportError):
        await http.get(link)
    assert (await http.get(link)).status_code == 403
    assert (await http.get(link)).status_code == 200


async def test_a_slow_answer_is_slow(http: httpx.AsyncClient, faulty: Emulator) -> None:
    faulty.faults.append(Fault("slow", seconds=30))
    with pytest.raises(httpx.ReadTimeout):
        await http.get("/ping", timeout=0.2)


@pytest.mark.parametrize("after", [False, True])
async def test_a_slow_answer_comes_in_the_end(http: httpx.AsyncClient, faulty: Emulator, after: bool) -> None:
    faulty.faults.append(Fault("slow", seconds=0.01, after=after))

    assert (await http.get("/ping")).json() == {"message": "pong"}


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault("error", status=503), 503),
        (Fault("error", status=500, after=True), 500),
        (Fault("limit"), 429),
        (Fault("limit", seconds=4), 429),
        (Fault("garble"), 200),
    ],
)
async def test_a_bad_answer_is_bad_once(http: httpx.AsyncClient, faulty: Emulator, fault: Fault, status: int) -> None:
    faulty.faults.append(fault)
    answer = await http.get("/ping")

    assert answer.status_code == status
    assert answer.headers.get("retry-after") == (str(fault.seconds) if fault.seconds else None)
    assert (await http.get("/ping")).json() == {"message": "pong"}


async def test_a_generation_can_be_made_to_fail(http: httpx.AsyncClient, faulty: Emulator) -> None:
    faulty.faults.append(Fault("moderate", path="*/video", reason="Frame moderation failed"))
    ids = [(await http.post("/generations/video", json=VIDEO)).json()["id"] for _ in range(2)]
    result = [await final(http, generation_id) for generation_id in ids]

    assert [(item["state"], item["failure_reason"]) for item in result] == [
        ("failed", "Frame moderation failed"),
        ("completed", None),
    ]


def test_faults_are_read_from_the_command_line() -> None:
    assert parse("drop") == Fault("drop")
    assert parse("error,status=502,times=3,path=*/video,method=POST,after=yes,seconds=2,reason=x") == Fault(
        "error", status=502, times=3, path="*/video", method="POST", after=True, seconds=2, reason="x"
    )
    for wrong in ("explode", "drop,loudly=yes", "error,status=high"):
        with pytest.raises(ValueError, match=r"is no fault|is no setting|invalid literal"):
            parse(wrong)


class Listener:
    """A person's own server that is told of changes."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.received: list[dict[str, Any]] = []
        self.heard_two = anyio.Event()
        self.app = Starlette(routes=[Route("/luma", self.receive, methods=["POST"])])

    async def receive(self, request: Request) -> Response:
        self.received.append(json.loads(await request.body()))
        if len(self.received) == 2:
            self.heard_two.set()
        return Response(status_code=self.statuses.pop(0) if self.statuses else 200)


@pytest.fixture
async def listening():
    import uvicorn

    listener = Listener()
    socket = listen(0)
    server = uvicorn.Server(uvicorn.Config(listener.app, log_level="warning"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, [socket])
        yield listener, f"http://127.0.0.1:{socket.getsockname()[1]}/luma"
        server.should_exit = True
    socket.close()


async def test_every_change_of_state_is_called_back(http: httpx.AsyncClient, faulty: Emulator, listening) -> None:
    listener, url = listening
    faulty.dream_machine._speed = 200  # slow enough for both states to be seen
    made = (await http.post("/generations/video", json={**VIDEO, "callback_url": url})).json()
    with anyio.fail_after(20):
        await listener.heard_two.wait()

    assert [(event["id"], event["state"]) for event in listener.received] == [
        (made["id"], "dreaming"), (made["id"], "completed"),
    ]  # fmt: skip


async def test_a_callback_that_is_not_taken_is_tried_three_times_more(listening) -> None:
    listener, url = listening
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    listener.statuses = [500, 404, 503]
    assert await deliver(url, {"id": "x"}, sleep) is True
    assert len(listener.received) == 4
    assert pauses == [0.1, 0.1, 0.1]

    listener.statuses = [500] * 9
    assert await deliver(url, {"id": "x"}, sleep) is False
    assert len(listener.received) == 8
    assert await deliver(f"http://127.0.0.1:{free_port()}/luma", {"id": "x"}, sleep) is False


async def test_inputs_are_fetched_over_the_network(http: httpx.AsyncClient, faulty: Emulator) -> None:
    made = (await http.post("/generations/image", json={"model": "photon-1", "prompt": "a boat"})).json()
    link = (await final(http, made["id"]))["assets"]["image"]

    assert (await fetch_input(link)).startswith(b"\xff\xd8\xff")
    for wrong in (f"http://127.0.0.1:{free_port()}/x", link.replace("image.jpg", "none.jpg"), "no url at all"):
        with pytest.raises(UnreadableInputError):
            await fetch_input(wrong)


async def test_an_input_over_100_mb_is_refused(
    http: httpx.AsyncClient, faulty: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luma_mcp.emulator.dream_machine.app._MAX_INPUT_BYTES", 100)
    made = (await http.post("/generations/image", json={"model": "photon-1", "prompt": "a boat"})).json()
    link = (await final(http, made["id"]))["assets"]["image"]

    with pytest.raises(UnreadableInputError, match="over 0 MB"):
        await fetch_input(link)


def test_a_taken_port_and_a_wrong_fault_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    taken = listen(0)
    taken.listen()
    port = taken.getsockname()[1]

    assert program.main(["--port", str(port)]) == 2
    assert program.main(["--port", "0", "--fault", "explode"]) == 2
    message = capsys.readouterr().err.splitlines()
    assert message[0].startswith("The emulator cannot start: ")
    assert "'explode' is no fault" in message[1]
    taken.close()


@pytest.mark.parametrize(
    ("host", "status"), [("127.0.0.1:8765", 200), ("localhost", 200), ("rebound.evil.example", 400)]
)
async def test_it_answers_to_the_names_of_this_machine_only(host: str, status: int) -> None:
    """A page whose name leads to this machine cannot use it."""
    async with serving(Emulator()) as base_url, httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"{base_url}/credits", headers={"Host": host, "Authorization": "Bearer x"})

    assert answer.status_code == status
