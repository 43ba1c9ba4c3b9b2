"""The steps of the ledger's schema, frozen: each is the text that it was when it was released.

Nothing here reads a constant of today's code, so that a change of the code changes no ledger.
"""

from luma_mcp.ledger.store import Transaction

_TYPES = {
    "sqlite": {"identity": "INTEGER PRIMARY KEY", "integer": "INTEGER", "real": "REAL", "strict": " STRICT"},
    "postgres": {
        "identity": "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
        "integer": "BIGINT",
        "real": "DOUBLE PRECISION",
        "strict": "",
    },
}


def _run(transaction: Transaction, engine: str, *statements: str) -> None:
    for statement in statements:
        for name, type_name in _TYPES[engine].items():
            statement = statement.replace("{" + name + "}", type_name)  # noqa: PLW2901
        transaction.execute(statement)


def purchases(transaction: Transaction, engine: str) -> None:
    """The purchases, and the balances that were read. A ledger of version 2 is so."""
    _run(
        transaction,
        engine,
        """CREATE TABLE purchases (
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
    state TEXT NOT NULL CHECK (state IN ('reserved', 'sending', 'accepted', 'completed', 'failed', 'refused', 'lost',
        'absent', 'disputed')),
    generation_id TEXT,
    request_id TEXT,
    consent TEXT,
    owner TEXT NOT NULL DEFAULT '',
    lease_until {real} NOT NULL DEFAULT 0,
    reserved_at {real} NOT NULL,
    lost_at {real},
    updated_at {real} NOT NULL,
    note TEXT NOT NULL DEFAULT ''
){strict}""",
        "CREATE UNIQUE INDEX purchases_take ON purchases (account, person, fingerprint, take) WHERE holds_take = 1",
        (
            "CREATE UNIQUE INDEX purchases_generation ON purchases (account, generation_id)"
            " WHERE generation_id IS NOT NULL"
        ),
        "CREATE UNIQUE INDEX purchases_consent ON purchases (account, consent) WHERE consent IS NOT NULL",
        "CREATE INDEX purchases_by_state_and_time ON purchases (account, state, reserved_at)",
        "CREATE INDEX purchases_by_time ON purchases (account, reserved_at)",
        "CREATE TABLE balances (account TEXT PRIMARY KEY, usd {real} NOT NULL, read_at {real} NOT NULL){strict}",
    )


def films(transaction: Transaction, engine: str) -> None:
    """Plans that are allowed as a whole, and their parts. A ledger of version 3 is so."""
    _run(
        transaction,
        engine,
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


def reservations(transaction: Transaction, engine: str) -> None:
    """Groups of reservations instead of films. A reservation is wanted only while its money is reserved by itself."""
    _run(
        transaction,
        engine,
        """CREATE TABLE reservation_groups (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    person TEXT NOT NULL DEFAULT '',
    fingerprint TEXT NOT NULL,
    take {integer} NOT NULL DEFAULT 1 CHECK (take >= 1),
    is_live {integer} NOT NULL CHECK (is_live IN (0, 1)),
    document TEXT NOT NULL,
    created_at {real} NOT NULL,
    updated_at {real} NOT NULL
){strict}""",
        """CREATE TABLE reservations (
    group_id TEXT NOT NULL REFERENCES reservation_groups (id),
    key TEXT NOT NULL,
    account TEXT NOT NULL,
    person TEXT NOT NULL DEFAULT '',
    micros {integer} NOT NULL CHECK (micros >= 0),
    wanted {integer} NOT NULL CHECK (wanted IN (0, 1)),
    purchase_id {integer},
    note TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (group_id, key)
){strict}""",
        (
            "INSERT INTO reservation_groups (id, account, person, fingerprint, take, is_live, document, created_at,"
            " updated_at) SELECT id, account, person, fingerprint, take, holds_take, plan, created_at, updated_at"
            " FROM films"
        ),
        (
            "INSERT INTO reservations (group_id, key, account, person, micros, wanted, purchase_id, note)"
            " SELECT film_id, key, account, person, micros,"
            " CASE WHEN wanted = 1 AND (purchase_id IS NULL OR EXISTS (SELECT 1 FROM purchases"
            " WHERE purchases.id = film_shots.purchase_id AND state IN ('refused', 'absent'))) THEN 1 ELSE 0 END,"
            " purchase_id, note FROM film_shots JOIN films ON films.id = film_id"
        ),
        "DROP TABLE film_shots",
        "DROP TABLE films",
        (
            "CREATE UNIQUE INDEX reservation_groups_take ON reservation_groups (account, fingerprint, take, person)"
            " WHERE is_live = 1"
        ),
        "CREATE INDEX reservation_groups_by_time ON reservation_groups (account, created_at, id)",
        "CREATE INDEX reservation_groups_by_person ON reservation_groups (account, person, created_at, id)",
        "CREATE INDEX reservations_wanted ON reservations (account, person, group_id, micros) WHERE wanted = 1",
        "CREATE INDEX reservations_by_purchase ON reservations (purchase_id) WHERE purchase_id IS NOT NULL",
    )


def consents(transaction: Transaction, engine: str) -> None:
    """One table for the consents of purchases and of groups."""
    _run(
        transaction,
        engine,
        "CREATE TABLE consents (name TEXT PRIMARY KEY, used_by TEXT NOT NULL){strict}",
        (
            "INSERT INTO consents (name, used_by) SELECT consent, min(used_by) FROM (SELECT consent,"
            " 'purchase ' || id AS used_by FROM purchases WHERE consent IS NOT NULL UNION ALL"
            " SELECT consent, film_id AS used_by FROM film_consents) AS used GROUP BY consent"
        ),
        "DROP TABLE film_consents",
    )


def states_without_a_list(transaction: Transaction, engine: str) -> None:
    """The code checks states, not the database, so that a new state needs no step. A purchase names its model."""
    old_indexes = [
        f"DROP INDEX purchases_{name}" for name in ("take", "generation", "consent", "by_state_and_time", "by_time")
    ]
    if engine == "postgres":
        _run(
            transaction,
            engine,
            *old_indexes,
            "ALTER TABLE purchases DROP CONSTRAINT purchases_state_check",
            "ALTER TABLE purchases RENAME COLUMN holds_take TO is_live",
            "ALTER TABLE purchases DROP COLUMN consent",
            "ALTER TABLE purchases ADD COLUMN model TEXT NOT NULL DEFAULT ''",
            "UPDATE purchases SET model = coalesce(nullif(request::json ->> 'model', ''), kind)",
        )
        return
    columns = (
        "id, account, person, fingerprint, take, {live}, signature, request, kind, {model}, micros, basis, state,"
        " generation_id, request_id, owner, lease_until, reserved_at, lost_at, updated_at, note"
    )
    model = (
        "coalesce(nullif(CASE WHEN json_valid(request) THEN CAST(json_extract(request, '$.model') AS TEXT) END, ''),"
        " kind)"
    )
    _run(
        transaction,
        engine,
        *old_indexes,
        "ALTER TABLE purchases RENAME TO purchases_3",
        """CREATE TABLE purchases (
    id INTEGER PRIMARY KEY,
    account TEXT NOT NULL,
    person TEXT NOT NULL DEFAULT '',
    fingerprint TEXT NOT NULL,
    take INTEGER NOT NULL DEFAULT 1 CHECK (take >= 1),
    is_live INTEGER NOT NULL CHECK (is_live IN (0, 1)),
    signature TEXT NOT NULL,
    request TEXT NOT NULL,
    kind TEXT NOT NULL,
    model TEXT NOT NULL,
    micros INTEGER NOT NULL CHECK (micros >= 0),
    basis TEXT NOT NULL,
    state TEXT NOT NULL,
    generation_id TEXT,
    request_id TEXT,
    owner TEXT NOT NULL DEFAULT '',
    lease_until REAL NOT NULL DEFAULT 0,
    reserved_at REAL NOT NULL,
    lost_at REAL,
    updated_at REAL NOT NULL,
    note TEXT NOT NULL DEFAULT ''
) STRICT""",
        f"INSERT INTO purchases ({columns.format(live='is_live', model='model')})"
        f" SELECT {columns.format(live='holds_take', model=model)} FROM purchases_3 ORDER BY id",
        "DROP TABLE purchases_3",
    )


# A day starts at a quarter of an hour in every time zone, so sums of quarters make the sum of any day.
_KEY = "account, person, quarter, model, state"
_TABLE = """CREATE TABLE totals (
    account TEXT NOT NULL,
    person TEXT NOT NULL,
    quarter {integer} NOT NULL,
    model TEXT NOT NULL,
    state TEXT NOT NULL,
    micros {integer} NOT NULL,
    purchases {integer} NOT NULL,
    PRIMARY KEY (account, person, quarter, model, state)
)"""
_CHANGED = " OR ".join(
    f"OLD.{name} <> NEW.{name}" for name in ("account", "person", "reserved_at", "model", "state", "micros")
)


def _count(quarter: str) -> str:
    """Adds a row to its total."""
    return (
        f"INSERT INTO totals ({_KEY}, micros, purchases)"
        f" VALUES (NEW.account, NEW.person, {quarter.format(row='NEW')}, NEW.model, NEW.state, NEW.micros, 1)"
        f" ON CONFLICT ({_KEY}) DO UPDATE SET micros = totals.micros + excluded.micros,"
        " purchases = totals.purchases + 1;"
    )


def _discount(quarter: str) -> str:
    """Subtracts a row from its total. A total of nothing is no row."""
    key = (
        f"account = OLD.account AND person = OLD.person AND quarter = {quarter.format(row='OLD')}"
        " AND model = OLD.model AND state = OLD.state"
    )
    return (
        f"UPDATE totals SET micros = micros - OLD.micros, purchases = purchases - 1 WHERE {key};"
        f" DELETE FROM totals WHERE {key} AND purchases = 0;"
    )


def totals(transaction: Transaction, engine: str) -> None:
    """Running totals by account, person, quarter of an hour, model and state, which the database itself keeps."""
    if engine == "postgres":
        quarter = "floor({row}.reserved_at / 900)::bigint"
        body = (
            f"BEGIN IF TG_OP <> 'INSERT' THEN {_discount(quarter)} END IF;"
            f" IF TG_OP <> 'DELETE' THEN {_count(quarter)} END IF; RETURN NULL; END"
        )
        triggers = (
            f"CREATE FUNCTION count_purchase() RETURNS trigger LANGUAGE plpgsql AS $body$ {body} $body$",
            (
                "CREATE TRIGGER purchases_added AFTER INSERT OR DELETE ON purchases"
                " FOR EACH ROW EXECUTE FUNCTION count_purchase()"
            ),
            (
                "CREATE TRIGGER purchases_changed AFTER UPDATE ON purchases"
                f" FOR EACH ROW WHEN ({_CHANGED}) EXECUTE FUNCTION count_purchase()"
            ),
        )
        table = _TABLE
    else:
        quarter = "CAST({row}.reserved_at / 900 AS INTEGER)"
        triggers = (
            f"CREATE TRIGGER purchases_added AFTER INSERT ON purchases BEGIN {_count(quarter)} END",
            f"CREATE TRIGGER purchases_removed AFTER DELETE ON purchases BEGIN {_discount(quarter)} END",
            (
                f"CREATE TRIGGER purchases_changed AFTER UPDATE ON purchases WHEN {_CHANGED}"
                f" BEGIN {_discount(quarter)} {_count(quarter)} END"
            ),
        )
        table = _TABLE + " STRICT, WITHOUT ROWID"
    _run(
        transaction,
        engine,
        table,
        f"INSERT INTO totals ({_KEY}, micros, purchases) SELECT account, person,"
        f" {quarter.format(row='purchases')}, model, state, sum(micros), count(*) FROM purchases"
        " GROUP BY 1, 2, 3, 4, 5",
        "CREATE INDEX totals_by_time ON totals (account, quarter)",
        *triggers,
    )


def indexes(transaction: Transaction, engine: str) -> None:
    """An index for every query, so that each touches as many rows as it returns."""
    _run(
        transaction,
        engine,
        "CREATE UNIQUE INDEX purchases_take ON purchases (account, fingerprint, take, person) WHERE is_live = 1",
        (
            "CREATE UNIQUE INDEX purchases_generation ON purchases (account, generation_id)"
            " WHERE generation_id IS NOT NULL"
        ),
        "CREATE INDEX purchases_by_state ON purchases (account, state, reserved_at, id)",
        "CREATE INDEX purchases_by_time ON purchases (account, reserved_at, id)",
        "CREATE INDEX purchases_by_person ON purchases (account, person, reserved_at, id)",
        "CREATE INDEX purchases_made ON purchases (account, reserved_at, id) WHERE generation_id IS NOT NULL",
        (
            "CREATE INDEX purchases_made_by_person ON purchases (account, person, reserved_at, id)"
            " WHERE generation_id IS NOT NULL"
        ),
    )


def waiting(transaction: Transaction, engine: str) -> None:
    """The queue of purchases that Luma has no slot for, and the limits of each account as far as they are known."""
    _run(
        transaction,
        engine,
        "ALTER TABLE purchases ADD COLUMN queue_id TEXT",
        "ALTER TABLE purchases ADD COLUMN sent_at {real}",
        "CREATE UNIQUE INDEX purchases_queue ON purchases (queue_id) WHERE queue_id IS NOT NULL",
        "CREATE INDEX purchases_sent ON purchases (account, state, sent_at) WHERE sent_at IS NOT NULL",
        """CREATE TABLE waiting (
    purchase_id {identity_key} PRIMARY KEY,
    account TEXT NOT NULL,
    family TEXT NOT NULL,
    person TEXT NOT NULL,
    micros {integer} NOT NULL,
    since {real} NOT NULL,
    payload TEXT NOT NULL
){strict}""".replace("{identity_key}", "INTEGER" if engine == "sqlite" else "BIGINT"),
        "CREATE INDEX waiting_in_turn ON waiting (account, family, person, since, purchase_id)",
        "CREATE INDEX waiting_by_time ON waiting (account, since, purchase_id)",
        "CREATE INDEX waiting_by_person ON waiting (account, person, since, purchase_id)",
        """CREATE TABLE queues (
    account TEXT NOT NULL,
    family TEXT NOT NULL,
    person TEXT NOT NULL,
    purchases {integer} NOT NULL,
    micros {integer} NOT NULL,
    served {integer} NOT NULL,
    PRIMARY KEY (account, family, person)
){strict}""",
        "CREATE INDEX queues_in_turn ON queues (account, family, served, person) WHERE purchases > 0",
        """CREATE TABLE limits (
    account TEXT NOT NULL,
    family TEXT NOT NULL,
    at_once {integer},
    per_minute {integer},
    learned_at {real} NOT NULL DEFAULT 0,
    blocked_until {real} NOT NULL DEFAULT 0,
    blocked_seconds {real} NOT NULL DEFAULT 0,
    blocked_running {integer} NOT NULL DEFAULT 0,
    checked_at {real} NOT NULL DEFAULT 0,
    purchases {integer} NOT NULL DEFAULT 0,
    turn {integer} NOT NULL DEFAULT 0,
    PRIMARY KEY (account, family)
){strict}""",
        """CREATE TABLE outbox (
    account TEXT NOT NULL,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    since {real} NOT NULL,
    PRIMARY KEY (account, kind, key)
){strict}""",
        "CREATE INDEX outbox_by_time ON outbox (account, kind, since)",
    )
