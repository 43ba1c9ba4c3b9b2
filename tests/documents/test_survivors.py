"""The list of mutants that survive is about the code as it is."""

import re
from pathlib import Path

import pytest

from tests.survivors import TESTS, known_survivors, strangers, unused

ROOT = Path(__file__).parents[2]
OLD, DEAD, ALIVE = ("- old", "+ older"), ("- a < b", "+ a <= b"), ("- c", "+ d")
KNOWN = [("ledger/caps", OLD), ("ledger/caps", DEAD), ("ledger/caps", ALIVE), ("ledger/rows", DEAD)]


@pytest.mark.parametrize("module", TESTS)
def test_a_module_that_is_changed_and_its_tests_exist(module: str) -> None:
    paths = [ROOT / "luma_mcp" / f"{module}.py", *(ROOT / name for name in TESTS[module])]

    assert [path for path in paths if not path.exists()] == []


def test_a_survivor_is_of_a_line_that_its_module_has() -> None:
    assert strangers(known_survivors()) == []
    unknown = []
    for module, change in known_survivors():
        source = (ROOT / "luma_mcp" / f"{module}.py").read_text()
        lines = {re.sub(r"\s+", " ", line.strip()) for line in source.splitlines()}
        unknown += [(module, line) for line in change if line[0] == "-" and line[1:].strip() not in lines]
    assert unknown == []


def test_a_survivor_that_the_code_does_not_have_or_a_test_tells_is_reported() -> None:
    gone, told = unused(KNOWN, "ledger/caps", {DEAD, ALIVE}, {ALIVE}, is_whole=True)

    assert gone == "The code has no such mutant: ['- old', '+ older']"
    assert told == "A test fails for it: ['- a < b', '+ a <= b']"


def test_of_a_part_of_the_code_only_what_was_tested_is_reported() -> None:
    assert unused(KNOWN, "ledger/caps", {ALIVE}, {ALIVE}, is_whole=False) == []
    assert strangers([("purchasing/ledger", OLD), *KNOWN]) == ["purchasing/ledger"]
