"""Callers that give up, processes that die, clocks that are wrong: what they bought is not lost, nor bought again."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import anyio
import httpx
import pytest
from mcp import Client

from luma_mcp.backends import transport
from luma_mcp.composition import build_server
from luma_mcp.config.settings import Settings
from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.dream_machine.bodies import ImageBody, VideoBody
from luma_mcp.emulator.faults import Fault
from luma_mcp.emulator.habits import Habits
from luma_mcp.ledger.caps import Budget
from luma_mcp.ledger.purchases import Ledger
from luma_mcp.ledger.rows import NewPurchase, PurchaseRow
from luma_mcp.ledger.sqlite import SqliteStore
from luma_mcp.ledger.states import LEASE_SECONDS, TAKE_SECONDS
from luma_mcp.purchasing import reconcile
from luma_mcp.purchasing.reconcile import ABSENT_AFTER_SECONDS, Reconciler, Unverifiable
from tests.support.agent import Agent, HeldClock, InMemory
from tests.support.ledgers import CloseLater, all_rows, open_rows
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
    async with Client(build_server(settings, transport=transport, clock=clock)) as client:
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


async def test_a_caller_that_gives_up_before_it_begins_buys_nothing(agent: Agent, emulator: Emulator) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await agent.call("create_video", prompt="a boat")

    assert emulator.dream_machine.billing.purchases() == []
    assert (await agent.call("get_credits"))["reserved_usd"] == 0


@pytest.mark.parametrize("state", ["sending", "lost"])
async def test_another_server_finds_what_a_dead_one_left(
    serve, agent: Agent, emulator: Emulator, ledger_path: Path, clock: HeldClock, state: str
) -> None:
    """The dead one had sent its purchase and was killed before the answer came."""
    bought = await agent.call("create_video", prompt="a boat")
    rewrite(ledger_path, state=state, generation_id=None, owner="a dead server", lease_until=clock.wall() - 1)
    async with Client(serve()) as client:
        again = await Agent(client).call("create_video", prompt="a boat")

    assert again["generation_id"] == bought["generation_id"]
    assert again["recovered"] is True
    assert len(emulator.dream_machine.billing.purchases()) == 1


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
        message = await agent.refusal("create_video", prompt="a boat")
        assert "Luma's list could not be read (ServerError)" in message
        clock.seconds += 300

    assert len(emulator.dream_machine.billing.purchases()) == 1


def rewrite(ledger_path: Path, **columns: object) -> None:
    """Make every row of the ledger say something else, as another process would have left it."""
    with open_rows(ledger_path) as rows:
        rows.execute(f"UPDATE purchases SET {', '.join(f'{name} = ?' for name in columns)}", tuple(columns.values()))


async def test_what_another_server_has_bought_is_joined(serve, agent: Agent, emulator: Emulator) -> None:
    bought = await agent.call("create_video", prompt="a boat")
    async with Client(serve()) as client:
        again = await Agent(client).call("create_video", prompt="a boat")

    assert (again["generation_id"], again["recovered"]) == (bought["generation_id"], True)
    assert len(emulator.dream_machine.billing.purchases()) == 1


async def test_what_another_server_is_sending_is_waited_for(
    serve, agent: Agent, emulator: Emulator, ledger_path: Path, clock: HeldClock
) -> None:
    """Its lease lives: nobody sends it again, and its outcome is the joiner's too."""
    bought = await agent.call("create_video", prompt="a boat")
    rewrite(ledger_path, state="sending", generation_id=None, owner="another server", lease_until=clock.wall() + 15)
    answers: list[dict] = []

    async def join() -> None:
        async with Client(serve()) as client:
            answers.append(await Agent(client).call("create_video", prompt="a boat"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(join)
        with anyio.fail_after(10):
            await clock.slept(3)
        rewrite(ledger_path, state="accepted", generation_id=bought["generation_id"], lease_until=0)

    assert [answer["generation_id"] for answer in answers] == [bought["generation_id"]]
    assert len(emulator.dream_machine.billing.purchases()) == 1


async def test_a_server_that_never_ends_is_not_waited_for_without_end(
    serve, agent: Agent, emulator: Emulator, ledger_path: Path, clock: HeldClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await agent.call("create_video", prompt="a boat")
    monkeypatch.setattr("luma_mcp.purchasing.service._MAX_JOIN_SECONDS", 2.0)
    rewrite(ledger_path, state="sending", generation_id=None, owner="another server", lease_until=clock.wall() + 30)
    async with Client(serve()) as client:
        message = await Agent(client).refusal("create_video", prompt="a boat")

    assert "Another server is still sending this purchase. Call again" in message


async def test_an_equal_purchase_that_is_being_sent_may_be_the_one_that_is_listed(
    serve, agent: Agent, emulator: Emulator, transport: InMemory, ledger_path: Path, clock: HeldClock
) -> None:
    """Its generation might be the only one there; nobody may take it by a guess."""
    await agent.call("create_video", prompt="a boat")
    rewrite(ledger_path, state="sending", generation_id=None, owner="another server", lease_until=clock.wall() + 35)
    transport.fails_before.append(httpx.WriteError("reset"))
    async with Client(serve()) as client:
        message = await Agent(client).refusal("create_video", prompt="a boat", take=2)

    assert "An equal purchase is under way" in message
    assert len(emulator.dream_machine.billing.purchases()) == 1


@pytest.mark.medium
@pytest.mark.usefixtures("in_one_day")
async def test_a_purchase_that_is_absent_may_still_turn_up(
    agent: Agent, services, emulator: Emulator, transport: InMemory, clock: HeldClock
) -> None:
    """Luma's list was late by minutes: what was found absent is found after all, and counted."""
    await agent.call("create_image", prompt="known")
    clock.seconds += 60
    transport.fails_before.append(httpx.WriteError("reset"))
    await agent.refusal("create_video", prompt="a boat")
    clock.seconds += ABSENT_AFTER_SECONDS
    emulator.faults.append(Fault("limit", method="POST", times=1, seconds=3600))
    assert (await agent.call("create_video", prompt="a boat"))["state"] == "waiting"
    late = emulator.dream_machine.accept(
        VideoBody(model="ray-2", prompt="a boat", aspect_ratio="16:9", resolution="720p", duration="5s")
    )
    await services.purchases.settle_if_due()
    credit = await agent.call("get_credits")

    assert credit["spent_today_usd"] == 0.71 + 0.0173
    (contents,) = (await agent.client.read_resource("luma://spending")).contents
    assert late.id in contents.text


async def test_what_is_listed_is_the_one_s_in_doubt_before_the_one_s_that_is_absent(
    agent: Agent, services, emulator: Emulator, transport: InMemory, clock: HeldClock
) -> None:
    """An absent purchase is searched for again; the equal one that was sent since comes first."""
    await agent.call("create_video", prompt="known")
    clock.seconds += 60
    transport.fails_before.append(httpx.WriteError("reset"))
    await agent.refusal("create_video", prompt="a boat")
    clock.seconds += ABSENT_AFTER_SECONDS
    await services.purchases.settle_if_due()
    transport.fails_after.append(httpx.ReadError("reset"))
    emulator.faults.append(Fault("error", method="GET", path="*/generations", times=30))
    await agent.refusal("create_video", prompt="a boat")
    emulator.faults.clear()
    rows = {row.state: row for row in await all_rows(services.purchases.ledger)}

    first = await services.purchases._reconciler.search(rows["absent"])
    second = await services.purchases._reconciler.search(rows["lost"])

    assert (first.outcome, second.outcome) == ("cannot say", "found")
    assert "An equal purchase is in doubt" in first.reason
    assert len(emulator.dream_machine.billing.purchases()) == 2


async def test_a_generation_that_another_program_makes_much_later_is_not_taken_for_it(
    agent: Agent, emulator: Emulator, transport: InMemory, clock: HeldClock
) -> None:
    transport.fails_before.append(httpx.WriteError("reset"))
    await agent.refusal("create_video", prompt="a boat")
    clock.seconds += 3600
    emulator.dream_machine.accept(
        VideoBody(model="ray-2", prompt="a boat", aspect_ratio="16:9", resolution="720p", duration="5s")
    )

    assert "may be one of these generations" in await agent.refusal("create_video", prompt="a boat")


@pytest.mark.parametrize(("hours", "is_it"), [(1, "cannot say"), (27, "not it")])
async def test_a_generation_from_before_the_purchase_is_not_taken_for_it(
    agent: Agent, emulator: Emulator, transport: InMemory, clock: HeldClock, hours: float, is_it: str
) -> None:
    """Within a day a clock may be wrong, so nobody can say; before that it is not it."""
    earlier = emulator.dream_machine.accept(
        VideoBody(model="ray-2", prompt="a boat", aspect_ratio="16:9", resolution="720p", duration="5s")
    )
    clock.seconds += hours * 3600
    transport.fails_before.append(httpx.WriteError("reset"))
    await agent.refusal("create_video", prompt="a boat")
    clock.seconds += ABSENT_AFTER_SECONDS

    if is_it == "cannot say":
        assert "may be one of these generations" in await agent.refusal("create_video", prompt="a boat")
    else:
        assert (await agent.call("create_video", prompt="a boat"))["generation_id"] != earlier.id


async def test_when_absence_is_certain_is_told(agent: Agent, transport: InMemory, clock: HeldClock) -> None:
    await agent.call("create_image", prompt="known")
    transport.fails_before.append(httpx.WriteError("reset"))
    await agent.refusal("create_video", prompt="a boat")
    clock.seconds += 60
    told = re.search(r"Absence is certain in (\d+) s", await agent.refusal("create_video", prompt="a boat"))

    # The looks after a lost answer took some seconds.
    assert told is not None
    assert ABSENT_AFTER_SECONDS - 90 < int(told[1]) <= ABSENT_AFTER_SECONDS - 60


@pytest.mark.parametrize(
    ("findings", "looks"),
    [
        ([reconcile.LookupResult("cannot say")] * 9, 3),
        ([reconcile.LookupResult("absent")] * 9, 3),
        ([reconcile.LookupResult("cannot say"), reconcile.LookupResult("found")], 2),
        ([reconcile.LookupResult("cannot say", is_last=True)], 1),
    ],
)
async def test_a_lost_purchase_is_looked_for_three_times_at_most(
    clock: HeldClock, ledger_path: Path, close_later: CloseLater, findings: list[reconcile.LookupResult], looks: int
) -> None:
    ledger = close_later(Ledger(SqliteStore(lambda: ledger_path, now=clock.wall), account="me", owner="me"))
    row = (await ledger.decide(NewPurchase("f", "s", "{}", "video", 700_000, "published"), Budget())).row
    left = list(findings)

    class Scripted(Unverifiable):
        async def search(self, row: PurchaseRow) -> reconcile.LookupResult:
            return left.pop(0)

    found = await Reconciler(Scripted(ledger), ledger, clock).search_repeatedly(row)
    await ledger.close()

    assert found == findings[looks - 1]
    assert len(findings) - len(left) == looks


async def test_what_was_absent_is_looked_for_a_day_long(
    clock: HeldClock, ledger_path: Path, close_later: CloseLater
) -> None:
    ledger = close_later(Ledger(SqliteStore(lambda: ledger_path, now=clock.wall), account="me", owner="me"))
    row = (await ledger.decide(NewPurchase("f", "s", "{}", "video", 700_000, "published"), Budget())).row
    for state in ("sending", "lost", "absent"):
        await ledger.advance(row, state)
    looked: list[str] = []

    class Listed(Unverifiable):
        async def search(self, row: PurchaseRow) -> reconcile.LookupResult:
            looked.append(row.id)
            return reconcile.LookupResult("cannot say")

    reconciler = Reconciler(Listed(ledger), ledger, clock)
    for hours, looks in ((0, 1), (23.9, 2), (0.2, 2)):
        clock.seconds += hours * 3600
        await reconciler.settle_all()
        assert len(looked) == looks
    await ledger.close()


@pytest.mark.parametrize(("step", "is_sorted"), [(-5, True), (1, True), (2, False)])
async def test_a_list_is_sorted_to_the_second(
    agent: Agent, emulator: Emulator, transport: InMemory, clock: HeldClock, step: float, is_sorted: bool
) -> None:
    """Luma's times may be rounded, so one second more is no disorder."""
    first, second = (
        emulator.dream_machine.accept(ImageBody(model="photon-1", prompt=text)) for text in ("one boat", "two boats")
    )
    # The list begins with the newest.
    first.created_at = second.created_at + timedelta(seconds=step)
    clock.seconds += 27 * 3600
    transport.fails_before.append(httpx.WriteError("reset"))
    await agent.refusal("create_video", prompt="a boat")
    clock.seconds += ABSENT_AFTER_SECONDS
    result = await agent.result("create_video", prompt="a boat")

    assert result.is_error is not is_sorted
    assert ("not sorted by time" in str(result.content)) is not is_sorted


@pytest.mark.parametrize("prompts", [("a red boat", "a blue boat"), ("a blue boat", "a red boat")])
async def test_two_different_purchases_in_doubt_are_each_found(
    agent: Agent, emulator: Emulator, transport: InMemory, prompts: tuple[str, str]
) -> None:
    emulator.faults.append(Fault("error", method="GET", path="*/generations", times=99))
    for prompt in prompts:
        transport.fails_after.append(httpx.ReadTimeout("slow"))
        await agent.refusal("create_video", prompt=prompt)
    emulator.faults.clear()
    found = [await agent.call("create_video", prompt=prompt) for prompt in prompts]

    assert [answer["generation_id"] for answer in found] == emulator.dream_machine.billing.purchases()


async def test_equal_purchases_in_doubt_share_what_is_found(
    agent: Agent, emulator: Emulator, transport: InMemory
) -> None:
    emulator.faults.append(Fault("error", method="GET", path="*/generations", times=99))
    for take in range(1, 6):
        transport.fails_after.append(httpx.ReadTimeout("slow"))
        await agent.refusal("create_video", prompt="a boat", take=take)
    emulator.faults.clear()
    found = [await agent.call("create_video", prompt="a boat", take=take) for take in range(1, 6)]

    assert {answer["generation_id"] for answer in found} == set(emulator.dream_machine.billing.purchases())
    assert len(emulator.dream_machine.billing.purchases()) == 5


async def test_a_list_without_times_is_not_taken_for_a_sorted_one(
    agent: Agent, emulator: Emulator, transport: InMemory, clock: HeldClock
) -> None:
    emulator.habits.dates = "missing"
    emulator.dream_machine.accept(ImageBody(model="photon-1", prompt="somebody else's"))
    transport.fails_before.append(httpx.WriteError("reset"))
    await agent.refusal("create_video", prompt="a boat")
    clock.seconds += ABSENT_AFTER_SECONDS

    assert "not sorted by time" in await agent.refusal("create_video", prompt="a boat")


async def test_a_list_that_does_not_show_what_is_known_proves_nothing(
    agent: Agent, emulator: Emulator, transport: InMemory, clock: HeldClock
) -> None:
    known = (await agent.call("create_image", prompt="known"))["generation_id"]
    clock.seconds += 60
    transport.fails_before.append(httpx.WriteError("reset"))
    emulator.dream_machine.generations[known].is_listed = False
    for _ in range(3):
        message = await agent.refusal("create_video", prompt="a boat")
        assert "does not show the newest generation that is known, so it may lag" in message
        clock.seconds += ABSENT_AFTER_SECONDS

    emulator.dream_machine.delete(known)
    await agent.call("create_video", prompt="a boat")


async def test_an_echo_that_differs_from_a_good_request_switches_absence_off(
    agent: Agent, emulator: Emulator, transport: InMemory, clock: HeldClock
) -> None:
    """A Luma that rewrites prompts: what is not in its list cannot be called absent."""
    emulator.habits.echo = "rewritten"
    await agent.call("create_image", prompt="known")
    transport.fails_before.append(httpx.WriteError("reset"))
    await agent.refusal("create_video", prompt="a boat")
    clock.seconds += ABSENT_AFTER_SECONDS

    assert "so the list proves nothing" in await agent.refusal("create_video", prompt="a boat")


@pytest.mark.parametrize("known", [None, "create_image"])
@pytest.mark.parametrize("tool", ["create_video", "create_image"])
async def test_a_first_purchase_is_not_called_absent_by_an_echo_that_nothing_has_proved(
    agent: Agent, emulator: Emulator, transport: InMemory, clock: HeldClock, known: str | None, tool: str
) -> None:
    """A Luma that rewrites the prompts of videos, and not those of images."""
    emulator.habits.echo = "enhanced"
    if known:
        await agent.call(known, prompt="known")
        clock.seconds += 300
    before = len(emulator.dream_machine.billing.purchases())
    if tool == "create_image":
        # Somebody else's, which may be ours only if images are echoed in other words too.
        transport.fails_before.append(httpx.WriteError("reset"))
        emulator.dream_machine.accept(VideoBody(model="ray-2", prompt="somebody else's"))
    else:
        transport.fails_after.append(httpx.ReadTimeout("slow"))
    await agent.refusal(tool, prompt="a boat")
    clock.seconds += ABSENT_AFTER_SECONDS
    again = await agent.result(tool, prompt="a boat")

    assert len(emulator.dream_machine.billing.purchases()) - before == 1 + (not again.is_error)
    assert again.is_error is not (tool == "create_image" and known == "create_image")
    if again.is_error:
        assert "nothing shows yet that Luma lists requests as they were sent" in str(again.content)


async def test_an_echo_that_is_missing_switches_nothing_off(
    agent: Agent, emulator: Emulator, transport: InMemory, clock: HeldClock
) -> None:
    """It says nothing, and nothing is listed that may be the purchase."""
    emulator.habits.echo = "missing"
    await agent.call("create_image", prompt="known")
    clock.seconds += 300
    transport.fails_before.append(httpx.WriteError("reset"))
    await agent.refusal("create_video", prompt="a boat")
    clock.seconds += ABSENT_AFTER_SECONDS
    await agent.call("create_video", prompt="a boat")

    assert len(emulator.dream_machine.billing.purchases()) == 2


async def test_a_list_that_hangs_is_given_up_in_a_while(
    agent: Agent, emulator: Emulator, transport: InMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luma_mcp.purchasing.reconcile.SEARCH_DEADLINE_SECONDS", 0.05)
    transport.fails_after.append(httpx.ReadTimeout("slow"))
    emulator.faults.append(Fault("slow", method="GET", path="*/generations", seconds=600, times=99))
    message = await agent.refusal("create_video", prompt="a boat")
    credit = await agent.call("get_credits")

    assert "Luma's list did not come in time. It may have been charged" in message
    assert credit["reserved_usd"] == 0.71


async def test_where_there_is_no_list_a_person_settles_it(
    clock: HeldClock, ledger_path: Path, close_later: CloseLater
) -> None:
    ledger = close_later(Ledger(SqliteStore(lambda: ledger_path, now=clock.wall), account="me", owner="me"))
    row = (await ledger.decide(NewPurchase("f", "s", "{}", "video", 700_000, "published"), Budget())).row
    await ledger.advance(row, "sending")
    lost = await ledger.advance(row, "lost")
    assert lost is not None
    finding = await Reconciler(Unverifiable(ledger), ledger, clock).search(lost)
    settled = await ledger.get(row.id)
    await ledger.close()

    assert (finding.outcome, settled.state if settled else "") == ("cannot say", "disputed")
    assert "no list of generations" in finding.reason


async def test_a_crash_of_our_own_in_the_middle_loses_nothing(
    agent: Agent, emulator: Emulator, transport: InMemory, ledger_path: Path
) -> None:
    transport.fails_after.append(ZeroDivisionError("a mistake of ours"))
    assert "mistake in this server" in await agent.refusal("create_video", prompt="a boat")
    with open_rows(ledger_path) as rows:
        assert rows.execute("SELECT state FROM purchases").fetchall() == [("lost",)]
    again = await agent.call("create_video", prompt="a boat")

    assert emulator.dream_machine.billing.purchases() == [again["generation_id"]]
    assert again["recovered"] is True


async def test_a_caller_that_leaves_between_the_ledger_and_the_sending_buys_nothing(
    agent: Agent, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:

    real = Ledger.decide
    scope = anyio.CancelScope()

    async def leave(*arguments, **named):
        decision = await real(*arguments, **named)
        scope.cancel()
        return decision

    monkeypatch.setattr(Ledger, "decide", leave)
    with scope:
        await agent.call("create_video", prompt="a boat")
    monkeypatch.undo()

    assert emulator.dream_machine.billing.purchases() == []
    assert (await agent.call("get_credits"))["reserved_usd"] == 0


@pytest.mark.usefixtures("in_one_day")
async def test_old_purchases_are_settled_one_by_one_when_the_list_has_moved_on(
    agent: Agent, services, emulator: Emulator, clock: HeldClock
) -> None:
    await agent.call("create_video", prompt="a boat [fail]")
    gone = await agent.call("create_video", prompt="another boat")
    for _ in range(25):
        emulator.dream_machine.accept(ImageBody(model="photon-1", prompt="somebody else's"))
    clock.seconds += 300
    emulator.dream_machine.delete(gone["generation_id"])

    await services.purchases.settle_if_due()
    assert (await agent.call("get_credits"))["spent_today_usd"] == 0.71


async def test_what_was_learned_is_noted_and_the_lease_is_given_back(
    agent: Agent, emulator: Emulator, ledger_path: Path
) -> None:
    emulator.faults.append(Fault("drop", method="POST", after=True))
    emulator.faults.append(Fault("error", method="GET", times=99, status=500))
    await agent.refusal("create_video", prompt="a boat")

    with open_rows(ledger_path) as rows:
        found = rows.execute("SELECT state, note, lease_until FROM purchases").fetchall()
    assert found == [("lost", "Luma's list could not be read (ServerError).", 0)]


async def test_the_times_are_those_that_the_documents_promise() -> None:
    budget = (Path(__file__).parents[2] / "docs" / "budget.md").read_text()

    assert f"lost at least {ABSENT_AFTER_SECONDS:g} s ago" in budget
    assert f"after {reconcile.DISPUTED_AFTER_SECONDS / 60:g} minutes" in budget
    assert (reconcile.ABSENT_FOR_SECONDS, "looked for again for a day" in budget) == (24 * 3600, True)
    assert f"runs out within {LEASE_SECONDS:g} s" in budget
    assert f"nothing of the last {reconcile._WRONG_CLOCK_SECONDS / 3600:g} hours" in budget
    assert (TAKE_SECONDS, "for 24 hours" in budget) == (24 * 3600, True)
    assert f"more than {transport._YOUNG_SECONDS:g} s after" in budget.replace("\n   ", " ")


async def test_one_generation_for_two_equal_purchases_in_doubt_is_the_one_s_that_asks_first(
    agent: Agent, emulator: Emulator, transport: InMemory
) -> None:
    emulator.faults.append(Fault("error", method="GET", path="*/generations", times=99))
    transport.fails_after.append(httpx.ReadTimeout("slow"))
    await agent.refusal("create_video", prompt="a boat")
    transport.fails_before.append(httpx.WriteTimeout("slow"))
    await agent.refusal("create_video", prompt="a boat", take=2)
    emulator.faults.clear()
    found = await agent.call("create_video", prompt="a boat")

    assert emulator.dream_machine.billing.purchases() == [found["generation_id"]]
    assert "It may have been charged" in await agent.refusal("create_video", prompt="a boat", take=2)


async def test_a_listed_purchase_of_ours_whose_echo_differs_switches_absence_off(
    agent: Agent, emulator: Emulator, transport: InMemory, clock: HeldClock, serve
) -> None:
    """Another process bought it, so this one learns of the echo from the list alone."""
    await agent.call("create_image", prompt="known")
    emulator.habits.echo = "rewritten"
    async with Client(serve()) as client:
        transport.fails_before.append(httpx.WriteError("reset"))
        await Agent(client).refusal("create_video", prompt="a boat")
        clock.seconds += ABSENT_AFTER_SECONDS

        assert "so the list proves nothing" in await Agent(client).refusal("create_video", prompt="a boat")


async def test_a_purchase_without_a_time_in_the_list_is_found(
    agent: Agent, emulator: Emulator, transport: InMemory
) -> None:
    emulator.habits.dates = "missing"
    transport.fails_after.append(httpx.ReadTimeout("slow"))
    bought = await agent.call("create_video", prompt="a boat")

    assert emulator.dream_machine.billing.purchases() == [bought["generation_id"]]


def listings(emulator: Emulator) -> int:
    return emulator.requests.count(("GET", "/generations"))


@pytest.mark.parametrize(("known", "pages"), [(True, 1), (False, 4)])
async def test_the_list_is_read_no_further_than_to_what_is_known_and_to_its_end_once(
    agent: Agent, emulator: Emulator, transport: InMemory, clock: HeldClock, known: bool, pages: int
) -> None:
    for _ in range(120):
        emulator.dream_machine.accept(ImageBody(model="photon-1", prompt="somebody else's"))
    clock.seconds += 200
    if known:
        await agent.call("create_image", prompt="known")
        clock.seconds += 200
    emulator.faults.append(Fault("error", method="GET", path="*/generations", times=99))
    transport.fails_before.append(httpx.WriteError("reset"))
    await agent.refusal("create_video", prompt="a boat")
    emulator.faults.clear()
    before = listings(emulator)
    await agent.refusal("create_video", prompt="a boat")

    assert listings(emulator) - before == pages


async def test_where_there_is_no_list_it_is_looked_for_once(
    clock: HeldClock, ledger_path: Path, close_later: CloseLater
) -> None:
    ledger = close_later(Ledger(SqliteStore(lambda: ledger_path, now=clock.wall), account="me", owner="me"))
    row = (await ledger.decide(NewPurchase("f", "s", "{}", "video", 700_000, "published"), Budget())).row
    await ledger.advance(row, "sending")
    lost = await ledger.advance(row, "lost")
    assert lost is not None
    await Reconciler(Unverifiable(ledger), ledger, clock).search_repeatedly(lost)
    await ledger.close()

    assert len(clock.sleeps) == 1


async def test_a_look_that_is_cancelled_gives_the_lease_back(
    agent: Agent, services, emulator: Emulator, transport: InMemory, clock: HeldClock, ledger_path: Path
) -> None:
    emulator.faults.append(Fault("error", method="GET", path="*/generations", times=99))
    transport.fails_after.append(httpx.ReadTimeout("slow"))
    await agent.refusal("create_video", prompt="a boat")
    emulator.faults.clear()
    emulator.faults.append(Fault("slow", method="GET", path="*/generations", seconds=600, times=99))
    with anyio.move_on_after(0.3):
        await services.purchases._reconciler.settle_all()
    with open_rows(ledger_path) as rows:
        found = rows.execute("SELECT state, lease_until FROM purchases").fetchall()

    assert found == [("lost", 0)]


async def test_a_list_that_is_old_when_it_is_judged_proves_no_absence(
    agent: Agent, transport: InMemory, emulator: Emulator, clock: HeldClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine sleeps between reading the list, which does not show the purchase yet, and judging it."""
    emulator.habits = Habits(list_lag=60)
    await agent.call("create_image", prompt="known")
    clock.seconds += 100
    emulator.faults.append(Fault("drop", method="POST", after=True))
    answer = InMemory.handle_async_request

    async def sleeps(self: InMemory, request: httpx.Request) -> httpx.Response:
        answered = await answer(self, request)
        if request.method == "GET" and request.url.path.endswith("/generations"):
            await answered.aread()
            clock.seconds += 2 * ABSENT_AFTER_SECONDS
        return answered

    monkeypatch.setattr(InMemory, "handle_async_request", sleeps)
    await agent.result("create_image", prompt="a boat")
    monkeypatch.setattr(InMemory, "handle_async_request", answer)
    await agent.call("create_image", prompt="a boat")

    assert len(emulator.dream_machine.billing.purchases()) == 2
