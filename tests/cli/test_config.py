"""A host's configuration: printed, and written without losing what is there."""

import json
import sys
import tomllib
from pathlib import Path

import pytest

from luma_mcp.cli import config, run
from luma_mcp.cli.config import CannotMergeError, merge
from luma_mcp.cli.hosts import HOSTS, host_named


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "home"


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.key)
def test_it_is_printed_so_that_it_can_be_piped(host, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", host.key]) == 0

    printed = capsys.readouterr()
    assert printed.out == host.text
    assert host.title in printed.err
    assert ("Put your key" in printed.err) == host.is_literal


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.key)
def test_it_is_written_where_there_is_nothing(host, home: Path, tmp_path: Path) -> None:
    assert run(["config", host.key, "--write"]) == 0

    path = host.path(tmp_path / "project")
    assert path.read_text() == host.text
    assert path.is_relative_to(tmp_path)
    assert path.stat().st_mode & 0o077 == 0, "it may come to hold a key"


def test_the_hosts_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config"]) == 0
    assert "cursor" in capsys.readouterr().out
    assert run(["config", "emacs"]) == 2


def test_what_is_there_is_kept_and_backed_up(tmp_path: Path) -> None:
    host = host_named("vscode")
    assert host
    path = tmp_path / "mcp.json"
    before = {"inputs": [{"id": "other"}], "servers": {"other": {"command": "x"}}, "more": 5}
    path.write_text(json.dumps(before))
    path.chmod(0o644)
    backup = merge(host, path)

    after = json.loads(path.read_text())
    assert after["more"] == 5
    assert set(after["servers"]) == {"other", "luma"}
    assert [each_input["id"] for each_input in after["inputs"]] == ["other", "luma-token"]
    assert backup
    assert json.loads(backup.read_text()) == before
    assert path.stat().st_mode & 0o777 == 0o644
    assert merge(host, path) != backup
    assert json.loads(path.read_text()) == after, "writing it again changes nothing"


def test_toml_is_added_to(tmp_path: Path) -> None:
    host = host_named("codex")
    assert host
    path = tmp_path / "config.toml"
    path.write_text('model = "x" # mine\n')
    merge(host, path)

    assert 'model = "x" # mine' in path.read_text()
    assert tomllib.loads(path.read_text())["mcp_servers"]["luma"]["env_vars"] == ["LUMA_TOKEN"]
    with pytest.raises(CannotMergeError, match="already"):
        merge(host, path)


@pytest.mark.parametrize(
    ("key", "existing"),
    [
        ("cursor", "{ // comments\n}"),
        ("cursor", "[]"),
        ("cursor", '{"mcpServers": {"luma": {"command": "mine"}}}'),
        ("goose", "extensions: {}"),
    ],
)
def test_what_cannot_be_added_to_is_left_alone(key: str, existing: str, tmp_path: Path, capsys) -> None:
    host = host_named(key)
    assert host
    path = host.path(tmp_path / "project")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(existing)

    assert config.run(key, write=True, project=tmp_path / "project") == 1
    assert path.read_text() == existing
    assert "Nothing was written." in capsys.readouterr().err
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("platform", "place"),
    [
        ("darwin", "Library/Application Support/Claude"),
        ("win32", "AppData/Roaming/Claude"),
        ("linux", ".config/Claude"),
    ],
)
def test_claude_desktop_s_file_is_where_each_system_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, place: str
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)

    assert host_named("claude-desktop").path(tmp_path) == tmp_path / place / "claude_desktop_config.json"
