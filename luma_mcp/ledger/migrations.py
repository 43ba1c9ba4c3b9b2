"""The ledger's schema as a list of named steps. A new ledger runs all of them, an existing one those that it lacks.

A ledger records in its table `migrations` the steps that have run. Every step runs in the transaction that opens
the ledger, so a ledger has all of a step or nothing of it. The number of a ledger's version is the number of its steps
plus one: older programs compare that number, and leave a newer ledger alone.

A step is never changed once it is released. A change of the schema is another step at the end.
"""

import sys
from collections.abc import Callable
from typing import Literal

from luma_mcp.domain.errors import LedgerError
from luma_mcp.ledger import schema_2026 as schema
from luma_mcp.ledger.store import Transaction

Engine = Literal["sqlite", "postgres"]

STEPS: tuple[tuple[str, Callable[[Transaction, Engine], None]], ...] = (
    ("purchases", schema.purchases),
    ("films", schema.films),
    ("reservations", schema.reservations),
    ("consents", schema.consents),
    ("states without a list", schema.states_without_a_list),
    ("totals", schema.totals),
    ("indexes that grow", schema.indexes),
    ("waiting", schema.waiting),
)
VERSION = len(STEPS) + 1
"""The version of a ledger on which every step has run."""
# A ledger of version 3 has no table of its steps.
_RECORDED_SINCE = 4


def check_version(version: int, name: str, location: str) -> None:
    """Raises: LedgerError, if this program may not use a ledger of that version.

    Args:
        version: the version of the ledger; 0 if it is new.
        name: the ledger's name, without a password.
        place: `file` or `database`.
    """
    if version > VERSION:
        raise LedgerError(
            f"The purchase ledger at {name} was written by a newer version of dream-machine-mcp.",
            f"Nothing was bought. Install the newest version, or set LUMA_LEDGER to another {location}.",
        )
    if version == 1:
        raise LedgerError(
            f"The purchase ledger at {name} was written by a version that was never released.",
            f"Nothing was bought. Set LUMA_LEDGER to another {location}.",
        )


def announce(name: str, recovery: str) -> None:
    """Report on standard error that a ledger of an earlier version is about to be changed, which may last a minute."""
    sys.stderr.write(f"dream-machine-mcp: the purchase ledger at {name} is brought to a new version. {recovery}\n")
    sys.stderr.flush()


def migrate(transaction: Transaction, version: int, engine: Engine) -> None:
    """Run the steps that a ledger lacks.

    Args:
        transaction: an open transaction.
        version: the version of the ledger, checked; 0 if it is new.
        engine: the database's kind.
    """
    if version < _RECORDED_SINCE:
        transaction.execute("CREATE TABLE migrations (name TEXT PRIMARY KEY, taken_at DOUBLE PRECISION NOT NULL)")
        for name, _ in STEPS[: max(version - 1, 0)]:
            _record(transaction, name)
    applied = {name for (name,) in transaction.execute("SELECT name FROM migrations").fetchall()}
    for name, step in STEPS:
        if name not in applied:
            step(transaction, engine)
            _record(transaction, name)


def _record(transaction: Transaction, name: str) -> None:
    transaction.execute("INSERT INTO migrations (name, taken_at) VALUES (?, ?)", (name, transaction.now()))
