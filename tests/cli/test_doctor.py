"""The doctor finds what is wrong, says what to do, and leaves nothing behind."""

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import PIL.Image
import pytest
from mcp import Client

from luma_mcp.cli import doctor, run
from luma_mcp.composition import build_server
from luma_mcp.config.settings import Settings
from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.serving import serving
from luma_mcp.media import self_test
from tests.support.agent import TOKEN
from tests.support.processes import free_port

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LUMA_TOKEN", "LUMAAI_API_KEY", "LUMA_API_KEY", "LUMA_UPLOAD_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LUMA_BASE_URL", f"http://127.0.0.1:{free_port()}/x")
    monkeypatch.setenv("LUMA_LEDGER", str(tmp_path / "ledger.sqlite3"))
    monkeypatch.setenv("LUMA_OUTPUT_DIR", str(tmp_path / "files"))


async def found() -> dict[str, doctor.Check]:
    return {check.name: check for check in await doctor.examine()}


async def test_everything_is_well(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    async with serving(Emulator(token=TOKEN, credit_usd=0.5)) as base_url:
        monkeypatch.setenv("LUMA_TOKEN", TOKEN)
        monkeypatch.setenv("LUMA_BASE_URL", base_url)
        monkeypatch.setenv("LUMA_INPUT_DIRS", str(tmp_path / "pictures"))
        monkeypatch.setenv("LUMA_UPLOAD_URL", "s3://bucket/in?region=us-east-1")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
        monkeypatch.setenv("LUMA_MAX_USD_PER_DAY", "5")
        checks = await found()

    assert {check.verdict for check in checks.values()} == {"good", "note"}
    assert "(an emulator) takes the key" in checks["Dream Machine"].text
    assert "Agents API" not in checks
    assert checks["credit"].verdict == "note"
    assert "$0.50 is left. Buy API credits" in checks["credit"].text
    assert checks["caps"].text == "At most $5.00 for a day."
    assert "s3://bucket/in" in checks["uploads"].text
    assert TOKEN not in str(checks)
    assert {path.name for path in tmp_path.iterdir()} == {"pictures"}


async def test_the_day_s_purchases_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(Emulator(token=TOKEN)) as base_url:
        monkeypatch.setenv("LUMA_TOKEN", TOKEN)
        monkeypatch.setenv("LUMA_BASE_URL", base_url)
        async with Client(build_server(Settings.from_environment())) as client:
            await client.call_tool("create_video", {"prompt": "a boat"})
        checks = await found()

    assert "can be used: $0.71 spent and $0.00 reserved today, in 1 purchase." in checks["purchase ledger"].text


@pytest.mark.slow
async def test_what_is_wrong_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite3").write_text("no ledger, but long enough to be taken for one" * 30)
    (tmp_path / "files").write_text("in the way")
    monkeypatch.setenv("LUMA_TOKEN", TOKEN)
    monkeypatch.setenv("LUMA_INPUT_DIRS", str(tmp_path / "nowhere"))
    monkeypatch.setenv("LUMA_UPLOAD_URL", f"s3://bucket?endpoint=http://127.0.0.1:{free_port()}")
    monkeypatch.setattr("luma_mcp.sources.bucket.Bucket._open", _refuses)
    checks = await found()

    bad = {name for name, check in checks.items() if check.verdict == "bad"}
    assert bad == {"Dream Machine", "credit", "output folder", "input folder", "uploads", "purchase ledger"}
    assert "cannot be reached" in checks["Dream Machine"].text
    assert "Set LUMA_OUTPUT_DIR" in checks["output folder"].text


def _refuses(*_values: object) -> None:
    from luma_mcp.domain.errors import FileError

    raise FileError("The bucket cannot be used.")


async def test_no_token_and_no_parts_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_is_installed", lambda name: name != "av")
    checks = await found()

    assert "set LUMA_TOKEN" in checks["token"].text
    assert "missing: av, so nothing can be looked at" in checks["versions"].text
    assert not {"Dream Machine", "Agents API"} & set(checks)


async def test_a_clip_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    good = (await found())["clips and pictures"]
    with monkeypatch.context() as patch:
        patch.setattr(av, "open", _without_arguments)
        broken = (await found())["clips and pictures"]
    monkeypatch.setattr(self_test, "_level", lambda number: 255 - 100 * number)
    monkeypatch.setattr(self_test, "_grey_frames", _all_white)
    wrong = (await found())["clips and pictures"]

    assert good.verdict == "good"
    assert f"PyAV {av.__version__} and Pillow {PIL.__version__} write and read a clip." == good.text
    assert broken.verdict == wrong.verdict == "bad"
    assert f"a mistake in this server (TypeError, PyAV {av.__version__})" in broken.text
    assert "3 frames with the wrong brightness" in wrong.text


def _without_arguments() -> None:
    raise AssertionError


def _all_white() -> Iterator[av.VideoFrame]:
    for number in range(3):
        frame = av.VideoFrame.from_image(PIL.Image.new("RGB", (64, 64), "white"))
        frame.pts, frame.time_base = number, Fraction(1, 24)
        yield frame


async def test_a_setting_that_cannot_be_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUMA_READ_ONLY", "perhaps")

    assert (await found())["settings"].text.startswith("LUMA_READ_ONLY cannot be used")


def test_it_can_be_read_by_programs_and_by_people(capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    assert run(["doctor", "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert result["good"] is False
    assert {"name", "verdict", "text"} == set(result["checks"][0])

    assert run(["doctor"]) == 1
    assert "bad  token: " in capsys.readouterr().out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    run(["doctor"])
    assert "✗" in capsys.readouterr().out


def test_a_package_that_is_not_there_is_known() -> None:
    assert doctor._is_installed("mcp")
    assert not doctor._is_installed("no-such-package-as-this")


async def test_each_key_has_a_block_and_says_which_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(Emulator(token=TOKEN, agents_token=f"luma-api-{TOKEN}")) as base_url:
        monkeypatch.setenv("LUMA_BASE_URL", base_url)
        monkeypatch.setenv("LUMA_TOKEN", f"luma-api-{TOKEN}")
        only = await found()
        monkeypatch.setenv("LUMA_API_KEY", TOKEN)
        both = await found()

    assert only["Agents key"].text == "The token came from LUMA_TOKEN."
    assert "/v1 (an emulator) takes the key" in only["Agents API"].text
    assert only["uploads"].text == "Local files go to Luma's own file store."
    assert not {"Dream Machine key", "credit", "retirement"} & set(only)
    assert both["Dream Machine key"].text == "The token came from LUMA_API_KEY."
    assert "Luma is retiring Dream Machine" in both["retirement"].text
    assert "Models of the Agents API take them without it." in both["uploads"].text


def test_a_narrow_terminal_cuts_no_path(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    path = "/a/very/long/path/" + "x" * 60
    monkeypatch.setenv("COLUMNS", "40")
    doctor._show([doctor.Check("ledger", "good", path)])
    shown = capsys.readouterr().out

    assert "…" not in shown
    assert "x" * 20 in shown
    assert shown.count("x") == 60


async def test_it_says_whose_variables_and_settings_it_looks_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUMA_MAX_USD_DAY", "5")
    checks = await doctor.examine()

    assert "the variables of this shell" in next(check.text for check in checks if check.name == "environment")
    assert "Did you mean LUMA_MAX_USD_PER_DAY?" in next(check.text for check in checks if check.name == "settings")
