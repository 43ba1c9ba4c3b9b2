"""The ledger, for a person who must settle what nobody else can."""

import csv
import json
from pathlib import Path

import anyio
import pytest

from luma_mcp.cli import run
from luma_mcp.composition import build_ledger
from luma_mcp.config.settings import Settings
from luma_mcp.ledger.caps import Budget
from luma_mcp.ledger.rows import NewPurchase
from tests.support.agent import TOKEN


@pytest.fixture
def ledger_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger with a completed purchase, and one that is disputed."""
    path = tmp_path / "purchases.sqlite3"
    monkeypatch.setenv("LUMA_TOKEN", TOKEN)
    monkeypatch.setenv("LUMA_LEDGER", str(path))

    async def fill() -> None:
        ledger = build_ledger(Settings.from_environment())
        for take, steps in ((1, ["sending", "accepted"]), (2, ["sending", "lost", "disputed"])):
            request = '{"prompt":"a boat","made_from":["b"]}'
            new = NewPurchase("f", "s", request, "video", 700_000, "published", take=take)
            row = (await ledger.decide(new, Budget())).row
            for step in steps:
                await ledger.advance(
                    row,
                    step,
                    generation_id="a" if step == "accepted" else None,
                    request_id="the-request-id",
                    note="Luma's list could not be read." if step == "disputed" else "",
                )
        await ledger.close()

    anyio.run(fill)
    return path


@pytest.mark.usefixtures("ledger_file")
def test_they_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["purchases"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert "accepted   $0.700    video          a" in first
    assert "disputed" in second
    assert second.endswith("-  Luma's list could not be read.")

    assert run(["purchases", "list", "--in-doubt"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert run(["purchases", "list", "--json"]) == 0
    assert [row["state"] for row in json.loads(capsys.readouterr().out)] == ["accepted", "disputed"]


async def _buy(person: str, model: str) -> None:
    ledger = build_ledger(Settings.from_environment())
    request = json.dumps({"prompt": "=a secret", "model": model})
    new = NewPurchase("g", "s", request, "image", 15_000, "assumed", person=person, model=model)
    await ledger.decide(new, Budget())
    await ledger.close()


@pytest.mark.usefixtures("ledger_file")
def test_they_are_exported_for_a_spreadsheet(capsys: pytest.CaptureFixture[str]) -> None:
    anyio.run(_buy, "anna", "photon-1")
    anyio.run(_buy, "=cmd()@evil", "@sum")
    assert run(["purchases", "list", "--csv"]) == 0
    out = capsys.readouterr().out
    rows = list(csv.DictReader(out.splitlines()))

    assert [row["person"] for row in rows] == ["", "", "anna", "'=cmd()@evil"]
    assert [row["model"] for row in rows] == ["video", "video", "photon-1", "'@sum"]
    assert [row["usd"] for row in rows] == ["0.7", "0.7", "0.015", "0.015"]
    assert rows[0]["generation"] == "a"
    assert rows[2]["time"].endswith("Z")
    assert "secret" not in out


@pytest.mark.usefixtures("ledger_file")
def test_one_person_s_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    anyio.run(_buy, "anna", "photon-1")

    assert run(["purchases", "list", "--person", "anna"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert run(["purchases", "list", "--person", ""]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert run(["purchases", "show", "3"]) == 0
    assert "person: anna" in capsys.readouterr().out


@pytest.mark.usefixtures("ledger_file")
def test_one_is_shown_with_what_luma_s_support_can_look_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["purchases", "show", "2"]) == 0
    shown = capsys.readouterr().out

    assert "X-Request-Id: the-request-id" in shown
    assert "why: Luma's list could not be read." in shown
    assert 'request: {"prompt": "a boat"}' in shown
    assert "made from: b" in shown


@pytest.mark.usefixtures("ledger_file")
def test_programs_read_one_and_settle_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["purchases", "show", "2", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert run(["purchases", "settle", "2", "--bought", "c", "--json"]) == 0
    settled = json.loads(capsys.readouterr().out)

    assert (shown["state"], shown["micros"], shown["request_id"]) == ("disputed", 700_000, "the-request-id")
    assert (settled["id"], settled["state"], settled["generation_id"]) == (2, "accepted", "c")


@pytest.mark.usefixtures("ledger_file")
@pytest.mark.parametrize(
    ("outcome", "sentence", "spent"),
    [
        (["--bought", "c"], "Purchase 2 is accepted: $0.70 is spent.", 1.4),
        (["--not-bought"], "Purchase 2 is absent: nothing is spent.", 0.7),
    ],
)
def test_a_person_settles_what_is_in_doubt(
    capsys: pytest.CaptureFixture[str], outcome: list[str], sentence: str, spent: float
) -> None:
    assert run(["purchases", "settle", "2", *outcome]) == 0
    assert capsys.readouterr().out.strip() == sentence

    async def today() -> float:
        ledger = build_ledger(Settings.from_environment())
        spending = await ledger.today()
        await ledger.close()
        return spending.spent_usd

    assert anyio.run(today) == spent


@pytest.mark.usefixtures("ledger_file")
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["settle", "1", "--not-bought"], "Purchase 1 is accepted, so it cannot be settled so"),
        (["settle", "2", "--bought", "a"], "or another purchase has that generation"),
        (["settle", "2", "--bought", ""], "'' is no id of a generation"),
        (["settle", "2", "--bought", "the second one"], "'the second one' is no id of a generation"),
        (["settle", "9", "--not-bought"], "There is no purchase 9."),
        (["show", "9"], "There is no purchase 9."),
    ],
)
def test_what_cannot_be_settled_is_left_alone(
    capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    assert run(["purchases", *words]) == 1
    assert sentence in capsys.readouterr().err


def test_an_empty_ledger_and_a_broken_one_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LUMA_LEDGER", str(tmp_path / "purchases.sqlite3"))
    assert run(["purchases"]) == 0
    assert capsys.readouterr().out == "No purchases.\n"

    monkeypatch.setenv("LUMA_LEDGER", str(tmp_path))
    assert run(["purchases"]) == 1
    assert "cannot be used" in capsys.readouterr().err


def test_what_comes_from_outside_does_not_steer_the_terminal(
    ledger_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def add() -> None:
        ledger = build_ledger(Settings.from_environment())
        new = NewPurchase("g", "s", '{"prompt":"a boat"}', "video", 1, "published")
        row = (await ledger.decide(new, Budget())).row
        for step in ("sending", "lost"):
            await ledger.advance(row, step, note="no \x1b[2J\x9b2J answer")
        await ledger.close()

    anyio.run(add)
    assert run(["purchases", "show", "3"]) == 0
    shown = capsys.readouterr().out

    assert "why: no  [2J 2J answer" in shown
    assert "\x1b" not in shown


@pytest.mark.usefixtures("ledger_file")
def test_a_copy_holds_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy.sqlite3"
    assert run(["purchases", "list", "--json"]) == 0
    before = capsys.readouterr().out
    assert run(["purchases", "backup", str(copy)]) == 0
    assert f"LUMA_LEDGER={copy}" in capsys.readouterr().out
    monkeypatch.setenv("LUMA_LEDGER", str(copy))
    assert run(["purchases", "list", "--json"]) == 0

    assert capsys.readouterr().out == before
    assert copy.stat().st_mode & 0o077 == 0


@pytest.mark.usefixtures("ledger_file")
def test_a_copy_that_cannot_be_made_is_said_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["purchases", "backup", str(tmp_path)]) == 1
    assert "cannot be copied" in capsys.readouterr().err
    assert not list(tmp_path.parent.glob("*.part"))

    monkeypatch.setenv("LUMA_LEDGER", "postgresql://127.0.0.1/ledger")
    assert run(["purchases", "backup", str(tmp_path / "copy")]) == 1
    assert "pg_dump" in capsys.readouterr().err


@pytest.mark.usefixtures("ledger_file")
def test_a_long_ledger_is_listed_by_pages(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("luma_mcp.ledger.reading._PAGE", 2)
    anyio.run(_buy, "anna", "photon-1")
    assert run(["purchases", "list", "--json"]) == 0
    assert [row["id"] for row in json.loads(capsys.readouterr().out)] == [1, 2, 3]
    assert run(["purchases", "list", "--csv"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert run(["purchases", "list", "--json", "--person", "nobody"]) == 0
    assert json.loads(capsys.readouterr().out) == []
