"""`dream-machine-mcp work`."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from luma_mcp.cli import run

_DATABASE = "postgresql://me:the-password@127.0.0.1:9/none"


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"LUMA_LEDGER": "~/purchases.sqlite3"}, "LUMA_LEDGER must be a database"),
        ({"LUMA_LEDGER": _DATABASE, "LUMA_READ_ONLY": "1"}, "LUMA_READ_ONLY is set"),
        ({"LUMA_LEDGER": "mysql://host/database"}, "LUMA_LEDGER cannot be used"),
    ],
)
def test_a_worker_that_cannot_work_names_the_reason(
    variables: dict[str, str], reason: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert run(["work"]) == 2
    assert f"dream-machine-mcp cannot work: {reason}" in capsys.readouterr().err


def test_a_worker_without_its_library_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LUMA_LEDGER", _DATABASE)
    monkeypatch.setattr("luma_mcp.cli.work.is_installed", lambda: False)
    assert run(["work"]) == 2
    assert "extra `worker`" in capsys.readouterr().err


@pytest.mark.services
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_ends_with_a_signal(number: signal.Signals, database: str, tmp_path: Path) -> None:
    environment = {**os.environ, "LUMA_TOKEN": "a-key", "LUMA_LEDGER": database, "LUMA_OUTPUT_DIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-m", "luma_mcp", "work"], env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "dream-machine-mcp: working\n"
        process.send_signal(number)
        assert process.wait(60) == 0
