"""The store of the ledger's rows: one file for the servers of one machine, or a database for those of several.

Both guarantee the same: a transaction is done whole or not at all, no other one decides about the same accounts
meanwhile, and once it is committed it survives a power cut. A read waits for no transaction, and no transaction waits
for a read.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

_T = TypeVar("_T")


class NotUniqueError(Exception):
    """A value that must be unique exists already. The transaction is undone."""


class Cursor(Protocol):
    """The result of a statement."""

    @property
    def rowcount(self) -> int: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def __iter__(self) -> Iterator[Any]: ...


class Transaction(Protocol):
    """Reads and writes within one transaction. Values are `?` in a statement."""

    def execute(self, statement: str, values: Sequence[object] = ()) -> Cursor:
        """Raises: NotUniqueError."""
        ...

    def now(self) -> float:
        """Unix time. If several machines share a database it is the database's, so that leases agree."""
        ...


class Store(Protocol):
    """A store for the rows. It opens at the first transaction."""

    def transaction(self, work: Callable[[Transaction], _T], accounts: Sequence[str] = ()) -> _T:
        """Do some work in one transaction. This blocks.

        Args:
            work: reads and writes.
            accounts: the accounts that it decides about; no other transaction decides about them meanwhile.

        Raises:
            NotUniqueError: from a statement of the work.
            LedgerError: the ledger cannot be used, or a newer version has changed it.
        """
        ...

    def read(self, work: Callable[[Transaction], _T]) -> _T:
        """Read one state of all rows. This blocks, but waits for no writer. Raises: LedgerError."""
        ...

    def ping(self) -> None:
        """Check that it responds, by a connection of its own, so that nothing else delays it. Raises: LedgerError."""
        ...

    def close(self) -> None:
        """Close it. A later transaction opens it again."""
        ...
