"""The hosts that can be given this server: where each keeps its configuration, and what it looks like there.

One table for the `config` command, for `manifests/` and for the README. Sources: the hosts' own documentation of 2026.
"""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any, Literal, assert_never, cast

from luma_mcp import __version__
from luma_mcp.domain.text import alphanumeric

PACKAGE = "dream-machine-mcp"
KEY = "luma"
# Pinned: a host that starts it anew each day must not get another version unasked.
COMMAND, ARGUMENTS = "uvx", (f"{PACKAGE}@{__version__}",)
LITERAL = "luma-..."
# The tools that a person need not be asked about: they read.
READING = (
    "get_generation", "wait_for_generation", "list_generations", "view_generation", "get_credits", "ping",
    "list_concepts",
)  # fmt: skip

# The tools that spend or delete.
ASKING = (
    "create_image", "create_video", "create_film", "extend_video", "modify_video", "reframe_video", "reframe_image",
    "upscale_video", "add_audio", "wait_for_film", "delete_generation",
)  # fmt: skip

FileFormat = Literal["json", "toml", "yaml"]
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Start:
    """The command by which a host starts the server: a program, its arguments, and the reference to the token."""

    command: str
    arguments: tuple[str, ...]
    token: str


@dataclass(frozen=True, slots=True)
class Host:
    """A host.

    Args:
        key: what a person types.
        title: what it is called.
        file: where its configuration is; `~` is the home folder, a relative path is in the project.
        token: how the token is named there: a reference that the host replaces, or the text to be filled in.
        content: its configuration with this server in it and nothing else.
        file_format: what kind of file it is.
        note: what else a person must know.
    """

    key: str
    title: str
    file: str
    token: str
    content: Callable[["Start"], Json]
    file_format: FileFormat = "json"
    note: str = ""
    command: str = COMMAND
    arguments: tuple[str, ...] = ARGUMENTS

    @property
    def structure(self) -> Json:
        """The configuration as it stands in the file, as objects and lists."""
        return self.content(Start(self.command, self.arguments, self.token))

    @property
    def text(self) -> str:
        """The configuration as it stands in the file."""
        match self.file_format:
            case "json":
                return json.dumps(self.structure, indent=2) + "\n"
            case "toml":
                return _as_toml(self.structure)
            case "yaml":
                return _as_yaml(self.structure)
            case _ as unreachable:
                assert_never(unreachable)

    def started_by(self, command: str, arguments: tuple[str, ...]) -> "Host":
        """The same host, which starts the server by another command."""
        return replace(self, command=command, arguments=arguments)

    @property
    def is_in_home(self) -> bool:
        """True if its configuration is the person's own, and not a project's."""
        return self.file.startswith("~") or self.key == "claude-desktop"

    @property
    def is_literal(self) -> bool:
        """True if the token itself must be in the file."""
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


def running_command() -> tuple[str, tuple[str, ...]]:
    """The program that is running now and its arguments, for a host to start it by the same way.

    What uv runs from its cache may be gone tomorrow, so for that it is uvx.
    """
    program = Path(sys.argv[0])
    if "archive-v" in str(program) and "uv" in program.parts:
        return COMMAND, ARGUMENTS
    if program.name.removesuffix(".exe") == PACKAGE and program.is_file():
        return str(program.absolute()), ()
    return sys.executable, ("-m", "luma_mcp")


# For hosts that give their model a picture as base64 text: 50,000 to 150,000 characters for each.
_NO_PICTURES = {"LUMA_INLINE_IMAGES": "0"}


def _started(start: Start, variables: Mapping[str, str] | None = None, **more: Any) -> Json:
    environment = {"LUMA_TOKEN": start.token, **(variables or {})}
    return {"command": start.command, "args": list(start.arguments), "env": environment, **more}


def _servers(variables: Mapping[str, str] | None = None, **more: Any) -> Callable[[Start], Json]:
    return lambda start: {"mcpServers": {KEY: _started(start, variables, **more)}}


def _vscode(start: Start) -> Json:
    token_input = {
        "type": "promptString",
        "id": "luma-token",
        "description": "Luma API key",
        "password": True,
    }
    return {"inputs": [token_input], "servers": {KEY: {"type": "stdio", **_started(start)}}}


def _codex(start: Start) -> Json:
    return {
        "mcp_servers": {
            KEY: {
                "command": start.command,
                "args": list(start.arguments),
                "env_vars": ["LUMA_TOKEN"],
                "startup_timeout_sec": 60,
                "tool_timeout_sec": 300,
                # Without it the first turn of `codex exec` has none of the tools.
                "required": True,
            }
        }
    }


def _continue(start: Start) -> Json:
    server = {"name": KEY, **_started(start, _NO_PICTURES)}
    return {"name": "Luma Dream Machine", "version": "1.0.0", "schema": "v1", "mcpServers": [server]}


def _goose(start: Start) -> Json:
    return {
        "extensions": {
            KEY: {
                "name": "Luma Dream Machine",
                "type": "stdio",
                "enabled": True,
                "cmd": start.command,
                "args": list(start.arguments),
                "env_keys": ["LUMA_TOKEN"],
                "timeout": 300,
            }
        }
    }


def _opencode(start: Start) -> Json:
    server = {
        "type": "local",
        "command": [start.command, *start.arguments],
        "environment": {"LUMA_TOKEN": start.token},
        "enabled": True,
    }
    # It asks nobody unless told to.
    permission = {f"{KEY}_{tool}": "ask" for tool in ASKING}
    return {"$schema": "https://opencode.ai/config.json", "mcp": {KEY: server}, "permission": permission}


def _as_toml(structure: Json) -> str:
    import tomlkit  # noqa: PLC0415 - only this command pays for it

    return tomlkit.dumps(structure)


def _as_yaml(structure: Json) -> str:
    from ruamel.yaml import YAML  # noqa: PLC0415 - only this command pays for it

    editor, out = YAML(), StringIO()
    editor.indent(mapping=2, sequence=4, offset=2)
    editor.width = 100_000
    cast("Any", editor).dump(structure, out)
    return out.getvalue()


HOSTS: tuple[Host, ...] = (
    Host(
        "claude-code", "Claude Code", ".mcp.json", "${LUMA_TOKEN}", _servers(),
        note=f"Or: claude mcp add luma --env LUMA_TOKEN=luma-... -- {COMMAND} {ARGUMENTS[0]}",
    ),
    Host("claude-desktop", "Claude Desktop", "claude_desktop_config.json", LITERAL, _servers()),
    Host(
        "codex", "Codex", "~/.codex/config.toml", "LUMA_TOKEN", _codex, "toml",
        "It passes LUMA_TOKEN on from your shell. With `required = true` it waits for this server before the first "
        "turn, and does not start without it.",
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
        lambda start: {"context_servers": {KEY: _started(start)}},
    ),
    Host("jetbrains", "JetBrains Junie", ".junie/mcp/mcp.json", LITERAL, _servers()),
    Host(
        "cline", "Cline", "~/.cline/data/settings/cline_mcp_settings.json", "${env:LUMA_TOKEN}",
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
        "opencode", "opencode", "opencode.json", "{env:LUMA_TOKEN}", _opencode,
        note="It asks before tools that spend or delete, because `permission` says so.",
    ),
    Host("qwen", "Qwen Code", "~/.qwen/settings.json", "$LUMA_TOKEN", _servers(timeout=300_000)),
    Host(
        "copilot-cli", "Copilot CLI", "~/.copilot/mcp-config.json", "${LUMA_TOKEN}",
        _servers(type="local", tools=["*"], deferTools="never"),
    ),
    Host("amazon-q", "Amazon Q", ".amazonq/mcp.json", "${env:LUMA_TOKEN}", _servers(timeout=300_000)),
    Host(
        "open-webui", "Open WebUI", "mcpo.json", LITERAL, _servers(_NO_PICTURES),
        note="By mcpo: mcpo --config mcpo.json. Or serve --http, and add its address in the admin panel.",
    ),
)  # fmt: skip


def host_named(key: str) -> Host | None:
    """The host that a person typed, by its key or its title, in whatever case."""
    plain = alphanumeric(key)
    return next((host for host in HOSTS if plain in (alphanumeric(host.key), alphanumeric(host.title))), None)
