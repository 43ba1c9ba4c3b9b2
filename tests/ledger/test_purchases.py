"""The ledger itself: shared, durable, and never silently ignored."""

import sqlite3
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from json import loads
from pathlib import Path

import anyio
import httpx
import pytest
from mcp import Client

from luma_mcp.composition import build_server
from luma_mcp.config.settings import Settings
from luma_mcp.domain.errors import BudgetError, LedgerError
from luma_mcp.emulator.app import Emulator
from luma_mcp.ledger.caps import Balance, Budget, ConsentNeededError, ConsentUsedError
from luma_mcp.ledger.migrations import VERSION
from luma_mcp.ledger.purchases import Ledger
from luma_mcp.ledger.rows import NewPurchase, PurchaseRow
from luma_mcp.ledger.sqlite import SqliteStore
from luma_mcp.ledger.states import LEASE_SECONDS, TAKE_SECONDS, State
from luma_mcp.ledger.store import Store, Transaction
from tests.support.agent import Agent, HeldClock, InMemory, Wall
from tests.support.ledgers import all_rows, open_rows

pytestmark = pytest.mark.anyio

NEW = NewPurchase("fingerprint", "signature", '{"prompt":"a boat"}', "video", 700_000, "published")
FREE = Budget()
ON_FILE = pytest.mark.parametrize("engine", ["file"], indirect=True)


async def reserve(ledger: Ledger, budget: Budget = FREE, **changes: object) -> PurchaseRow:
    decision = await ledger.decide(replace(NEW, **changes), budget)
    assert decision.is_new, decision.row
    return decision.row


async def accept(ledger: Ledger, generation_id: str, **changes: object) -> PurchaseRow:
    row = await reserve(ledger, **changes)
    await ledger.advance(row, "sending", request_id="r")
    accepted = await ledger.advance(row, "accepted", generation_id=generation_id)
    assert accepted is not None
    return accepted


@pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
async def test_it_is_for_its_owner_alone_and_so_is_a_folder_that_is_made_for_it(tmp_path: Path, wall: Wall) -> None:
    path = tmp_path / "application data" / "dream-machine-mcp" / "purchases.sqlite3"
    ledger = Ledger(SqliteStore(lambda: path, now=wall), account="me", owner="this server")
    await reserve(ledger)
    await ledger.close()

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
@ON_FILE
@pytest.mark.parametrize("mode", [0o666, 0o620, 0o602])
async def test_a_ledger_that_others_may_write_decides_nothing(ledger: Ledger, ledger_path: Path, mode: int) -> None:
    ledger_path.touch()
    ledger_path.chmod(mode)
    with pytest.raises(LedgerError, match="others may write it") as caught:
        await reserve(ledger)

    assert f"chmod 600 {ledger_path}" in caught.value.hint


@ON_FILE
@pytest.mark.parametrize("distance", [1, -1])
async def test_a_ledger_of_somebody_else_s_decides_nothing(
    ledger: Ledger, ledger_path: Path, monkeypatch: pytest.MonkeyPatch, distance: int
) -> None:
    ledger_path.touch(0o600)
    monkeypatch.setattr("luma_mcp.ledger.sqlite.os.geteuid", lambda: ledger_path.stat().st_uid + distance)
    with pytest.raises(LedgerError, match="belongs to somebody else"):
        await reserve(ledger)


@ON_FILE
async def test_money_that_cannot_be_is_refused_by_the_file_itself(ledger: Ledger, ledger_path: Path) -> None:
    await reserve(ledger)
    for change in ("micros = -100000000", "take = 0", "is_live = 2"):
        with open_rows(ledger_path) as rows, pytest.raises(sqlite3.IntegrityError):
            rows.execute(f"UPDATE purchases SET {change}")


@ON_FILE
async def test_a_file_that_was_deleted_or_replaced_is_opened_anew(ledger: Ledger, ledger_path: Path) -> None:
    await reserve(ledger)
    ledger_path.unlink()
    row = await reserve(ledger)
    elsewhere = ledger_path.with_name("elsewhere.sqlite3")
    ledger_path.rename(elsewhere)
    await reserve(ledger, take=2)

    assert row.id == 1
    with open_rows(ledger_path) as rows:
        assert rows.execute("SELECT take FROM purchases").fetchall() == [(2,)]


async def test_it_is_not_made_before_there_is_a_purchase(serve, ledger_path: Path, era: str) -> None:
    async with Client(serve(), mode=era) as client:
        await Agent(client).call("create_video", prompt="a boat", dry_run=True)

        assert not ledger_path.exists()


@ON_FILE
async def test_a_row_is_on_disk_before_anything_is_sent(ledger: Ledger, ledger_path: Path) -> None:
    row = await reserve(ledger)

    with open_rows(ledger_path) as rows:
        assert rows.execute("SELECT id, state FROM purchases").fetchall() == [(row.id, "reserved")]
        assert rows.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_the_same_request_with_the_same_take_is_the_same_purchase(ledger: Ledger, other: Ledger) -> None:
    row = await accept(ledger, "a")
    decision = await other.decide(NEW, FREE)

    assert (decision.is_new, decision.row) == (False, row)
    for change in ({"take": 2}, {"person": "anna"}, {"fingerprint": "another"}):
        assert (await other.decide(replace(NEW, **change), FREE)).is_new, change


@pytest.mark.parametrize("state", ["refused", "failed", "absent"])
async def test_what_was_not_bought_frees_its_take(ledger: Ledger, state: State) -> None:
    row = await reserve(ledger)
    ways: dict[str, list[State]] = {
        "refused": ["refused"],
        "failed": ["sending", "accepted", "failed"],
        "absent": ["sending", "lost", "absent"],
    }
    for step in ways[state]:
        assert await ledger.advance(row, step) is not None
    again = await ledger.decide(NEW, FREE)

    assert again.is_new
    assert again.row.id != row.id


@pytest.mark.parametrize("state", ["lost", "disputed"])
async def test_what_is_in_doubt_holds_its_take(ledger: Ledger, state: State) -> None:
    row = await reserve(ledger)
    for step in ("sending", "lost", *(["disputed"] if state == "disputed" else [])):
        assert await ledger.advance(row, step) is not None

    assert (await ledger.decide(NEW, FREE)).row.state == state


async def test_after_a_day_the_same_request_is_a_new_purchase(ledger: Ledger, wall: Wall) -> None:
    row = await accept(ledger, "a")
    wall.seconds += TAKE_SECONDS - 1
    assert (await ledger.decide(NEW, FREE)).row.id == row.id
    wall.seconds += 2

    assert (await ledger.decide(NEW, FREE)).is_new


async def test_what_is_in_doubt_is_not_bought_again_after_a_day_either(ledger: Ledger, wall: Wall) -> None:
    row = await reserve(ledger)
    for step in ("sending", "lost"):
        await ledger.advance(row, step)
    wall.seconds += 2 * TAKE_SECONDS

    assert (await ledger.decide(NEW, FREE)).row.id == row.id


async def test_a_generation_that_was_deleted_frees_its_take(ledger: Ledger) -> None:
    await ledger.free_take(await accept(ledger, "a"))

    assert (await ledger.decide(NEW, FREE)).is_new


async def test_what_a_server_left_before_sending_was_never_sent(ledger: Ledger, other: Ledger, wall: Wall) -> None:
    row = await reserve(ledger)
    assert (await other.decide(NEW, FREE)).row.state == "reserved", "its lease lives"
    wall.seconds += LEASE_SECONDS + 1

    assert (await other.decide(NEW, FREE)).is_new
    left = await other.get(row.id)
    assert left is not None
    assert (left.state, left.note) == ("refused", "the server stopped before it was sent")


async def test_what_a_server_left_while_sending_is_lost_from_then_on(ledger: Ledger, other: Ledger, wall: Wall) -> None:
    row = await reserve(ledger)
    await ledger.advance(row, "sending", requires_lease=True)
    wall.seconds += LEASE_SECONDS + 100
    decision = await other.decide(NEW, FREE)

    assert (decision.is_new, decision.row.state, decision.row.lost_at) == (False, "lost", wall.seconds)


async def test_a_server_that_was_stopped_too_long_sends_nothing(ledger: Ledger, other: Ledger, wall: Wall) -> None:
    row = await reserve(ledger)
    wall.seconds += LEASE_SECONDS + 1

    assert await ledger.advance(row, "sending", requires_lease=True) is None, "also if nobody has settled it"
    await other.decide(NEW, FREE)
    assert await ledger.advance(row, "sending", requires_lease=True) is None
    assert not await other.renew(row), "it is not the other's"


async def test_a_lease_is_kept_for_as_long_as_it_is_renewed(ledger: Ledger, other: Ledger, wall: Wall) -> None:
    row = await reserve(ledger)
    for _ in range(10):
        wall.seconds += LEASE_SECONDS - 1
        assert await ledger.renew(row)

    assert (await other.decide(NEW, FREE)).row.state == "reserved"


async def test_a_clock_that_is_set_back_by_hours_keeps_no_lease_for_hours(
    ledger: Ledger, other: Ledger, wall: Wall
) -> None:
    await reserve(ledger)
    wall.seconds -= 3600

    assert (await other.decide(NEW, FREE)).is_new


async def test_one_server_looks_for_a_purchase_at_a_time(ledger: Ledger, other: Ledger, wall: Wall) -> None:
    row = await reserve(ledger)
    await ledger.advance(row, "sending")
    lost = await ledger.advance(row, "lost")
    assert lost is not None
    assert await ledger.claim(lost) is not None
    assert await other.claim(lost) is None
    await ledger.release(lost, "nothing was found")
    claimed = await other.claim(lost)

    assert claimed is not None
    assert claimed.note == "nothing was found"


async def test_the_cap_counts_what_is_spent_and_what_is_reserved(ledger: Ledger) -> None:
    two = Budget(max_usd_per_day=2)
    first = await accept(ledger, "a")
    await reserve(ledger, two, take=2)
    with pytest.raises(BudgetError, match=r"of \$2.00 has \$0.70 spent and \$0.70 reserved"):
        await reserve(ledger, two, take=3)

    await ledger.advance(first, "failed")
    await reserve(ledger, two, take=3)


async def test_what_is_completed_after_all_is_spent_again(ledger: Ledger) -> None:
    row = await accept(ledger, "a")
    await ledger.advance(row, "failed")
    assert (await ledger.today()).spent_usd == 0
    await ledger.advance(row, "completed")

    assert (await ledger.today()).spent_usd == 0.7
    assert (await ledger.decide(NEW, FREE)).is_new, "its take was freed by the failure"


async def test_a_disputed_purchase_counts_as_spent(ledger: Ledger) -> None:
    row = await reserve(ledger)
    for step in ("sending", "lost", "disputed"):
        await ledger.advance(row, step)

    assert await ledger.today() == replace(await ledger.today(), spent_usd=0.7, reserved_usd=0)


async def test_credit_counts_what_was_sent_since_it_was_read(ledger: Ledger, other: Ledger, wall: Wall) -> None:
    floor = Budget(min_credit_usd=8.5)
    balance = Balance(10.0, wall.seconds)
    for take in (1, 2):
        await ledger.decide(replace(NEW, take=take), floor, balance)
    with pytest.raises(BudgetError, match=r"has \$10.00 less \$1.40 that was sent since, and \$8.50 must stay"):
        await other.decide(replace(NEW, take=3), floor, balance)


async def test_the_newest_balance_of_any_server_is_the_one_that_counts(
    ledger: Ledger, other: Ledger, wall: Wall
) -> None:
    floor = Budget(min_credit_usd=5)
    await ledger.decide(NEW, floor, Balance(5.8, wall.seconds))
    with pytest.raises(BudgetError, match=r"the account has \$5.80"):
        await other.decide(replace(NEW, take=2), floor, Balance(100.0, wall.seconds - 60))
    wall.seconds += 60
    await other.decide(replace(NEW, take=2), floor, Balance(100.0, wall.seconds))
    wall.seconds += 1
    with pytest.raises(BudgetError, match=r"the account has \$5.10"):
        await other.decide(replace(NEW, take=3), floor, Balance(5.1, wall.seconds))


async def test_a_yes_is_needed_above_a_price_and_serves_once(ledger: Ledger) -> None:
    asks = Budget(confirm_above_usd=0.5)
    with pytest.raises(ConsentNeededError):
        await ledger.decide(NEW, asks)
    row = (await ledger.decide(replace(NEW, consent="yes"), asks)).row
    await ledger.advance(row, "refused")
    with pytest.raises(ConsentUsedError):
        await ledger.decide(replace(NEW, consent="yes"), asks)
    await ledger.decide(replace(NEW, consent="another yes"), asks)

    assert not (await ledger.decide(NEW, asks)).is_new, "what is bought already needs no yes"
    assert (await ledger.decide(replace(NEW, take=2, micros=500_000), asks)).is_new


async def test_money_that_is_still_unsettled_stays_reserved_over_midnight(ledger: Ledger, wall: Wall) -> None:
    lost = await reserve(ledger)
    for step in ("sending", "lost"):
        await ledger.advance(lost, step)
    await accept(ledger, "a", take=2)
    wall.seconds += 86_400
    today = await ledger.today()

    assert (today.spent_usd, today.reserved_usd, today.purchases) == (0, 0.7, 0)
    assert [row.id for row in await ledger.newest_today(10)] == [lost.id], "what is in doubt is told"


async def test_a_clock_that_is_set_back_does_not_open_the_cap(ledger: Ledger, wall: Wall) -> None:
    await accept(ledger, "a")
    wall.seconds -= 86_400

    assert (await ledger.today()).spent_usd == 0.7


async def test_accounts_in_one_ledger_do_not_see_each_other(ledger: Ledger, engine) -> None:
    await accept(ledger, "a")
    stranger = Ledger(engine(), account="you", owner="a third server")
    today = await stranger.today()
    rows = await all_rows(stranger)
    await stranger.close()

    assert (today.spent_usd, today.purchases, rows) == (0, 0, [])


async def test_an_account_is_found_under_its_former_name(ledger: Ledger, engine) -> None:
    """Earlier versions named it after the key: a renewed key must not open the day's cap."""
    await accept(ledger, "a")
    renamed = Ledger(engine(), account="new name", others=["agents"], owner="a third server", former_accounts=["me"])
    today = await renamed.today()
    (row,) = await all_rows(renamed)
    await renamed.close()

    assert today.spent_usd == 0.7
    assert row.account == "new name"


@pytest.mark.parametrize(("days", "count"), [(0, 1), (1, 2), (2, 3), (9, 3)])
async def test_the_days_before_today_are_summed(ledger: Ledger, wall: Wall, days: int, count: int) -> None:
    for take in (1, 2, 3):
        await accept(ledger, f"g{take}", take=take, model=f"model {take}", person=f"person {take}")
        wall.seconds += 24 * 3600
    wall.seconds -= 24 * 3600
    totals = sorted(await ledger.totals(days), key=lambda total: total.model)

    assert [(total.model, total.state, total.micros, total.purchases) for total in totals] == [
        (f"model {take}", "accepted", 700_000, 1) for take in (1, 2, 3)
    ][-count:]
    assert [total.model for total in await ledger.totals(9, "person 2")] == ["model 2"]


async def test_the_newest_of_a_day_are_told_in_their_order(ledger: Ledger) -> None:
    made = [await reserve(ledger, take=take) for take in range(1, 6)]

    assert await ledger.newest_today(2) == made[-2:]
    assert await ledger.newest_today(9) == made == await all_rows(ledger)
    assert (await ledger.today()).purchases == 5


async def test_one_generation_is_claimed_once(ledger: Ledger) -> None:
    await accept(ledger, "a")
    second = await reserve(ledger, take=2)
    await ledger.advance(second, "sending")

    assert await ledger.advance(second, "accepted", generation_id="a") is None
    assert set(await ledger.by_generation(["a", "b"])) == {"a"}


async def test_a_settled_row_cannot_be_settled_otherwise(ledger: Ledger) -> None:
    row = await reserve(ledger)
    await ledger.advance(row, "refused")

    assert await ledger.advance(row, "sending") is None
    assert await ledger.advance(row, "accepted", generation_id="a") is None


async def test_a_row_says_what_was_asked_and_what_it_was_made_from(ledger: Ledger) -> None:
    row = await accept(ledger, "a", request='{"prompt":"a boat","made_from":["b"]}')

    assert row.body == {"prompt": "a boat"}
    assert await ledger.made_from("a") == ("b",)
    assert await ledger.made_from("unknown") == ()


OLD_SCHEMA = """CREATE TABLE purchases (
    id INTEGER PRIMARY KEY, account TEXT NOT NULL, fingerprint TEXT NOT NULL, signature TEXT NOT NULL,
    request TEXT NOT NULL, kind TEXT NOT NULL, micros INTEGER NOT NULL, basis TEXT NOT NULL, state TEXT NOT NULL,
    generation_id TEXT, delivered INTEGER NOT NULL DEFAULT 0, process TEXT NOT NULL, sent_at REAL NOT NULL,
    updated_at REAL NOT NULL, UNIQUE (account, generation_id)
) STRICT"""


def corrupt(ledger_path: Path) -> None:
    ledger_path.write_bytes(b"this is no database, but something that is long enough to be taken for one" * 20)


def newer(ledger_path: Path) -> None:
    with open_rows(ledger_path) as rows:
        rows.execute(f"PRAGMA user_version = {VERSION + 1}")
    rows.close()


def a_folder(ledger_path: Path) -> None:
    ledger_path.mkdir()


def below_a_file(ledger_path: Path) -> None:
    ledger_path.parent.rmdir()
    ledger_path.parent.write_text("in the way")


@pytest.mark.parametrize("spoil", [corrupt, newer, a_folder, below_a_file])
async def test_a_ledger_that_cannot_be_used_is_said_and_nothing_is_bought(
    serve, ledger_path: Path, emulator: Emulator, era: str, spoil
) -> None:
    spoil(ledger_path)
    async with Client(serve(), mode=era) as client:
        message = await Agent(client).refusal("create_video", prompt="a boat")
        credit = await Agent(client).call("get_credits")
        listed = await Agent(client).call("list_generations")

    assert message.startswith("The purchase ledger at")
    assert "LUMA_LEDGER" in message
    assert emulator.dream_machine.billing.purchases() == []
    assert credit == {"credit_usd": 1000}
    assert listed == {"generations": []}


@pytest.mark.parametrize(("limit", "words"), [("max_page_count = 1", "full"), ("query_only = 1", "readonly")])
async def test_a_full_disk_and_a_ledger_that_is_read_only_stop_buying(
    serve, emulator: Emulator, monkeypatch, limit: str, words: str
) -> None:
    """SQLite itself is told that the file may not grow, or not be written; root may write anything else."""
    real = sqlite3.connect

    def limited(*arguments, **options):
        made = real(*arguments, **options)
        made.execute(f"PRAGMA {limit}")
        return made

    monkeypatch.setattr(sqlite3, "connect", limited)
    async with Client(serve()) as client:
        message = await Agent(client).refusal("create_video", prompt="a boat")

    assert words in message
    assert "Nothing is bought without it" in message
    assert emulator.dream_machine.billing.purchases() == []


async def test_a_purchase_that_cannot_be_written_down_is_not_lost(
    agent: Agent, emulator: Emulator, ledger_path: Path, monkeypatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The disk fills up between the sending and the answer."""
    real = Ledger.advance

    async def fails(self, row, state, **changes):
        if state == "accepted":
            raise LedgerError("disk full")
        return await real(self, row, state, **changes)

    monkeypatch.setattr(Ledger, "advance", fails)
    bought = await agent.call("create_video", prompt="a boat")

    assert emulator.dream_machine.billing.purchases() == [bought["generation_id"]]
    assert bought["generation_id"] in caplog.text


async def test_a_lost_answer_that_cannot_be_written_down_is_not_said_to_be_nothing(
    agent: Agent, emulator: Emulator, transport: InMemory, clock: HeldClock, monkeypatch
) -> None:
    """Everything fails at once: the answer, and the ledger. It is not bought again when the ledger works again."""

    real = Ledger.advance

    async def fails(self, row, state, **changes):
        if state != "sending":
            raise LedgerError("disk full")
        return await real(self, row, state, **changes)

    monkeypatch.setattr(Ledger, "advance", fails)
    transport.fails_after.append(httpx.ReadTimeout("slow"))
    message = await agent.refusal("create_video", prompt="a boat")
    monkeypatch.undo()
    clock.seconds += 60
    again = await agent.call("create_video", prompt="a boat")

    assert "may have been charged" in message
    assert emulator.dream_machine.billing.purchases() == [again["generation_id"]]
    assert again["recovered"] is True


RACER = textwrap.dedent("""
    import anyio, sys, time
    from pathlib import Path
    from luma_mcp.domain.errors import BudgetError
    from luma_mcp.ledger.caps import Budget
    from luma_mcp.ledger.purchases import Ledger, NewPurchase
    from luma_mcp.ledger.postgres import PostgresStore
    from luma_mcp.ledger.sqlite import SqliteStore

    async def main():
        place = sys.argv[1]
        is_database = place.startswith("postgresql:")
        store = PostgresStore(place) if is_database else SqliteStore(lambda: Path(place), now=time.time)
        ledger = Ledger(store, account="me", owner=sys.argv[2])
        made = 0
        for n in range(20):
            new = NewPurchase(f"f{sys.argv[2]}-{n}", "s", "{}", "video", 400_000, "published")
            try:
                row = (await ledger.decide(new, Budget(max_usd_per_day=5))).row
            except BudgetError:
                continue
            await ledger.advance(row, "sending", requires_lease=True)
            await ledger.advance(row, "accepted", generation_id=f"{sys.argv[2]}-{n}")
            made += 1
        await ledger.close()
        print(made)

    anyio.run(main)
""")


@pytest.mark.parametrize("saved", ["ledger_path", pytest.param("database", marks=pytest.mark.services)])
@pytest.mark.medium
async def test_eight_processes_never_spend_more_than_the_cap(request: pytest.FixtureRequest, saved: str) -> None:
    place = str(request.getfixturevalue(saved))
    racers = [
        subprocess.Popen([sys.executable, "-c", RACER, place, str(n)], stdout=subprocess.PIPE, text=True)
        for n in range(8)
    ]
    made = [int(racer.communicate(timeout=120)[0]) for racer in racers]

    assert sum(made) == 12  # 12 x $0.40 is $4.80; a thirteenth would pass $5


@ON_FILE
async def test_a_lock_that_is_held_is_waited_for(ledger: Ledger, ledger_path: Path) -> None:
    await reserve(ledger)
    other = sqlite3.connect(ledger_path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: reserve(ledger, take=2))
        await anyio.wait_all_tasks_blocked()
        other.execute("ROLLBACK")
    other.close()

    assert len(await ledger.in_state("reserved")) == 2


async def test_what_a_ledger_that_cannot_be_read_says_of_origins_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite3").mkdir()
    broken = Ledger(SqliteStore(lambda: tmp_path / "ledger.sqlite3", now=time.time), account="me", owner="me")

    assert await broken.made_from("15b7abb1-3741-4b7e-9615-1f9a16c7442d") == ()


@pytest.mark.usefixtures("in_one_day")
async def test_the_days_ledger_can_be_read(settings: Settings, transport: InMemory, clock: HeldClock, era: str) -> None:
    server = build_server(settings, transport=transport, clock=clock)
    async with Client(server, mode=era) as client:
        agent = Agent(client)
        await agent.make("create_video", prompt="a boat")
        failed = await agent.call("create_video", prompt="a boat [fail]")
        clock.seconds += 300
        await server.services.purchases.settle_if_due()
        (contents,) = (await client.read_resource("luma://spending")).contents
    result = loads(contents.text)

    assert result["spent_today_usd"] == 0.71
    assert result["reserved_usd"] == 0
    assert result["purchases_today"] == 2
    assert [purchase["state"] for purchase in result["purchases"]] == ["completed", "failed"]
    assert result["purchases"][1]["generation_id"] == failed["generation_id"]
    assert result["caps_usd"]["max_usd_per_day"] is None


async def test_a_price_that_cannot_be_is_refused_and_nothing_is_written(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="cannot be used"):
        await ledger.decide(replace(NEW, micros=-1), Budget())

    assert await all_rows(ledger) == []


@pytest.mark.parametrize(("seconds", "is_allowed"), [(119.5, False), (120.5, True)])
async def test_a_balance_that_is_read_two_minutes_later_shows_the_purchase(
    ledger: Ledger, wall: Wall, seconds: float, is_allowed: bool
) -> None:
    """Read earlier, it may not show the charge yet, which is subtracted once more."""
    row = (await ledger.decide(NEW, Budget())).row
    await ledger.advance(row, "sending")
    await ledger.advance(row, "accepted", generation_id="a")
    wall.seconds += seconds
    balance = Balance(5.7, wall.seconds)

    with nullcontext() if is_allowed else pytest.raises(BudgetError, match="LUMA_MIN_CREDIT_USD"):
        await ledger.decide(replace(NEW, take=2), Budget(min_credit_usd=5), balance)


@pytest.mark.parametrize(
    ("ends_in", "is_leased"),
    [(0.0, True), (-0.001, False), (2 * LEASE_SECONDS, True), (2 * LEASE_SECONDS + 0.001, False), (1e6, False)],
)
async def test_a_lease_counts_until_its_end_and_not_if_it_ends_unusually_late(
    ledger: Ledger, other: Ledger, wall: Wall, ends_in: float, is_leased: bool
) -> None:
    """One that ends late was written before the clock was set back."""
    row = await reserve(ledger)
    assert await ledger.advance(row, "sending")
    wall.seconds = float(int(wall.seconds))  # so that sums are exact
    await ledger.renew(row)
    wall.seconds += LEASE_SECONDS - ends_in
    claimed_before = (await other.claim(replace(row, state="sending"))) is not None
    advanced = await ledger.advance(row, "accepted", requires_lease=True, generation_id="x")

    assert claimed_before != is_leased
    assert (advanced is not None) == is_leased


@pytest.mark.parametrize(("age", "is_new"), [(TAKE_SECONDS - 1, False), (TAKE_SECONDS, True)])
async def test_a_take_is_the_same_for_24_hours_and_no_longer(
    ledger: Ledger, wall: Wall, age: float, is_new: bool
) -> None:
    wall.seconds = float(int(wall.seconds))
    row = await reserve(ledger)
    await ledger.advance(row, "sending")
    await ledger.advance(row, "accepted", generation_id="x")
    await ledger.advance(row, "completed")
    wall.seconds += age

    assert (await ledger.decide(NEW, FREE)).is_new == is_new


async def test_lists_are_in_their_order_and_the_newest_are_kept(ledger: Ledger, wall: Wall) -> None:
    rows = []
    for number in range(5):
        wall.seconds += 0.001
        row = await reserve(ledger, take=number + 1)
        await ledger.advance(row, "sending")
        rows.append(await ledger.advance(row, "accepted", generation_id=f"generation {number}"))
    wall.seconds += 0.001
    last = await reserve(ledger, take=9)

    assert [row.generation_id for row in await ledger.bought(9, account="me")] == [
        f"generation {n}" for n in (4, 3, 2, 1, 0)
    ]
    assert [row.generation_id for row in await ledger.known_before(last, 3)] == [f"generation {n}" for n in (4, 3, 2)]
    assert [row.id for row in await ledger.newest_today(3)] == [rows[3].id, rows[4].id, last.id]


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the time zone of a process cannot be set here")
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"])
@ON_FILE
async def test_the_day_begins_at_midnight_where_the_person_is(
    engine, wall: Wall, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    """Also on the days on which the clocks change."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        for day in ("2026-03-29", "2026-07-01", "2026-10-25", "2026-11-01", "2026-12-31"):
            midnight = time.mktime(time.strptime(f"{day} 00:00:00", "%Y-%m-%d %H:%M:%S"))
            ledger = Ledger(engine(), account=f"{zone} {day}", owner="this server")
            wall.seconds = midnight - 1
            await reserve(ledger)
            assert (await ledger.today()).purchases == 1
            wall.seconds = midnight
            assert (await ledger.today()).purchases == 0
            await reserve(ledger, take=2)
            wall.seconds = midnight + 22 * 3600
            assert (await ledger.today()).purchases == 1
            await ledger.close()
    finally:
        monkeypatch.undo()
        time.tzset()


async def test_dollars_are_exact_to_the_millionth(ledger: Ledger) -> None:
    await reserve(ledger, micros=1_000_000_001)
    spending = await ledger.today()

    assert spending.reserved_usd == pytest.approx(1000.000001, abs=1e-9)
    with pytest.raises(BudgetError):
        await ledger.decide(replace(NEW, take=2, micros=999_999_999), Budget(max_usd_per_day=1999.999999))
    assert await ledger.decide(replace(NEW, take=2, micros=999_999_999), Budget(max_usd_per_day=2000))


async def test_what_was_bought_is_listed_by_account_and_by_person(engine: Callable[[], Store]) -> None:
    both = Ledger(engine(), account="me", others=["agents"], owner="x")
    for take, (account, person) in enumerate([("", ""), ("me", "anna"), ("agents", "anna")], start=1):
        row = await reserve(both, take=take, account=account, person=person)
        await both.advance(row, "sending", request_id="r")
        await both.advance(row, "accepted", generation_id=f"{row.account}-{person}")
    await reserve(both, take=9)

    async def ids(**chosen: str) -> list[str | None]:
        return [row.generation_id for row in await both.bought(9, **chosen)]

    assert await ids() == ["agents-anna", "me-anna", "me-"]
    assert await ids(account="me") == ["me-anna", "me-"]
    assert await ids(person="anna") == ["agents-anna", "me-anna"]
    assert await ids(account="agents", person="") == []
    await both.close()


async def test_the_credit_floor_is_dream_machine_s(engine: Callable[[], Store], wall: Wall) -> None:
    """The Agents API tells no balance, and what is spent there does not lower the other's."""
    both = Ledger(engine(), account="me", others=["agents"], owner="x")
    alone = Ledger(engine(), account="me", owner="y")
    floor = Budget(min_credit_usd=9.0)
    row = await reserve(both, account="agents", micros=5_000_000)
    await both.advance(row, "sending", request_id="r")
    await both.advance(row, "accepted", generation_id="g")

    assert (await both.decide(replace(NEW, take=2), floor, Balance(10.0, wall.seconds))).is_new
    with pytest.raises(BudgetError, match=r"has \$10\.00"):
        await alone.decide(replace(NEW, take=3), floor, None)
    await both.close()
    await alone.close()


async def test_a_floor_forbids_nothing_while_no_balance_is_known(ledger: Ledger, wall: Wall) -> None:
    floor = Budget(min_credit_usd=5)
    assert (await ledger.decide(NEW, floor, None)).is_new
    with pytest.raises(BudgetError):
        await ledger.decide(replace(NEW, take=2), floor, Balance(5.0, wall.seconds))


async def test_a_balance_that_was_read_while_the_clock_was_ahead_proves_nothing(ledger: Ledger, wall: Wall) -> None:
    floor = Budget(min_credit_usd=5)
    await ledger.decide(NEW, floor, Balance(100.0, wall.seconds))
    wall.seconds -= 3600
    with pytest.raises(BudgetError, match=r"the account has \$5\.10"):
        await ledger.decide(replace(NEW, take=2), floor, Balance(5.1, wall.seconds))


async def test_a_read_waits_for_no_writer(engine: Callable[[], Store]) -> None:
    writer, reader = engine(), engine()
    reader.read(lambda transaction: transaction.now())

    def work(transaction: Transaction) -> object:
        transaction.execute("INSERT INTO consents (name, used_by) VALUES ('a', 'b')")
        return reader.read(lambda other: other.execute("SELECT name FROM consents").fetchone())

    assert writer.transaction(work, ["me"]) is None
    assert reader.read(lambda other: other.execute("SELECT name FROM consents").fetchone()) == ("a",)
    for store in (writer, reader):
        store.close()


async def test_a_generation_s_purchase_is_read_once(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    row = await accept(ledger, "a")
    assert await ledger.origin_of("a") == row
    await ledger.close()
    monkeypatch.setattr("luma_mcp.ledger.reading.LedgerReader.by_generation", None)

    assert await ledger.origin_of("a") == row


async def test_only_so_many_purchases_are_remembered(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luma_mcp.ledger.reading._MAX_REMEMBERED", 1)
    for take in (1, 2):
        await accept(ledger, f"g{take}", take=take)
        await ledger.origin_of(f"g{take}")

    assert list(ledger._remembered) == ["g2"]
