"""Writes every manifest anew from the code and one table of constants. A test fails when they differ.

python manifests/generate.py
"""

import json
import sys
from pathlib import Path
from typing import Any

import anyio
from mcp import Client

from luma_mcp import __version__
from luma_mcp.cli.hosts import COMMAND, HOSTS, KEY, PACKAGE
from luma_mcp.composition import build_server
from luma_mcp.config.settings import Settings
from luma_mcp.mcp.server import DESCRIPTION, TITLE

HERE = Path(__file__).parent
SKILL = HERE.parent / "luma_mcp" / "mcp" / "skills" / "dream-machine" / "SKILL.md"
# The name in the MCP registry. Its owner must be the account that publishes; the README says it in a comment, too.
REGISTRY_NAME = f"io.github.{PACKAGE}/{PACKAGE}"
AUTHOR = {"name": f"The {PACKAGE} authors"}
KEYS_PAGE = "https://platform.lumalabs.ai"
PRIVACY = "https://lumalabs.ai/legal/privacy"
WORDS = ["luma", "dream-machine", "video", "image", "generative-media"]
PINNED = f"{PACKAGE}=={__version__}"
LICENCE = "MIT"
# What a person may fill in, by the field of Settings: how it is titled, and of what kind it is.
PERSONAL_SETTINGS: dict[str, tuple[str, str]] = {
    "token": ("Luma API key", "string"),
    "max_usd_per_day": ("Most dollars a day", "number"),
    "max_usd_per_call": ("Most dollars a call", "number"),
    "output_dir": ("Folder for files", "directory"),
    "input_dirs": ("Folder with your pictures", "directory"),
}

Json = dict[str, Any]


def variable(field: str) -> str:
    return f"LUMA_{field.upper()}"


def described(field: str) -> str:
    return Settings.model_fields[field].description or ""


def environment(reference: str) -> dict[str, str]:
    """Every variable that a person may fill in, by a reference such as `${user_config.{}}`."""
    return {variable(field): reference.format(field) for field in PERSONAL_SETTINGS}


def server_json() -> Json:
    variables: list[Json] = [
        {
            "name": variable(field),
            "description": described(field),
            "isRequired": field == "token",
            "isSecret": field == "token",
        }
        for field in PERSONAL_SETTINGS
    ]
    return {
        "$schema": "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json",
        "name": REGISTRY_NAME,
        "title": TITLE,
        "description": DESCRIPTION,
        "version": __version__,
        "packages": [
            {
                "registryType": "pypi",
                "identifier": PACKAGE,
                "version": __version__,
                "runtimeHint": COMMAND,
                "transport": {"type": "stdio"},
                "environmentVariables": variables,
            }
        ],
    }


def mcpb(tools: list[Json], prompts: list[Json]) -> Json:
    personal_settings: Json = {}
    for field, (title, kind) in PERSONAL_SETTINGS.items():
        personal_settings[field] = {
            "type": kind,
            "title": title,
            "description": described(field),
            "required": field == "token",
        }
        if field == "token":
            personal_settings[field]["sensitive"] = True
    return {
        "manifest_version": "0.4",
        "name": PACKAGE,
        "display_name": TITLE,
        "version": __version__,
        "description": DESCRIPTION,
        "long_description": SKILL.read_text().split("---\n", 2)[2].strip(),
        "author": AUTHOR,
        "license": LICENCE,
        "keywords": WORDS,
        "privacy_policies": [PRIVACY],
        "server": {
            "type": "uv",
            "entry_point": "server.py",
            "mcp_config": {
                "command": "uv",
                "args": ["run", "--directory", "${__dirname}", "server.py"],
                "env": environment("${{user_config.{}}}"),
            },
        },
        "tools": [{"name": tool["name"], "description": tool["description"]} for tool in tools],
        "prompts": prompts,
        "compatibility": {"platforms": ["darwin", "linux", "win32"]},
        "user_config": personal_settings,
    }


def mcpb_project() -> str:
    return (
        f'[project]\nname = "{PACKAGE}-bundle"\nversion = "{__version__}"\nrequires-python = ">=3.11"\n'
        f'dependencies = ["{PINNED}"]\n'
    )


MCPB_SERVER = """\
import sys

from luma_mcp.__main__ import main

sys.exit(main([]))
"""


def claude_plugin() -> Json:
    personal_settings: Json = {}
    for field, (title, kind) in PERSONAL_SETTINGS.items():
        personal_settings[field] = {
            "type": kind,
            "title": title,
            "description": described(field),
            "sensitive": field == "token",
            "required": field == "token",
        }
    return {
        "name": "dream-machine",
        "version": __version__,
        "description": DESCRIPTION,
        "author": AUTHOR,
        "license": LICENCE,
        "keywords": WORDS,
        "userConfig": personal_settings,
    }


def marketplace() -> Json:
    return {
        "name": PACKAGE,
        "owner": AUTHOR,
        "metadata": {"description": DESCRIPTION, "version": __version__},
        "plugins": [
            {"name": "dream-machine", "source": "./dream-machine", "description": DESCRIPTION, "license": LICENCE}
        ],
    }


def started(env: dict[str, str] | None = None, **more: Any) -> Json:
    """How a plugin starts the server, at the version that it was made for."""
    return {**more, "command": COMMAND, "args": [PINNED], **({"env": env} if env else {})}


def agent_plugin() -> Json:
    return {
        "$schema": "https://agent-plugins.org/schemas/1.0.0/plugin.schema.json",
        "name": "dream-machine",
        "version": __version__,
        "description": DESCRIPTION,
        "author": AUTHOR,
        "license": LICENCE,
        "keywords": WORDS,
    }


def agent_plugin_servers() -> Json:
    return {
        "$schema": "https://agent-plugins.org/schemas/1.0.0/mcp.schema.json",
        "mcpServers": {KEY: started(type="stdio")},
    }


def gemini() -> Json:
    return {
        "name": "dream-machine",
        "version": __version__,
        "description": DESCRIPTION,
        "contextFileName": "GEMINI.md",
        "mcpServers": {
            KEY: started({variable(field): f"${variable(field)}" for field in PERSONAL_SETTINGS}, timeout=300_000)
        },
        "settings": [
            {"name": title, "description": described(field), "envVar": variable(field), "sensitive": field == "token"}
            for field, (title, _) in PERSONAL_SETTINGS.items()
        ],
    }


def docker_catalog() -> str:
    return f"""name: dream-machine
image: mcp/dream-machine
type: server
meta:
  category: media
  tags:
    - video
    - image
    - luma
about:
  title: Luma Dream Machine
  description: {DESCRIPTION}
config:
  description: Your key, and what may be spent
  secrets:
    - name: dream-machine.token
      env: LUMA_TOKEN
      example: luma-...
  env:
    - name: LUMA_MAX_USD_PER_DAY
      example: "5"
      value: "{{{{dream-machine.max_usd_per_day}}}}"
  parameters:
    type: object
    properties:
      max_usd_per_day:
        type: string
"""


def docker_tools(tools: list[Json]) -> list[Json]:
    listed: list[Json] = []
    for tool in tools:
        arguments = [
            {"name": name, "type": item.get("type", "string"), "desc": item["description"]}
            for name, item in tool["inputSchema"]["properties"].items()
        ]
        listed.append({"name": tool["name"], "description": tool["description"], "arguments": arguments})
    return listed


def dockerfile() -> str:
    return f"""# From the root of the source: docker build -f manifests/docker/Dockerfile -t {PACKAGE} .
FROM python:3.13-slim AS build
COPY . /source
RUN pip install --no-cache-dir --prefix=/installed '/source[uploads,postgres,metrics,worker]'

FROM python:3.13-slim
LABEL io.modelcontextprotocol.server.name="{REGISTRY_NAME}"
COPY --from=build /installed /usr/local
RUN useradd --create-home --uid 10001 luma && mkdir -p /data/files && chown -R luma /data
USER luma
ENV LUMA_OUTPUT_DIR=/data/files LUMA_LEDGER=/data/purchases.sqlite3
VOLUME /data
ENTRYPOINT ["{PACKAGE}"]
"""


async def offered_tools() -> tuple[list[Json], list[Json]]:
    """The tools and prompts as a client gets them."""
    async with Client(build_server(Settings.from_environment({}))) as client:
        tools = [
            tool.model_dump(by_alias=True, mode="json", exclude_none=True) for tool in (await client.list_tools()).tools
        ]
        prompts: list[Json] = []
        for prompt in (await client.list_prompts()).prompts:
            names = [argument.name for argument in prompt.arguments or []]
            got = await client.get_prompt(prompt.name, {name: f"${{arguments.{name}}}" for name in names})
            text = getattr(got.messages[0].content, "text", "")
            prompts.append({"name": prompt.name, "description": prompt.description, "arguments": names, "text": text})
    return tools, prompts


def files() -> dict[str, str]:
    """Every manifest by its path below this folder."""
    tools, prompts = anyio.run(offered_tools)
    skill = SKILL.read_text()
    structured: dict[str, Any] = {
        "registry/server.json": server_json(),
        "mcpb/manifest.json": mcpb(tools, prompts),
        "claude/.claude-plugin/marketplace.json": marketplace(),
        "claude/dream-machine/.claude-plugin/plugin.json": claude_plugin(),
        "claude/dream-machine/.mcp.json": {"mcpServers": {KEY: started(environment("${{user_config.{}}}"))}},
        "agent-plugin/plugin.json": agent_plugin(),
        "agent-plugin/mcp.json": agent_plugin_servers(),
        "gemini/gemini-extension.json": gemini(),
        "docker/catalog/tools.json": docker_tools(tools),
    }
    written = {path: json.dumps(value, indent=2, ensure_ascii=False) + "\n" for path, value in structured.items()}
    written |= {
        "mcpb/pyproject.toml": mcpb_project(),
        "mcpb/server.py": MCPB_SERVER,
        "claude/dream-machine/skills/dream-machine/SKILL.md": skill,
        "agent-plugin/skills/dream-machine/SKILL.md": skill,
        "gemini/GEMINI.md": skill.split("---\n", 2)[2].lstrip(),
        "docker/Dockerfile": dockerfile(),
        "docker/catalog/server.yaml": docker_catalog(),
    }
    for host in HOSTS:
        ending = Path(host.file).suffix or ".json"
        written[f"hosts/{host.key}{ending}"] = host.text
    return written


def main() -> int:
    for path, text in files().items():
        target = HERE / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
