"""The ledger in a database: what a file cannot do wrong."""

import re
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import anyio
import psycopg
import pytest
from mcp import Client

from luma_mcp.domain.errors import BudgetError, LedgerError
from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.faults import Fault
from luma_mcp.ledger.caps import Budget
from luma_mcp.ledger.postgres import PostgresStore, _lock_number
from luma_mcp.ledger.purchases import Ledger
from luma_mcp.ledger.rows import NewPurchase
from luma_mcp.ledger.store import Transaction
from tests.support.agent import Agent, HeldClock
from tests.support.relay import Relay, relay_to

pytestmark = [pytest.mark.anyio, pytest.mark.services]

NEW = NewPurchase("fingerprint", "signature", "{}", "video", 700_000, "published")


@pytest.fixture
async def ledger(database: str):
    made = Ledger(PostgresStore(database), account="me", owner="this server")
    yield made
    await made.close()


async def test_a_connection_that_died_is_replaced(ledger: Ledger, database: str) -> None:
    await ledger.decide(NEW, Budget())
    with psycopg.connect(database, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    await ledger.decide(replace(NEW, take=2), Budget())

    assert len(await ledger.in_state("reserved")) == 2


async def test_a_lock_that_is_never_given_back_is_no_wait_without_end(
    ledger: Ledger, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is that of the account. Reads, and decisions about another account, do not wait for it."""
    monkeypatch.setattr("luma_mcp.ledger.postgres._LOCK_SECONDS", 1)
    stranger = Ledger(PostgresStore(database), account="you", owner="x")
    await ledger.today()
    with psycopg.connect(database) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s, %s)", (0x6C756D61, _lock_number("me")))
        with pytest.raises(LedgerError, match="another server has decided about the account for too long"):
            await ledger.decide(NEW, Budget())
        assert (await ledger.today()).purchases == 0
        assert (await stranger.decide(NEW, Budget())).is_new
    await ledger.decide(NEW, Budget())
    await stranger.close()


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
async def test_the_cap_holds_whatever_the_database_s_isolation_level(database: str, level: str) -> None:
    with psycopg.connect(database, autocommit=True) as other:
        name = database.rpartition("/")[2]
        other.execute(f"ALTER DATABASE \"{name}\" SET default_transaction_isolation = '{level}'".encode())
    ledgers = [Ledger(PostgresStore(database), account="me", owner=f"server {number}") for number in range(4)]
    made: list[bool] = []

    async def attempt(number: int) -> None:
        new = replace(NEW, fingerprint=f"f{number}")
        try:
            made.append((await ledgers[number % 4].decide(new, Budget(max_usd_per_day=2.0))).is_new)
        except BudgetError:
            made.append(False)

    # All of them open the database at once, and for the first time.
    async with anyio.create_task_group() as tasks:
        for number in range(12):
            tasks.start_soon(attempt, number)
    assert made.count(True) == 2
    for ledger in ledgers:
        await ledger.close()


async def test_a_server_that_stands_still_inside_a_transaction_loses_it(
    ledger: Ledger, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luma_mcp.ledger.postgres._IDLE_SECONDS", 1)
    stopped, held, may_end = PostgresStore(database), threading.Event(), threading.Event()

    def work(_transaction: Transaction) -> None:
        held.set()
        may_end.wait(60)

    def hold() -> None:
        with pytest.raises(LedgerError):
            stopped.transaction(work, ["me"])

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(60)
    assert (await ledger.decide(NEW, Budget())).is_new
    may_end.set()
    thread.join()
    stopped.close()


@pytest.fixture
def relayed(database: str) -> Iterator[tuple[Relay, PostgresStore]]:
    """The database behind a relay that can hang."""
    url = urlsplit(database)
    assert url.hostname is not None
    assert url.port is not None
    with relay_to(url.hostname, url.port) as relay:
        store = PostgresStore(database.replace(f":{url.port}/", f":{relay.port}/"))
        yield relay, store
        store.close()


@pytest.mark.parametrize("is_connected", [True, False])
async def test_a_database_that_hangs_ends_in_a_sentence(
    relayed: tuple[Relay, PostgresStore], monkeypatch: pytest.MonkeyPatch, is_connected: bool
) -> None:
    monkeypatch.setattr("luma_mcp.ledger.postgres._TRANSACTION_SECONDS", 0.5)
    monkeypatch.setattr("luma_mcp.ledger.postgres._CONNECT_SECONDS", 2)
    relay, store = relayed
    ledger = Ledger(store, account="me", owner="x")
    if is_connected:
        await ledger.decide(NEW, Budget())
    relay.hang()
    with pytest.raises(LedgerError, match="it did not respond in time") as caught:
        await ledger.decide(replace(NEW, take=2), Budget())
    assert caught.value.hint.startswith("Nothing is bought without it.")

    relay.go_on()
    assert (await ledger.decide(replace(NEW, take=3), Budget())).is_new


async def test_a_database_that_hangs_at_its_first_statement_is_cut_off(
    relayed: tuple[Relay, PostgresStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luma_mcp.ledger.postgres._PING_SECONDS", 0.5)
    relay, store = relayed
    connect = PostgresStore._connect

    def connect_and_hang(store: PostgresStore, seconds: int) -> psycopg.Connection[Any]:
        connection = connect(store, seconds)
        relay.hang()
        return connection

    monkeypatch.setattr(PostgresStore, "_connect", connect_and_hang)
    with pytest.raises(LedgerError, match="it did not respond in time"):
        store.ping()


async def test_a_ping_finds_a_database_that_has_no_ledger_yet(database: str) -> None:
    PostgresStore(database).ping()


async def test_a_ping_waits_for_no_lock(ledger: Ledger, database: str) -> None:
    await ledger.decide(NEW, Budget())
    with psycopg.connect(database) as other:
        other.execute("LOCK TABLE purchases IN ACCESS EXCLUSIVE MODE")
        await ledger.ping()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("the-ledger-s-own-password", "another"), "the user or the password is refused"),
        (("me:", "nobody:"), "the user or the password is refused"),
        (("127.0.0.1:", "127.0.0.1:1"), ""),
        (("@127.0.0.1:", "@no-such-host.invalid:"), "the name of its host has no address"),
        (("/ledger_", "/no-such-ledger_"), "there is no database of that name"),
        (("", "?schema=public"), "its address has a parameter that PostgreSQL's own client does not have"),
        (("", "?sslmode=require"), "it does not encrypt, and sslmode demands it"),
    ],
)
async def test_a_database_that_cannot_be_used_is_told_with_its_reason(
    database: str, change: tuple[str, str], reason: str
) -> None:
    old, new = change
    store = PostgresStore(database.replace(old, new) if old else database + new)
    with pytest.raises(LedgerError) as caught:
        store.read(lambda transaction: transaction.now())

    assert reason in str(caught.value)
    assert "password@" not in f"{caught.value} {caught.value.hint}"
    with pytest.raises(LedgerError, match=re.escape(str(caught.value))):
        store.ping()


@pytest.mark.parametrize("is_new", [True, False])
async def test_a_user_who_may_not_write_is_told(ledger: Ledger, database: str, is_new: bool) -> None:
    if not is_new:
        await ledger.today()
    role = f"reader_{uuid4().hex}"
    with psycopg.connect(database, autocommit=True) as other:
        other.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'reader'".encode())
    store = PostgresStore(database.replace("me:the-ledger-s-own-password", f"{role}:reader"))
    with pytest.raises(LedgerError, match="its user may not create or change the ledger's tables"):
        store.transaction(lambda transaction: transaction.execute("DELETE FROM purchases"))
    store.close()


@pytest.mark.parametrize(
    "change",
    [("the-ledger-s-own-password", "another"), ("127.0.0.1:", "127.0.0.1:1"), ("/ledger_", "/no-such-ledger_")],
)
async def test_a_database_that_cannot_be_used_is_said_without_its_password(
    serve, database: str, emulator: Emulator, change: tuple[str, str]
) -> None:
    async with Client(serve(LUMA_LEDGER=database.replace(*change))) as client:
        message = await Agent(client).refusal("create_video", prompt="a boat")

    assert "The purchase ledger at postgresql://127.0.0.1/" in message
    assert "LUMA_LEDGER" in message
    assert "the-ledger-s-own" not in message
    assert emulator.dream_machine.billing.purchases() == []


async def test_a_newer_ledger_is_left_alone(ledger: Ledger, database: str) -> None:
    await ledger.today()
    await ledger.close()
    with psycopg.connect(database) as other:
        other.execute("UPDATE purchases_version SET version = 99")
    with pytest.raises(LedgerError, match="was written by a newer version"):
        await ledger.today()


async def test_without_its_package_it_is_said_what_to_install(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(LedgerError, match="package that it needs is not installed") as caught:
        await ledger.today()

    assert "uv tool install '.[postgres]'" in caught.value.hint
    monkeypatch.undo()


def test_its_password_is_not_in_its_name() -> None:
    assert repr(PostgresStore("postgresql://me:secret@host:5/ledger")) == "PostgresStore('postgresql://host/ledger')"


@pytest.mark.parametrize("after", [True, False])
async def test_a_lost_answer_is_found_again_by_another_server(
    serve, database: str, emulator: Emulator, clock: HeldClock, after: bool
) -> None:
    """The guarantee of the file holds in the database too: what one replica lost, the other finds."""
    # The rows have the time of the database, so Luma's clock must be right.
    clock.began = time.time() - clock.seconds
    async with Client(serve(LUMA_LEDGER=database)) as item:
        # An empty list would prove nothing: it may be that of another key.
        known = await Agent(item).call("create_image", prompt="a known one")
        emulator.faults.append(Fault("drop", path="*/video", after=after))
        emulator.faults.append(Fault("error", method="GET", path="*/generations", status=500, times=1000))
        assert "It may have been charged" in await Agent(item).refusal("create_video", prompt="a boat")
    emulator.faults.clear()
    with psycopg.connect(database, autocommit=True) as rows:
        # The database's own clock says how long ago it was lost.
        rows.execute("UPDATE purchases SET lost_at = lost_at - 200")
    async with Client(serve(LUMA_LEDGER=database)) as other:
        found = await Agent(other).call("create_video", prompt="a boat")

    assert emulator.dream_machine.billing.purchases() == [known["generation_id"], found["generation_id"]]
    assert found.get("recovered", False) == after


async def test_a_probe_of_a_database_that_hangs_ends_when_it_is_cancelled(
    relayed: tuple[Relay, PostgresStore],
) -> None:
    """The thread that waits for the database goes on for some seconds, and delays no other probe."""
    relay, store = relayed
    ledger = Ledger(store, account="me", owner="x")
    await ledger.ping()
    relay.hang()
    for _ in range(2):
        with anyio.move_on_after(0.1) as scope:
            await ledger.ping()
        assert scope.cancelled_caught
    relay.go_on()
    await ledger.ping()
