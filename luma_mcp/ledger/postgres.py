"""The ledger as a PostgreSQL database, for servers on several machines that share one budget.

A transaction locks the accounts that it decides about, and nothing else, so that decisions about one account come one
after the other as they do in a file, and those about others beside them. A read locks nothing.

Nothing depends on settings of the server or of a session, so that it works behind a pool of connections: each
transaction states its isolation level and its time-outs. A server that stops inside a transaction loses it, so
that it delays the others for a few seconds at most.
"""

import hashlib
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from luma_mcp.domain.errors import LedgerError
from luma_mcp.domain.extras import install_hint
from luma_mcp.ledger.migrations import VERSION, announce, check_version, migrate
from luma_mcp.ledger.store import Cursor, NotUniqueError, Transaction

if TYPE_CHECKING:
    import psycopg

_T = TypeVar("_T")

_CONNECT_SECONDS, _LOCK_SECONDS, _STATEMENT_SECONDS, _IDLE_SECONDS = 10, 10, 12, 5
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

    def _run(self, purpose: str, mode: str, work: Callable[[Transaction], _T], accounts: Sequence[str] = ()) -> _T:
        psycopg = _library()
        try:
            connection = self._started(purpose, mode)
            try:
                for account in sorted(set(accounts)):
                    connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", (_ACCOUNTS, _lock_number(account)))
                # Another program may have changed the schema since it was opened, or while this waited.
                transaction = _PostgresTransaction(connection)
                check_version(_version(transaction), self._display_url(), "database")
                result = work(transaction)
                connection.execute("COMMIT")
            except BaseException:
                with suppress(psycopg.Error):
                    connection.execute("ROLLBACK")
                raise
        except psycopg.Error as error:
            self._close(purpose)
            raise self._unusable(error) from error
        return result

    def _started(self, purpose: str, mode: str) -> "psycopg.Connection[Any]":
        """A connection with an open transaction. One that died meanwhile is replaced."""
        psycopg = _library()
        statements = _start_statements(mode)
        connection = self._connections.get(purpose)
        if connection is not None:
            try:
                connection.execute(statements.encode())
            except psycopg.OperationalError:
                self._close(purpose)
            else:
                return connection
        with self._opening:
            connection = self._connections[purpose] = self._open()
        connection.execute(statements.encode())
        return connection

    def _close(self, purpose: str) -> None:
        connection = self._connections.pop(purpose, None)
        if connection is not None:
            connection.close()

    def _open(self) -> "psycopg.Connection[Any]":
        psycopg = _library()
        connection = psycopg.connect(
            self._url, connect_timeout=_CONNECT_SECONDS, autocommit=True, prepare_threshold=None
        )
        try:
            exists = connection.execute("SELECT to_regclass('purchases_version')").fetchone() != (None,)
            if not exists or _version(_PostgresTransaction(connection)) != VERSION:
                self._migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

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

    def _unusable(self, error: Exception) -> LedgerError:
        # The driver's message may contain the whole address, so only the kind of error is reported.
        return LedgerError(
            f"The purchase ledger at {self._display_url()} cannot be used ({type(error).__name__}).",
            "Nothing is bought without it. Check that the database runs, and the address and password in LUMA_LEDGER.",
        )


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
