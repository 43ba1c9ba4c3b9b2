"""The token of the tests is looked for in all that a run leaves behind: output, logs, files and command lines."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NEEDLE = "token-that-must-never-show"


def read_report(report: pytest.TestReport) -> None:
    """A test that let the token into its output or logs has failed, whatever it said itself."""
    shown = [name for name, text in report.sections if NEEDLE in text]
    if shown and report.outcome == "passed":
        report.outcome = "failed"
        report.longrepr = f"The token is shown in: {', '.join(shown)}"


def files_with_it(folder: Path) -> list[str]:
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and _holds(path)
    ]


def _holds(path: Path) -> bool:
    try:
        return NEEDLE.encode() in path.read_bytes()
    except PermissionError:
        return False


def kept_from_command_lines(patch: pytest.MonkeyPatch) -> None:
    """Whoever starts a process with the token among its arguments shows it to everybody on the machine."""
    begin = subprocess.Popen.__init__

    def checked(self: Any, args: Any, *rest: Any, **named: Any) -> None:
        assert NEEDLE not in str(args), "the token is on a command line"
        begin(self, args, *rest, **named)

    patch.setattr(subprocess.Popen, "__init__", checked)


@pytest.fixture(scope="session", autouse=True)
def secrecy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        kept_from_command_lines(patch)
        yield
    assert files_with_it(tmp_path_factory.getbasetemp()) == []
