"""Where the ledger's rows are: one file for the servers of one machine, or a database for those of several.

Both give the same promise: a transaction is done whole or not at all, nobody else writes meanwhile, and once it is
committed it survives a power cut.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

_T = TypeVar("_T")


class NotUniqueError(Exception):
    """A value that must be unique exists already. The transaction is undone."""


class Cursor(Protocol):
    """The answer to a statement."""

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
        """Unix time. Where several machines share a database it is the database's, so that leases agree."""
        ...


class Store(Protocol):
    """A place for the rows. It opens at the first transaction."""

    def transaction(self, work: Callable[[Transaction], _T]) -> _T:
        """Do some work in one transaction. This blocks.

        Raises:
            NotUniqueError: from a statement of the work.
            LedgerError: the ledger cannot be used.
        """
        ...

    def close(self) -> None:
        """Close it. A later transaction opens it again."""
        ...
