"""The address of the purchase ledger: a file, or a database."""

import re
from pathlib import Path

from luma_mcp.config import default_paths

DATABASE_SCHEME = "postgresql://"
# SQLAlchemy, Django and JDBC write the same address with words of their own.
_DATABASE = re.compile(r"(?:jdbc:)?postgres(?:ql)?(?:\+\w+)?://", re.IGNORECASE)
_OTHER_DATABASE = re.compile(r"[a-z][a-z0-9+.-]+://|\b(?:host|dbname)=", re.IGNORECASE)


def ledger_address(text: str) -> str:
    """The address in its one spelling. Raises: ValueError, if it is neither a file nor a database."""
    if match := _DATABASE.match(text):
        return DATABASE_SCHEME + text[match.end() :]
    if _OTHER_DATABASE.match(text):
        raise ValueError("it must be the path of a file, or postgresql://user:password@host/database")
    default_paths.absolute(Path(text))
    return text
