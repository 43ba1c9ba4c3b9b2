"""Writes docs/tools.md, from the code and the emulator: every tool with arguments, an example call and its answer."""

import json
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
from mcp import Client
from mcp.types import CallToolResult, Tool

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from luma_mcp.composition import build_server  # noqa: E402
from luma_mcp.config.settings import Settings  # noqa: E402
from luma_mcp.emulator.app import Emulator  # noqa: E402
from luma_mcp.mcp.adapter import FIELDS_META  # noqa: E402
from luma_mcp.mcp.server import TOOLSETS  # noqa: E402
from tests.support.agent import BASE_URL, HeldClock, InMemory  # noqa: E402

PAGE = ROOT / "docs" / "tools.md"
_BEGIN = """\
# Tools

Every tool with its arguments, an example call, and the emulator's answer to it. `docs/reference.py` writes this page;
a test fails if it is not what the code says.

- This page has the tools and arguments that both keys allow. A client is shown those that your keys allow.
- The answers are the structured content. Each answer has a text that says the same in words.
- "Costs money" means: a call without `dry_run` buys.

"""
# In an order in which each can name what those before it made. CLIP, STILL, CLIP_2 and FILM are ids.
_CALLS: Sequence[tuple[str, str, Mapping[str, Any]]] = (
    ("STILL", "create_image", {
        "prompt": "a paper boat on a quiet lake at dawn", "aspect_ratio": "16:9", "model": "photon-1",
    }),
    ("CLIP", "create_video", {
        "prompt": "the boat drifts off", "model": "ray-2", "resolution": "540p", "concepts": ["push_in"],
    }),
    ("", "wait_for_generation", {"generation_ids": ["STILL", "CLIP"], "timeout_seconds": 300}),
    ("", "get_generation", {"generation_id": "CLIP"}),
    ("", "view_generation", {"generation_id": "CLIP"}),
    ("CLIP_2", "extend_video", {"generation_id": "CLIP", "prompt": "rain begins"}),
    ("", "modify_video", {
        "source": "CLIP", "model": "ray-2", "mode": "flex_1", "prompt": "as an oil painting", "dry_run": True,
    }),
    ("", "reframe_video", {"source": "CLIP", "model": "ray-2", "aspect_ratio": "9:16", "dry_run": True}),
    ("", "upscale_video", {"generation_id": "CLIP", "resolution": "1080p", "dry_run": True}),
    ("", "add_audio", {"generation_id": "CLIP", "prompt": "water and birds", "dry_run": True}),
    ("", "reframe_image", {"source": "STILL", "aspect_ratio": "1:1", "dry_run": True}),
    ("FILM", "create_film", {
        "shots": [
            {"prompt": "a paper boat on a quiet lake at dawn"},
            {"prompt": "it drifts past reeds", "start": "continue"},
        ],
        "model": "ray-flash-2", "resolution": "540p",
    }),
    ("", "wait_for_film", {"film_id": "FILM", "timeout_seconds": 600}),
    ("", "wait_for_generation", {"generation_ids": ["CLIP_2"], "timeout_seconds": 300}),
    ("", "download_generation", {"generation_ids": ["CLIP"]}),
    ("", "edit_video", {"clips": [{"source": "CLIP", "end": 3}, {"source": "CLIP_2"}], "crossfade_seconds": 0.5}),
    ("", "list_generations", {"limit": 1, "state": "completed"}),
    ("", "get_credits", {}),
    ("", "ping", {}),
    ("", "list_concepts", {}),
    ("", "upload_file", {}),
    ("", "delete_generation", {"generation_id": "STILL"}),
)  # fmt: skip
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_FILM = re.compile(r"film-[0-9a-f]{16}")
_IDS = (
    "15b7abb1-3741-4b7e-9615-1f9a16c7442d",
    "3ce343aa-0e6e-4f0b-9d0a-5f1f7f5c8a11",
    "8f2d6c40-7c1b-4a55-b1d8-2a90c3f0e6b2",
    "a40c9d17-55e3-4d6a-8f3b-9c1d2e7f4053",
    "c6b1e2f8-1d94-4e0c-a7b5-6f8d9e0a1b34",
    "e93f7a25-8b06-4c1d-9e42-0b7c5d3a6f18",
)
_LUMA = "https://agents.lumalabs.ai/v1 and https://api.lumalabs.ai/dream-machine/v1"
_FILM_ID = "film-828d1184334549c5"


async def _answers() -> dict[str, tuple[dict[str, Any], Any]]:
    """The calls and the answers, by tool; of a tool that is called twice, the first."""
    clock = HeldClock()
    emulator = Emulator(credit_usd=100, limits={}, clock=clock.now, wall=clock.luma_wall)
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.from_environment(
            {
                "LUMA_TOKEN": "luma-reference", "LUMA_AGENTS_API_KEY": "luma-api-reference", "LUMA_BASE_URL": BASE_URL,
                "LUMA_AGENTS_BASE_URL": BASE_URL.replace("/dream-machine", ""),
                "LUMA_OUTPUT_DIR": f"{folder}/dream-machine", "LUMA_LEDGER": f"{folder}/ledger.sqlite3",
            }
        )  # fmt: skip
        public = settings.model_copy(update={"http_public_url": "https://luma.example/mcp"})
        server, linked = (build_server(one, transport=InMemory(emulator), clock=clock) for one in (settings, public))
        names: dict[str, str] = {}
        found: dict[str, tuple[dict[str, Any], Any]] = {}
        async with Client(server) as client, Client(linked) as other:
            for name, tool, arguments in _CALLS:
                sent = json.loads(_named(json.dumps(arguments), names))
                result = await (other if tool == "upload_file" else client).call_tool(tool, sent)
                fields = _fields(result)
                if name:
                    names[name] = fields.get("film_id") or fields["generation_id"]
                found.setdefault(tool, (sent, fields))
                if tool in ("create_video", "create_image", "extend_video"):
                    clock.seconds += 1
        text = json.dumps(found)
    emulator.assets.close()
    return json.loads(_settled(text, folder))


def _named(text: str, names: Mapping[str, str]) -> str:
    for name in sorted(names, key=len, reverse=True):
        text = text.replace(f'"{name}"', f'"{names[name]}"')
    return text


def _fields(result: CallToolResult) -> dict[str, Any]:
    if result.is_error:
        raise ValueError(result)
    return result.structured_content or (result.meta or {})[FIELDS_META]


def _settled(text: str, folder: str) -> str:
    """What differs from run to run, as it might be."""
    ids = list(dict.fromkeys(_UUID.findall(text)))
    for number, found in enumerate(ids):
        # Also where it is shortened, as in the name of a file.
        text = text.replace(found, _IDS[number % len(_IDS)]).replace(found[:8], _IDS[number % len(_IDS)][:8])
    text = _FILM.sub(_FILM_ID, text).replace(folder, "/home/you/Videos")
    text = re.sub(r'"created_at": "[^"]*"', '"created_at": "2026-11-30T12:00:00Z"', text)
    text = re.sub(r'"sha256": "[0-9a-f]+"', '"sha256": "9b74c9897bac770ffc029102a200c5de…"', text)
    text = re.sub(r'"waited_seconds": [\d.]+', '"waited_seconds": 60.2', text)
    text = re.sub(r"upload-[0-9a-f]{12}", "upload-3e20de65f699", text)
    text = text.replace(f"{BASE_URL.replace('/dream-machine', '')} and {BASE_URL}", _LUMA)
    text = re.sub(r'"(size_bytes|bytes)": \d+', r'"\1": 98304', text)
    text = re.sub(r"https://luma\.example/upload/[\w.~%-]+", "https://luma.example/upload/…", text)
    return text.replace(BASE_URL.rpartition("/dream-machine")[0], "https://storage.cdn-luma.com")


async def _tools() -> dict[str, Tool]:
    """The tools as clients see them with both keys, with and without a public address."""
    seen: dict[str, Tool] = {}
    keys = {"LUMA_TOKEN": "luma-reference", "LUMA_AGENTS_API_KEY": "luma-api-reference"}
    public = {"LUMA_HTTP_PUBLIC_URL": "https://luma.example/mcp"}
    for more in ({}, public):
        async with Client(build_server(Settings.from_environment({**keys, **more}))) as client:
            for tool in (await client.list_tools()).tools:
                seen.setdefault(tool.name, tool)
    return seen


def _arguments(tool: Tool) -> list[str]:
    schema = tool.input_schema
    needed = set(schema.get("required", ()))
    lines = ["| argument | type | what it is |", "|---|---|---|"]
    for name, node in schema["properties"].items():
        told = node.get("description", "").replace("|", "\\|")
        marks = [told, f"Default: `{json.dumps(node['default'])}`." if node.get("default") not in (None, False) else ""]
        must = " (needed)" if name in needed else ""
        lines.append(f"| `{name}`{must} | {_type(node)} | {' '.join(mark for mark in marks if mark)} |")
    return lines if len(lines) > 2 else ["It takes no arguments."]


def _type(node: Mapping[str, Any]) -> str:
    if "enum" in node:
        return ", ".join(f"`{word}`" for word in node["enum"])
    if node.get("type") == "array":
        return f"list of {_type(node['items'])}"
    if node.get("type") == "object":
        return "{" + ", ".join(f"`{name}`" for name in node.get("properties", ())) + "}"
    return str(node.get("type", "any"))


def written() -> str:
    """The page."""
    tools, answers = anyio.run(_tools), anyio.run(_answers)
    parts = [_BEGIN]
    for toolset, specs in TOOLSETS.items():
        parts.append(f"## {toolset.capitalize()}\n")
        for spec in specs:
            tool = tools[spec.name]
            sent, answer = answers[spec.name]
            call = json.dumps(sent, indent=2, ensure_ascii=False)
            told = json.dumps(answer, indent=2, ensure_ascii=False)
            only = "" if len(spec.backends) == 2 else " Dream Machine only."
            parts += [
                f"### {spec.name}\n", f"{tool.description}{only}\n", *_arguments(tool), "",
                f'```json title="call"\n{call}\n```\n', f'```json title="answer"\n{told}\n```\n',
            ]  # fmt: skip
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(written(), encoding="utf-8")
