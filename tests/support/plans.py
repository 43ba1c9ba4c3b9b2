"""Query plans of the ledger's statements, checked as they run: each uses an index and touches a bounded number of rows.

While `checked` is in use, a statement of luma_mcp.ledger that is executed for the first time is explained by its own
database. A statement of the schema's steps is none of a purchase's way, and is left out.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from luma_mcp.ledger.postgres import _PostgresTransaction
from luma_mcp.ledger.sqlite import _SqliteTransaction

TABLES = (
    "purchases",
    "reservations",
    "reservation_groups",
    "totals",
    "consents",
    "balances",
    "waiting",
    "queues",
    "limits",
    "outbox",
)
_EXPLAINED = ("SELECT", "UPDATE", "DELETE", "INSERT")
_SCHEMA = ("migrations.py", "schema_2026.py")
# Once for each process, and for rows that no program writes any more.
_RENAMES = re.compile(r"UPDATE \w+ SET account = \? WHERE account = \?")
_WHOLE_ACCOUNT = re.compile(r"SEARCH purchases USING .*\(account=\?(?: AND person=\?)?(?: AND reserved_at[<>]\?)?\)$")
_BY_STATE = re.compile(r"(?:AND|WHERE) state (?:=|IN) ")
_STATE_OR_KEY = re.compile(r"SEARCH purchases USING .*(?:state=\?|rowid=\?|reserved_at>\? AND reserved_at<\?)")


@contextmanager
def checked(monkeypatch: pytest.MonkeyPatch, known: set[tuple[str, str]]) -> Iterator[None]:
    """Check the plan of every statement that is not among the known ones, and add it to them."""
    with monkeypatch.context() as patch:
        for kind, problems in ((_SqliteTransaction, problems_in_sqlite), (_PostgresTransaction, problems_in_postgres)):
            patch.setattr(kind, "execute", _checking(kind.execute, problems, kind.__name__, known))
        yield


def _checking(real: Any, problems: Any, engine: str, known: set[tuple[str, str]]) -> Any:
    def execute(self: Any, statement: str, values: Any = ()) -> Any:
        caller = Path(sys._getframe(1).f_code.co_filename)
        is_ours = caller.parts[-3:-1] == ("luma_mcp", "ledger") and caller.name not in _SCHEMA
        if is_ours and statement.startswith(_EXPLAINED) and (engine, statement) not in known:
            found = problems(lambda text, *given: real(self, text, given or values).fetchall(), statement)
            assert not found, f"{statement}\n{found}"
            known.add((engine, statement))
        return real(self, statement, values)

    return execute


def problems_in_sqlite(run: Any, statement: str) -> list[str]:
    """The steps of a plan that touch more rows than the statement needs."""
    steps = [step[-1] for step in run(f"EXPLAIN QUERY PLAN {statement}")]
    scans = [step for step in steps if any(re.match(rf"SCAN {table}\b", step) for table in TABLES)]
    if _BY_STATE.search(statement):
        # Few purchases are in a state that is asked for, and many belong to a person.
        scans += [step for step in steps if re.match(r"SEARCH purchases\b", step) and not _STATE_OR_KEY.match(step)]
    if " LIMIT " in statement:
        return scans + [step for step in steps if step == "USE TEMP B-TREE FOR ORDER BY"]
    is_rename = _RENAMES.fullmatch(statement) is not None
    return scans + [step for step in steps if _WHOLE_ACCOUNT.match(step) and not is_rename]


def problems_in_postgres(run: Any, statement: str) -> list[str]:
    """The nodes of a plan that read a table without a condition on an index, though scans are made dear."""
    run("SELECT set_config(?, 'off', true)", "enable_seqscan")
    plan = run(f"EXPLAIN (FORMAT JSON) {statement}")[0][0][0]["Plan"]
    return [str(node["Node Type"]) for node in _nodes(plan) if _is_scan(node)]


def _is_scan(node: dict[str, Any]) -> bool:
    if node["Node Type"] in ("Bitmap Heap Scan", "ModifyTable") or node.get("Relation Name") not in TABLES:
        return False
    return "Scan" in node["Node Type"] and "Index Cond" not in node and "TID Cond" not in node


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for inner in node.get("Plans", []):
        yield from _nodes(inner)
