"""What a person types, in a process of its own."""

import contextlib
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import av
import httpx
import pytest
from PIL import Image

import luma_mcp
from luma_mcp.__main__ import main
from luma_mcp.cli import demo
from luma_mcp.cli import run as run_here
from luma_mcp.cli.demo_server import FastClock
from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.faults import Fault
from tests.support.stdio_process import INHERITED

pytestmark = pytest.mark.medium

COMMAND = [sys.executable, "-m", "luma_mcp"]


def run(*arguments: str, timeout: int = 300) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=timeout, check=False)


@pytest.mark.slow
def test_the_demo_makes_files_that_a_person_can_open(tmp_path: Path) -> None:
    done = run("demo", "--keep", str(tmp_path), "--speed", "500")

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    files = sorted(file for file in tmp_path.iterdir() if file.suffix != ".json")
    assert [file.suffix for file in files].count(".mp4") == 9
    for file in files:
        assert (
            file.name in done.stdout.replace("\n", "").replace("│", "").replace(" ", "")
            or file.stem[:20] in done.stdout
        )
        if file.suffix == ".mp4":
            with av.open(str(file)) as container:
                frames = {"-edited-": 240, "-film-": 480}
                wanted = next((count for word, count in frames.items() if word in file.name), 120)
                assert container.streams.video[0].frames == wanted
        else:
            with Image.open(file) as picture:
                assert picture.size == (2048, 1152) or file.stem.endswith("-sheet")
    assert "At Luma this would have cost about $" in done.stdout


def test_a_demo_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(demo, "_CREDIT_USD", 0.0)

    assert demo.run(tmp_path, 500) == 1
    assert "insufficient credits" in capsys.readouterr().out.replace("\n", " ")


@pytest.mark.parametrize("lost", ["*/image.jpg", "*/objects/*"], ids=["dream_machine", "agents"])
def test_a_demo_that_cannot_save_a_file_says_so_in_a_sentence(lost: str, tmp_path: Path, monkeypatch, capfd) -> None:
    monkeypatch.setattr(demo, "Emulator", partial(Emulator, faults=[Fault("error", path=lost, status=500, times=999)]))

    assert demo.run(tmp_path, 500) == 1
    output = capfd.readouterr()
    assert "The demo failed: " in output.out
    assert "was not saved" in output.out.replace("\n", " ") or "500" in output.out
    assert "Traceback" not in output.out + output.err


def test_a_demo_with_a_file_that_is_missing_names_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def half(*_: Any, **__: Any) -> dict[str, Any]:
        return {"files": [{"generation_id": "a", "path": "a.mp4"}], "problems": ["b was not saved. The disk is full."]}

    made = demo._Demo(tmp_path, 500)
    monkeypatch.setattr(made, "_call", half)

    with pytest.raises(demo.DemoError, match=r"^b was not saved\. The disk is full\.$"):
        anyio.run(made._save, None, "a", "b")


async def _advance(clock: FastClock) -> float:
    before = clock.now()
    await clock.sleep(1)
    return clock.now() - before


def test_the_demo_s_clock_is_faster_and_its_time_of_day_is_right() -> None:
    clock = FastClock(1000)
    with anyio.from_thread.start_blocking_portal() as portal:
        assert portal.call(_advance, clock) >= 1
    assert abs(clock.wall() - time.time()) < 60


@pytest.mark.parametrize("words", [["doctor"], []], ids=["a command", "serve"])
def test_ctrl_c_while_it_imports_leaves_no_traceback(words: list[str]) -> None:
    interrupted = """
import sys
class Finder:
    def find_spec(name, *_):
        if name in ("luma_mcp.cli", "luma_mcp.composition"):
            raise KeyboardInterrupt
sys.meta_path.insert(0, Finder)
from luma_mcp.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
    done = subprocess.run([sys.executable, "-c", interrupted, *words], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Stopped.\n")


def test_a_film_that_does_not_end_well_fails_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def stopped(*_: Any, **__: Any) -> dict[str, Any]:
        return {"price_usd": 0.33, "film_id": "film-1", "shots": [], "state": "stopped", "next": "shot 1 was not made."}

    made = demo._Demo(tmp_path, 500)
    monkeypatch.setattr(made, "_call", stopped)

    with pytest.raises(demo.DemoError, match=r"^stopped: shot 1 was not made\.$"):
        anyio.run(made._film_act, None)


def test_the_version_and_the_help() -> None:
    assert run("--version").stdout.strip() == f"dream-machine-mcp {luma_mcp.__version__}"
    helped = run("--help").stdout
    assert "demo" in helped
    assert "emulator" in helped


def test_a_port_without_http_is_said() -> None:
    done = run("serve", "--port", "8080")

    assert done.returncode == 2
    assert done.stderr == "dream-machine-mcp cannot start: --host and --port go with --http.\n"


def test_an_unknown_command_is_said() -> None:
    done = run("explode")

    assert done.returncode == 2
    assert "invalid choice: 'explode'" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("module", ["luma_mcp", "luma_mcp.emulator"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_emulator_answers_at_once_and_stops_on_a_signal(module: str, number: signal.Signals) -> None:
    words = ["emulator"] if module == "luma_mcp" else []
    process = subprocess.Popen(
        [sys.executable, "-m", module, *words, "--port", "0", "--credits", "12", "--no-limits"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+/dream-machine/v1", process.stdout.readline())
        assert found is not None
        transport = httpx.HTTPTransport(retries=3)
        with httpx.Client(transport=transport, headers={"Authorization": "Bearer x"}) as http:
            assert http.get(f"{found[0]}/credits").json() == {"credit_balance": 1200}
        process.send_signal(number)
        _, message = process.communicate(timeout=10)
        assert process.returncode == (0 if number == signal.SIGINT else -number)
        assert message == ""
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["emulator", "--port", "99999"], "it must be a whole number from 0 to 65535"),
        (["emulator", "--port", "http"], "it must be a whole number from 0 to 65535"),
        (["emulator", "--speed", "0"], "it must be a number above 0"),
        (["emulator", "--speed", "fast"], "it must be a number above 0"),
        (["demo", "--speed", "0"], "it must be a number above 0"),
        (["demo", "--speed", "nan"], "it must be a number above 0"),
        (["serve", "--http", "--port", "-1"], "it must be a whole number from 0 to 65535"),
    ],
)
def test_a_number_that_cannot_be_is_said(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run_here(words)

    assert caught.value.code == 2
    assert sentence in capsys.readouterr().err


def test_a_demo_into_a_file_is_refused_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").touch()

    assert run_here(["demo", "--keep", str(tmp_path / "out")]) == 2
    assert "is a file; --keep wants a folder." in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.slow
@pytest.mark.parametrize("words", [["demo", "--speed", "1"], ["doctor"]], ids=" ".join)
def test_ctrl_c_leaves_no_trace(words: list[str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/dream-machine/v1"
        environment = {**INHERITED, "HOME": str(tmp_path), "LUMA_TOKEN": "x", "LUMA_BASE_URL": address}
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        # A shell that starts the tests in the background has them ignore Ctrl-C, and so would the program.
        pipes["preexec_fn"] = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
        with subprocess.Popen([*COMMAND, *words], env=environment, **pipes) as process:  # type: ignore[call-overload]
            if words == ["doctor"]:
                connection, _ = silent.accept()  # it asks Luma now
            else:
                connection = contextlib.nullcontext()
                assert next(line for line in process.stdout if line.startswith("create_image: "))
            with connection:
                process.send_signal(signal.SIGINT)
                _, errors = process.communicate(timeout=60)

    assert process.returncode == 130
    assert errors.strip().splitlines()[-1:] == ["Stopped."]
    assert "Traceback" not in errors


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
def test_a_reader_that_has_gone_leaves_no_trace(tmp_path: Path) -> None:
    command = f"{shlex.quote(sys.executable)} -m luma_mcp purchases list | true"
    done = subprocess.run(
        ["sh", "-c", command], env={**INHERITED, "HOME": str(tmp_path)}, capture_output=True, text=True, check=False
    )

    assert done.stderr == ""


def test_an_argument_that_is_no_text_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["video", "a boat \udcff"]) == 2
    assert capsys.readouterr().err == "dream-machine-mcp: an argument is not encoded as UTF-8.\n"
