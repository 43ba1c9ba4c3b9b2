"""The ledger as a PostgreSQL database, for servers on several machines that share one budget.

A transaction locks the accounts that it decides about, and nothing else, so that decisions about one account come one
after the other as they do in a file, and those about others beside them. A read locks nothing.

Nothing depends on settings of the server or of a session, so that it works behind a pool of connections: each
transaction states its isolation level and its time-outs. A server that stops inside a transaction loses it, so
that it delays the others for a few seconds at most. A database that hangs ends no statement by a time-out of its own,
so the connection to it is cut after a time.
"""

import hashlib
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import urlsplit

from luma_mcp.domain.errors import LedgerError
from luma_mcp.domain.extras import install_hint
from luma_mcp.ledger import postgres_errors
from luma_mcp.ledger.migrations import VERSION, announce, check_version, migrate
from luma_mcp.ledger.store import Cursor, NotUniqueError, Transaction

if TYPE_CHECKING:
    import psycopg

_T = TypeVar("_T")

_CONNECT_SECONDS, _LOCK_SECONDS, _STATEMENT_SECONDS, _IDLE_SECONDS = 10, 10, 12, 5
# A transaction is cut off after so many seconds, whatever the database does.
_TRANSACTION_SECONDS = 15.0
_PING_CONNECT_SECONDS, _PING_SECONDS = 2, 1.5
# Arbitrary numbers that no other program is likely to lock: for the schema, and for the accounts.
_SCHEMA_LOCK, _ACCOUNTS = 0x6C756D61, 0x6C756D61


class PostgresStore:
    """A database.

    Args:
        url: `postgresql://user:password@host/database`. Messages contain it without its password.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._connections: dict[str, psycopg.Connection[Any]] = {}
        self._opening = threading.Lock()

    def __repr__(self) -> str:
        return f"PostgresStore({self._display_url()!r})"

    def close(self) -> None:
        """Close the connections. A later transaction opens new ones."""
        for purpose in ("read", "write"):
            self._close(purpose)

    def transaction(self, work: Callable[[Transaction], _T], accounts: Sequence[str] = ()) -> _T:
        """Do some work in one transaction; no other transaction decides about these accounts meanwhile.

        Raises: LedgerError, NotUniqueError.
        """
        return self._run("write", "READ COMMITTED READ WRITE", work, accounts)

    def read(self, work: Callable[[Transaction], _T]) -> _T:
        """Read one state of all rows, without waiting for a writer. Raises: LedgerError."""
        return self._run("read", "REPEATABLE READ READ ONLY", work)

    def ping(self) -> None:
        """Check that the database responds, by a connection of its own. Raises: LedgerError, within seconds."""
        psycopg = _library()
        with _TimeLimit(_PING_SECONDS) as limit:
            try:
                with closing(self._connect(_PING_CONNECT_SECONDS)) as connection:
                    limit.start(connection)
                    self._has_schema(connection)
            except psycopg.Error as error:
                raise self._unusable(error, limit) from error

    def _run(self, purpose: str, mode: str, work: Callable[[Transaction], _T], accounts: Sequence[str] = ()) -> _T:
        psycopg = _library()
        with _TimeLimit(_TRANSACTION_SECONDS) as limit:
            try:
                return self._decide(purpose, mode, work, accounts, limit)
            except psycopg.Error as error:
                self._close(purpose)
                raise self._unusable(error, limit) from error

    def _decide(
        self, purpose: str, mode: str, work: Callable[[Transaction], _T], accounts: Sequence[str], limit: "_TimeLimit"
    ) -> _T:
        """Raises: psycopg.Error, LedgerError, NotUniqueError; the transaction is undone."""
        connection = self._started(purpose, mode, limit)
        try:
            for account in sorted(set(accounts)):
                connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", (_ACCOUNTS, _lock_number(account)))
            # Another program may have changed the schema since it was opened, or while this waited.
            transaction = _PostgresTransaction(connection)
            check_version(_version(transaction), self._display_url(), "database")
            result = work(transaction)
            connection.execute("COMMIT")
        except BaseException:
            with suppress(_library().Error):
                connection.execute("ROLLBACK")
            raise
        return result

    def _started(self, purpose: str, mode: str, limit: "_TimeLimit") -> "psycopg.Connection[Any]":
        """A connection with an open transaction, whose time is limited. One that died meanwhile is replaced."""
        psycopg = _library()
        statements = _start_statements(mode)
        connection = self._connections.get(purpose)
        if connection is not None:
            limit.start(connection)
            try:
                connection.execute(statements.encode())
            except psycopg.OperationalError:
                self._close(purpose)
                if limit.is_over:
                    raise
            else:
                return connection
        with self._opening:
            connection = self._connections[purpose] = self._open(limit)
        limit.start(connection)
        connection.execute(statements.encode())
        return connection

    def _close(self, purpose: str) -> None:
        connection = self._connections.pop(purpose, None)
        if connection is not None:
            connection.close()

    def _open(self, limit: "_TimeLimit") -> "psycopg.Connection[Any]":
        connection = self._connect(_CONNECT_SECONDS)
        try:
            limit.start(connection)
            is_current = self._has_schema(connection)
            limit.stop()
            if not is_current:
                self._migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self, seconds: int) -> "psycopg.Connection[Any]":
        return _library().connect(self._url, connect_timeout=seconds, autocommit=True, prepare_threshold=None)

    def _has_schema(self, connection: "psycopg.Connection[Any]") -> bool:
        """Whether the database holds a ledger of this version. Raises: LedgerError, if it is of a newer one."""
        if connection.execute("SELECT to_regclass('purchases_version')").fetchone() == (None,):
            return False
        version = _version(_PostgresTransaction(connection))
        check_version(version, self._display_url(), "database")
        return version == VERSION

    def _migrate(self, connection: "psycopg.Connection[Any]") -> None:
        """Bring the database to this version. Servers that open it at once do so one after the other."""
        connection.execute(
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = '120s';"
            " SET LOCAL statement_timeout = 0; SET LOCAL synchronous_commit = on"
        )
        try:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_SCHEMA_LOCK,))
            transaction = _PostgresTransaction(connection)
            connection.execute("CREATE TABLE IF NOT EXISTS purchases_version (version BIGINT NOT NULL)")
            version = _version(transaction)
            check_version(version, self._display_url(), "database")
            if 0 < version < VERSION:
                announce(self._display_url(), "A dump of the database is the way back.")
            if version != VERSION:
                migrate(transaction, version, "postgres")
                connection.execute("INSERT INTO purchases_version VALUES (%s)", (VERSION,))
            connection.execute("COMMIT")
        except BaseException:
            with suppress(_library().Error):
                connection.execute("ROLLBACK")
            raise

    def _display_url(self) -> str:
        url = urlsplit(self._url)
        return f"postgresql://{url.hostname or ''}{url.path}"

    def _unusable(self, error: "psycopg.Error", limit: "_TimeLimit") -> LedgerError:
        cause = postgres_errors.HANGS if limit.is_over else postgres_errors.cause_of(error)
        return LedgerError(
            f"The purchase ledger at {self._display_url()} cannot be used: {cause.reason}.",
            f"Nothing is bought without it. {cause.hint}",
        )


class _TimeLimit:
    """Cuts a connection after a time, so that the thread that waits for the database goes on."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._timer: threading.Timer | None = None
        self.is_over = False
        """Whether a connection was cut."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Limit nothing from now on."""
        if self._timer is not None:
            self._timer.cancel()

    def start(self, connection: "psycopg.Connection[Any]") -> None:
        """Limit the time of a connection from now on, and of no other one."""
        self.stop()
        self._timer = threading.Timer(self._seconds, self._cut, [connection])
        self._timer.daemon = True
        self._timer.start()

    def _cut(self, connection: "psycopg.Connection[Any]") -> None:
        # Closing it would wait for the thread that uses it.
        with suppress(_library().Error, OSError):
            socket_copy = socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM)
            self.is_over = True
            with socket_copy:
                socket_copy.shutdown(socket.SHUT_RDWR)


class _PostgresTransaction:
    def __init__(self, connection: "psycopg.Connection[Any]") -> None:
        self._connection = connection

    def execute(self, statement: str, values: Sequence[object] = ()) -> Cursor:
        try:
            return self._connection.execute(statement.replace("?", "%s").encode(), tuple(values))
        except _library().errors.UniqueViolation as error:
            raise NotUniqueError from error

    def now(self) -> float:
        row = self._connection.execute("SELECT extract(epoch FROM clock_timestamp())::double precision").fetchone()
        return float(row[0]) if row else 0.0


def _start_statements(mode: str) -> str:
    """The statements that open a transaction, in one message."""
    return (
        f"BEGIN ISOLATION LEVEL {mode}; SET LOCAL lock_timeout = '{_LOCK_SECONDS}s';"
        f" SET LOCAL statement_timeout = '{_STATEMENT_SECONDS}s';"
        f" SET LOCAL idle_in_transaction_session_timeout = '{_IDLE_SECONDS}s'; SET LOCAL synchronous_commit = on"
    )


def _lock_number(account: str) -> int:
    """The number that an account is locked by: four bytes with a sign."""
    return int.from_bytes(hashlib.sha256(account.encode()).digest()[:4], signed=True)


def _version(transaction: Transaction) -> int:
    """The version of the ledger; 0 if it is new."""
    return int(transaction.execute("SELECT max(version) FROM purchases_version").fetchone()[0] or 0)


def _library():  # noqa: ANN202 - a module
    try:
        import psycopg  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise LedgerError(
            "LUMA_LEDGER is a database, and the package that it needs is not installed.",
            f"Nothing was bought. {install_hint('postgres')}",
        ) from error
    return psycopg
