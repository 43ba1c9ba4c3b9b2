"""What looks for the token finds it, wherever it is put."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.agent import TOKEN
from tests.support.secrecy import NEEDLE, files_with_it, read_report


def test_the_token_of_the_tests_is_the_one_looked_for() -> None:
    assert NEEDLE in TOKEN


@pytest.mark.parametrize("section", ["Captured stderr call", "Captured log call"])
def test_a_test_that_shows_it_has_failed(section: str) -> None:
    report = pytest.TestReport("x", ("x", 1, "x"), {}, "passed", None, "call", [(section, f"Bearer {TOKEN}")])

    read_report(report)

    assert report.failed
    assert report.longrepr == f"The token is shown in: {section}"


def test_it_is_found_in_files(tmp_path_factory: pytest.TempPathFactory) -> None:
    # Built here and taken away again, so that the search at the end of the run does not find it.
    folder = tmp_path_factory.mktemp("leak")
    (folder / "deep").mkdir()
    leak = folder / "deep" / "ledger.sqlite3"
    leak.write_bytes(b"\x00" + TOKEN.encode() + b"\x00")
    (folder / "other").write_text("nothing")

    assert files_with_it(folder) == [str(Path("deep", "ledger.sqlite3"))]
    leak.unlink()


def test_it_is_found_on_a_command_line() -> None:
    with pytest.raises(AssertionError, match="on a command line"):
        subprocess.run([sys.executable, "-c", "pass", TOKEN], check=False)
