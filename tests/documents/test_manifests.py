"""What is shipped for hosts agrees with the code, and with what the hosts can take."""

import importlib.util
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from luma_mcp import __version__
from luma_mcp.cli.hosts import HOSTS, READING
from luma_mcp.config.keys import TOKEN_NAMES
from luma_mcp.config.settings import Settings
from luma_mcp.mcp.server import TOOLSETS

ROOT = Path(__file__).parent.parent.parent
MANIFESTS = ROOT / "manifests"
SKILL = ROOT / "luma_mcp" / "mcp" / "skills" / "dream-machine" / "SKILL.md"


def generated() -> Any:
    spec = importlib.util.spec_from_file_location("generate", MANIFESTS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def wanted() -> dict[str, str]:
    return generated().files()


def read(path: str) -> Any:
    return json.loads((MANIFESTS / path).read_text())


def test_each_is_as_the_code_has_it(wanted: dict[str, str]) -> None:
    for path, text in wanted.items():
        assert (MANIFESTS / path).read_text() == text, f"{path}: just manifests"


def test_nothing_else_lies_there(wanted: dict[str, str]) -> None:
    private = {"generate.py", "deploy/nginx.conf", "deploy/compose.yaml", "deploy/kubernetes.yaml"}
    existing = {path.relative_to(MANIFESTS).as_posix() for path in MANIFESTS.rglob("*") if path.is_file()}

    assert {path for path in existing if "__pycache__" not in path} == set(wanted) | private


def test_every_variable_that_is_named_is_a_setting() -> None:
    settings = {f"LUMA_{name.upper()}" for name in Settings.model_fields} | set(TOKEN_NAMES)
    for path in MANIFESTS.rglob("*"):
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts:
            assert set(re.findall(r"\bLUMA_[A-Z_]+", path.read_text())) <= settings, path


def test_nothing_starts_another_package_or_another_version() -> None:
    names = re.compile(r"[\"'\s/]((?:dream-machine|luma|mcp)[a-z-]*-mcp|mcp-luma|luma-mcp)(==[0-9.]+)?")
    for path in MANIFESTS.rglob("*"):
        if path.is_file() and path.suffix in {".json", ".toml", ".yaml", ".yml"}:
            for name, version in names.findall(path.read_text()):
                assert name in {"dream-machine-mcp", "dream-machine-mcp-bundle"}, path
                assert version in {"", f"=={__version__}"}, path


def test_deployments_are_of_this_version() -> None:
    for name in ("compose.yaml", "kubernetes.yaml"):
        images = re.findall(r"image: dream-machine-mcp:(\S+)", (MANIFESTS / "deploy" / name).read_text())
        assert set(images) == {__version__}


def test_deployments_name_only_settings_that_there_are() -> None:
    known = {f"LUMA_{name.upper()}" for name in Settings.model_fields}
    for name in ("compose.yaml", "kubernetes.yaml"):
        found = set(re.findall(r"\bLUMA_[A-Z_]+", (MANIFESTS / "deploy" / name).read_text()))
        assert found <= known, name
        assert {"LUMA_HTTP_PUBLIC_URL", "LUMA_OAUTH_ISSUER", "LUMA_MAX_USD_PER_PERSON_PER_DAY"} <= found


def test_no_host_is_told_to_approve_what_costs_money() -> None:
    reading = {tool.name for tools in TOOLSETS.values() for tool in tools if tool.annotations.read_only_hint}

    assert set(READING) == reading
    for host in HOSTS:
        approved = re.findall(r'"autoApprove": \[(.*?)\]', host.text, re.DOTALL)
        for listed in approved:
            assert set(re.findall(r'"(\w+)"', listed)) <= reading


def test_every_host_s_file_can_be_read_by_its_parser() -> None:
    assert len({host.key for host in HOSTS}) == len(HOSTS) >= 17
    for host in HOSTS:
        if host.file_format == "json":
            assert "dream-machine-mcp" in json.dumps(json.loads(host.text))
        if host.file_format == "toml":
            assert tomllib.loads(host.text)["mcp_servers"]["luma"]["args"] == [f"dream-machine-mcp@{__version__}"]


def test_the_registry_s_own_rules_hold() -> None:
    """Those that no schema carries."""
    message = read("registry/server.json")

    assert len(message["description"]) <= 100
    assert message["packages"][0]["version"] == message["version"] == __version__
    assert f"<!-- mcp-name: {message['name']} -->" in (ROOT / "README.md").read_text()
    assert "registryBaseUrl" not in message["packages"][0]


def test_the_bundle_asks_for_what_a_person_decides() -> None:
    message = read("mcpb/manifest.json")

    assert message["user_config"]["token"]["sensitive"] is True
    assert {"max_usd_per_day", "max_usd_per_call", "output_dir", "input_dirs"} <= set(message["user_config"])
    offered = [item.name for ts in TOOLSETS.values() for item in ts if item.by_links is not True]
    assert [tool["name"] for tool in message["tools"]] == offered
    assert f'"dream-machine-mcp=={__version__}"' in (MANIFESTS / "mcpb" / "pyproject.toml").read_text()


def test_the_skill_names_only_tools_that_there_are() -> None:
    specs = [spec for specs in TOOLSETS.values() for spec in specs]
    names = {spec.name for spec in specs}
    text = SKILL.read_text()
    arguments = {argument for spec in specs for argument in spec.arguments.model_fields}
    arguments |= {"failure_reason", "orbit_left", "push_in", "crane_up", "adhere_1", "reimagine_3"}
    message = set(re.findall(r"`([a-z]+(?:_[a-z0-9]+)+)", text)) - arguments

    assert message <= names
    assert len(text.split("---")[1]) < 1100
