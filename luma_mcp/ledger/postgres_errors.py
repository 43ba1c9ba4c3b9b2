"""The reasons for which PostgreSQL cannot be used, each with a next step.

The driver's message may contain the whole address with its password, so none of it is repeated. It is only searched for
known phrases of libpq, which has no code for a connection that fails. The codes are those of PostgreSQL's manual,
appendix A.
"""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import psycopg


class Cause(NamedTuple):
    """The cause of an error: a clause for "it cannot be used: ...", and the user's next step."""

    reason: str
    hint: str


_AGAIN = "Call again in a moment."
_PASSWORD = Cause("the user or the password is refused", "Check the user and the password in LUMA_LEDGER.")
_FULL = Cause("its disk is full", "Free space on the disk of the database, then call again.")
_BUSY = Cause(
    "it has no free connection", "Call again in a moment, or raise max_connections, or use a pooler such as pgbouncer."
)
_STARTING = Cause("it is starting, stopping, or recovering", _AGAIN)
_READ_ONLY = Cause(
    "it can only be read, as a standby can",
    "Let LUMA_LEDGER name the primary, or add ?target_session_attrs=read-write.",
)
_RIGHTS = Cause(
    "its user may not create or change the ledger's tables",
    "Grant the user CREATE and USAGE on the schema, and let it own the tables.",
)
_BY_CODE = {
    "28000": _PASSWORD,
    "28P01": _PASSWORD,
    "3D000": Cause("there is no database of that name", "Create the database, or check its name in LUMA_LEDGER."),
    "3F000": Cause("it has no schema for the tables", "Create the schema that the user's search_path names."),
    "42501": _RIGHTS,
    "25006": _READ_ONLY,
    "25P03": Cause("this server stood still in the middle of a decision", _AGAIN),
    "53100": _FULL,
    "53200": Cause("it has no memory left", _AGAIN),
    "53300": _BUSY,
    "55P03": Cause("another server has decided about the account for too long", _AGAIN),
    "57014": Cause("it needed too long for a statement", _AGAIN),
    "57P01": _STARTING,
    "57P02": _STARTING,
    "57P03": _STARTING,
    "08P01": Cause(
        "a pooler in front of it refuses a message", "Use pgbouncer 1.16 or later, in transaction or session mode."
    ),
}
_BY_PHRASE = {
    "invalid uri query parameter": Cause(
        "its address has a parameter that PostgreSQL's own client does not have",
        "Take the parameters of other tools out of LUMA_LEDGER, such as schema, pgbouncer or ssl; sslmode=require "
        "encrypts.",
    ),
    "password authentication failed": _PASSWORD,
    "no password supplied": _PASSWORD,
    "no pg_hba.conf entry": Cause(
        "it lets no connection in from this machine", "Add a line to its pg_hba.conf, or add ?sslmode=require."
    ),
    "certificate": Cause(
        "its certificate is not trusted here", "Set sslrootcert in LUMA_LEDGER to the certificate of its issuer."
    ),
    "does not support ssl": Cause(
        "it does not encrypt, and sslmode demands it", "Check sslmode in LUMA_LEDGER, or let the database encrypt."
    ),
    "too many": _BUSY,
    "remaining connection slots": _BUSY,
    "no more connections allowed": _BUSY,
    "starting up": _STARTING,
    "shutting down": _STARTING,
    "recovery": _STARTING,
    "read-only": _READ_ONLY,
    "role ": _PASSWORD,
    "does not exist": Cause(
        "there is no database of that name", "Create the database, or check its name in LUMA_LEDGER."
    ),
    "resolve host": Cause("the name of its host has no address", "Check the host in LUMA_LEDGER, and the network."),
    "translate host": Cause("the name of its host has no address", "Check the host in LUMA_LEDGER, and the network."),
    "connection refused": Cause(
        "nothing listens at its address", "Start the database, or check host and port in LUMA_LEDGER."
    ),
    "timeout": Cause("it did not respond in time", "Check that the database runs, and the network."),
    "timed out": Cause("it did not respond in time", "Check that the database runs, and the network."),
    "closed": Cause("the connection was closed", _AGAIN),
}
_UNKNOWN_HINT = "Check that the database runs, and the address and password in LUMA_LEDGER."
HANGS = Cause("it did not respond in time", "Check that the database runs and is not overloaded, then call again.")
"""The cause where a connection was cut because nothing came."""


def cause_of(error: "psycopg.Error") -> Cause:
    """The cause of an error, by its code, or by a known phrase of its message."""
    cause = _BY_CODE.get(error.sqlstate or "")
    if cause is not None:
        return cause
    message = str(error).lower()
    for phrase, known in _BY_PHRASE.items():
        if phrase in message:
            return known
    return Cause(type(error).__name__, _UNKNOWN_HINT)
