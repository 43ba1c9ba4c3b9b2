"""One job from a shell: what is printed where, the exit codes, and the command that goes on."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from luma_mcp.cli import one_shot, run
from luma_mcp.mcp.client import caller
from tests.support.made_clips import make_clip, patches
from tests.support.stdio_process import INHERITED

pytestmark = pytest.mark.medium

FILM = ["a boat at dawn", "+it drifts off", "a storm comes"]
SMALL = ["--resolution", "540p", "--model", "ray-flash-2"]


@pytest.fixture(scope="module")
def luma() -> Iterator[str]:
    with emulated(speed=2000) as address:
        yield address


@contextmanager
def emulated(*, speed: int) -> Iterator[str]:
    """The address of an emulated Luma."""
    command = [sys.executable, "-m", "luma_mcp", "emulator", "--port", "0", "--speed", str(speed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as emulator:
        assert emulator.stdout is not None
        found = re.search(r"http://\S+", emulator.stdout.readline())
        assert found is not None
        yield found[0]
        emulator.terminate()


@pytest.fixture(autouse=True)
def environment(luma: str, monkeypatch: pytest.MonkeyPatch, output: Path, ledger_path: Path) -> None:
    values = {
        "LUMA_TOKEN": "luma-one-shot", "LUMA_BASE_URL": luma, "LUMA_OUTPUT_DIR": str(output),
        "LUMA_LEDGER": str(ledger_path),
    }  # fmt: skip
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdin", io.StringIO())


class Shell:
    """What a command answers."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str) -> tuple[int, str, str]:
        code = run(words)
        out, err = self._capsys.readouterr()
        return code, out, err

    def events(self, *words: str) -> tuple[int, list[dict[str, Any]]]:
        code, out, _ = self(*words, "--json")
        return code, [json.loads(line) for line in out.splitlines()]


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


def test_an_image_is_made_and_saved(shell: Shell, output: Path) -> None:
    code, out, err = shell("image", "a paper boat", "--format", "png")

    assert code == 0
    assert Path(out.removesuffix("\n")).read_bytes().startswith(b"\x89PNG")
    assert [path.suffix for path in sorted(output.iterdir())] == [".png", ".json"]
    assert re.search(r"^Bought: [0-9a-f-]{36}, \$0\.0173\.$", err, re.MULTILINE)


def test_options_are_those_of_the_tool(shell: Shell) -> None:
    code, events = shell.events("video", "a boat", *SMALL, "--concepts", "orbit_left", "push_in", "--dry-run")

    assert code == 0
    assert [event["event"] for event in events] == ["price"]
    assert '"concepts":[{"key":"orbit_left"},{"key":"push_in"}]' in re.sub(r"\s", "", events[0]["request"])


def test_a_price_is_told_to_a_person(shell: Shell) -> None:
    assert shell("video", "a boat", "--dry-run") == (0, "", "It costs $0.71. Nothing was bought.\n")
    assert "$0.42" in shell("film", *FILM, *SMALL, "--dry-run")[2]


@pytest.mark.slow
def test_what_is_still_running_has_its_own_code_and_the_command_that_goes_on(shell: Shell) -> None:
    code, out, err = shell("video", "a slow boat", *SMALL, "--timeout", "0")
    assert (code, out) == (one_shot.STILL_RUNNING, "") or code == 0
    code, out, err = shell("video", "a slower boat", *SMALL, "--no-wait")
    generation_id = out.strip()
    assert code == 0
    assert err.endswith(f"Continue with: dream-machine-mcp get {generation_id}\n")
    waited = shell("wait", generation_id)
    saved = shell("get", generation_id)
    again, events = shell.events("video", "a slower boat", *SMALL)

    assert (waited[0], waited[1]) == (0, f"{generation_id}\n")
    assert saved[0] == 0
    assert saved[1].endswith(".mp4\n")
    assert (again, events[0]["recovered"], events[-1]["path"]) == (0, True, saved[1].strip())


@pytest.mark.parametrize("command", ["video", "film"])
def test_without_time_it_is_still_running(shell: Shell, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    async def nothing(self: Any, _client: Any, tool: str, _arguments: Any) -> dict[str, Any]:
        made = {"generation_id": "g", "film_id": "film-1", "price_usd": 1.0, "price_is_assumed": True}
        waited = {"done": False, "state": "running", "shots": []}
        return made if tool.startswith("create") else waited

    monkeypatch.setattr(one_shot._Job, "_call", nothing)
    code, out, err = shell(command, "a boat", "--timeout", "0")
    name = "g" if command == "video" else "film-1"
    with_json, events = shell.events(command, "a boat", "--timeout", "0")

    assert (code, out) == (4, "")
    assert "$1.00 at most." in err
    assert err.endswith(f"It is still running.\nContinue with: dream-machine-mcp get {name}\n")
    assert with_json == 4
    assert events[-1] == {"event": "running", "ids": [name], "go_on": f"dream-machine-mcp get {name}"}


@pytest.mark.slow
@pytest.mark.parametrize("way", ["words", "file", "object", "stdin"])
def test_a_film_is_made_of_prompts_or_of_a_file(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    shots: list[Any] = [FILM[0], {"prompt": "it drifts off", "start": "continue"}, FILM[2]]
    text = json.dumps({"shots": shots} if way == "object" else shots)
    (tmp_path / "shots.json").write_text(text)
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    words = {"words": FILM, "stdin": ["-"]}.get(way, [str(tmp_path / "shots.json")])
    code, out, err = shell("film", *words, *SMALL)

    assert code == 0, err
    with av.open(out.strip()) as film:
        assert sum(1 for _ in film.decode(video=0)) == 360
    assert "Allowed: film-" in err
    assert "shot 2: completed after" in err
    assert "Saved, $0.42 spent." in err


def test_a_file_holds_all_arguments_of_a_film_and_an_option_goes_first(shell: Shell, tmp_path: Path) -> None:
    """A resolution that was left out would make it dearer, and nobody would notice."""
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"shots": FILM, "resolution": "540p", "model": "ray-flash-2", "dry_run": True}))
    from_file, file_events = shell.events("film", str(plan))
    _, dearer = shell.events("film", str(plan), "--resolution", "720p")
    plan.write_text(json.dumps({"shots": FILM, "resolutoin": "540p"}))
    misspelt, _, err = shell("film", str(plan), "--dry-run")

    assert from_file == 0
    assert file_events[-1]["price_usd"] == pytest.approx(0.42)
    assert dearer[-1]["price_usd"] == pytest.approx(0.75)
    assert misspelt == 1
    assert "resolutoin" in err


@pytest.mark.slow
def test_a_film_goes_on_by_its_id(shell: Shell) -> None:
    code, out, err = shell("film", *FILM, *SMALL, "--no-wait")
    assert code == 0
    assert err.endswith(f"dream-machine-mcp get {out}")
    code, saved, _ = shell("get", out.strip())

    assert code == 0
    assert Path(saved.strip()).exists()


@pytest.mark.slow
def test_what_failed_says_why(shell: Shell) -> None:
    code, out, err = shell("video", "a boat [fail: Frame moderation failed]", *SMALL)
    film = shell("film", "a ship [fail: Frame moderation failed]", "+it drifts off", *SMALL)

    assert (code, out) == (1, "")
    assert "is failed: Frame moderation failed" in err
    assert (film[0], film[1]) == (1, "")
    assert "Shot 1 failed: Frame moderation failed\nShot 2 stopped: It waits for shot 1" in film[2]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["video", "x"], "Prompt is too short"),
        (["video"], "prompt"),
        (["get", "film-0000000000000000"], "No film has the id"),
        (["wait", "15b7abb1-3741-4b7e-9615-1f9a16c7442d"], "No generation has the id"),
    ],
)
def test_what_is_refused_is_said_in_the_tool_s_words(shell: Shell, words: list[str], message: str) -> None:
    code, out, err = shell(*words)
    with_json, events = shell.events(*words)

    assert (code, out) == (1, "")
    assert message.lower() in err.lower()
    assert with_json == 1
    assert (events[-1]["event"], events[-1]["problem"]) == ("refused", err.strip())


@pytest.mark.parametrize("content", ["{", "{}", "3"])
def test_a_file_that_holds_no_shots_is_said(shell: Shell, tmp_path: Path, content: str) -> None:
    (tmp_path / "shots.json").write_text(content)

    assert shell("film", str(tmp_path / "shots.json"))[0] == 2
    assert shell("film", str(tmp_path / "missing.json"))[0] == 2


def test_a_setting_that_cannot_be_is_said(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUMA_MAX_USD_PER_DAY", "much")
    code, _, err = shell("image", "a boat")

    assert code == 2
    assert err.startswith("dream-machine-mcp: ")


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("typed", "code"), [("y\n", 0), ("Yes\n", 0), ("n\n", 1), ("\n", 1), ("", 1)])
def test_a_person_at_a_terminal_is_asked(shell: Shell, monkeypatch: pytest.MonkeyPatch, typed: str, code: int) -> None:
    monkeypatch.setenv("LUMA_CONFIRM_ABOVE_USD", "0.01")
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    answered = shell("image", "a boat")

    assert answered[0] == code
    assert "Buy this at Luma (image with photon-1) for $0.0173?" in answered[2]
    assert answered[2].count("[y/N]") == 1


def test_where_nobody_can_be_asked_nothing_is_bought(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUMA_CONFIRM_ABOVE_USD", "0.01")
    code, _, err = shell("image", "a boat")

    assert code == 1
    assert "this client cannot ask" in err


def test_ctrl_c_names_the_command_that_goes_on(output: Path, ledger_path: Path) -> None:
    with emulated(speed=1) as luma:
        variables = {**os.environ, "LUMA_BASE_URL": luma}
        with subprocess.Popen(
            [sys.executable, "-m", "luma_mcp", "image", "an interrupted boat"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=variables,
            preexec_fn=_take_ctrl_c,  # noqa: PLW1509 - the only way to undo that a shell let it ignore the signal
        ) as command:  # fmt: skip
            assert command.stderr is not None
            bought = command.stderr.readline()
            command.send_signal(signal.SIGINT)
            out, err = command.communicate(timeout=30)

    assert (command.returncode, out) == (130, "")
    generation_id = bought.removeprefix("Bought: ").partition(",")[0]
    assert err == (f"It was left alone. Continue with: dream-machine-mcp get {generation_id}\nStopped.\n")


def test_ctrl_c_before_anything_is_bought_names_nothing(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(one_shot.anyio, "run", interrupted)

    assert shell("image", "a boat") == (130, "", "Stopped.\n")


@pytest.mark.parametrize("name", ["g", "film-1"])
def test_it_waits_in_slices(shell: Shell, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    answers = [False, False, True]
    slices: list[float] = []

    async def wait(_self: Any, _client: Any, _tool: str, arguments: Any) -> dict[str, Any]:
        slices.append(arguments["timeout_seconds"])
        waited = {"done": answers.pop(0), "state": "completed", "spent_usd": 1.0, "path": "/film.mp4"}
        return {**waited, "generations": [{"generation_id": name, "state": "completed"}]}

    monkeypatch.setattr(one_shot._Job, "_call", wait)
    code, out, _ = shell("wait", name, "--timeout", "10000")

    assert (code, out.strip()) == (0, "/film.mp4" if name == "film-1" else "g")
    assert slices == [1800] * 3


def _take_ctrl_c() -> None:
    """A shell that starts a command in the background lets it ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_a_file_that_cannot_be_saved_is_said(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    call = one_shot._Job._call

    async def unsaved(self: Any, client: Any, tool: str, arguments: Any) -> dict[str, Any]:
        if tool == "download_generation":
            return {"files": [], "problems": ["The disk is full."]}
        return await call(self, client, tool, arguments)

    monkeypatch.setattr(one_shot._Job, "_call", unsaved)
    code, out, err = shell("image", "a boat on a full disk")

    assert (code, out) == (1, "")
    assert "The disk is full." in err


def test_help_and_completion_know_every_option(
    shell: Shell, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit):
        run(["video", "--help"])
    assert "--start-frame" in capsys.readouterr().out
    for name in ("bash", "zsh", "tcsh"):
        code, script, _ = shell("completion", name)
        assert code == 0
        assert "aspect" in script
    monkeypatch.setitem(sys.modules, "shtab", None)
    code, _, err = shell("completion", "bash")

    assert code == 2
    assert "uv tool install '.[completion]'" in err


def test_what_bash_completes(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "completion").write_text(shell("completion", "bash")[1])
    asked = f"""
        source {tmp_path / "completion"}
        COMP_WORDS=(dream-machine-mcp film --res); COMP_CWORD=2
        _shtab_dream_machine_mcp
        echo "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, env=INHERITED, check=True)

    assert done.stdout.strip() == "--resolution"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "plan.json cannot be read: No such file or directory"),
        (b"\xff\xfe[", "plan.json is not encoded as UTF-8"),
        (b"[", "plan.json is no JSON: "),
        (b'{"a": 1}', "plan.json holds no list of shots"),
    ],
)
def test_a_plan_that_cannot_be_read_is_told_with_the_cause(
    tmp_path: Path, content: bytes | None, sentence: str
) -> None:
    plan = tmp_path / "plan.json"
    if content is not None:
        plan.write_bytes(content)

    with pytest.raises(ValueError, match=re.escape(sentence)):
        one_shot._plan([str(plan)])


def test_a_plan_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_bytes(b'\xef\xbb\xbf["a boat"]')

    assert one_shot._plan([str(tmp_path / "plan.json")]) == {"shots": ["a boat"]}


@pytest.fixture
def picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A picture in the folder where the command is typed, which LUMA_INPUT_DIRS does not name."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    Image.new("RGB", (640, 360), (90, 20, 200)).save(folder / "boat.png")
    return folder / "boat.png"


@pytest.fixture
def agents(luma: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key of the Agents API, where local files need no bucket."""
    monkeypatch.setenv("LUMA_TOKEN", "luma-api-one-shot")
    monkeypatch.setenv("LUMA_AGENTS_BASE_URL", luma.replace("/dream-machine/v1", "/v1"))


@pytest.mark.usefixtures("agents", "picture")
@pytest.mark.parametrize("name", ["boat.png", "./boat.png"])
def test_a_file_that_is_named_at_the_shell_is_read_from_any_folder(shell: Shell, name: str) -> None:
    code, out, err = shell(
        "video", "it drifts", "--start-frame", name, "--resolution", "360p", "--no-wait", "--take", "2"
    )

    assert (code, "Bought" in err) == (0, True), err
    assert len(out.strip()) == 36


@pytest.mark.usefixtures("agents", "picture")
def test_a_prompt_that_is_called_like_a_file_is_a_prompt(shell: Shell) -> None:
    code, _, err = shell("video", "boat.png", "--dry-run")

    assert code == 0, err


@pytest.mark.usefixtures("agents")
def test_clips_are_extended_modified_and_reframed(shell: Shell) -> None:
    (clip,) = shell("video", "a boat", "--resolution", "360p", "--no-wait")[1].split()
    assert shell("wait", clip)[0] == 0

    prices = [
        shell(*words, "--dry-run")
        for words in (
            ["extend", clip, "it sails on"],
            ["modify", clip, "at night", "--resolution", "360p"],
            ["reframe", clip, "9:16", "more of the lake", "--resolution", "360p"],
        )
    ]

    assert [code for code, _, _ in prices] == [0, 0, 0], prices
    assert all("It costs $" in err for _, _, err in prices)


def test_images_are_reframed(shell: Shell) -> None:
    (picture,) = shell("image", "a boat", "--no-wait")[1].split()
    assert shell("wait", picture)[0] == 0

    code, _, err = shell("reframe-image", picture, "1:1", "--dry-run")

    assert code == 0, err


@pytest.mark.usefixtures("picture")
def test_generations_are_listed_and_viewed(shell: Shell) -> None:
    (generation_id,) = shell("image", "a harbour", "--no-wait")[1].split()
    assert shell("wait", generation_id)[0] == 0

    _, listed, _ = shell("list", "--limit", "1")
    _, events = shell.events("list", "--limit", "1")
    paths = [Path(shell("view", generation_id)[1].strip()) for _ in range(2)]
    _, named, _ = shell("view", generation_id, "--out", "seen.jpg")

    assert listed == f"{generation_id}  completed  image  a harbour\n"
    assert events[0]["generation_id"] == generation_id
    assert [path.name for path in paths] == [f"{generation_id[:8]}-view.jpeg", f"{generation_id[:8]}-view-2.jpeg"]
    assert all(path.read_bytes().startswith(b"\xff\xd8") for path in (*paths, Path(named.strip())))


def test_what_cannot_be_seen_is_said(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    (generation_id,) = shell("image", "a pier", "--no-wait")[1].split()
    assert shell("wait", generation_id)[0] == 0
    monkeypatch.setenv("LUMA_INLINE_IMAGES", "0")

    code, out, err = shell("view", generation_id)

    assert (code, out) == (1, "")
    assert err.strip()


def test_what_a_list_lacks_is_said(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUMA_AGENTS_API_KEY", "luma-api-one-shot")
    monkeypatch.setenv("LUMA_BASE_URL", "http://127.0.0.1:9/dream-machine/v1")

    code, _, err = shell("list")

    assert code == 0
    assert "Dream Machine" in err


@pytest.mark.usefixtures("picture")
@pytest.mark.parametrize("patience", [0.02, None])
def test_clips_are_edited_with_the_seconds_after_an_at_sign(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: float | None
) -> None:
    """The call is made again until the edit is done, however long one call may last."""
    if patience is not None:
        monkeypatch.setattr(caller, "timeout_for", lambda _name: patience)
    clip = make_clip(tmp_path / "here" / "clip.mp4", patches((64, 48)), frames=48)

    code, out, err = shell("edit", f"{clip.name}@0-1", f"{clip.name}@1")

    assert code == 0, err
    assert Path(out.strip()).suffix == ".mp4"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["video", "a boat", "--resolution", "999p"], "argument --resolution: invalid choice: '999p'"),
        (["video", "a boat", "--keyframes", "boat.png"], "'boat.png' is not SOURCE@SECONDS"),
        (["image", "a boat", "--take", "many"], "argument --take"),
    ],
)
def test_an_option_that_cannot_be_is_named_with_the_code_of_a_wrong_command(
    words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(words)

    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err


def test_choices_are_taken_in_any_spelling(shell: Shell) -> None:
    code, _, err = shell("video", "a boat", "--resolution", "540P", "--dry-run")

    assert code == 0, err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["wait", "nonsense"], "dream-machine-mcp list shows the ids"),
        (["image", "a boat", "--image-refs", "https://a.example/b.png@7"], "--image-refs"),
    ],
)
def test_what_a_tool_refuses_is_said_in_words_of_the_shell(shell: Shell, words: list[str], sentence: str) -> None:
    code, _, err = shell(*words)

    assert code == 1
    assert sentence in err
    assert "create_image" not in err


def test_help_has_the_syntax_and_the_choices_and_speaks_of_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(["video", "--help"])
    video = capsys.readouterr().out
    with pytest.raises(SystemExit):
        run(["image", "--help"])

    assert "As --start-frame." in video
    assert "SOURCE@SECONDS" in video
    assert "{16:9,9:16,1:1" in video
    assert "SOURCE[@WEIGHT]" in capsys.readouterr().out
