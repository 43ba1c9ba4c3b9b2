"""The tokens (o200k) that a conversation pays for before it starts, and for a typical response of each tool."""

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import bpe_openai

from benchmarks.calls import Pipe, emulated, piped
from benchmarks.rows import Row
from benchmarks.starting import console_script

PROMPT = "A paper boat drifts down a rainy street at dusk, neon reflected in the puddles, slow camera"
# The most tokens that each may have, with some room, for ids and links differ. A picture is not counted: a host hands
# it to the model as a picture.
MAX_TOKENS = {
    "instructions": 500,
    "tools/list": 6_600,
    "instructions, Agents API": 460,
    "tools/list, Agents API": 5_480,
    "instructions, both APIs": 520,
    "tools/list, both APIs": 7_100,
    "create_video": 210,
    "create_video, dry run": 260,
    "create_image": 210,
    "wait_for_generation, one that goes on": 500,
    "wait_for_generation, two that are completed": 800,
    "get_generation": 480,
    "list_generations, ten": 3_300,
    "download_generation": 550,
    "view_generation": 440,
    "extend_video": 210,
    "modify_video": 220,
    "reframe_video": 220,
    "reframe_image": 220,
    "upscale_video": 210,
    "add_audio": 210,
    "create_film, four shots": 500,
    "wait_for_film, four shots": 550,
    "delete_generation": 110,
    "get_credits": 90,
    "ping": 90,
    "list_concepts": 400,
    "a refusal": 75,
}

# The other keys that a server may have; the first one has a key of Dream Machine.
OTHER_KEYS = {"Agents API": {"LUMA_TOKEN": "luma-api-x"}, "both APIs": {"LUMA_AGENTS_API_KEY": "x"}}


def rows() -> list[Row]:
    return [
        Row(what, f"{len(text):,} characters, {tokens(text):,} tokens", goal=f"<= {MAX_TOKENS[what]:,} tokens")
        for what, text in measured()
    ]


def tokens(text: str) -> int:
    return len(bpe_openai.get_encoding("o200k_base").encode(text))


def measured() -> Iterator[tuple[str, str]]:
    """The texts that the real server sends over stdio."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        values = {
            "LUMA_TOKEN": "x",
            "LUMA_BASE_URL": stack.enter_context(emulated()),
            "LUMA_LEDGER": f"{folder}/ledger.sqlite3",
            "LUMA_OUTPUT_DIR": f"{folder}/files",
        }
        pipe = stack.enter_context(piped([sys.executable, str(console_script())], values))
        yield "instructions", pipe.hello["instructions"]
        yield "tools/list", compact(pipe.ask("tools/list")["tools"])
        for mode, keys in OTHER_KEYS.items():
            other = stack.enter_context(piped([sys.executable, str(console_script())], values | keys))
            yield f"instructions, {mode}", other.hello["instructions"]
            yield f"tools/list, {mode}", compact(other.ask("tools/list")["tools"])
        yield from _responses(pipe)


def _responses(pipe: Pipe) -> Iterator[tuple[str, str]]:
    def message(tool: str, **arguments: Any) -> tuple[str, dict[str, Any]]:
        _, result = pipe.call(tool, **arguments)
        # Pictures go to the model as pictures, and what is in _meta not at all.
        shown = {"content": [block for block in result["content"] if block["type"] != "image"]}
        if "structuredContent" in result:
            shown["structuredContent"] = result["structuredContent"]
        return compact(shown), result.get("structuredContent", {})

    text, video = message("create_video", prompt=PROMPT, concepts=["orbit_left"], resolution="540p")
    yield "create_video", text
    yield "create_video, dry run", message("create_video", prompt=PROMPT, concepts=["orbit_left"], dry_run=True)[0]
    text, image = message("create_image", prompt=PROMPT)
    yield "create_image", text
    clip, picture = video["generation_id"], image["generation_id"]
    yield (
        "wait_for_generation, one that goes on",
        message("wait_for_generation", generation_ids=[clip], timeout_seconds=0)[0],
    )
    ids = [clip, picture]
    yield "wait_for_generation, two that are completed", message("wait_for_generation", generation_ids=ids)[0]
    yield "get_generation", message("get_generation", generation_id=clip)[0]
    yield "download_generation", message("download_generation", generation_ids=ids)[0]
    yield "view_generation", message("view_generation", generation_id=clip)[0]
    yield "extend_video", message("extend_video", generation_id=clip, prompt="The boat passes under a bridge")[0]
    yield "modify_video", message("modify_video", source=clip, mode="flex_1", prompt="In the style of a woodcut")[0]
    yield "reframe_video", message("reframe_video", source=clip, aspect_ratio="9:16")[0]
    yield "reframe_image", message("reframe_image", source=picture, aspect_ratio="1:1")[0]
    yield "upscale_video", message("upscale_video", generation_id=clip, resolution="1080p")[0]
    yield "add_audio", message("add_audio", generation_id=clip, prompt="Rain on tin roofs")[0]
    shots = [{"prompt": PROMPT}, *({"prompt": f"{PROMPT}, part {number}", "start": "continue"} for number in (2, 3, 4))]
    text, film = message("create_film", shots=shots, resolution="540p")
    yield "create_film, four shots", text
    yield "wait_for_film, four shots", message("wait_for_film", film_id=film["film_id"], timeout_seconds=0)[0]
    for _ in range(4):
        message("create_image", prompt=PROMPT)
    yield "list_generations, ten", message("list_generations", limit=10)[0]
    yield "delete_generation", message("delete_generation", generation_id=picture)[0]
    for tool in ("get_credits", "ping", "list_concepts"):
        yield tool, message(tool)[0]
    yield "a refusal", compact(pipe.refused("get_generation", generation_id=picture)["content"])


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
