"""The ledger as a file that several processes have open."""

import subprocess
import sys
from pathlib import Path

import pytest

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
