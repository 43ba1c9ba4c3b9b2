"""A host's configuration: printed, and written without losing what is there."""

import json
import os
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from luma_mcp import __version__
from luma_mcp.cli import config, run
from luma_mcp.cli.config import merge
from luma_mcp.cli.config_merge import CannotMergeError
from luma_mcp.cli.hosts import HOSTS, Host, host_named, running_command


def named(key: str) -> Host:
    host = host_named(key)
    assert host
    return host


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
    assert printed.out == host.started_by(*running_command()).text
    assert host.title in printed.err
    assert ("Put your key" in printed.err) == host.is_literal


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.key)
def test_it_is_written_where_there_is_nothing(host, home: Path, tmp_path: Path) -> None:
    assert run(["config", host.key, "--write"]) == 0

    path = host.path(tmp_path / "project")
    assert path.read_text() == host.started_by(*running_command()).text
    assert path.is_relative_to(tmp_path)
    assert path.stat().st_mode & 0o077 == 0, "it may come to hold a key"


def test_the_hosts_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config"]) == 0
    assert "  cursor          Cursor\n" in capsys.readouterr().out
    assert run(["config", "emacs"]) == 2
    assert "There is no host 'emacs' here." in capsys.readouterr().err
    assert run(["config", "--write"]) == 2
    assert "Name the host to write for." in capsys.readouterr().err
    assert run(["config", "VS Code"]) == run(["config", "VSCode"]) == 0


@pytest.mark.usefixtures("home")
def test_programs_read_it_too(capsys: pytest.CaptureFixture[str]) -> None:
    def answer(*words: str) -> Any:
        assert run(["config", *words, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    assert {"host": "cursor", "title": "Cursor"} in answer()
    printed = answer("cursor")
    assert json.loads(printed["text"])["mcpServers"]["luma"]
    path = Path(printed["path"])
    assert answer("cursor", "--write") == {
        "host": "cursor", "title": "Cursor", "path": str(path), "written": True, "backup": None,
    }  # fmt: skip
    assert answer("cursor", "--write")["written"] is False
    path.write_text("{}")
    assert Path(answer("cursor", "--write")["backup"]).read_text() == "{}"
    assert run(["config", "emacs", "--json"]) == 2


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
    assert merge(host, path) == Path(), "writing it again changes nothing"
    assert sorted(tmp_path.glob("mcp.json*")) == [path, backup]


def test_toml_is_added_to(tmp_path: Path) -> None:
    host = host_named("codex")
    assert host
    path = tmp_path / "config.toml"
    path.write_text('model = "x" # mine\n')
    merge(host, path)

    assert 'model = "x" # mine' in path.read_text()
    assert tomllib.loads(path.read_text())["mcp_servers"]["luma"]["env_vars"] == ["LUMA_TOKEN"]
    assert merge(host, path) == Path()


@pytest.mark.parametrize(
    ("before", "kept"),
    [
        ("# mcp_servers.luma is off\n", "# mcp_servers.luma is off"),
        ('[mcp_servers.lumapics]\ncommand = "x"\n', "[mcp_servers.lumapics]"),
        ('mcp_servers = { foo = { command = "x" } }\n', "foo = { command"),
        ('[mcp_servers]\nfoo = { command = "x" }\n\n[tui] # mine\n', "[tui] # mine"),
        ('mcp_servers.foo.command = "x"\r\n# end\r\n', "# end"),
    ],
)
def test_every_form_of_toml_is_added_to(before: str, kept: str, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(before.encode())
    merge(named("codex"), path)
    after = path.read_bytes().decode()

    assert kept in after
    servers = tomllib.loads(after)["mcp_servers"]
    assert servers["luma"]["env_vars"] == ["LUMA_TOKEN"]
    assert {**servers, "luma": None} == {**tomllib.loads(before).get("mcp_servers", {}), "luma": None}
    assert ("\r\n" in before) == ("\r\n" in after)


def test_yaml_keeps_anchors_quotes_comments_and_indentation(tmp_path: Path) -> None:
    before = "# mine\nextensions:\n  dev: &d\n    args:\n    - \"a\"\n    - 'b'\n  other: *d\nMODEL: x   # why\n"
    path = tmp_path / "config.yaml"
    path.write_text(before)
    merge(named("goose"), path)
    after = path.read_text()

    assert after.startswith(before.partition("MODEL")[0])
    assert after.endswith("MODEL: x   # why\n")
    assert "  luma:\n" in after
    assert "    env_keys:\n    - LUMA_TOKEN\n" in after


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16-le", "utf-16-be"])
def test_the_encoding_and_its_mark_are_kept(encoding: str, tmp_path: Path) -> None:
    mark = b"" if encoding == "utf-8-sig" else "\ufeff".encode(encoding)
    path = tmp_path / "settings.json"
    path.write_bytes(mark + '{"theme": "Ölgrün"}\r\n'.encode(encoding))
    merge(named("zed"), path)
    text = path.read_bytes().decode(encoding).removeprefix("\ufeff")

    assert path.read_bytes().startswith(mark or b"\xef\xbb\xbf")
    assert list(json.loads(text)) == ["theme", "context_servers"]
    assert "Ölgrün" in text


def test_this_server_is_brought_up_to_date_and_keeps_the_person_s_key(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    server = {
        "command": "uvx", "args": ["dream-machine-mcp@0.0.1"],
        "env": {"LUMA_TOKEN": "a key", "LUMA_MAX_USD_PER_DAY": "5"},
        "disabled": False,
    }  # fmt: skip
    path.write_text(json.dumps({"mcpServers": {"luma": server}}))
    merge(named("claude-desktop"), path)

    expected = {**server, "args": [f"dream-machine-mcp@{__version__}"]}
    assert json.loads(path.read_text())["mcpServers"]["luma"] == expected


@pytest.mark.skipif(sys.platform == "win32", reason="links and modes of POSIX")
def test_a_link_is_followed_inside_the_home_folder_and_not_out_of_it(home: Path, tmp_path: Path) -> None:
    home.mkdir(parents=True)
    (home / "dotfiles.json").write_text("{}")
    inside, outside = tmp_path / "inside.json", tmp_path / "outside.json"
    inside.symlink_to(home / "dotfiles.json")
    (tmp_path / "theirs.json").write_text("{}")
    outside.symlink_to(tmp_path / "theirs.json")
    merge(named("cursor"), inside)

    assert inside.is_symlink()
    assert "luma" in (home / "dotfiles.json").read_text()
    with pytest.raises(CannotMergeError, match="outside your home folder"):
        merge(named("cursor"), outside)
    assert (tmp_path / "theirs.json").read_text() == "{}"


@pytest.mark.skipif(sys.platform == "win32", reason="links and modes of POSIX")
def test_what_was_planted_beside_the_file_is_not_followed(tmp_path: Path) -> None:
    path, victim = tmp_path / "mcp.json", tmp_path / "victim"
    path.write_text("{}")
    victim.write_text("precious")
    for name in (".mcp.json.part", "mcp.json.backup-1"):
        (tmp_path / name).symlink_to(victim)
    backup = merge(named("cursor"), path)

    assert victim.read_text() == "precious"
    assert backup == tmp_path / "mcp.json.backup-2"


@pytest.mark.skipif(sys.platform == "win32", reason="links and modes of POSIX")
def test_a_read_only_file_is_left_alone_and_a_readable_secret_is_told(tmp_path: Path, home: Path, capsys) -> None:
    path = tmp_path / "mcp.json"
    path.write_text("{}")
    path.chmod(0o444)
    with pytest.raises(CannotMergeError, match="is read-only"):
        merge(named("cursor"), path)

    file = named("lmstudio").path(tmp_path)
    file.parent.mkdir(parents=True)
    file.write_text("{}")
    file.chmod(0o644)
    assert run(["config", "lmstudio", "--write"]) == 0
    assert f"chmod 600 {file}" in capsys.readouterr().err
    assert run(["config", "jetbrains", "--write"]) == 0
    assert "Keep that file out of version control." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        ("/home/me/.local/bin/dream-machine-mcp", None),
        ("/home/me/.cache/uv/archive-v0/x/bin/dream-machine-mcp", ("uvx", (f"dream-machine-mcp@{__version__}",))),
        ("/usr/lib/python3/luma_mcp/__main__.py", (sys.executable, ("-m", "luma_mcp"))),
    ],
)
def test_the_command_is_the_one_that_runs(argv: str, command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if command is None:
        program = tmp_path / "dream-machine-mcp"
        program.touch()
        argv, command = str(program), (str(program), ())
    monkeypatch.setattr(sys, "argv", [argv])

    assert running_command() == command


@pytest.mark.parametrize(
    ("key", "existing"),
    [
        ("cursor", "{ // comments"),
        ("cursor", "[]"),
        ("cursor", '{"mcpServers": []}'),
        ("cursor", '{"mcpServers": "none"}'),
        ("cursor", '{"mcpServers": {"luma": "none"}}'),
        ("vscode", '{"inputs": {}}'),
        ("cursor", '{"mcpServers": {"luma": {"command": "mine"}}}'),
        ("codex", '[mcp_servers."luma"]\ncommand = "x"\n'),
        ("codex", "mcp_servers = 5\n"),
        ("codex", "[mcp_servers\n"),
        ("goose", "extensions: []\n"),
        ("goose", "- a list\n"),
        ("goose", "a: [b\n"),
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
    assert "Nothing was written to " in capsys.readouterr().err
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


def test_a_file_with_nothing_in_it_is_filled_and_a_second_run_says_so(tmp_path: Path, capsys) -> None:
    path = named("cursor").path(tmp_path / "project")
    path.parent.mkdir(parents=True)
    path.write_text("\n")
    assert run(["config", "cursor", "--write"]) == 0
    assert "luma" in json.loads(path.read_text())["mcpServers"]
    assert run(["config", "cursor", "--write"]) == 0

    assert "has this server already; nothing was changed." in capsys.readouterr().out


def test_a_link_to_what_is_somebody_else_s_is_not_followed(home: Path, tmp_path: Path, monkeypatch) -> None:
    home.mkdir(parents=True)
    (home / "theirs.json").write_text("{}")
    (tmp_path / "link.json").symlink_to(home / "theirs.json")
    monkeypatch.setattr(os, "getuid", lambda: 4711)

    with pytest.raises(CannotMergeError, match="belongs to somebody else"):
        merge(named("cursor"), tmp_path / "link.json")


def test_what_is_in_no_known_encoding_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_bytes(b'{"name": "\xff"}')

    with pytest.raises(CannotMergeError, match="is not encoded as UTF-8"):
        merge(named("cursor"), path)


def test_what_a_list_has_by_its_name_is_not_added_again(tmp_path: Path) -> None:
    path = tmp_path / "luma.yaml"
    path.write_text("name: mine\nmcpServers:\n  - name: luma\n    command: x\n")
    merge(named("continue"), path)
    assert path.read_text().count("name: luma") == 1

    path.write_text("name: mine\nmcpServers:\n  - name: other\n    command: x\n")
    merge(named("continue"), path)
    assert "  - name: other\n    command: x\n  - name: luma\n" in path.read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="links and modes of POSIX")
def test_a_linked_folder_that_leads_out_of_the_home_folder_is_not_written_to(home: Path, tmp_path: Path) -> None:
    project, elsewhere = tmp_path / "my-project", tmp_path / "elsewhere"
    for folder in (project, elsewhere):
        folder.mkdir()
    (project / ".cursor").symlink_to(elsewhere)
    with pytest.raises(CannotMergeError, match="outside your home folder"):
        merge(named("cursor"), named("cursor").path(project))

    assert list(elsewhere.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="links and modes of POSIX")
def test_what_is_no_ordinary_file_is_told_at_once(home: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "loop.json").symlink_to(tmp_path / "loop.json")
    (tmp_path / "there.json").symlink_to(tmp_path / "back.json")
    (tmp_path / "back.json").symlink_to(tmp_path / "there.json")
    loop = "leads back to itself"
    for name, sentence in (("pipe.json", "no ordinary file"), ("loop.json", loop), ("there.json", loop)):
        with pytest.raises(CannotMergeError, match=sentence):
            merge(named("cursor"), tmp_path / name)
