"""Where the rows of the ledger are kept: one file for the servers of one machine, or a database for those of many.

Both give the same promise: what is done in one transaction is done whole or not at all, nobody else writes meanwhile,
and when it is committed it survives a power cut.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from luma_mcp.domain.errors import LedgerError

_T = TypeVar("_T")

VERSION = 1
# The words that differ between the engines stand in braces.
SCHEMA = (
    """CREATE TABLE purchases (
    id {identity},
    account TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    signature TEXT NOT NULL,
    request TEXT NOT NULL,
    kind TEXT NOT NULL,
    micros {integer} NOT NULL,
    basis TEXT NOT NULL,
    state TEXT NOT NULL,
    generation_id TEXT,
    delivered {integer} NOT NULL DEFAULT 0,
    process TEXT NOT NULL,
    sent_at {real} NOT NULL,
    updated_at {real} NOT NULL,
    UNIQUE (account, generation_id)
){strict}""",
    "CREATE INDEX purchases_by_state ON purchases (account, state, sent_at)",
    "CREATE INDEX purchases_by_fingerprint ON purchases (account, fingerprint, sent_at)",
)


def check_version(version: int, shown: str, kind: str) -> None:
    """Raises: LedgerError, if the book was written by a newer program. `kind` is a file or a database."""
    if version > VERSION:
        raise LedgerError(
            f"The purchase ledger at {shown} was written by a newer version of dream-machine-mcp.",
            f"Nothing was bought. Install the newest version, or set LUMA_LEDGER to another {kind}.",
        )


class NotUniqueError(Exception):
    """What should be unique is there already. The transaction is undone."""


class Cursor(Protocol):
    """What a statement answers."""

    @property
    def rowcount(self) -> int: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def __iter__(self) -> Iterator[Any]: ...


class Transaction(Protocol):
    """Reads and writes within one transaction. Values stand as `?` in a statement."""

    def execute(self, statement: str, values: Sequence[object] = ()) -> Cursor:
        """Raises: NotUniqueError."""
        ...


class Store(Protocol):
    """A place for the rows. It opens when it is first used."""

    def transaction(self, work: Callable[[Transaction], _T]) -> _T:
        """Do some work in one transaction. Blocks.

        Raises:
            NotUniqueError: from a statement of the work.
            LedgerError: the book cannot be used.
        """
        ...

    def close(self) -> None:
        """Let go of it. A later transaction opens it again."""
        ...
