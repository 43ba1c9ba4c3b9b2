"""The book itself: shared, durable, and never silently ignored."""

import os
import socket
import sqlite3
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import httpx
import pytest
from mcp import Client

from luma_mcp.domain.errors import BudgetError, LedgerError
from luma_mcp.emulator.dream_machine.app import Emulator
from luma_mcp.purchasing.ledger import Entry, Ledger
from luma_mcp.purchasing.postgres import PostgresStore
from luma_mcp.purchasing.reconcile import may_be_alive, this_process
from luma_mcp.purchasing.sqlite import SqliteStore
from luma_mcp.purchasing.store import VERSION, Store
from tests.support.agent import Agent, HeldClock, InMemory

pytestmark = pytest.mark.anyio

ENTRY = Entry("fingerprint", "signature", "{}", "video", 700_000, "published")


ON_FILE = pytest.mark.parametrize("engine", ["file"], indirect=True)


@pytest.fixture(params=["file", pytest.param("database", marks=pytest.mark.services)])
def engine(request: pytest.FixtureRequest, book: Path) -> Callable[[], Store]:
    """Makes another hand on the same book, as another process has one."""
    if request.param == "file":
        return lambda: SqliteStore(lambda: book)
    address = request.getfixturevalue("database")
    return lambda: PostgresStore(address)


@pytest.fixture
async def ledger(engine):
    made = Ledger(engine(), account="me", process=this_process())
    yield made
    await made.close()


@ON_FILE
async def test_it_is_for_its_owner_alone(ledger: Ledger, book: Path) -> None:
    await ledger.reserve(ENTRY, most_micros_per_day=None)

    assert stat.S_IMODE(book.stat().st_mode) == 0o600


async def test_it_is_not_made_before_there_is_a_purchase(serve, book: Path, era: str) -> None:
    async with Client(serve(), mode=era) as client:
        await Agent(client).call("create_video", prompt="a boat", dry_run=True)

        assert not book.exists()


@ON_FILE
async def test_a_row_is_on_disk_before_anything_is_sent(ledger: Ledger, book: Path) -> None:
    row = await ledger.reserve(ENTRY, most_micros_per_day=None)
    other = sqlite3.connect(book)
    try:
        assert other.execute("SELECT id, state FROM purchases").fetchall() == [(row.id, "sending")]
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    finally:
        other.close()


async def test_the_cap_counts_what_is_spent_and_what_is_reserved(ledger: Ledger) -> None:
    first = await ledger.reserve(ENTRY, most_micros_per_day=2_000_000)
    await ledger.record(first, "accepted", "a")
    await ledger.reserve(ENTRY, most_micros_per_day=2_000_000)
    with pytest.raises(BudgetError, match=r"of \$2.00 has \$0.70 spent and \$0.70 reserved"):
        await ledger.reserve(ENTRY, most_micros_per_day=2_000_000)

    await ledger.record(first, "failed")
    await ledger.reserve(ENTRY, most_micros_per_day=2_000_000)


async def test_money_that_is_still_unsettled_stays_reserved_over_midnight(engine) -> None:
    now = [time.time()]
    ledger = Ledger(engine(), account="me", process=this_process(), now=lambda: now[0])
    await ledger.reserve(ENTRY, most_micros_per_day=None)
    spent = await ledger.reserve(ENTRY, most_micros_per_day=None)
    await ledger.record(spent, "accepted", "a")
    now[0] += 86_400
    today = await ledger.today()
    rows = await ledger.newest_today(10)
    await ledger.close()

    assert (today.spent_usd, today.reserved_usd, today.purchases) == (0, 0.7, 0)
    assert rows == []


async def test_a_clock_that_is_set_back_does_not_open_the_purse(engine) -> None:
    now = [time.time()]
    ledger = Ledger(engine(), account="me", process=this_process(), now=lambda: now[0])
    row = await ledger.reserve(ENTRY, most_micros_per_day=None)
    await ledger.record(row, "accepted", "a")
    now[0] -= 86_400
    today = await ledger.today()
    await ledger.close()

    assert today.spent_usd == 0.7


async def test_accounts_in_one_book_do_not_see_each_other(ledger: Ledger, engine) -> None:
    row = await ledger.reserve(ENTRY, most_micros_per_day=None)
    await ledger.record(row, "accepted", "a")
    other = Ledger(engine(), account="you", process=this_process())
    today = await other.today()
    rows = await other.newest_today(10)
    await other.close()

    assert (today.spent_usd, today.purchases, rows) == (0, 0, [])


async def test_the_newest_of_a_day_are_told_in_their_order(ledger: Ledger) -> None:
    made = [await ledger.reserve(ENTRY, most_micros_per_day=None) for _ in range(5)]

    assert await ledger.newest_today(2) == made[-2:]
    assert await ledger.newest_today(9) == made
    assert (await ledger.today()).purchases == 5


async def test_one_generation_is_claimed_once(ledger: Ledger) -> None:
    first = await ledger.reserve(ENTRY, most_micros_per_day=None)
    second = await ledger.reserve(ENTRY, most_micros_per_day=None)

    assert await ledger.record(first, "accepted", "a") is True
    assert await ledger.record(second, "accepted", "a") is False
    assert await ledger.claimed(["a", "b"]) == {"a"}


async def test_a_settled_row_cannot_be_settled_otherwise(ledger: Ledger) -> None:
    row = await ledger.reserve(ENTRY, most_micros_per_day=None)
    await ledger.record(row, "refused")

    assert await ledger.record(row, "accepted", "a") is False
    assert await ledger.record(row, "unknown") is False


def corrupt(book: Path) -> None:
    book.write_bytes(b"this is no database, but something that is long enough to be taken for one" * 20)


def newer(book: Path) -> None:
    with sqlite3.connect(book) as rows:
        rows.execute(f"PRAGMA user_version = {VERSION + 1}")
    rows.close()


def a_folder(book: Path) -> None:
    book.mkdir()


def below_a_file(book: Path) -> None:
    book.parent.rmdir()
    book.parent.write_text("in the way")


@pytest.mark.parametrize("spoil", [corrupt, newer, a_folder, below_a_file])
async def test_a_book_that_cannot_be_used_is_said_and_nothing_is_bought(
    serve, book: Path, emulator: Emulator, era: str, spoil
) -> None:
    spoil(book)
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
async def test_a_full_disk_and_a_book_that_is_read_only_stop_buying(
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
    agent: Agent, emulator: Emulator, book: Path, monkeypatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The disk fills up between the sending and the answer."""
    real = Ledger.record

    async def fails(self, row, state, generation_id=None):
        if state == "accepted":
            raise LedgerError("disk full")
        return await real(self, row, state, generation_id)

    monkeypatch.setattr(Ledger, "record", fails)
    bought = await agent.call("create_video", prompt="a boat")

    assert emulator.dream_machine.billing.purchases() == [bought["generation_id"]]
    assert bought["generation_id"] in caplog.text


async def test_a_lost_answer_that_cannot_be_written_down_is_not_said_to_be_nothing(
    agent: Agent, emulator: Emulator, transport: InMemory, monkeypatch
) -> None:
    """Everything fails at once: the answer, and the book. It is not bought again when the book works again."""

    async def fails(self, row, state, generation_id=None):
        raise LedgerError("disk full")

    monkeypatch.setattr(Ledger, "record", fails)
    transport.fails_after.append(httpx.ReadTimeout("slow"))
    message = await agent.refusal("create_video", prompt="a boat")
    monkeypatch.undo()
    again = await agent.call("create_video", prompt="a boat")

    assert "may have been bought" in message
    assert emulator.dream_machine.billing.purchases() == [again["generation_id"]]
    assert again["recovered"] is True


RACER = textwrap.dedent("""
    import anyio, sys
    from pathlib import Path
    from luma_mcp.domain.errors import BudgetError
    from luma_mcp.purchasing.ledger import Entry, Ledger
    from luma_mcp.purchasing.postgres import PostgresStore
    from luma_mcp.purchasing.sqlite import SqliteStore

    async def main():
        place = sys.argv[1]
        book = PostgresStore(place) if place.startswith("postgresql:") else SqliteStore(lambda: Path(place))
        ledger = Ledger(book, account="me", process="racer")
        made = 0
        for n in range(20):
            try:
                row = await ledger.reserve(
                    Entry(f"f{n}", "s", "{}", "video", 400_000, "published"), most_micros_per_day=5_000_000
                )
            except BudgetError:
                continue
            await ledger.record(row, "accepted", f"{sys.argv[2]}-{n}")
            made += 1
        await ledger.close()
        print(made)

    anyio.run(main)
""")


@pytest.mark.parametrize("saved", ["book", pytest.param("database", marks=pytest.mark.services)])
async def test_eight_processes_never_spend_more_than_the_cap(request: pytest.FixtureRequest, saved: str) -> None:
    place = str(request.getfixturevalue(saved))
    racers = [
        subprocess.Popen([sys.executable, "-c", RACER, place, str(n)], stdout=subprocess.PIPE, text=True)
        for n in range(8)
    ]
    made = [int(racer.communicate(timeout=120)[0]) for racer in racers]

    assert sum(made) == 12  # 12 x $0.40 is $4.80; a thirteenth would pass $5


def test_a_process_that_ended_is_known_to_be_gone() -> None:
    import socket

    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()

    assert not may_be_alive(f"{socket.gethostname()}:{ended.pid}:x")
    assert not may_be_alive(f"{socket.gethostname()}:{os.getpid()}:another-life")
    assert may_be_alive(this_process())
    assert may_be_alive(f"{socket.gethostname()}:1:x")
    assert may_be_alive("another-machine:1:x")
    assert may_be_alive("nonsense")


@ON_FILE
async def test_a_lock_that_is_held_is_waited_for(ledger: Ledger, book: Path) -> None:
    await ledger.reserve(ENTRY, most_micros_per_day=None)
    other = sqlite3.connect(book, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: ledger.reserve(ENTRY, most_micros_per_day=None))
        await anyio.wait_all_tasks_blocked()
        other.execute("ROLLBACK")
    other.close()

    assert len(await ledger.in_state("sending")) == 2


async def test_what_a_book_that_cannot_be_read_says_of_origins_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "book.sqlite3").mkdir()
    broken = Ledger(SqliteStore(lambda: tmp_path / "book.sqlite3"), account="me", process=this_process())

    assert await broken.made_from("15b7abb1-3741-4b7e-9615-1f9a16c7442d") == ()


def test_a_process_of_somebody_else_s_may_be_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_pid: int, _signal: int) -> None:
        raise PermissionError("not yours")

    monkeypatch.setattr(os, "kill", refuse)

    assert may_be_alive(f"{socket.gethostname()}:1:x")


async def test_the_days_book_can_be_read(agent: Agent, clock: HeldClock) -> None:
    from json import loads

    await agent.make("create_video", prompt="a boat")
    failed = await agent.call("create_video", prompt="a boat [fail]")
    clock.seconds += 300
    (contents,) = (await agent.client.read_resource("luma://spending")).contents
    result = loads(contents.text)

    assert result["spent_today_usd"] == 0.71
    assert result["reserved_usd"] == 0
    assert result["purchases_today"] == 2
    assert [purchase["state"] for purchase in result["purchases"]] == ["completed", "failed"]
    assert result["purchases"][1]["generation_id"] == failed["generation_id"]
    assert result["caps_usd"]["max_usd_per_day"] is None
