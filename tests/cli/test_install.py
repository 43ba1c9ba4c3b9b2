"""Installing the program before a host is told of it, by a uv of the test's own."""

import json
import sys
from pathlib import Path

import pytest

from luma_mcp import __version__
from luma_mcp.cli import run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a script of the shell")


@pytest.fixture
def uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A uv that writes down what it is asked for."""
    folder = tmp_path / "programs"
    folder.mkdir()
    (folder / "uv").write_text(f"""#!/bin/sh
echo "$@" >> {folder}/asked
[ -e {folder}/broken ] && echo "no such version" >&2 && exit 1
[ "$2" = install ] && [ ! -e {folder}/lost ] && touch {folder}/dream-machine-mcp
[ "$2" = dir ] && echo {folder}
exit 0
""")
    (folder / "uv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return folder


def test_the_host_starts_what_was_installed(uv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "cursor", "--write", "--install"]) == 0
    written = json.loads((tmp_path / ".cursor" / "mcp.json").read_text())["mcpServers"]["luma"]

    assert (written["command"], written["args"]) == (f"{uv}/dream-machine-mcp", [])
    asked = (uv / "asked").read_text().splitlines()
    assert asked == [f"tool install --quiet dream-machine-mcp=={__version__}", "tool dir --bin"]
    assert "Wrote" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("spoilt", "sentence"),
    [
        ("broken", f"uv cannot install dream-machine-mcp {__version__}: no such version Nothing was written."),
        ("lost", "is not there. Nothing was written."),
        ("missing", "uv is not found."),
    ],
)
def test_what_cannot_be_installed_is_said_and_nothing_is_written(
    uv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], spoilt: str, sentence: str
) -> None:
    if spoilt == "missing":
        (uv / "uv").unlink()
    (uv / spoilt).touch()

    assert run(["config", "cursor", "--write", "--install"]) == 1
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / ".cursor").exists()
