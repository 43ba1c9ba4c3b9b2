"""The sums of what waits, by person. They are kept in the transaction that changes the queue."""

from collections.abc import Sequence

from luma_mcp.ledger.store import Transaction


def reserved(transaction: Transaction, accounts: Sequence[str], person: str | None) -> int:
    """The micro-dollars of what waits, of all persons or of one."""
    result = transaction.execute(
        "SELECT person, micros FROM queues"
        f" WHERE account IN ({', '.join('?' for _ in accounts) or 'NULL'}) AND purchases > 0",
        tuple(accounts),
    )
    return sum(int(micros) for name, micros in result if person in (None, name))
