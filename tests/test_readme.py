"""What is written for people agrees with the code."""

import importlib.util
import json
import re
import subprocess
from pathlib import Path

from luma_mcp.server import TOOLS
from luma_mcp.settings import Settings
from luma_mcp.tools import _patience

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def tables():
    spec = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_its_tables_are_as_the_code_has_them() -> None:
    assert tables().written(README) == README, "just readme"


def test_every_tool_and_setting_is_in_it() -> None:
    for declared in (one for toolset in TOOLS.values() for one in toolset):
        assert f"`{declared.function.__name__}`" in README
    for name, field in Settings.model_fields.items():
        assert field.exclude or (field.description and f"`LUMA_{name.upper()}`" in README)


def test_its_configuration_can_be_copied() -> None:
    snippets = re.findall(r"```json\n(.*?)```", README, re.DOTALL)

    assert json.loads(snippets[0])["mcpServers"]["luma"]["args"] == ["dream-machine-mcp"]


def test_ci_runs_its_test_command() -> None:
    (command,) = re.findall(r"```sh\n(python3 -m venv .*pytest)\n```", README)
    install, _, _ = command.rpartition(" && ")
    ci = (ROOT / ".ci" / "run").read_text()

    assert install in ci
    assert ".venv/bin/pytest" in ci


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_it_can_be_read_in_one_sitting() -> None:
    assert len(README.splitlines()) < 300


def test_the_page_on_waiting_has_every_client_that_the_code_knows() -> None:
    page = (ROOT / "docs" / "waiting.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("|")]

    for begin, seconds in _patience._BY_CLIENT.items():
        known = [
            row for row in rows if begin.replace("github-copilot-", "").replace("intellij", "jetbrains") in row.lower()
        ]
        assert any(f"| {seconds} s |" in row for row in known), begin
    assert any(f"all others | {_patience.UNKNOWN_CLIENT_SECONDS:.0f} s |" in row for row in rows)


def test_what_the_pages_show_as_json_is_json_and_names_real_settings() -> None:
    for page in (ROOT / "docs").glob("*.md"):
        for snippet in re.findall(r"```json\n(.*?)```", page.read_text(), re.DOTALL):
            said = json.loads(snippet)
            settings = {name: value for name, value in said.items() if name.startswith("LUMA_")}
            Settings.from_environment(settings)
            assert {f"LUMA_{name.upper()}" for name in Settings.model_fields} >= set(settings)


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
