"""The connection as one SQLite file, in WAL mode with full synchronisation."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from luma_mcp.domain.errors import LedgerError
from luma_mcp.purchasing.store import SCHEMA, VERSION, Cursor, NotUniqueError, Transaction, check_version

if TYPE_CHECKING:
    import sqlite3

_T = TypeVar("_T")

_BUSY_SECONDS = 15.0
_WORDS = {"identity": "INTEGER PRIMARY KEY", "integer": "INTEGER", "real": "REAL", "strict": " STRICT"}


class SqliteStore:
    """A file.

    Args:
        path: where it is, made when the first purchase comes; a function, for finding the default costs time.
    """

    def __init__(self, path: Callable[[], Path]) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def close(self) -> None:
        """Let go of the file. A later transaction opens it again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def transaction(self, work: Callable[[Transaction], _T]) -> _T:
        """Do some work in one transaction; nobody else writes meanwhile. Raises: LedgerError, NotUniqueError."""
        import sqlite3  # noqa: PLC0415 - loaded with the first purchase, not at the start

        try:
            connection = self._connection = self._connection or self._open()
            connection.execute("BEGIN IMMEDIATE")
            try:
                done = work(_SqliteTransaction(connection))
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise
        except (sqlite3.Error, OSError) as error:
            raise self._unusable(error) from error
        return done

    def _open(self) -> "sqlite3.Connection":
        import sqlite3  # noqa: PLC0415

        path = self._path()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Made by ourselves so that nobody else may read it, not even for a moment.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            # A network drive may refuse WAL; the older way is slower and as safe.
            with suppress(sqlite3.OperationalError):
                connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            self._bring_up_to_date(connection, path)
        except BaseException:
            connection.close()
            raise
        return connection

    def _bring_up_to_date(self, connection: "sqlite3.Connection", path: Path) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            check_version(version, str(path), "file")
            if version == 0:
                for statement in SCHEMA:
                    connection.execute(statement.format(**_WORDS))
                connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise

    def _unusable(self, error: Exception) -> LedgerError:
        return LedgerError(
            f"The purchase ledger at {self._path()} cannot be used: {error}.",
            "Nothing is bought without it. Free disk space, mend the permissions, or set LUMA_LEDGER to another file.",
        )


class _SqliteTransaction:
    def __init__(self, connection: "sqlite3.Connection") -> None:
        self._connection = connection

    def execute(self, statement: str, values: Sequence[object] = ()) -> Cursor:
        import sqlite3  # noqa: PLC0415

        try:
            return self._connection.execute(statement, tuple(values))
        except sqlite3.IntegrityError as error:
            raise NotUniqueError from error
