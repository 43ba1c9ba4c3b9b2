"""Callers that give up, processes that die, clocks that are wrong: what they bought is not lost, nor bought again."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import httpx
import pytest
from mcp import Client

from luma_mcp.composition import build_server
from luma_mcp.emulator.dream_machine.app import Emulator
from luma_mcp.emulator.dream_machine.bodies import ImageBody
from luma_mcp.emulator.faults import Fault
from luma_mcp.purchasing.ledger import Ledger
from luma_mcp.settings import Settings
from tests.support.agent import Agent, HeldClock, InMemory
from tests.support.spending_calls import SPENDING, arguments

# The matrix is large enough; the other loop has the tests of the client and the tools.
pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]


@pytest.fixture
def era() -> str:
    return "auto"


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

    assert emulator.dream_machine.billing.purchases() == [again["generation_id"]]
    assert again["recovered"] is True


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

    assert "recovered" not in again
    assert len(emulator.dream_machine.billing.purchases()) == 2


async def test_a_caller_that_gives_up_before_it_begins_buys_nothing(agent: Agent, emulator: Emulator) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await agent.call("create_video", prompt="a boat")

    assert emulator.dream_machine.billing.purchases() == []
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
    assert again["recovered"] is True
    assert len(emulator.dream_machine.billing.purchases()) == 1


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

    assert len(emulator.dream_machine.billing.purchases()) == 1
    (ours,) = emulator.dream_machine.billing.purchases()
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

    assert len(emulator.dream_machine.billing.purchases()) == 1
    assert emulator.dream_machine.billing.purchases()[0] in str(again.content)


async def test_while_luma_s_list_fails_nothing_is_sent_again(
    agent: Agent, emulator: Emulator, transport: InMemory, clock: HeldClock
) -> None:
    emulator.faults.append(Fault("error", method="GET", path="*/generations", times=10_000))
    transport.fails_after.append(httpx.ReadTimeout("slow"))
    for _ in range(4):
        assert "may have been charged" in await agent.refusal("create_video", prompt="a boat")
        clock.seconds += 300

    assert len(emulator.dream_machine.billing.purchases()) == 1


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

    assert "recovered" not in again
    assert len(emulator.dream_machine.billing.purchases()) == 2


async def test_what_a_living_process_is_still_looking_for_is_left_to_it(
    serve, agent: Agent, emulator: Emulator, book: Path
) -> None:
    await agent.call("create_video", prompt="a boat")
    rewrite(book, process=live_process(), state="unknown", generation_id=None)
    async with Client(serve()) as client:
        message = await Agent(client).refusal("create_video", prompt="a boat")

    assert "may have been charged" in message or "may be one of these" in message
    assert len(emulator.dream_machine.billing.purchases()) == 1


async def test_a_twin_that_is_being_sent_is_waited_for(
    serve, agent: Agent, emulator: Emulator, transport: InMemory, book: Path
) -> None:
    """Its generation might be the only one there; nobody may take it by a guess."""
    await agent.call("create_video", prompt="a boat")
    rewrite(book, process=live_process(), state="sending", generation_id=None)
    transport.fails_before.append(httpx.WriteError("reset"))
    async with Client(serve()) as client:
        message = await Agent(client).refusal("create_video", prompt="a boat")

    assert "may have been charged" in message
    assert len(emulator.dream_machine.billing.purchases()) == 1


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
    assert "mistake in this server" in await agent.refusal("create_video", prompt="a boat")
    again = await agent.call("create_video", prompt="a boat")

    assert emulator.dream_machine.billing.purchases() == [again["generation_id"]]
    assert again["recovered"] is True


async def test_a_caller_that_leaves_between_the_book_and_the_sending_buys_nothing(
    agent: Agent, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:

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

    assert emulator.dream_machine.billing.purchases() == []
    assert (await agent.call("get_credits"))["reserved_usd"] == 0


async def test_old_purchases_are_settled_one_by_one_when_the_list_has_moved_on(
    agent: Agent, emulator: Emulator, clock: HeldClock
) -> None:

    await agent.call("create_video", prompt="a boat [fail]")
    gone = await agent.call("create_video", prompt="another boat")
    for _ in range(25):
        emulator.dream_machine.accept(ImageBody(model="photon-1", prompt="somebody else's"))
    clock.seconds += 300
    emulator.dream_machine.delete(gone["generation_id"])

    assert (await agent.call("get_credits"))["spent_today_usd"] == 0.71
