"""The ledger as one SQLite file, in WAL mode with full synchronisation."""

import os
import stat
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from luma_mcp.domain.errors import LedgerError
from luma_mcp.ledger.migrations import Dialect, migrate
from luma_mcp.ledger.store import Cursor, NotUniqueError, Transaction

if TYPE_CHECKING:
    import sqlite3

_T = TypeVar("_T")

_BUSY_SECONDS = 15.0
_DIALECT = Dialect(identity="INTEGER PRIMARY KEY", integer="INTEGER", real="REAL", strict=" STRICT")
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


class SqliteStore:
    """A file.

    Args:
        path: where it is, made at the first transaction; a function, for finding the default costs time.
        now: Unix time; a test gives its own.
    """

    def __init__(self, path: Callable[[], Path], *, now: Callable[[], float]) -> None:
        self._path = path
        self._now = now
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None

    def close(self) -> None:
        """Close the file. A later transaction opens it again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def transaction(self, work: Callable[[Transaction], _T]) -> _T:
        """Do some work in one transaction; nobody else writes meanwhile. Raises: LedgerError, NotUniqueError."""
        import sqlite3  # noqa: PLC0415 - loaded with the first purchase, not at the start

        try:
            if self._connection is None or self._identity != _identity(self._path()):
                # The file was deleted or replaced: what is open is seen by nobody any more.
                self.close()
                self._connection = self._open()
            connection = self._connection
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(_SqliteTransaction(connection, self._now))
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise
        except (sqlite3.Error, OSError) as error:
            raise self._unusable(error) from error
        return result

    def _open(self) -> "sqlite3.Connection":
        import sqlite3  # noqa: PLC0415 - loaded with the first purchase, not at the start

        path = self._path()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Made by ourselves so that nobody else may read it, not even for a moment.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        self._check_owner(path)
        connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            # A network drive may refuse WAL; the older way is slower and as safe.
            with suppress(sqlite3.OperationalError):
                connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN IMMEDIATE")
            try:
                version = connection.execute("PRAGMA user_version").fetchone()[0]
                transaction = _SqliteTransaction(connection, self._now)
                version = migrate(transaction, version, _DIALECT, shown=str(path), place="file")
                connection.execute(f"PRAGMA user_version = {version:d}")
                connection.execute("COMMIT")
            except BaseException:
                connection.execute("ROLLBACK")
                raise
        except BaseException:
            connection.close()
            raise
        self._identity = _identity(path)
        return connection

    def _check_owner(self, path: Path) -> None:
        """Raises: LedgerError, if somebody else made the file or may write it: its rows decide about money."""
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


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from another one of the same name; None if there is none."""
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
