"""The hosts that can be given this server: where each keeps its configuration, and what it looks like there.

One table for the `config` command, for `manifests/` and for the README. Sources: the hosts' own documentation of 2026.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

PACKAGE = "dream-machine-mcp"
KEY = "luma"
COMMAND, ARGUMENTS = "uvx", [PACKAGE]
LITERAL = "luma-..."
# The tools that a person need not be asked about: they read.
READING = (
    "get_generation", "wait_for_generation", "list_generations", "view_generation", "get_credits", "ping",
    "list_concepts", "list_camera_motions",
)  # fmt: skip

Form = Literal["json", "toml", "yaml"]
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Host:
    """A host.

    Args:
        key: what a person types.
        title: what it is called.
        file: where its configuration is; `~` is the home folder, a relative path is in the project.
        token: how the token is named there: a reference that the host replaces, or the text to be filled in.
        content: its configuration with this server in it and nothing else.
        form: what kind of file it is.
        note: what else a person must know.
    """

    key: str
    title: str
    file: str
    token: str
    content: Callable[[str], Json | str]
    form: Form = "json"
    note: str = ""

    @property
    def text(self) -> str:
        """The configuration as it stands in the file."""
        content = self.content(self.token)
        return content if isinstance(content, str) else json.dumps(content, indent=2) + "\n"

    @property
    def is_literal(self) -> bool:
        """Whether the token itself must stand in the file."""
        return self.token == LITERAL

    def path(self, project: Path) -> Path:
        """The file on this machine."""
        if self.key == "claude-desktop":
            return _claude_desktop()
        return Path(self.file).expanduser() if self.file.startswith("~") else project / self.file


def _claude_desktop() -> Path:
    name = Path("Claude") / "claude_desktop_config.json"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / name
    if sys.platform == "win32":
        return Path.home() / "AppData" / "Roaming" / name
    return Path.home() / ".config" / name


def _started(token: str, **more: Any) -> Json:
    return {"command": COMMAND, "args": ARGUMENTS, "env": {"LUMA_TOKEN": token}, **more}


def _servers(**more: Any) -> Callable[[str], Json]:
    return lambda token: {"mcpServers": {KEY: _started(token, **more)}}


def _vscode(token: str) -> Json:
    token_input = {
        "type": "promptString",
        "id": "luma-token",
        "description": "Luma API key",
        "password": True,
    }
    return {"inputs": [token_input], "servers": {KEY: {"type": "stdio", **_started(token)}}}


def _codex(_token: str) -> str:
    return (
        f'[mcp_servers.{KEY}]\ncommand = "{COMMAND}"\nargs = {json.dumps(ARGUMENTS)}\nenv_vars = ["LUMA_TOKEN"]\n'
        "startup_timeout_sec = 60\ntool_timeout_sec = 300\n"
    )


def _continue(token: str) -> str:
    return (
        f"name: Luma Dream Machine\nversion: 1.0.0\nschema: v1\nmcpServers:\n  - name: {KEY}\n    command: {COMMAND}\n"
        f"    args:\n      - {PACKAGE}\n    env:\n      LUMA_TOKEN: {token}\n"
    )


def _goose(_token: str) -> str:
    return (
        f"extensions:\n  {KEY}:\n    name: Luma Dream Machine\n    type: stdio\n    enabled: true\n    cmd: {COMMAND}\n"
        f"    args:\n      - {PACKAGE}\n    env_keys:\n      - LUMA_TOKEN\n    timeout: 300\n"
    )


HOSTS: tuple[Host, ...] = (
    Host(
        "claude-code", "Claude Code", ".mcp.json", "${LUMA_TOKEN}", _servers(),
        note="Or: claude mcp add luma --env LUMA_TOKEN=luma-... -- uvx dream-machine-mcp",
    ),
    Host("claude-desktop", "Claude Desktop", "claude_desktop_config.json", LITERAL, _servers()),
    Host(
        "codex", "Codex", "~/.codex/config.toml", "LUMA_TOKEN", _codex, "toml",
        "It passes LUMA_TOKEN on from your shell.",
    ),
    Host(
        "gemini", "Gemini CLI", "~/.gemini/settings.json", "$LUMA_TOKEN", _servers(timeout=300_000),
        note="It passes on only variables that are named here.",
    ),
    Host("vscode", "VS Code", ".vscode/mcp.json", "${input:luma-token}", _vscode, note="It asks for the token once."),
    Host("cursor", "Cursor", ".cursor/mcp.json", "${env:LUMA_TOKEN}", _servers()),
    Host("windsurf", "Windsurf", "~/.codeium/windsurf/mcp_config.json", "${env:LUMA_TOKEN}", _servers()),
    Host(
        "zed", "Zed", "~/.config/zed/settings.json", LITERAL,
        lambda token: {"context_servers": {KEY: _started(token)}},
    ),
    Host("jetbrains", "JetBrains Junie", ".junie/mcp/mcp.json", LITERAL, _servers()),
    Host(
        "cline", "Cline", "~/.cline/mcp.json", "${env:LUMA_TOKEN}",
        _servers(type="stdio", timeout=300, autoApprove=list(READING)),
    ),
    Host("continue", "Continue", ".continue/mcpServers/luma.yaml", "${{ secrets.LUMA_TOKEN }}", _continue, "yaml"),
    Host(
        "goose", "Goose", "~/.config/goose/config.yaml", "LUMA_TOKEN", _goose, "yaml",
        "It keeps the token in the keyring.",
    ),
    Host("lmstudio", "LM Studio", "~/.lmstudio/mcp.json", LITERAL, _servers()),
    Host("kiro", "Kiro", ".kiro/settings/mcp.json", "${LUMA_TOKEN}", _servers(autoApprove=list(READING))),
    Host(
        "opencode", "opencode", "opencode.json", "{env:LUMA_TOKEN}",
        lambda token: {
            "$schema": "https://opencode.ai/config.json",
            "mcp": {
                KEY: {
                    "type": "local",
                    "command": [COMMAND, *ARGUMENTS],
                    "environment": {"LUMA_TOKEN": token},
                    "enabled": True,
                }
            },
        },
    ),
    Host(
        "copilot-cli", "Copilot CLI", "~/.copilot/mcp-config.json", "${LUMA_TOKEN}",
        _servers(type="local", tools=["*"]),
    ),
    Host("amazon-q", "Amazon Q", ".amazonq/mcp.json", "${env:LUMA_TOKEN}", _servers(timeout=300_000)),
    Host(
        "open-webui", "Open WebUI", "mcpo.json", LITERAL, _servers(),
        note="By mcpo: mcpo --config mcpo.json. Or serve --http, and add its address in the admin panel.",
    ),
)  # fmt: skip


def host_named(key: str) -> Host | None:
    """The host that a person typed."""
    return next((host for host in HOSTS if host.key == key), None)
