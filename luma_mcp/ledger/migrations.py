"""The ledger's schema, as a list of steps. A ledger of an earlier version takes the steps that it lacks.

Every step runs in the transaction that opens the ledger, so a ledger is of one version or of the next.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from luma_mcp.domain.errors import LedgerError
from luma_mcp.ledger.states import HOLDS_TAKE, STATES
from luma_mcp.ledger.store import Transaction


@dataclass(frozen=True, slots=True)
class Dialect:
    """The words that differ between the engines."""

    identity: str
    integer: str
    real: str
    strict: str

    def fill(self, statement: str) -> str:
        return statement.format(
            identity=self.identity, integer=self.integer, real=self.real, strict=self.strict, states=_STATES
        )


_STATES = ", ".join(f"'{state}'" for state in STATES)
_HOLDS_TAKE = ", ".join(f"'{state}'" for state in sorted(HOLDS_TAKE))

_TABLE = """CREATE TABLE purchases (
    id {identity},
    account TEXT NOT NULL,
    person TEXT NOT NULL DEFAULT '',
    fingerprint TEXT NOT NULL,
    take {integer} NOT NULL DEFAULT 1 CHECK (take >= 1),
    holds_take {integer} NOT NULL CHECK (holds_take IN (0, 1)),
    signature TEXT NOT NULL,
    request TEXT NOT NULL,
    kind TEXT NOT NULL,
    micros {integer} NOT NULL CHECK (micros >= 0),
    basis TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ({states})),
    generation_id TEXT,
    request_id TEXT,
    consent TEXT,
    owner TEXT NOT NULL DEFAULT '',
    lease_until {real} NOT NULL DEFAULT 0,
    reserved_at {real} NOT NULL,
    lost_at {real},
    updated_at {real} NOT NULL,
    note TEXT NOT NULL DEFAULT ''
){strict}"""
_INDEXES = (
    "CREATE UNIQUE INDEX purchases_take ON purchases (account, person, fingerprint, take) WHERE holds_take = 1",
    "CREATE UNIQUE INDEX purchases_generation ON purchases (account, generation_id) WHERE generation_id IS NOT NULL",
    "CREATE UNIQUE INDEX purchases_consent ON purchases (account, consent) WHERE consent IS NOT NULL",
    "CREATE INDEX purchases_by_state_and_time ON purchases (account, state, reserved_at)",
    "CREATE INDEX purchases_by_time ON purchases (account, reserved_at)",
)
_BALANCES = "CREATE TABLE balances (account TEXT PRIMARY KEY, usd {real} NOT NULL, read_at {real} NOT NULL){strict}"
# A film is a plan that is allowed once; its shots are bought one by one. The money of a wanted shot is reserved for as
# long as no purchase of it holds that money.
_FILMS = (
    """CREATE TABLE films (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    person TEXT NOT NULL DEFAULT '',
    fingerprint TEXT NOT NULL,
    take {integer} NOT NULL DEFAULT 1 CHECK (take >= 1),
    holds_take {integer} NOT NULL CHECK (holds_take IN (0, 1)),
    plan TEXT NOT NULL,
    created_at {real} NOT NULL,
    updated_at {real} NOT NULL
){strict}""",
    "CREATE UNIQUE INDEX films_take ON films (account, person, fingerprint, take) WHERE holds_take = 1",
    """CREATE TABLE film_shots (
    film_id TEXT NOT NULL REFERENCES films (id),
    key TEXT NOT NULL,
    micros {integer} NOT NULL CHECK (micros >= 0),
    wanted {integer} NOT NULL CHECK (wanted IN (0, 1)),
    purchase_id {integer},
    note TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (film_id, key)
){strict}""",
    "CREATE TABLE film_consents (consent TEXT PRIMARY KEY, film_id TEXT NOT NULL){strict}",
)

# Version 1 is the ledger of dream-machine-mcp 0.1. Its `unknown` is now `lost`; a row that it left in `sending` has no
# lease, so it is lost at once. Its rows are older than takes, so they hold none, but what is in doubt is kept in doubt.
_FROM_VERSION_1 = (
    "ALTER TABLE purchases RENAME TO purchases_1",
    "DROP INDEX IF EXISTS purchases_by_state",
    "DROP INDEX IF EXISTS purchases_by_fingerprint",
    _TABLE,
    (
        "INSERT INTO purchases (account, fingerprint, take, holds_take, signature, request, kind, micros, basis, state,"
        " generation_id, reserved_at, lost_at, updated_at, note)"
        " SELECT account, fingerprint, 1, 0, signature, request, kind,"
        " CASE WHEN micros < 0 THEN 0 ELSE micros END, basis,"
        " CASE state WHEN 'unknown' THEN 'lost' ELSE state END, generation_id, sent_at,"
        " CASE state WHEN 'unknown' THEN updated_at ELSE NULL END, updated_at, 'from version 0.1'"
        " FROM purchases_1 ORDER BY id"
    ),
    # The newest purchase in doubt of each request holds take 1, so that the same call does not buy again.
    (
        "UPDATE purchases SET holds_take = 1 WHERE id IN (SELECT max(id) FROM purchases"
        " WHERE state IN ('sending', 'lost', 'disputed') GROUP BY account, fingerprint)"
    ),
    "DROP TABLE purchases_1",
)

# What brings a ledger from the version before to this one.
_STEPS: Mapping[int, tuple[str, ...]] = {2: (*_FROM_VERSION_1, *_INDEXES, _BALANCES), 3: _FILMS}
VERSION = max(_STEPS)
_NEW = (_TABLE, *_INDEXES, _BALANCES, *_FILMS)


def migrate(transaction: Transaction, version: int, dialect: Dialect, *, shown: str, place: str) -> int:
    """Bring a ledger to this version; the version that it has now.

    Args:
        transaction: an open transaction.
        version: the version that the ledger has; 0 if it is new.
        dialect: the engine's words.
        shown: the ledger's name, as a person may see it.
        place: what it is: `file` or `database`.

    Raises:
        LedgerError: the ledger was written by a newer program.
    """
    if version > VERSION:
        raise LedgerError(
            f"The purchase ledger at {shown} was written by a newer version of dream-machine-mcp.",
            f"Nothing was bought. Install the newest version, or set LUMA_LEDGER to another {place}.",
        )
    statements = _NEW if version == 0 else [line for step in range(version + 1, VERSION + 1) for line in _STEPS[step]]
    for statement in statements:
        transaction.execute(dialect.fill(statement))
    return VERSION
