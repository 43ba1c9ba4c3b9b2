"""SECURITY.md promises nothing that no test shows."""

import re
from pathlib import Path

HERE = Path(__file__).parent.parent
PAGE = (HERE.parent / "SECURITY.md").read_text()


def test_every_line_names_tests_that_there_are() -> None:
    tests = {name for path in HERE.rglob("test_*.py") for name in re.findall(r"def (test_\w+)\(", path.read_text())}
    table = [line for line in PAGE.splitlines() if line.startswith("| ") and "what could happen" not in line]

    assert len(table) >= 20
    for line in table:
        named = re.findall(r"`(test_\w+)`", line)
        assert named, line
        assert set(named) <= tests
