"""What is written for people agrees with the code."""

import base64
import importlib.util
import json
import re
import shlex
import subprocess
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from luma_mcp import __version__
from luma_mcp.cli import _parser
from luma_mcp.cli.hosts import HOSTS
from luma_mcp.config.settings import Settings, SettingsError
from luma_mcp.domain.pricing import Footage, price_of
from luma_mcp.domain.requests import ReframeVideoRequest, VideoRequest
from luma_mcp.emulator.faults import parse
from luma_mcp.mcp.client import timeouts as client_timeouts
from luma_mcp.mcp.server import TOOLSETS

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()
HOSTS_PAGE = (ROOT / "docs" / "hosts.md").read_text()
SETTINGS_PAGE = (ROOT / "docs" / "settings.md").read_text()
TOOLS_PAGE = (ROOT / "docs" / "tools.md").read_text()


def tables():
    spec = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["README.md", "docs/hosts.md", "docs/settings.md"])
def test_tables_are_as_the_code_has_them(page: str) -> None:
    text = (ROOT / page).read_text()

    assert page in tables().PAGES
    assert tables().written(page, text) == text, "just tables"


def test_every_tool_and_setting_is_in_it() -> None:
    for declared in (item for toolset in TOOLSETS.values() for item in toolset):
        assert f"`{declared.name}`" in README
        assert f"### {declared.name}" in TOOLS_PAGE
    for name, field in Settings.model_fields.items():
        assert field.exclude or (field.description and f"`LUMA_{name.upper()}`" in SETTINGS_PAGE)


def test_the_defaults_that_it_names_are_what_is_taken() -> None:
    named = dict(re.findall(r"^\| `(LUMA_\w+)` \| .* \| (?!-|all)`?(.+?)`? \|$", SETTINGS_PAGE, re.MULTILINE))

    assert named["LUMA_INLINE_IMAGES"] == "1"
    assert Settings.from_environment(named) == Settings.from_environment({})


def test_the_configuration_of_the_page_of_hosts_can_be_copied() -> None:
    snippets = re.findall(r"```json\n(.*?)```", HOSTS_PAGE, re.DOTALL)

    assert json.loads(snippets[0])["mcpServers"]["luma"]["args"] == [f"dream-machine-mcp@{__version__}"]


def test_ci_runs_its_test_command() -> None:
    """CI takes the line out of the README and runs it."""
    (command,) = re.findall(r"```sh\n(python3 -m venv .*pytest.*)\n```", README)
    ci = (ROOT / ".ci" / "run").read_text()
    (taken,) = re.findall(r'command=\$\(grep -o "(.*)" README.md\)', ci)

    assert re.findall(taken, README) == [command]
    # The line is split at its last "&&", so that CI can start other work between its install and its tests.
    assert "install=${command% && *}" in ci
    assert "test_command=${command##* && }" in ci
    assert 'eval "${install//.venv/' in ci
    assert 'eval "${test_command//.venv/' in ci


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", README):
        path, _, anchor = target.partition("#")
        page = (ROOT / path).read_text() if anchor and path else README
        assert (ROOT / path).exists(), target
        assert not anchor or anchor in {_anchor(title) for title in re.findall(r"^#+ (.+)$", page, re.MULTILINE)}, (
            target
        )


def _anchor(title: str) -> str:
    """What a heading is linked to by."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def test_the_prices_of_its_examples_are_the_prices_of_the_catalogue() -> None:
    draft = price_of(VideoRequest(model="ray-3.2", prompt="a boat", resolution="360p"))
    reel = price_of(
        ReframeVideoRequest(model="ray-3.2", media="https://a.example/b.mp4", aspect_ratio="9:16", resolution="360p"),
        Footage(640, 360, 5),
    )
    shot = price_of(VideoRequest(model="ray-3.2", prompt="a boat"))

    prices = re.findall(r'^\| "[^|]+" \| \$([0-9.]+):', README, re.MULTILINE)
    assert [float(price) for price in prices] == pytest.approx([draft.usd, draft.usd + reel.usd, 4 * shot.usd])


def test_it_can_be_read_in_one_sitting() -> None:
    assert len(README.splitlines()) <= 110


def test_the_page_on_waiting_has_every_client_that_the_code_knows() -> None:
    page = (ROOT / "docs" / "waiting.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("|")]

    for begin, seconds in client_timeouts._BY_CLIENT.items():
        known = [
            row for row in rows if begin.replace("github-copilot-", "").replace("intellij", "jetbrains") in row.lower()
        ]
        assert any(f"| {seconds} s |" in row for row in known), begin
    assert any(f"all others | {client_timeouts.UNKNOWN_CLIENT_SECONDS:.0f} s |" in row for row in rows)


def test_what_the_pages_show_as_json_is_json_and_names_real_settings() -> None:
    for page in (ROOT / "docs").glob("*.md"):
        for snippet in re.findall(r"```json\n(.*?)```", page.read_text(), re.DOTALL):
            message = json.loads(snippet)
            settings = {name: value for name, value in message.items() if name.startswith("LUMA_")}
            # Nobody can use the tokens that everybody can read.
            tokens = {name: value for name, value in settings.items() if name == "LUMA_HTTP_TOKENS"}
            if tokens:
                with pytest.raises(SettingsError, match="be random"):
                    Settings.from_environment(tokens)
            Settings.from_environment({name: value for name, value in settings.items() if name not in tokens})
            assert {f"LUMA_{name.upper()}" for name in Settings.model_fields} >= set(settings)


def commands() -> list[list[str]]:
    """Every command of ours that a page tells a person to type."""
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    snippets = [match for page in pages for match in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)]
    lines = [line for snippet in snippets for line in snippet.splitlines() if line.startswith("dream-machine-mcp ")]
    return [shlex.split(line.partition(" > ")[0])[1:] for line in lines]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_of_the_pages_is_one(words: list[str]) -> None:
    options = _parser(words[0]).parse_args(words)

    assert options.command == words[0]
    for fault in getattr(options, "fault", None) or []:
        assert parse(fault)


def test_every_host_has_its_button_or_command() -> None:
    for host in HOSTS:
        (line,) = [line for line in HOSTS_PAGE.splitlines() if line.startswith(f"| {host.title} |")]
        command = re.search(r"`dream-machine-mcp (config [a-z-]+ --write)`", line)
        if command:
            assert _parser("config").parse_args(command[1].split()).host == host.key
        else:
            assert "](" in line or "claude mcp add" in line or "goose://" in line


def test_the_buttons_hold_what_the_hosts_would_be_given() -> None:
    (link,) = re.findall(r"\(https://vscode.dev/redirect/mcp/install\?(.*?)\)", HOSTS_PAGE)
    message = dict(parse_qsl(link))
    ours = json.loads((ROOT / "manifests" / "hosts" / "vscode.json").read_text())

    assert json.loads(message["config"]) == ours["servers"]["luma"]
    assert json.loads(message["inputs"]) == ours["inputs"]
    for link in re.findall(r"install-mcp\?(.*?)\)", HOSTS_PAGE):
        message = dict(parse_qsl(link))
        assert json.loads(base64.b64decode(message["config"]))["args"] == [f"dream-machine-mcp@{__version__}"]


def test_nothing_would_make_a_person_run_somebody_elses_package() -> None:
    """`luma-mcp` and `mcp-luma` on PyPI are not ours."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    files = [ROOT / line for line in listed.splitlines()] or [ROOT / "README.md"]
    for file in files:
        if file.suffix in {".md", ".py", ".json", ".toml", ".yaml", ".yml", ""} and file.is_file():
            text = file.read_text()
            assert not re.search(r"(uvx|pipx run|pip install|uv tool install) (--from )?(luma-mcp|mcp-luma)\b", text), (
                file
            )
