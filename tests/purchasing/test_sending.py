"""One purchase on its way: its lease, its rate limit, and what is written down when much goes wrong."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from mcp import Client

from luma_mcp.composition import build_server, build_services
from luma_mcp.config.settings import Settings
from luma_mcp.domain.errors import AmbiguousPurchaseError, LedgerError, LumaError, UnreachableError
from luma_mcp.domain.generation import Generation
from luma_mcp.domain.requests import VideoRequest
from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.dream_machine.bodies import VideoBody
from luma_mcp.emulator.faults import Fault
from luma_mcp.ledger.caps import Budget
from luma_mcp.ledger.purchases import Ledger
from luma_mcp.ledger.rows import PurchaseRow
from luma_mcp.ledger.sqlite import SqliteStore
from luma_mcp.ledger.states import LEASE_SECONDS, State
from luma_mcp.mcp.services import Services
from luma_mcp.purchasing import sending
from luma_mcp.purchasing.orders import PurchaseRequest, new_purchase
from luma_mcp.purchasing.sending import StillSendingError
from tests.support.agent import Agent, HeldClock, InMemory, until
from tests.support.ledgers import all_rows, open_rows

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]


async def nobody(_seconds: float, _why: str) -> None:
    """Nobody is told of waits."""


def order(services: Services, **changes: Any) -> PurchaseRequest:
    return PurchaseRequest(
        services.purchases.quote(VideoRequest(model="ray-2", prompt="a boat")),
        **{"on_wait": nobody, "take": 1} | changes,
    )


class Held(InMemory):
    """A Luma that answers a purchase only when it is told to."""

    def __init__(self, emulator: Emulator) -> None:
        super().__init__(emulator)
        self.reached, self.go_on = anyio.Event(), anyio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await super().handle_async_request(request)
        if request.method == "POST":
            self.reached.set()
            await self.go_on.wait()
        return answer


@pytest.mark.medium
async def test_an_answer_that_takes_longer_than_a_lease_is_still_waited_for(
    settings: Settings, emulator: Emulator, clock: HeldClock, ledger_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another server would call the purchase lost as soon as its lease is over."""
    monkeypatch.setattr(sending, "RENEW_EVERY_SECONDS", 0.01)
    transport = Held(emulator)
    other = SqliteStore(lambda: ledger_path, now=clock.wall)
    answers: list[dict[str, Any]] = []
    async with Client(build_server(settings, transport=transport, clock=clock)) as client:

        async def buy() -> None:
            answers.append(await Agent(client).call("create_video", prompt="a boat"))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(buy)
            await transport.reached.wait()
            for _ in range(3):
                clock.seconds += LEASE_SECONDS * 0.8
                await until(_is_renewed(other, clock))
            account = other.transaction(lambda rows: rows.execute("SELECT account FROM purchases").fetchone()[0])
            ledger = Ledger(other, account=account, owner="another server")
            assert [row.state for row in await ledger.in_state("sending", "lost")] == ["sending"]
            await ledger.close()
            transport.go_on.set()

    assert "recovered" not in answers[0]
    assert emulator.dream_machine.billing.purchases() == [answers[0]["generation_id"]]


def _is_renewed(store: SqliteStore, clock: HeldClock) -> Callable[[], Awaitable[bool]]:
    """Whether the lease of the only purchase lasts as long as one that was taken just now."""

    async def is_renewed() -> bool:
        (until,) = store.transaction(lambda rows: rows.execute("SELECT lease_until FROM purchases").fetchone())
        return until >= clock.wall() + LEASE_SECONDS

    return is_renewed


@pytest.mark.medium
async def test_an_upload_that_takes_longer_than_a_lease_is_waited_for(
    services: Services, emulator: Emulator, clock: HeldClock, ledger_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another server would refuse the purchase in its place as soon as the lease is over."""
    monkeypatch.setattr(sending, "RENEW_EVERY_SECONDS", 0.01)
    other = SqliteStore(lambda: ledger_path, now=clock.wall)

    async def upload() -> dict[str, str]:
        for _ in range(3):
            clock.seconds += LEASE_SECONDS * 0.8
            await until(_is_renewed(other, clock))
        account = other.transaction(lambda rows: rows.execute("SELECT account FROM purchases").fetchone()[0])
        ledger = Ledger(other, account=account, owner="another server")
        assert [row.state for row in await ledger.in_state("reserved", "refused")] == ["reserved"]
        await ledger.close()
        return {}

    bought = await services.purchases.buy(order(services, publish=upload))

    assert emulator.dream_machine.billing.purchases() == [bought.generation.id]


async def test_an_upload_that_fails_leaves_nothing_reserved(services: Services, emulator: Emulator) -> None:
    async def upload() -> dict[str, str]:
        raise LumaError("The bucket refused it.", "")

    with pytest.raises(LumaError, match="The bucket refused it"):
        await services.purchases.buy(order(services, publish=upload))

    assert [row.state for row in await all_rows(services.purchases._ledger)] == ["refused"]
    assert emulator.dream_machine.billing.purchases() == []


async def test_one_transaction_decides_and_one_writes_down(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    await services.purchases.buy(order(services))
    transactions: list[str] = []
    real = SqliteStore.transaction

    def counted(store: SqliteStore, work: Any, accounts: Any) -> Any:
        transactions.append(work.__qualname__.split(".")[1])
        return real(store, work, accounts)

    monkeypatch.setattr(SqliteStore, "transaction", counted)
    await services.purchases.buy(order(services, take=2))

    assert transactions == ["decide", "advance"]


async def test_a_purchase_beyond_the_limit_waits_and_holds_its_money(services: Services, emulator: Emulator) -> None:
    emulator.faults.append(Fault("limit", method="POST", seconds=30))
    bought = await services.purchases.buy(order(services))

    assert (bought.generation.state, bought.generation.place) == ("waiting", 1)
    (row,) = await all_rows(services.purchases._ledger)
    assert (row.state, row.queue_id) == ("waiting", bought.generation.id)
    assert (await services.purchases.spending()).reserved_usd == bought.price.usd
    assert emulator.dream_machine.billing.purchases() == []


async def test_that_it_may_be_bought_is_said_though_the_ledger_fails_then(
    services: Services, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator.faults.append(Fault("drop", method="POST", after=True))

    async def fails(*_arguments: object) -> None:
        raise LedgerError("The ledger cannot be read.", "")

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "get", fails)
        with pytest.raises(AmbiguousPurchaseError):
            await services.purchases.buy(order(services))

    assert (await services.purchases.buy(order(services))).recovered
    assert len(emulator.dream_machine.billing.purchases()) == 1


@pytest.mark.usefixtures("in_one_day")
async def test_what_was_completed_stays_paid_though_luma_calls_it_failed_later(
    services: Services, emulator: Emulator, clock: HeldClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    bought = await services.purchases.buy(order(services))
    clock.seconds += 100
    assert (await services.purchases.get_generation(bought.generation.id)).state == "completed"

    async def failed(generation_id: str) -> Generation:
        return Generation(id=generation_id, state="failed")

    monkeypatch.setattr(services.backend, "get_generation", failed)
    again = await services.purchases.buy(order(services))

    assert (again.generation.id, again.recovered) == (bought.generation.id, True)
    assert len(emulator.dream_machine.billing.purchases()) == 1
    assert (await services.purchases.spending()).spent_usd == 0.71


async def test_the_cap_is_told_though_luma_does_not_say_what_failed(serve, emulator: Emulator) -> None:
    async with Client(serve(LUMA_MAX_USD_PER_DAY="1")) as client:
        await Agent(client).call("create_video", prompt="a boat")
        emulator.faults.append(Fault("error", method="GET", times=20, status=500))

        assert "LUMA_MAX_USD_PER_DAY" in await Agent(client).refusal("create_video", prompt="a boat", take=2)


async def test_what_another_program_made_is_no_purchase_of_the_ledger(
    agent: Agent, emulator: Emulator, clock: HeldClock
) -> None:
    made = emulator.dream_machine.accept(VideoBody(model="ray-2", prompt="a boat"))
    clock.seconds += 100
    await emulator.dream_machine.settle()

    assert (await agent.call("get_generation", generation_id=made.id))["state"] == "completed"
    assert (await agent.call("get_credits"))["spent_today_usd"] == 0


@pytest.mark.parametrize(
    ("retry_after", "pause"),
    [
        # A `Retry-After: 0` must cause no flood of requests.
        (0, 1.0),
        (20, 20.0),
        # Luma does not state how long.
        (None, 15.0),
        (86_000, 600.0),
    ],
)
async def test_what_waits_is_sent_when_luma_s_pause_is_over(
    services: Services, emulator: Emulator, clock: HeldClock, retry_after: float | None, pause: float
) -> None:
    emulator.faults.append(Fault("limit", method="POST", seconds=retry_after))
    waiting = (await services.purchases.buy(order(services))).generation
    (account,) = await services.purchases.queue.waiting_accounts()

    assert await services.purchases.queue.send_waiting(account) == pause
    clock.seconds += pause - 0.01
    assert await services.purchases.queue.send_waiting(account) == pytest.approx(0.01)
    assert emulator.dream_machine.billing.purchases() == []
    clock.seconds += 0.01
    assert await services.purchases.queue.send_waiting(account) is None
    await until(lambda: _is_bought(services, waiting.id))
    assert len(emulator.dream_machine.billing.purchases()) == 1


async def _is_bought(services: Services, queue_id: str) -> bool:
    return (await services.backend.get_generation(queue_id)).id != queue_id


@pytest.mark.parametrize("failures", [2, 3])
async def test_an_outcome_is_written_down_at_the_third_attempt_or_logged(
    services: Services, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, failures: int
) -> None:
    real, left = Ledger.advance, [failures]

    async def fails(ledger: Ledger, row: PurchaseRow, state: State, **named: Any) -> PurchaseRow | None:
        if left[0]:
            left[0] -= 1
            raise LedgerError("The disk is full.", "")
        return await real(ledger, row, state, **named)

    monkeypatch.setattr(Ledger, "advance", fails)
    bought = await services.purchases.buy(order(services))

    states = [row.state for row in await services.purchases.newest_today(5)]
    assert states == (["accepted"] if failures == 2 else ["sending"])
    told = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert told == (
        [] if failures == 2 else [f"purchase 1 is accepted ({bought.generation.id}) and could not be written down"]
    )


async def test_each_post_after_a_rate_limit_has_an_id_of_its_own(
    services: Services, emulator: Emulator, clock: HeldClock
) -> None:
    emulator.faults.append(Fault("limit", method="POST", seconds=1))
    ids: list[str | None] = []
    submit = services.backend.submit

    async def note(encoded: Any, **named: Any) -> Generation:
        ids.append(named["request_id"])
        ids.extend(row.request_id for row in await services.purchases.newest_today(1))
        return await submit(encoded, **named)

    services.purchases._sender._backend.submit = note  # type: ignore[method-assign]
    waiting = (await services.purchases.buy(order(services))).generation
    clock.seconds += 1
    (account,) = await services.purchases.queue.waiting_accounts()
    await services.purchases.queue.send_waiting(account)
    await until(lambda: _is_bought(services, waiting.id))

    assert ids[0] == ids[1] != ids[2] == ids[3]


async def test_a_purchase_that_another_server_settled_during_the_upload_is_not_sent(
    services: Services, emulator: Emulator, clock: HeldClock, ledger_path: Path
) -> None:
    other = SqliteStore(lambda: ledger_path, now=clock.wall)

    async def upload() -> dict[str, str]:
        """This server is stopped meanwhile, and the same is bought at another one."""
        clock.seconds += LEASE_SECONDS + 1
        account = other.transaction(lambda rows: rows.execute("SELECT account FROM purchases").fetchone()[0])
        ledger = Ledger(other, account=account, owner="another server")
        again = await ledger.decide(new_purchase(order(services)), Budget())
        assert again.is_new
        assert await ledger.claim(again.row) is None
        await ledger.close()
        return {}

    with pytest.raises(LumaError, match="another one settled the purchase"):
        await services.purchases.buy(order(services, publish=upload))

    assert emulator.dream_machine.billing.purchases() == []


async def test_a_lease_that_another_server_took_is_not_ours(
    services: Services, emulator: Emulator, clock: HeldClock, ledger_path: Path
) -> None:
    """The row is still `reserved`, and another server is its owner."""
    store = SqliteStore(lambda: ledger_path, now=clock.wall)

    async def upload() -> dict[str, str]:
        store.transaction(lambda rows: rows.execute("UPDATE purchases SET owner = 'another server'"))
        return {}

    with pytest.raises(LumaError, match="another one settled the purchase"):
        await services.purchases.buy(order(services, publish=upload))

    store.close()
    assert emulator.dream_machine.billing.purchases() == []


async def test_a_response_that_is_late_is_awaited_beside_and_written_down(
    settings: Settings, emulator: Emulator, clock: HeldClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller hears of it in time; the purchase is bought once."""
    monkeypatch.setattr(sending, "CALLER_SECONDS", 0.05)
    transport = Held(emulator)
    services = build_services(settings, transport, clock)
    async with services.running():
        with pytest.raises(StillSendingError, match="still awaited"):
            await services.purchases.buy(order(services))
        assert [row.state for row in await services.purchases.newest_today(5)] == ["sending"]
        transport.go_on.set()
        joined = await services.purchases.buy(order(services))

    assert joined.recovered
    assert emulator.dream_machine.billing.purchases() == [joined.generation.id]


@pytest.mark.parametrize("account", ["", "agents"])
async def test_only_an_api_without_a_list_holds_the_process(services: Services, account: str) -> None:
    listed = services.purchases.account_of("dream_machine")
    services.purchases._sender._posts[1] = account or listed

    assert services.purchases.must_not_end is (account == "agents")


async def test_a_server_that_ends_writes_down_the_outcome_of_a_post_first(
    settings: Settings, emulator: Emulator, clock: HeldClock, ledger_path: Path
) -> None:
    transport = Held(emulator)
    services = build_services(settings, transport, clock)
    async with services.running(), anyio.create_task_group() as tasks:
        tasks.start_soon(services.purchases.buy, order(services))
        await transport.reached.wait()
        tasks.cancel_scope.cancel()
        transport.go_on.set()
    with open_rows(ledger_path) as rows:
        found = rows.execute("SELECT state, generation_id FROM purchases").fetchall()

    assert found == [("accepted", *emulator.dream_machine.billing.purchases())]


def failing(monkeypatch: pytest.MonkeyPatch, failures: list[int]) -> None:
    """Have that many writes of outcomes fail."""
    real = Ledger.advance

    async def fails(ledger: Ledger, row: PurchaseRow, state: State, **named: Any) -> PurchaseRow | None:
        if failures[0]:
            failures[0] -= 1
            raise LedgerError("The disk is full.")
        return await real(ledger, row, state, **named)

    monkeypatch.setattr(Ledger, "advance", fails)


@pytest.mark.parametrize(
    ("fault", "state"), [(None, "accepted"), (Fault("limit", method="POST", seconds=1), "refused")]
)
async def test_an_outcome_that_could_not_be_written_is_written_before_the_next_purchase(
    services: Services, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, fault: Fault | None, state: str
) -> None:
    left = [3]
    failing(monkeypatch, left)
    if fault is None:
        await services.purchases.buy(order(services))
    else:
        emulator.faults.append(fault)
        with pytest.raises(LumaError):
            await services.purchases.buy(order(services))
    assert [row.state for row in await services.purchases.newest_today(5)] == ["sending"]
    await services.purchases.buy(order(services, take=2))

    assert [row.state for row in await services.purchases.newest_today(5)] == [state, "accepted"]


async def test_an_outcome_is_written_by_itself_once_the_ledger_is_back(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "_FIRST_LATER_SECONDS", 0.01)
    failing(monkeypatch, [5])
    await services.purchases.buy(order(services))
    with anyio.fail_after(20):
        while [row.state for row in await services.purchases.newest_today(5)] != ["accepted"]:
            await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize("left_behind", ["lost", "disputed"])
async def test_whoever_knows_that_nothing_was_sent_says_so_though_another_server_called_it_lost(
    services: Services, monkeypatch: pytest.MonkeyPatch, left_behind: str
) -> None:
    async def stopped(_encoded: Any, **_named: Any) -> Generation:
        row = (await services.purchases.newest_today(1))[0]
        for state in ("lost", "disputed")[: 1 + (left_behind == "disputed")]:
            assert await services.purchases._ledger.advance(row, state)
        raise UnreachableError("This server was stopped before the request could be sent.", "Nothing was sent.")

    services.purchases._sender._backend.submit = stopped  # type: ignore[method-assign]
    with pytest.raises(UnreachableError):
        await services.purchases.buy(order(services))

    assert [row.state for row in await services.purchases.newest_today(5)] == ["refused"]
    assert (await services.purchases.spending()).reserved_usd == 0


async def test_a_failure_that_luma_does_not_refund_stays_spent(services: Services) -> None:
    bought = await services.purchases.buy(order(services))
    await services.purchases.record_final_states(
        Generation(id=bought.generation.id, state="failed", failure_reason="out (budget_exhausted)", is_refunded=False)
    )
    (row,) = await services.purchases.newest_today(5)

    assert (row.state, (await services.purchases.spending()).spent_usd) == ("completed", 0.71)
    assert "does not say that it was refunded: out (budget_exhausted)" in row.note


async def test_an_outcome_that_another_server_settled_is_logged(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    real = services.backend.submit

    async def settled_meanwhile(encoded: Any, **named: Any) -> Generation:
        row = (await services.purchases.newest_today(1))[0]
        await services.purchases._ledger.advance(row, "refused")
        return await real(encoded, **named)

    services.purchases._sender._backend.submit = settled_meanwhile  # type: ignore[method-assign]
    await services.purchases.buy(order(services))

    assert "purchase 1 was settled by another server before it was accepted" in caplog.text


async def test_a_caller_whose_equal_gives_up_before_the_post_buys_it(services: Services, emulator: Emulator) -> None:
    reached = anyio.Event()

    async def upload() -> dict[str, str]:
        reached.set()
        await anyio.sleep_forever()
        return {}

    bought: list[str] = []

    async def join() -> None:
        bought.append((await services.purchases.buy(order(services))).generation.id)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            scope = anyio.CancelScope()

            async def give_up() -> None:
                with scope:
                    await services.purchases.buy(order(services, publish=upload))

            tasks.start_soon(give_up)
            await reached.wait()
            tasks.start_soon(join)
            await anyio.wait_all_tasks_blocked()
            assert emulator.dream_machine.billing.purchases() == []
            scope.cancel()

    assert len(bought) == len(emulator.dream_machine.billing.purchases()) == 1


async def test_without_a_task_group_an_unwritten_outcome_is_written_before_the_next_purchase(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = services.purchases._ledger
    sender = sending.Sender(services.backend, ledger, services.purchases._clock)
    decision = await ledger.decide(new_purchase(order(services)), Budget(), request_id="r")
    failing(monkeypatch, [3])
    wanted = order(services)
    entry = services.purchases.queue.entry(wanted.quote.encoded, {})
    bought = await sender.send(decision, wanted, lambda _links: entry)
    before = await ledger.get(decision.row.id)
    await sender.write_unwritten()
    after = await ledger.get(decision.row.id)

    assert before is not None
    assert after is not None
    assert (before.state, after.state, after.generation_id) == ("sending", "accepted", bought.id)
