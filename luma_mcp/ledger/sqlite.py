"""The ledger as one SQLite file, in WAL mode with full synchronisation.

A store has a connection for transactions and one for reads, which see the last state that was committed. Before a
ledger of an earlier version is changed, a copy of it is put beside it.

What was committed last is in the log beside the file (`-wal`). If somebody removes the log under a running server, that
server and the next one would see different ledgers. Both find out: the first by the identity of the log that it has
open, the next by the index of the log (`-shm`), which SQLite removes together with the log. Neither buys then.
"""

import os
import stat
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from luma_mcp.domain.errors import LedgerError
from luma_mcp.ledger.migrations import VERSION, announce, check_version, migrate
from luma_mcp.ledger.store import Cursor, NotUniqueError, Transaction

if TYPE_CHECKING:
    import sqlite3

_T = TypeVar("_T")

_BUSY_SECONDS = 15.0
# SQLite removes the log and then its index when the last connection is closed.
_LOG_CHECKS, _LOG_CHECK_SECONDS = 10, 0.02
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_Identity = tuple[int, int] | None


@dataclass(slots=True)
class _Opened:
    """A connection, and the files that it has open. The log is known after the first transaction."""

    connection: "sqlite3.Connection"
    file: _Identity
    log: _Identity = None


class SqliteStore:
    """A file.

    Args:
        path: its path, made at the first transaction; a function, for finding the default costs time.
        now: Unix time; tests pass their own.
    """

    def __init__(self, path: Callable[[], Path], *, now: Callable[[], float]) -> None:
        self._path = path
        self._now = now
        self._opened: dict[str, _Opened] = {}
        self._opening, self._pinging = threading.Lock(), threading.Lock()

    def close(self) -> None:
        """Close the file. A later transaction opens it again."""
        for purpose in ("read", "write", "ping"):
            self._close(purpose)

    def transaction(self, work: Callable[[Transaction], _T], accounts: Sequence[str] = ()) -> _T:  # noqa: ARG002
        """Do some work in one transaction; no other process writes meanwhile. Raises: LedgerError, NotUniqueError."""
        return self._run("write", "BEGIN IMMEDIATE", work)

    def read(self, work: Callable[[Transaction], _T]) -> _T:
        """Read the last state that was committed, without waiting for a writer. Raises: LedgerError."""
        return self._run("read", "BEGIN", work)

    def ping(self) -> None:
        """Check that the file can be read, by a connection of its own. Raises: LedgerError."""
        if not self._pinging.acquire(blocking=False):
            raise self._unusable(TimeoutError("its disk does not respond"))
        try:
            self._run("ping", "BEGIN", lambda _transaction: None)
        finally:
            self._pinging.release()

    def _run(self, purpose: str, start_statement: str, work: Callable[[Transaction], _T]) -> _T:
        import sqlite3  # noqa: PLC0415 - loaded with the first purchase, not at the start

        try:
            opened = self._open_connection(purpose)
            connection = opened.connection
            connection.execute(start_statement)
            try:
                self._check_log(opened)
                transaction = _SqliteTransaction(connection, self._now)
                # Another program may have changed the schema since the file was opened.
                check_version(_version(transaction), str(self._path()), "file")
                result = work(transaction)
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise
        except (sqlite3.Error, OSError) as error:
            raise self._unusable(error) from error
        return result

    def _open_connection(self, purpose: str) -> _Opened:
        """An open connection to the file that is there now."""
        opened = self._opened.get(purpose)
        if opened is not None:
            if opened.file == _identity(self._path()):
                return opened
            # The file was deleted or replaced: no other process can see the open one.
            self._close(purpose)
        with self._opening:
            opened = self._opened[purpose] = self._open()
        return opened

    def _check_log(self, opened: _Opened) -> None:
        """Raises: LedgerError, if the log that is open is not the one that other processes see.

        While a connection is open, SQLite keeps its log. So a log that is another one, or none, was removed by hand.
        """
        log = _identity(_log_of(self._path()))
        if opened.log is None:
            opened.log = log
        elif log != opened.log:
            raise _log_removed(self._path())

    def _close(self, purpose: str) -> None:
        opened = self._opened.pop(purpose, None)
        if opened is not None:
            opened.connection.close()

    def _open(self) -> _Opened:
        import sqlite3  # noqa: PLC0415 - loaded with the first purchase, not at the start

        path = self._path()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _create(path)
        _check_log_at_opening(path)
        self._check_owner(path)
        connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            # A network drive may refuse WAL; the older way is slower and as safe.
            with suppress(sqlite3.OperationalError):
                connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            if _version(_SqliteTransaction(connection, self._now)) != VERSION:
                self._migrate(connection, path)
        except BaseException:
            connection.close()
            raise
        return _Opened(connection, _identity(path))

    def _migrate(self, connection: "sqlite3.Connection", path: Path) -> None:
        """Bring the file to this version, after a copy was made."""
        connection.execute("BEGIN IMMEDIATE")
        try:
            transaction = _SqliteTransaction(connection, self._now)
            version = _version(transaction)
            check_version(version, str(path), "file")
            if 0 < version < VERSION:
                copy = path.with_name(f"{path.name}.version-{version}")
                announce(str(path), f"A copy of it as it was is made at {copy}.")
                copy_to(path, copy)
            migrate(transaction, version, "sqlite")
            connection.execute(f"PRAGMA user_version = {VERSION:d}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise

    def _check_owner(self, path: Path) -> None:
        """Raises: LedgerError, if another user owns the file or may write it: its rows decide about money."""
        if sys.platform == "win32":  # pragma: no cover - files there have no mode
            return
        status = path.stat()
        if status.st_uid != os.geteuid() or status.st_mode & _OTHERS_MAY_WRITE:
            raise LedgerError(
                f"The purchase ledger at {path} belongs to somebody else, or others may write it.",
                f"Nothing was bought. Run chmod 600 {path} if it is yours, or set LUMA_LEDGER to another file.",
            )

    def _unusable(self, error: Exception) -> LedgerError:
        return LedgerError(
            f"The purchase ledger at {self._path()} cannot be used: {error}.",
            "Nothing is bought without it. Free disk space, mend the permissions, or set LUMA_LEDGER to another file.",
        )


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _check_log_at_opening(path: Path) -> None:
    """Raises: LedgerError, if the log was removed while a server had it open, or before a crash could be recovered."""
    index = path.with_name(f"{path.name}-shm")
    for _ in range(_LOG_CHECKS):
        if not index.exists() or _log_of(path).exists():
            return
        time.sleep(_LOG_CHECK_SECONDS)
    raise _log_removed(path)


def _log_removed(path: Path) -> LedgerError:
    return LedgerError(
        f"The log of the purchase ledger ({_log_of(path)}) was removed or replaced, and with it the last purchases.",
        f"Nothing was bought. Put the log back, or stop every server that uses {path}, compare the ledger with Luma's "
        "dashboard, and remove the file that ends in -shm.",
    )


def _create(path: Path) -> None:
    """Create the file where there is none, so that no other user can read it at any moment.

    A file that exists is not opened here: closing it again would drop the locks that SQLite holds on it in this
    process, and another process could remove its log (https://sqlite.org/howtocorrupt.html, 2.2).
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def copy_to(path: Path, copy: Path) -> None:
    """Copy a ledger with everything that was committed, also what its main file does not hold yet.

    The copy is for its owner alone, and complete or not there. Raises: OSError, sqlite3.Error.
    """
    import sqlite3  # noqa: PLC0415 - loaded with the first purchase, not at the start

    partial = copy.with_name(f"{copy.name}.part")
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with closing(sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)) as source:
            source.execute("VACUUM INTO ?", (str(partial),))
        partial.replace(copy)
    finally:
        partial.unlink(missing_ok=True)


def _version(transaction: Transaction) -> int:
    return int(transaction.execute("PRAGMA user_version").fetchone()[0])


def _identity(path: Path) -> _Identity:
    """Distinguishes a file from another one of the same name; None if it does not exist."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


class _SqliteTransaction:
    def __init__(self, connection: "sqlite3.Connection", now: Callable[[], float]) -> None:
        self._connection = connection
        self._now = now

    def execute(self, statement: str, values: Sequence[object] = ()) -> Cursor:
        import sqlite3  # noqa: PLC0415 - loaded with the first purchase, not at the start

        try:
            return self._connection.execute(statement, tuple(values))
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_CONSTRAINT_UNIQUE:
                raise NotUniqueError from error
            raise

    def now(self) -> float:
        return self._now()
