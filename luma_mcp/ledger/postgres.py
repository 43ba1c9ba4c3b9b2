"""The ledger as a PostgreSQL database, for servers on several machines that share one budget.

Every transaction begins by taking one lock, so that they come one after the other as they do in a file. Commits are
synchronous, as is PostgreSQL's default.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from luma_mcp.domain.errors import LedgerError
from luma_mcp.ledger.migrations import Dialect, migrate
from luma_mcp.ledger.store import Cursor, NotUniqueError, Transaction

if TYPE_CHECKING:
    import psycopg

_T = TypeVar("_T")

_CONNECT_SECONDS, _LOCK_SECONDS = 10, 15
# Any number that nobody else is likely to lock.
_LOCK_KEY = 0x6C756D61
_DIALECT = Dialect(
    identity="BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", integer="BIGINT", real="DOUBLE PRECISION", strict=""
)


class PostgresStore:
    """A database.

    Args:
        url: `postgresql://user:password@host/database`. It is shown without its password.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection[Any] | None = None

    def __repr__(self) -> str:
        return f"PostgresStore({self._shown()!r})"

    def close(self) -> None:
        """Close the connection. A later transaction opens a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def transaction(self, work: Callable[[Transaction], _T]) -> _T:
        """Do some work in one transaction; nobody else writes meanwhile. Raises: LedgerError, NotUniqueError."""
        psycopg = _library()
        try:
            connection = self._locked()
            try:
                result = work(_PostgresTransaction(connection))
                connection.commit()
            except BaseException:
                with suppress(psycopg.Error):
                    connection.rollback()
                raise
        except psycopg.Error as error:
            self.close()
            raise self._unusable(error) from error
        return result

    def _locked(self) -> "psycopg.Connection[Any]":
        """A connection in a transaction that nobody else is in. One that died meanwhile is replaced."""
        psycopg = _library()
        if self._connection is not None:
            try:
                _lock(self._connection)
            except psycopg.OperationalError:
                self.close()
            else:
                return self._connection
        connection = self._connection = self._open()
        _lock(connection)
        return connection

    def _open(self) -> "psycopg.Connection[Any]":
        psycopg = _library()
        options = f"-c lock_timeout={_LOCK_SECONDS}s -c synchronous_commit=on"
        connection = psycopg.connect(self._url, connect_timeout=_CONNECT_SECONDS, options=options)
        try:
            _lock(connection)
            connection.execute("CREATE TABLE IF NOT EXISTS purchases_version (version BIGINT NOT NULL)")
            found = connection.execute("SELECT max(version) FROM purchases_version").fetchone()
            before = (found[0] if found else None) or 0
            transaction = _PostgresTransaction(connection)
            version = migrate(transaction, before, _DIALECT, shown=self._shown(), place="database")
            if version != before:
                connection.execute("INSERT INTO purchases_version VALUES (%s)", (version,))
            connection.commit()
        except BaseException:
            connection.close()
            raise
        return connection

    def _shown(self) -> str:
        parts = urlsplit(self._url)
        return f"postgresql://{parts.hostname or ''}{parts.path}"

    def _unusable(self, error: Exception) -> LedgerError:
        # The driver's own words may hold the whole address; the kind of error says enough.
        return LedgerError(
            f"The purchase ledger at {self._shown()} cannot be used ({type(error).__name__}).",
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
        found = self._connection.execute("SELECT extract(epoch FROM clock_timestamp())::double precision").fetchone()
        return float(found[0]) if found else 0.0


def _lock(connection: "psycopg.Connection[Any]") -> None:
    """Wait until nobody else is in a transaction. The lock is released when this transaction ends."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK_KEY,))


def _library():  # noqa: ANN202 - a module
    try:
        import psycopg  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise LedgerError(
            "LUMA_LEDGER is a database, and the package that it needs is not installed.",
            "Nothing was bought. Install dream-machine-mcp[postgres].",
        ) from error
    return psycopg
