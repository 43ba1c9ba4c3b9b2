"""The schema: frozen steps by name, the same for a new ledger and for one that took them one after the other."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from luma_mcp.domain.errors import LedgerError
from luma_mcp.ledger import migrations, states
from luma_mcp.ledger.caps import Budget, ConsentUsedError
from luma_mcp.ledger.migrations import STEPS, VERSION
from luma_mcp.ledger.purchases import Ledger
from luma_mcp.ledger.reservation_groups import ReservationGroups
from luma_mcp.ledger.rows import NewPurchase
from luma_mcp.ledger.store import Store, Transaction
from tests.support.agent import Wall
from tests.support.ledgers import all_rows, open_rows

pytestmark = pytest.mark.anyio

NEW = NewPurchase("f1", "s", '{"prompt":"a boat","model":"ray-2"}', "video", 700_000, "published")

# The text that dream-machine-mcp 0.2 wrote for a ledger of version 3, and rows as it left them.
VERSION_3 = """
CREATE TABLE purchases (
    id {identity},
    account TEXT NOT NULL,
    person TEXT NOT NULL DEFAULT '',
    fingerprint TEXT NOT NULL,
    take {integer} NOT NULL DEFAULT 1 CHECK (take >= 1),
    holds_take {integer} NOT NULL CHECK (holds_take IN (0, 1)),
    signature TEXT NOT NULL,
    request TEXT NOT NULL,
    kind TEXT NOT NULL,
    micros {integer} NOT NULL CHECK (micros >= 0),
    basis TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('reserved', 'sending', 'accepted', 'completed', 'failed', 'refused', 'lost',
        'absent', 'disputed')),
    generation_id TEXT,
    request_id TEXT,
    consent TEXT,
    owner TEXT NOT NULL DEFAULT '',
    lease_until {real} NOT NULL DEFAULT 0,
    reserved_at {real} NOT NULL,
    lost_at {real},
    updated_at {real} NOT NULL,
    note TEXT NOT NULL DEFAULT ''
){strict};
CREATE UNIQUE INDEX purchases_take ON purchases (account, person, fingerprint, take) WHERE holds_take = 1;
CREATE UNIQUE INDEX purchases_generation ON purchases (account, generation_id) WHERE generation_id IS NOT NULL;
CREATE UNIQUE INDEX purchases_consent ON purchases (account, consent) WHERE consent IS NOT NULL;
CREATE INDEX purchases_by_state_and_time ON purchases (account, state, reserved_at);
CREATE INDEX purchases_by_time ON purchases (account, reserved_at);
CREATE TABLE balances (account TEXT PRIMARY KEY, usd {real} NOT NULL, read_at {real} NOT NULL){strict};
CREATE TABLE films (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    person TEXT NOT NULL DEFAULT '',
    fingerprint TEXT NOT NULL,
    take {integer} NOT NULL DEFAULT 1 CHECK (take >= 1),
    holds_take {integer} NOT NULL CHECK (holds_take IN (0, 1)),
    plan TEXT NOT NULL,
    created_at {real} NOT NULL,
    updated_at {real} NOT NULL
){strict};
CREATE UNIQUE INDEX films_take ON films (account, person, fingerprint, take) WHERE holds_take = 1;
CREATE TABLE film_shots (
    film_id TEXT NOT NULL REFERENCES films (id),
    key TEXT NOT NULL,
    micros {integer} NOT NULL CHECK (micros >= 0),
    wanted {integer} NOT NULL CHECK (wanted IN (0, 1)),
    purchase_id {integer},
    note TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (film_id, key)
){strict};
CREATE TABLE film_consents (consent TEXT PRIMARY KEY, film_id TEXT NOT NULL){strict};
INSERT INTO purchases (account, person, fingerprint, holds_take, signature, request, kind, micros, basis, state,
    generation_id, consent, reserved_at, updated_at) VALUES
    ('me', '', 'f1', 1, 's', '{request}', 'video', 700000, 'published', 'accepted', 'g1', 'yes 1', {now}, {now}),
    ('me', 'anna', 'f2', 1, 's', '{empty}', 'add_audio', 50000, 'assumed', 'lost', NULL, NULL, {now}, {now}),
    ('me', '', 'film-1 a', 1, 's', '{empty}', 'video', 100000, 'published', 'completed', 'g3', NULL, {now}, {now}),
    ('me', '', 'film-1 b', 0, 's', '{empty}', 'video', 200000, 'published', 'refused', NULL, NULL, {now}, {now});
INSERT INTO balances VALUES ('me', 12.5, {now});
INSERT INTO films VALUES ('film-1', 'me', '', 'plan 1', 1, 1, '{request}', {now}, {now});
INSERT INTO film_shots VALUES ('film-1', 'a', 100000, 1, 3, ''), ('film-1', 'b', 200000, 1, 4, ''),
    ('film-1', 'c', 300000, 1, NULL, ''), ('film-1', 'd', 400000, 0, NULL, 'It waits for shot 1.');
INSERT INTO film_consents VALUES ('yes 2', 'film-1');
"""
_FILLED = {"request": '{"prompt":"a boat","model":"ray-2"}', "empty": "{}"}
_SQLITE = {"identity": "INTEGER PRIMARY KEY", "integer": "INTEGER", "real": "REAL", "strict": " STRICT"}
_POSTGRES = {
    "identity": "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", "integer": "BIGINT", "real": "DOUBLE PRECISION",
    "strict": "",
}  # fmt: skip


def version_3(words: dict[str, str], now: float) -> str:
    text = VERSION_3
    for word, meaning in {**words, **_FILLED, "now": repr(now)}.items():
        text = text.replace("{" + word + "}", meaning)
    return text


def write_version_3(path: Path, now: float) -> None:
    with closing(sqlite3.connect(path)) as rows:
        rows.executescript(version_3(_SQLITE, now))
        rows.execute("PRAGMA user_version = 3")
        rows.commit()
    path.chmod(0o600)


@pytest.fixture
def old_ledger(request: pytest.FixtureRequest, ledger_path: Path, wall: Wall) -> None:
    """A ledger of version 3, on the engine of the test."""
    if request.node.callspec.params["engine"] == "file":
        write_version_3(ledger_path, wall.seconds)
        return
    with psycopg.connect(request.getfixturevalue("database"), autocommit=True) as rows:
        rows.execute(version_3(_POSTGRES, wall.seconds).encode())
        rows.execute("CREATE TABLE purchases_version (version BIGINT NOT NULL)")
        rows.execute("INSERT INTO purchases_version VALUES (3)")


def schema_of(path: Path) -> list[tuple[Any, ...]]:
    with open_rows(path) as rows:
        found = rows.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name").fetchall()
        return [*found, rows.execute("PRAGMA user_version").fetchone()]


@pytest.mark.usefixtures("old_ledger")
async def test_a_ledger_of_version_3_is_taken_over_with_nothing_lost(ledger: Ledger, wall: Wall) -> None:
    today, groups = await ledger.today(), ReservationGroups(ledger)
    rows = await all_rows(ledger)
    group = await groups.get("film-1")

    assert (today.spent_usd, today.purchases) == (0.8, 4)
    assert today.reserved_usd == pytest.approx(0.05 + 0.5)
    assert [(row.id, row.state, row.generation_id, row.model, row.is_live) for row in rows] == [
        (1, "accepted", "g1", "ray-2", True), (2, "lost", None, "add_audio", True),
        (3, "completed", "g3", "video", True), (4, "refused", None, "video", False),
    ]  # fmt: skip
    assert group is not None
    assert group.document == _FILLED["request"]
    assert {key: (item.is_wanted, item.is_bought, item.note) for key, item in group.reservations.items()} == {
        "a": (False, True, ""), "b": (True, False, ""), "c": (True, False, ""),
        "d": (False, False, "It waits for shot 1."),
    }  # fmt: skip
    assert not (await ledger.decide(NEW, Budget())).is_new
    asks = Budget(confirm_above_usd=0)
    for name in ("yes 1", "yes 2"):
        with pytest.raises(ConsentUsedError):
            await ledger.decide(replace(NEW, take=2, consent=name), asks)
    assert sorted((total.model, total.state, total.micros) for total in await ledger.totals(0)) == [
        ("add_audio", "lost", 50_000), ("ray-2", "accepted", 700_000), ("video", "completed", 100_000),
        ("video", "refused", 200_000),
    ]  # fmt: skip
    assert (await ledger.decide(replace(NEW, take=2, consent="yes 3"), asks)).row.id == 5


async def test_a_new_file_is_as_one_that_took_every_step(tmp_path: Path, ledger_path: Path, ledger: Ledger) -> None:
    del ledger  # its engine is not used
    from luma_mcp.ledger.sqlite import SqliteStore

    old, new = tmp_path / "old.sqlite3", tmp_path / "new.sqlite3"
    write_version_3(old, 0.0)
    for path in (old, new):
        store = SqliteStore(lambda path=path: path, now=Wall())
        store.transaction(lambda transaction: transaction.now())
        store.close()

    assert schema_of(old) == schema_of(new)


@pytest.mark.services
def test_a_new_database_is_as_one_that_took_every_step(database: str) -> None:
    from luma_mcp.ledger.postgres import PostgresStore

    questions = (
        (
            "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns"
            " WHERE table_schema = 'public' ORDER BY 1, 2"
        ),
        "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2",
        (
            "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2"
        ),
        "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1",
        "SELECT name FROM migrations ORDER BY 1",
    )

    def schema() -> list[Any]:
        store = PostgresStore(database)
        store.transaction(lambda transaction: transaction.now())
        store.close()
        with psycopg.connect(database) as rows:
            return [rows.execute(question.encode()).fetchall() for question in questions]

    new = schema()
    with psycopg.connect(database, autocommit=True) as rows:
        rows.execute("DROP SCHEMA public CASCADE")
        rows.execute("CREATE SCHEMA public")
        rows.execute(version_3(_POSTGRES, 0.0).encode())
        rows.execute("CREATE TABLE purchases_version (version BIGINT NOT NULL)")
        rows.execute("INSERT INTO purchases_version VALUES (3)")

    assert schema() == new


def test_a_file_of_an_earlier_version_is_copied_before_it_is_changed(
    ledger_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from luma_mcp.ledger.sqlite import SqliteStore

    write_version_3(ledger_path, 1.0)
    before = schema_of(ledger_path)
    store = SqliteStore(lambda: ledger_path, now=Wall())
    store.read(lambda transaction: transaction.now())
    store.close()
    copy = ledger_path.with_name(f"{ledger_path.name}.version-3")

    assert str(copy) in capsys.readouterr().err
    assert schema_of(copy) == before
    assert copy.stat().st_mode & 0o077 == 0
    with open_rows(copy) as rows:
        assert rows.execute("SELECT count(*), sum(micros) FROM purchases").fetchone() == (4, 1_050_000)


async def test_a_state_that_is_added_is_accepted_by_every_ledger(
    engine: Callable[[], Store], ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also by one that was made before the state was known."""
    row = (await ledger.decide(NEW, Budget())).row
    monkeypatch.setitem(states._NEXT, "reserved", states._NEXT["reserved"] | {"paused"})

    assert (await ledger.advance(row, "paused")).state == "paused"  # type: ignore[arg-type, union-attr]


async def test_a_state_that_nothing_leads_to_is_not_entered(ledger: Ledger) -> None:
    row = (await ledger.decide(NEW, Budget())).row

    assert await ledger.advance(row, "free") is None  # type: ignore[arg-type]


async def test_a_running_server_leaves_a_ledger_alone_that_a_newer_version_took_over(
    ledger: Ledger, engine: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a later version does: by a step that this one does not know."""
    row = (await ledger.decide(NEW, Budget())).row

    def step(transaction: Transaction, _engine: str) -> None:
        transaction.execute("ALTER TABLE purchases ADD COLUMN project TEXT NOT NULL DEFAULT ''")

    with monkeypatch.context() as later:
        for module in ("migrations", "sqlite", "postgres"):
            later.setattr(f"luma_mcp.ledger.{module}.VERSION", VERSION + 1)
        later.setattr(migrations, "STEPS", (*STEPS, ("projects", step)))
        newer = engine()
        newer.transaction(lambda transaction: transaction.execute("SELECT project FROM purchases").fetchall())
        newer.close()

    for attempt in (
        lambda: ledger.decide(replace(NEW, take=2), Budget()),
        lambda: ledger.advance(row, "sending"),
        ledger.today,
    ):
        with pytest.raises(LedgerError, match="was written by a newer version"):
            await attempt()


def test_a_version_that_was_never_released_is_left_alone(ledger_path: Path) -> None:
    from luma_mcp.ledger.sqlite import SqliteStore

    with open_rows(ledger_path) as rows:
        rows.execute("PRAGMA user_version = 1")
    ledger_path.chmod(0o600)
    with pytest.raises(LedgerError, match="never released"):
        SqliteStore(lambda: ledger_path, now=Wall()).read(lambda transaction: transaction.now())


def test_steps_have_names_that_differ() -> None:
    assert len({name for name, _ in STEPS}) == len(STEPS) == VERSION - 1
