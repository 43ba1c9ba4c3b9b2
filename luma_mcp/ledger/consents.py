"""Consents: a person's approval is valid once, for a purchase or for a group of reservations."""

from luma_mcp.ledger.store import Transaction


def is_used(transaction: Transaction, name: str) -> bool:
    """Whether a consent was used already."""
    return transaction.execute("SELECT 1 FROM consents WHERE name = ?", (name,)).fetchone() is not None


def use(transaction: Transaction, name: str | None, used_by: str) -> None:
    """Use up a consent, if there is one."""
    if name is not None:
        transaction.execute("INSERT INTO consents (name, used_by) VALUES (?, ?)", (name, used_by))
