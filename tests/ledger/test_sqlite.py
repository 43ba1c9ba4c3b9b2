"""The ledger as a file that several processes have open."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from luma_mcp.domain.errors import LedgerError
from luma_mcp.ledger import sqlite
from luma_mcp.ledger.sqlite import SqliteStore

# SQLite's lock of a connection that reads or writes: 510 bytes behind its pending byte and its reserved one.
_WANT_LOCK = """
import fcntl, sys
with open(sys.argv[1], "rb+") as file:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 510, 0x40000002)
    except OSError:
        print("held")
    else:
        print("free")
"""


def lock_seen_by_another_process(path: Path) -> str:
    command = [sys.executable, "-c", _WANT_LOCK, str(path)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.medium
@pytest.mark.skipif(sys.platform == "win32", reason="locks of POSIX")
@pytest.mark.parametrize("opens_again", ["the same store", "another store"])
def test_a_second_connection_keeps_the_locks_of_the_first(ledger_path: Path, opens_again: str) -> None:
    """Without its lock, another process removes the log of this one, and the ledger is damaged."""
    store = SqliteStore(lambda: ledger_path, now=lambda: 0.0)
    store.transaction(lambda transaction: transaction.execute("SELECT 1"))
    other = store if opens_again == "the same store" else SqliteStore(lambda: ledger_path, now=lambda: 0.0)

    other.read(lambda transaction: transaction.execute("SELECT 1"))

    assert lock_seen_by_another_process(ledger_path) == "held"
    other.close()
    store.close()
    assert lock_seen_by_another_process(ledger_path) == "free"


def _write(store: SqliteStore) -> None:
    store.transaction(lambda transaction: transaction.execute("CREATE TABLE IF NOT EXISTS test (id INTEGER)"))


def _store(path: Path) -> SqliteStore:
    return SqliteStore(lambda: path, now=lambda: 0.0)


@pytest.mark.parametrize("replaced", [False, True], ids=["removed", "replaced"])
def test_a_log_that_is_removed_under_a_server_is_noticed_by_that_server(ledger_path: Path, replaced: bool) -> None:
    store = _store(ledger_path)
    _write(store)
    _write(store)
    log = Path(f"{ledger_path}-wal")
    log.rename(log.with_suffix(".moved"))
    if replaced:
        log.write_bytes(b"")

    for _ in range(2):
        with pytest.raises(LedgerError, match=r"-wal\) was removed or replaced") as raised:
            _write(store)
        assert "Nothing was bought. Put the log back" in raised.value.full_text
        with pytest.raises(LedgerError):
            store.read(lambda transaction: transaction.execute("SELECT 1"))
    store.close()


def test_a_log_that_is_removed_under_a_server_is_noticed_by_the_next_one(ledger_path: Path) -> None:
    store, next_one = _store(ledger_path), _store(ledger_path)
    _write(store)
    Path(f"{ledger_path}-wal").unlink()

    with pytest.raises(LedgerError, match=r"-wal\) was removed or replaced"):
        _write(next_one)
    store.close()


def test_a_log_that_is_put_back_is_used_again(ledger_path: Path) -> None:
    store, next_one = _store(ledger_path), _store(ledger_path)
    _write(store)
    log = Path(f"{ledger_path}-wal")
    log.rename(log.with_suffix(".moved"))
    with pytest.raises(LedgerError):
        _write(next_one)

    log.with_suffix(".moved").rename(log)

    _write(next_one)
    _write(store)
    for each in (store, next_one):
        each.close()


def test_a_ledger_that_every_server_has_closed_has_no_log_and_is_well(ledger_path: Path) -> None:
    store = _store(ledger_path)
    _write(store)
    store.close()

    assert not Path(f"{ledger_path}-wal").exists()
    _write(store)
    store.close()


def test_the_last_connection_that_closes_may_be_met_half_way(
    ledger_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite removes the log first, and its index a moment later."""
    store = _store(ledger_path)
    _write(store)
    store.close()
    index = Path(f"{ledger_path}-shm")
    index.write_bytes(b"")
    waits: list[float] = []

    def remove(seconds: float) -> None:
        waits.append(seconds)
        index.unlink()

    monkeypatch.setattr(sqlite.time, "sleep", remove)
    _write(store)

    assert len(waits) == 1
    store.close()


def test_a_ping_while_another_one_hangs_is_refused(ledger_path: Path) -> None:
    store = SqliteStore(lambda: ledger_path, now=time.time)
    store.ping()
    with store._pinging, pytest.raises(LedgerError, match="its disk does not respond"):
        store.ping()
    store.ping()
    store.close()
