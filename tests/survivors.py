"""The modules that mutation testing changes, their tests, and the mutants that no test can tell from the code."""

import tomllib
from collections.abc import Collection
from pathlib import Path

Change = tuple[str, ...]
"""The lines that differ, with - and +."""

SURVIVORS = Path(__file__).with_name("survivors.toml")
# The tests that tell most about a module come first, for a mutant's run ends with the first failure.
TESTS = {
    "backends/dream_machine/matching": [
        "tests/backends/dream_machine/test_matching.py",
        "tests/purchasing/test_habits.py",
    ],
    "domain/pricing": ["tests/domain", "tests/purchasing/test_estimates.py", "tests/mcp/tools/test_agents_api.py"],
    "ledger/caps": ["tests/ledger/test_caps.py", "tests/purchasing/test_service.py", "tests/film/test_service.py"],
    "ledger/history": ["tests/ledger/test_history.py", "tests/mcp/tools/test_agents_api.py"],
    "ledger/migrations": ["tests/ledger/test_migrations.py", "tests/ledger/test_purchases.py"],
    "ledger/purchases": [
        *(f"tests/ledger/test_{name}.py" for name in ("purchases", "reservations", "caps")),
        *(f"tests/purchasing/test_{name}.py" for name in ("sending", "reconcile", "service")),
    ],
    "ledger/reports": ["tests/ledger/test_reports.py"],
    "ledger/reservation_groups": ["tests/ledger/test_reservations.py", "tests/film/test_service.py"],
    "ledger/reservations": ["tests/ledger/test_reservations.py", "tests/film/test_service.py"],
    "ledger/rows": ["tests/ledger/test_purchases.py", "tests/ledger/test_history.py"],
    "ledger/spending": [f"tests/ledger/test_{name}.py" for name in ("purchases", "midnight", "reservations", "caps")],
    "ledger/sqlite": ["tests/ledger/test_purchases.py", "tests/purchasing/test_service.py"],
    "ledger/states": ["tests/ledger/test_states.py", "tests/ledger/test_purchases.py"],
    "purchasing/access": ["tests/purchasing/test_access.py", "tests/mcp/test_persons.py"],
    "purchasing/errors": ["tests/purchasing/test_errors.py", "tests/purchasing/test_service.py"],
    "purchasing/listing": [f"tests/purchasing/test_{name}.py" for name in ("listing", "reconcile", "service")],
    "purchasing/fingerprints": ["tests/purchasing/test_fingerprints.py", "tests/purchasing/test_service.py"],
    "purchasing/orders": ["tests/purchasing/test_service.py", "tests/film/test_service.py"],
    "purchasing/reconcile": [
        *(f"tests/purchasing/test_{name}.py" for name in ("reconcile", "habits", "service")),
        "tests/mcp/tools/test_agents_api.py",
    ],
    "purchasing/settling": [f"tests/purchasing/test_{name}.py" for name in ("settling", "service", "reconcile")],
    "purchasing/sending": [f"tests/purchasing/test_{name}.py" for name in ("sending", "reconcile", "service")],
    "purchasing/service": [
        *(f"tests/purchasing/test_{name}.py" for name in ("sending", "service", "reconcile", "habits")),
        "tests/ledger/test_caps.py",
        "tests/mcp/tools/test_agents_api.py",
        "tests/mcp/test_persons.py",
        "tests/film/test_service.py",
    ],
}


def known_survivors() -> dict[tuple[str, Change], str]:
    """The mutants that no test can tell from the code, by module and change, with the reason."""
    listed = tomllib.loads(SURVIVORS.read_text())["mutant"]
    return {(entry["module"], tuple(entry["change"])): entry["reason"] for entry in listed}


def strangers(known: Collection[tuple[str, Change]]) -> list[str]:
    """The modules of listed survivors that are not tested."""
    return sorted({name for name, _ in known} - set(TESTS))


def unused(
    known: Collection[tuple[str, Change]],
    module: str,
    tested: Collection[Change],
    living: Collection[Change],
    *,
    is_whole: bool,
) -> list[str]:
    """A sentence for each listed survivor of a module that does not survive.

    Args:
        known: the listed survivors.
        module: the module.
        tested: its mutants that were tested.
        living: those that survived.
        is_whole: whether all mutants of the module were tested, so that one that is missing does not exist.
    """
    listed = [change for name, change in known if name == module and change not in living]
    gone = [f"The code has no such mutant: {list(change)}" for change in listed if is_whole and change not in tested]
    return [*gone, *(f"A test fails for it: {list(change)}" for change in listed if change in tested)]
