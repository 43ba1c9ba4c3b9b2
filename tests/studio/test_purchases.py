"""Paid once, never lost: every way to spend, with everything that can go wrong. The emulator's own book is asserted."""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from mcp import Client
from support import Agent, HeldClock, InMemory

from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.faults import Fault
from luma_mcp.server import build_server
from luma_mcp.settings import Settings

pytestmark = pytest.mark.anyio

Spend = Callable[[Agent], Awaitable[Any]]

MEDIA = "https://a.example/a.mp4"
IMAGE = "https://a.example/a.png"
# Every tool that spends; VIDEO stands for the id of a completed video.
SPENDING: dict[str, dict[str, Any]] = {
    "create_video": {
        "prompt": "a boat", "start_frame": IMAGE, "concepts": ["orbit_left", "push_in"], "resolution": "540p",
    },
    "extend_video": {"generation_id": "VIDEO", "prompt": "on it goes"},
    "create_image": {
        "prompt": "a boat", "image_refs": [{"source": IMAGE, "weight": 0.5}], "character_images": [IMAGE],
        "modify_image": {"source": IMAGE},
    },
    "modify_video": {"source": MEDIA, "mode": "flex_1", "first_frame": IMAGE},
    "reframe_video": {"source": MEDIA, "aspect_ratio": "9:16", "x_start": 0, "prompt": "more sky"},
    "reframe_image": {"source": IMAGE, "aspect_ratio": "1:1", "format": "png"},
    "upscale_video": {"generation_id": "VIDEO", "resolution": "1080p"},
    "add_audio": {"generation_id": "VIDEO", "prompt": "waves"},
}  # fmt: skip

# The answer is lost after Luma has accepted.
ACCEPTED: dict[str, Fault | Exception] = {
    "dropped": Fault("drop", method="POST", after=True),
    "500": Fault("error", method="POST", after=True, status=500),
    "502": Fault("error", method="POST", after=True, status=502),
    "503": Fault("error", method="POST", after=True, status=503),
    "504": Fault("error", method="POST", after=True, status=504),
    "not json": Fault("garble", method="POST"),
    "cut": Fault("cut", method="POST"),
    "read time-out": httpx.ReadTimeout("slow"),
    "reset while reading": httpx.ReadError("reset"),
    "protocol error": httpx.RemoteProtocolError("nonsense"),
}
# It is lost before Luma has accepted, which nobody can tell.
NOT_ACCEPTED: dict[str, Fault | Exception] = {
    "dropped": Fault("drop", method="POST"),
    "500": Fault("error", method="POST", status=500),
    "502": Fault("error", method="POST", status=502),
    "503": Fault("error", method="POST", status=503),
    "504": Fault("error", method="POST", status=504),
    "reset while writing": httpx.WriteError("reset"),
    "write time-out": httpx.WriteTimeout("slow"),
}


@pytest.fixture(params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """The matrix is large enough; the other loop has the tests of the client and the tools."""
    return request.param


@pytest.fixture
def era() -> str:
    return "auto"


@pytest.fixture
async def video(agent: Agent, emulator: Emulator) -> str:
    made = await agent.make("create_video", prompt="the source", resolution="540p")
    emulator.machine.account.book.clear()
    return made


def fail(emulator: Emulator, transport: InMemory, what: Fault | Exception, *, after: bool) -> None:
    if isinstance(what, Exception):
        (transport.fails_after if after else transport.fails_before).append(what)
    else:
        emulator.faults.append(
            Fault(what.kind, what.method, what.path, after=what.after, status=what.status, seconds=what.seconds)
        )


def arguments(tool: str, video: str) -> dict[str, Any]:
    return {name: video if value == "VIDEO" else value for name, value in SPENDING[tool].items()}


def posts(transport: InMemory) -> int:
    return sum(request.method == "POST" for request in transport.requests)


@pytest.mark.parametrize("what", ACCEPTED)
@pytest.mark.parametrize("tool", SPENDING)
async def test_a_purchase_whose_answer_is_lost_is_found_and_not_bought_again(
    agent: Agent, emulator: Emulator, transport: InMemory, video: str, tool: str, what: str
) -> None:
    sent = posts(transport)
    fail(emulator, transport, ACCEPTED[what], after=True)
    bought = await agent.call(tool, **arguments(tool, video))

    assert emulator.machine.account.purchases() == [bought["generation_id"]]
    assert bought["adopted"] is True
    assert posts(transport) - sent == 1


@pytest.mark.parametrize("what", NOT_ACCEPTED)
@pytest.mark.parametrize("tool", SPENDING)
async def test_a_purchase_that_did_not_arrive_is_sent_again_only_after_it_was_looked_for(
    agent: Agent, emulator: Emulator, transport: InMemory, clock: HeldClock, video: str, tool: str, what: str
) -> None:
    sent = posts(transport)
    fail(emulator, transport, NOT_ACCEPTED[what], after=False)
    said = await agent.refusal(tool, **arguments(tool, video))
    assert "It may have been charged. Call again in a minute" in said
    assert "It may have been charged" in await agent.refusal(tool, **arguments(tool, video))
    assert posts(transport) - sent == 1

    clock.seconds += 61
    bought = await agent.call(tool, **arguments(tool, video))

    assert emulator.machine.account.purchases() == [bought["generation_id"]]
    assert "adopted" not in bought
    assert posts(transport) - sent == 2


@pytest.mark.parametrize("error", [httpx.ConnectError("x"), httpx.ConnectTimeout("x"), httpx.PoolTimeout("x")])
@pytest.mark.parametrize("tool", SPENDING)
async def test_a_purchase_that_never_left_may_be_sent_again_at_once(
    agent: Agent, emulator: Emulator, transport: InMemory, video: str, tool: str, error: Exception
) -> None:
    transport.fails_before.append(error)
    assert "Nothing was sent" in await agent.refusal(tool, **arguments(tool, video))
    bought = await agent.call(tool, **arguments(tool, video))

    assert emulator.machine.account.purchases() == [bought["generation_id"]]


@pytest.mark.parametrize("seconds", [None, 7])
@pytest.mark.parametrize("tool", SPENDING)
async def test_a_rate_limit_is_waited_out(
    agent: Agent, emulator: Emulator, clock: HeldClock, video: str, tool: str, seconds: float | None
) -> None:
    told: list[str | None] = []

    async def on_progress(_progress: float, _total: float | None, message: str | None) -> None:
        told.append(message)

    emulator.faults.append(Fault("limit", method="POST", times=2, seconds=seconds))
    result = await agent.client.call_tool(tool, arguments(tool, video), progress_callback=on_progress)

    assert result.structured_content is not None
    assert emulator.machine.account.purchases() == [result.structured_content["generation_id"]]
    assert clock.sleeps[-2:] == [seconds or 15] * 2
    assert told == [f"Luma's rate limit is reached; trying again in {seconds or 15} s"] * 2


async def test_a_rate_limit_that_lasts_is_handed_back(agent: Agent, emulator: Emulator, clock: HeldClock) -> None:
    emulator.faults.append(Fault("limit", method="POST", times=99, seconds=25))
    said = await agent.refusal("create_video", prompt="a boat")

    assert "rate limit is reached (429)" in said
    assert "Nothing was bought. Call again in 25 s." in said
    assert sum(clock.sleeps) <= 60
    assert emulator.machine.account.purchases() == []


async def test_buying_the_same_twice_on_purpose_buys_twice(agent: Agent, emulator: Emulator) -> None:
    first = await agent.call("create_video", prompt="a boat")
    second = await agent.call("create_video", prompt="a boat")

    assert first["generation_id"] != second["generation_id"]
    assert emulator.machine.account.purchases() == [first["generation_id"], second["generation_id"]]


async def test_an_answer_that_came_late_is_given_again_when_the_same_is_asked(
    agent: Agent, emulator: Emulator, clock: HeldClock
) -> None:
    """A client that gave up without a word looks just like one that goes on."""
    emulator.faults.append(Fault("limit", method="POST", seconds=30))
    first = await agent.call("create_video", prompt="a boat")
    again = await agent.call("create_video", prompt="a boat")
    third = await agent.call("create_video", prompt="a boat")

    assert again["generation_id"] == first["generation_id"]
    assert again["adopted"] is True
    assert third["generation_id"] != first["generation_id"]
    assert len(emulator.machine.account.purchases()) == 2


async def test_an_answer_that_came_late_and_was_used_has_arrived(agent: Agent, emulator: Emulator) -> None:
    emulator.faults.append(Fault("limit", method="POST", seconds=30))
    first = await agent.call("create_video", prompt="a boat")
    await agent.call("get_generation", generation_id=first["generation_id"])
    second = await agent.call("create_video", prompt="a boat")

    assert second["generation_id"] != first["generation_id"]


async def test_whoever_asks_for_the_day_s_spending_has_lost_answers_looked_for(
    agent: Agent, emulator: Emulator, transport: InMemory, clock: HeldClock
) -> None:
    emulator.faults.append(Fault("drop", method="POST", after=True))
    emulator.faults.append(Fault("error", method="GET", path="*/generations", times=100))
    await agent.refusal("create_image", prompt="a boat")
    emulator.faults.clear()
    clock.seconds += 61

    (contents,) = (await agent.client.read_resource("luma://spending")).contents

    (bought,) = emulator.machine.account.purchases()
    assert bought in contents.text
    assert posts(transport) == 1


async def test_many_who_buy_and_look_at_once_do_not_trip_over_what_was_handed_over(
    agent: Agent, emulator: Emulator, clock: HeldClock
) -> None:
    first = (await agent.call("create_image", prompt="a boat"))["generation_id"]
    clock.seconds += 3600  # so that who looks finds it completed

    async with anyio.create_task_group() as tasks:
        for number in range(8):
            tasks.start_soon(partial(agent.call, "create_image", prompt=f"boat {number}"))
            tasks.start_soon(partial(agent.call, "get_generation", generation_id=first))

    assert len(emulator.machine.account.purchases()) == 9


async def test_buying_the_same_many_times_at_once_buys_as_many(agent: Agent, emulator: Emulator) -> None:
    ids: list[str] = []

    async def one() -> None:
        ids.append((await agent.call("create_video", prompt="a boat"))["generation_id"])

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(one)

    assert sorted(ids) == sorted(emulator.machine.account.purchases())
    assert len(set(ids)) == 10


async def test_twins_whose_answers_are_all_lost_are_all_found(
    agent: Agent, emulator: Emulator, transport: InMemory
) -> None:
    """Equal requests are as good as each other: each finds one, none is bought again."""
    transport.fails_after.extend(httpx.ReadTimeout("slow") for _ in range(4))
    ids: list[str] = []

    async def one() -> None:
        ids.append((await agent.call("create_video", prompt="a boat"))["generation_id"])

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(one)

    assert sorted(ids) == sorted(emulator.machine.account.purchases())
    assert len(set(ids)) == 4


async def test_what_somebody_else_bought_just_so_is_not_taken_by_a_guess(
    agent: Agent, emulator: Emulator, transport: InMemory, clock: HeldClock
) -> None:
    """The same request from another program at the same time: two that look alike, one of them ours."""
    from luma_mcp.emulator.requests import VideoBody

    stranger = emulator.machine.accept(
        VideoBody(model="ray-2", prompt="a boat", aspect_ratio="16:9", resolution="720p", duration="5s")
    )
    transport.fails_after.append(httpx.ReadTimeout("slow"))
    said = await agent.refusal("create_video", prompt="a boat")
    ours = emulator.machine.account.purchases()[-1]

    assert stranger.id in said
    assert ours in said
    assert "may be one of these generations" in said
    assert "Use one of them" in await agent.refusal("create_video", prompt="a boat")
    assert len(emulator.machine.account.purchases()) == 2

    clock.seconds += 15 * 60 + 1
    await agent.call("create_video", prompt="a boat")
    assert len(emulator.machine.account.purchases()) == 3


async def test_an_upscale_of_another_clip_is_not_mistaken_for_ours(
    agent: Agent, emulator: Emulator, transport: InMemory, video: str
) -> None:
    """Luma's list does not say which clip was upscaled, so two lost upscales cannot be told apart."""
    other = await agent.make("create_video", prompt="another source", resolution="540p")
    emulator.machine.account.book.clear()
    transport.fails_after.extend([httpx.ReadTimeout("slow")] * 2)
    said: list[str] = []

    async def one(generation_id: str) -> None:
        said.append(await agent.refusal("upscale_video", generation_id=generation_id))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one, video)
        tasks.start_soon(one, other)

    assert len(emulator.machine.account.purchases()) == 2
    assert all("may be one of these generations" in one for one in said)


class Slow(InMemory):
    """Takes its time with purchases, so that a caller can give up in the middle of one."""

    def __init__(self, emulator: Emulator) -> None:
        super().__init__(emulator)
        self.reached = anyio.Event()
        self.go_on = anyio.Event()
        self.before_sending = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method != "POST":
            return await super().handle_async_request(request)
        if self.before_sending:
            self.reached.set()
            await self.go_on.wait()
        answer = await super().handle_async_request(request)
        if not self.before_sending:
            self.reached.set()
            await self.go_on.wait()
        return answer


@pytest.fixture
async def slow(settings: Settings, emulator: Emulator, clock: HeldClock) -> AsyncIterator[tuple[Agent, Slow]]:
    transport = Slow(emulator)
    async with Client(build_server(settings, transport=transport, clock=clock, wall=clock.wall)) as client:
        yield Agent(client), transport


@pytest.mark.parametrize("before_sending", [True, False])
@pytest.mark.parametrize("tool", SPENDING)
async def test_a_caller_that_gives_up_in_the_middle_gets_it_when_it_asks_again(
    slow: tuple[Agent, Slow], emulator: Emulator, video: str, tool: str, before_sending: bool
) -> None:
    agent, transport = slow
    transport.before_sending = before_sending
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: agent.result(tool, **arguments(tool, video)))
        await transport.reached.wait()
        tasks.cancel_scope.cancel()
        transport.go_on.set()
    again = await agent.call(tool, **arguments(tool, video))

    assert emulator.machine.account.purchases() == [again["generation_id"]]
    assert again["adopted"] is True


async def test_after_a_quarter_of_an_hour_the_same_request_is_a_new_wish(
    slow: tuple[Agent, Slow], emulator: Emulator, clock: HeldClock
) -> None:
    agent, transport = slow
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: agent.result("create_video", prompt="a boat"))
        await transport.reached.wait()
        tasks.cancel_scope.cancel()
        transport.go_on.set()
    clock.seconds += 15 * 60 + 1
    again = await agent.call("create_video", prompt="a boat")

    assert "adopted" not in again
    assert len(emulator.machine.account.purchases()) == 2


async def test_a_caller_that_gives_up_before_it_begins_buys_nothing(agent: Agent, emulator: Emulator) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await agent.call("create_video", prompt="a boat")

    assert emulator.machine.account.purchases() == []
    assert (await agent.call("get_credits"))["reserved_usd"] == 0


async def test_another_server_finds_what_a_dead_one_left(
    serve, agent: Agent, emulator: Emulator, book: Path, clock: HeldClock
) -> None:
    """The dead one had sent its purchase and was killed before the answer came."""
    bought = await agent.call("create_video", prompt="a boat")
    with sqlite3.connect(book) as rows:
        rows.execute("UPDATE purchases SET state = 'sending', generation_id = NULL, process = ?", (dead_process(),))
    rows.close()
    async with Client(serve()) as client:
        again = await Agent(client).call("create_video", prompt="a boat")

    assert again["generation_id"] == bought["generation_id"]
    assert again["adopted"] is True
    assert len(emulator.machine.account.purchases()) == 1


def dead_process() -> str:
    """The signature of a process on this machine that has ended."""
    import socket
    import subprocess
    import sys

    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return f"{socket.gethostname()}:{ended.pid}:0"


@pytest.mark.parametrize("wrong_by", [-86_400.0, 86_400.0, -3600.0, 3600.0])
async def test_a_wrong_clock_makes_nobody_buy_blindly(
    agent: Agent, emulator: Emulator, transport: InMemory, clock: HeldClock, wrong_by: float
) -> None:
    clock.wrong_by = wrong_by
    transport.fails_after.append(httpx.ReadTimeout("slow"))
    result = await agent.result("create_video", prompt="a boat")
    again = await agent.result("create_video", prompt="a boat") if result.is_error else result

    assert len(emulator.machine.account.purchases()) == 1
    (ours,) = emulator.machine.account.purchases()
    assert ours in str(again.content)


@pytest.mark.parametrize("jump", [-86_400.0, 86_400.0])
async def test_a_clock_that_jumps_between_makes_nobody_buy_blindly(
    agent: Agent, emulator: Emulator, transport: InMemory, clock: HeldClock, jump: float
) -> None:
    emulator.faults.append(Fault("error", method="GET", path="*/generations", times=99))
    transport.fails_after.append(httpx.ReadTimeout("slow"))
    await agent.refusal("create_video", prompt="a boat")
    emulator.faults.clear()
    clock.wrong_by = jump
    again = await agent.result("create_video", prompt="a boat")

    assert len(emulator.machine.account.purchases()) == 1
    assert emulator.machine.account.purchases()[0] in str(again.content)


async def test_while_luma_s_list_fails_nothing_is_sent_again(
    agent: Agent, emulator: Emulator, transport: InMemory, clock: HeldClock
) -> None:
    emulator.faults.append(Fault("error", method="GET", path="*/generations", times=10_000))
    transport.fails_after.append(httpx.ReadTimeout("slow"))
    for _ in range(4):
        assert "may have been charged" in await agent.refusal("create_video", prompt="a boat")
        clock.seconds += 300

    assert len(emulator.machine.account.purchases()) == 1


def rewrite(book: Path, **columns: object) -> None:
    """Make every row of the book say something else, as another process would have left it."""
    rows = sqlite3.connect(book)
    rows.execute(f"UPDATE purchases SET {', '.join(f'{name} = ?' for name in columns)}", tuple(columns.values()))
    rows.commit()
    rows.close()


def live_process() -> str:
    """The signature of a process that runs, and is not this one."""
    import os
    import socket

    return f"{socket.gethostname()}:{os.getppid()}:0"


async def test_what_a_living_process_has_bought_is_left_to_its_caller(
    serve, agent: Agent, emulator: Emulator, book: Path
) -> None:
    await agent.call("create_video", prompt="a boat")
    rewrite(book, process=live_process())
    async with Client(serve()) as client:
        again = await Agent(client).call("create_video", prompt="a boat")

    assert "adopted" not in again
    assert len(emulator.machine.account.purchases()) == 2


async def test_what_a_living_process_is_still_looking_for_is_left_to_it(
    serve, agent: Agent, emulator: Emulator, book: Path
) -> None:
    await agent.call("create_video", prompt="a boat")
    rewrite(book, process=live_process(), state="unknown", generation_id=None)
    async with Client(serve()) as client:
        said = await Agent(client).refusal("create_video", prompt="a boat")

    assert "may have been charged" in said or "may be one of these" in said
    assert len(emulator.machine.account.purchases()) == 1


async def test_a_twin_that_is_being_sent_is_waited_for(
    serve, agent: Agent, emulator: Emulator, transport: InMemory, book: Path
) -> None:
    """Its generation might be the only one there; nobody may take it by a guess."""
    await agent.call("create_video", prompt="a boat")
    rewrite(book, process=live_process(), state="sending", generation_id=None)
    transport.fails_before.append(httpx.WriteError("reset"))
    async with Client(serve()) as client:
        said = await Agent(client).refusal("create_video", prompt="a boat")

    assert "may have been charged" in said
    assert len(emulator.machine.account.purchases()) == 1


async def test_an_id_is_handed_over_even_if_luma_does_not_answer_just_then(
    serve, agent: Agent, emulator: Emulator, book: Path
) -> None:
    bought = await agent.call("create_video", prompt="a boat")
    rewrite(book, process=dead_process())
    emulator.faults.append(Fault("error", method="GET", path="*/generations/*", times=99))
    async with Client(serve()) as client:
        again = await Agent(client).call("create_video", prompt="a boat")

    assert (again["generation_id"], again["state"]) == (bought["generation_id"], "unknown")


async def test_a_crash_of_our_own_in_the_middle_loses_nothing(
    agent: Agent, emulator: Emulator, transport: InMemory
) -> None:
    transport.fails_after.append(ZeroDivisionError("a mistake of ours"))
    assert await agent.refusal("create_video", prompt="a boat") == "Error executing tool create_video"
    again = await agent.call("create_video", prompt="a boat")

    assert emulator.machine.account.purchases() == [again["generation_id"]]
    assert again["adopted"] is True


async def test_a_caller_that_leaves_between_the_book_and_the_sending_buys_nothing(
    agent: Agent, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    from luma_mcp.studio.ledger import Ledger

    real = Ledger.reserve
    scope = anyio.CancelScope()

    async def leave(self, entry, *, most_micros_per_day):
        row = await real(self, entry, most_micros_per_day=most_micros_per_day)
        scope.cancel()
        return row

    monkeypatch.setattr(Ledger, "reserve", leave)
    with scope:
        await agent.call("create_video", prompt="a boat")
    monkeypatch.undo()

    assert emulator.machine.account.purchases() == []
    assert (await agent.call("get_credits"))["reserved_usd"] == 0


async def test_old_purchases_are_settled_one_by_one_when_the_list_has_moved_on(
    agent: Agent, emulator: Emulator, clock: HeldClock
) -> None:
    from luma_mcp.emulator.requests import ImageBody

    await agent.call("create_video", prompt="a boat [fail]")
    gone = await agent.call("create_video", prompt="another boat")
    for _ in range(25):
        emulator.machine.accept(ImageBody(model="photon-1", prompt="somebody else's"))
    clock.seconds += 300
    emulator.machine.delete(gone["generation_id"])

    assert (await agent.call("get_credits"))["spent_today_usd"] == 0.71
