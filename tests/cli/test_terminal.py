"""What commands show: plain where nobody looks, within the width of the terminal, in colours where they may be."""

import os
import pty
import subprocess
import sys

import pytest

from luma_mcp.cli import terminal


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")


@pytest.mark.usefixtures("narrow")
def test_a_table_keeps_to_the_width(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.table([("✓", "token", "It is " + "very " * 20 + "good."), ("•", "caps", "None.")])
    lines = capsys.readouterr().out.splitlines()

    assert max(len(line) for line in lines) <= 50
    assert lines[0].startswith("✓  token  It is very")
    assert lines[1].startswith("          very")
    assert lines[-1] == "•  caps   None."


def test_a_path_is_not_broken_in_a_narrow_place(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("COLUMNS", "10")
    terminal.table([("What", "a-file-name.mp4"), ("", "")])

    assert "a-file-name.mp4" in capsys.readouterr().out


def test_the_name_of_a_file_is_never_broken(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    name = "ray-2-a-lighthouse-on-a-cliff-at-dusk-waves-below-1a2b3c4d.mp4"
    terminal.table([("text to video, orbit left", "1,234 kB", name), ("image", "99 kB", "short.jpg")])
    first, second, third = capsys.readouterr().out.splitlines()

    assert (first, second) == ("text to video, orbit left  1,234 kB", f"  {name}")
    assert third == "image                      99 kB     short.jpg"


def test_there_is_no_colour_and_no_changing_line_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    progress = terminal.Progress(["one", "two"])
    progress.update("one", "dreaming", is_over=False)
    progress.update("one", "completed", is_over=True)
    progress.update("one", "completed", is_over=True)
    progress.update("two", "failed", is_over=True)
    terminal.heading("Heading")
    out = capsys.readouterr().out

    assert "\x1b" not in out
    assert "\r" not in out
    assert out.splitlines()[:2] == ["one: completed after 0 s", "two: failed after 0 s"]


SHOWN = """
from luma_mcp.cli import terminal
terminal.table([("x", "bad")], ["red"])
progress = terminal.Progress(["one", "two"])
progress.update("one", "dreaming", is_over=False)
progress.update("one", "completed", is_over=True)
progress.update("two", "completed", is_over=True)
"""


def in_a_terminal(**variables: str) -> str:
    """What a process writes to a terminal."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "COLUMNS": "60", "TERM": "xterm", **variables}
    process = subprocess.run([sys.executable, "-c", SHOWN], stdout=follower, env=environment, check=True)
    os.close(follower)
    written = b""
    try:
        while block := os.read(leader, 4096):
            written += block
    except OSError:  # Linux says so that the other end is closed
        pass
    os.close(leader)
    assert process.returncode == 0
    return written.decode().replace("\r\n", "\n")


@pytest.mark.medium
@pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")
def test_in_a_terminal_there_are_colours_and_one_line_that_changes() -> None:
    out = in_a_terminal(NO_COLOR="")

    assert out.startswith("\x1b[31mx\x1b[0m  bad\n")
    assert "\r\x1b[2Kone: dreaming, two: queued\r\x1b[2Kone: completed after 0 s\ntwo: queued\r\x1b[2K" in out
    assert out.endswith("two: completed after 0 s\n")


@pytest.mark.medium
@pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")
@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_can_be_turned_off(variables: dict[str, str]) -> None:
    assert "\x1b[31m" not in in_a_terminal(**variables)
