"""The command as a person runs it: it states the price first, and its report holds nothing secret."""

import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from luma_mcp.cli import run
from luma_mcp.cli.verify.plan import PROMPT, plan

pytestmark = pytest.mark.slow
KEYS = {"LUMA_TOKEN": "luma-secret-one", "LUMA_AGENTS_API_KEY": "luma-api-secret-two"}
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-")


class Terminal(io.StringIO):
    """What a person types."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(scope="module")
def luma() -> Iterator[str]:
    """The origin of an emulator with three habits, for both APIs."""
    command = [
        sys.executable, "-m", "luma_mcp", "emulator", "--port", "0", "--speed", "1000", "--limits", "25,10",
        "--habit", "echo=camel", "--habit", "dates=naive", "--habit", "more=missing",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as emulator:
        assert emulator.stdout is not None
        found = re.search(r"http://[^/]+", emulator.stdout.readline())
        assert found is not None
        yield found[0]
        emulator.terminate()


@pytest.fixture(autouse=True)
def environment(luma: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    values = {
        **KEYS,
        "LUMA_BASE_URL": f"{luma}/dream-machine/v1",
        "LUMA_AGENTS_BASE_URL": f"{luma}/v1",
        "LUMA_OUTPUT_DIR": str(tmp_path / "output"),
        "LUMA_LEDGER": str(tmp_path / "purchases.sqlite3"),
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdin", io.StringIO())


def test_the_price_is_stated_and_without_a_terminal_nothing_is_bought(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify"]) == 1

    out, err = capsys.readouterr()
    assert out == ""
    assert "In all at most $0.109. Nothing was bought. Call again with --yes to buy it." in err
    assert run(["purchases", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_the_usual_price_is_below_15_cents_and_the_small_one_below_5() -> None:
    for apis in (["dream_machine"], ["agents"], ["dream_machine", "agents"]):
        assert sum(purchase.usd for purchase in plan(apis, "usual")) < 0.15
    assert sum(purchase.usd for purchase in plan(["dream_machine", "agents"], "small")) < 0.05
    assert [purchase.role for purchase in plan(["dream_machine", "agents"], "full")].count("clip") == 2


@pytest.mark.parametrize("typed", ["", "n\n", "what\n"])
def test_who_does_not_say_yes_buys_nothing(
    typed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(typed))

    assert run(["verify", "--small"]) == 1

    assert "Buy it? [y/N]" in capsys.readouterr().err


def test_three_habits_and_the_limits_are_reported_and_nothing_secret_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    file = tmp_path / "report.md"

    assert run(["verify", "--report", str(file)]) == 3

    report = capsys.readouterr().out
    assert file.read_text() == report.removesuffix("\n")
    line = next(line for line in report.splitlines() if "dream-machine-mcp emulator" in line)
    options = set(line.strip().removeprefix("dream-machine-mcp emulator ").split(" --"))
    assert options == {"--habit dates=naive", "habit echo=camel", "habit more=missing", "limits 25,10"}
    for secret in (*KEYS.values(), PROMPT, "paper boat", "http://", "https://"):
        assert secret not in report
    assert not ID.search(report)


def test_the_report_is_json_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", "--small", "--yes", "--json"]) == 3

    report = json.loads(capsys.readouterr().out)
    assert set(report["apis"]) == {"Dream Machine", "The Luma Agents API"}
    differing = {fact["name"] for facts in report["apis"].values() for fact in facts if fact["differs"]}
    assert "echo of the request" in differing
    assert "--habit echo=camel" in report["options"]


def test_without_a_key_it_says_which_to_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in KEYS:
        monkeypatch.delenv(name)

    assert run(["verify"]) == 2

    assert "LUMA_TOKEN" in capsys.readouterr().err


def test_a_setting_that_is_wrong_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("LUMA_MAX_USD_PER_DAY", "many")

    assert run(["verify"]) == 2

    assert "LUMA_MAX_USD_PER_DAY" in capsys.readouterr().err


def test_a_ledger_that_cannot_be_used_refuses_every_purchase(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "purchases.sqlite3").write_text("this is no ledger" * 100)
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    assert run(["verify", "--small", "--yes"]) == 3

    assert "image: refused" in capsys.readouterr().out
