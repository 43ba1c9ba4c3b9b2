"""Calls that nobody would make, to the real server over a real pipe: each gets an answer, and none breaks it.

`--calls N` says how many; the pages of this project were written after 10,000.
"""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from benchmarks.calls import emulated
from luma_mcp.composition import offered_tools
from luma_mcp.config.settings import Settings

pytestmark = pytest.mark.slow

ANY_TEXT = st.text(max_size=40) | st.sampled_from(
    [
        "", "null", "../../credits", "\x00", "\u202egpj", "file:///etc/passwd", "C:\\x", "a" * 6000, "{}",
        "${LUMA_TOKEN}", "cut \ud83d",
    ]
)  # fmt: skip
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
AN_ID = st.sampled_from(["15b7abb1-3741-4b7e-9615-1f9a16c7442d", "15b7abb1-3741-4b7e-9615-1f9a16c7442d#last"])


class Server:
    """Our server as a process."""

    def __init__(self, folder: Path, base_url: str, key: str) -> None:
        self.log = folder / "stderr"
        command = [sys.executable, "-m", "luma_mcp"]
        values_ = {
            "LUMA_TOKEN": key,
            "LUMA_BASE_URL": base_url,
            "LUMA_LEDGER": str(folder / "ledger.sqlite3"),
            "LUMA_OUTPUT_DIR": str(folder / "files"),
            "LUMA_MAX_USD_PER_DAY": "5",
        }
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                command, env={**os.environ, **values_}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )
        self._ids = itertools.count(1)
        client = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "fuzz", "version": "1"}}
        self.ask("initialize", client)
        self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        self.tools: list[dict[str, Any]] = self.ask("tools/list", {})["result"]["tools"]

    def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        number = next(self._ids)
        self._send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        assert self._process.stdout
        while True:
            line = self._process.stdout.readline()
            assert line, f"the server is gone: {self.log.read_text()[-2000:]}"
            answer = json.loads(line)
            if answer.get("id") == number:
                return answer

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        self._process.stdin.flush()

    def end(self) -> int:
        """The exit code of our server, which ends with its input."""
        assert self._process.stdin
        self._process.stdin.close()
        code = self._process.wait(10)
        assert self._process.stdout
        self._process.stdout.close()
        return code


SECRET = "token-that-must-never-show"


@pytest.fixture(scope="module", params=[SECRET, f"luma-api-{SECRET}"], ids=["dream_machine", "agents"])
def server(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Server]:
    with emulated() as base_url:
        made = Server(tmp_path_factory.mktemp("fuzz"), base_url, request.param)
        yield made
        assert made.end() == 0
    sentence = made.log.read_text()
    assert "Traceback" not in sentence
    assert SECRET not in sentence


# The changes of a film are objects that its schema describes in words.
OF_A_CHANGE: dict[str, Any] = {
    "number": {"type": "integer", "minimum": 0, "maximum": 9},
    "after": {"type": "integer", "minimum": 0, "maximum": 9},
    "remove": {"type": "boolean"},
    "shot": {"type": "object", "properties": {"prompt": {"type": "string"}}},
    "prompt": {"type": "string"},
    "start": {"type": "string"},
    "take": {"type": "integer", "minimum": 1, "maximum": 9},
}


def fitting(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """What a schema asks for."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema["type"]:
        case "string":
            return AN_ID | ANY_TEXT
        case "boolean":
            return st.booleans()
        case "integer":
            return st.integers(schema.get("minimum"), schema.get("maximum"))
        case "number":
            return st.floats(0, 1)
        case "array":
            return st.lists(fitting(schema["items"]), max_size=schema.get("maxItems", 3))
        case _:
            return arguments_of(schema)


def arguments_of(schema: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object of the schema, sometimes with a field missing, wrong, or too many."""
    fields = {
        name: st.one_of(fitting(item), fitting(item), fitting(item), ANYTHING)
        for name, item in schema.get("properties", OF_A_CHANGE).items()
    }
    known = st.fixed_dictionaries({}, optional=fields)
    return known | st.tuples(known, st.dictionaries(st.text(max_size=12), ANYTHING, max_size=1)).map(
        lambda two: {**two[1], **two[0]}
    )


TOOLSETS = [item.name for item in offered_tools(Settings.from_environment({}))]


@pytest.mark.parametrize("tool", TOOLSETS)
def test_no_call_breaks_it(server: Server, request: pytest.FixtureRequest, tool: str) -> None:
    definition = next((each_tool for each_tool in server.tools if each_tool["name"] == tool), None)
    if definition is None:
        # The other API has it.
        answer = server.ask("tools/call", {"name": tool, "arguments": {}})
        assert "error" in answer or answer["result"]["isError"]
        return
    calls = max(1, request.config.getoption("--calls") // len(TOOLSETS))

    @settings(max_examples=calls, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(arguments_of(definition["inputSchema"]))
    def call(arguments: dict[str, Any]) -> None:
        # A wait is kept short: it is what is asked that matters here.
        if tool == "wait_for_generation" and isinstance(arguments.get("timeout_seconds", 1), int | float):
            arguments["timeout_seconds"] = 0
        answer = server.ask("tools/call", {"name": tool, "arguments": arguments})
        result = answer.get("result")
        assert result is not None, answer
        sentence = json.dumps(result, ensure_ascii=False)
        assert "Traceback" not in sentence
        assert SECRET not in sentence
        assert "mistake in this server" not in sentence
        if result.get("isError"):
            text = result["content"][0]["text"]
            assert text
            assert "mistake in this server" not in text, arguments
            assert len(text) < 2500

    call()
    assert server.ask("ping", {})["result"] == {}


@pytest.mark.parametrize(
    ("prompt", "received"),
    [
        ("a boat \ud83d", "a boat ?"),
        ("\udc00 a boat", "? a boat"),
        ("a boat \ud83d\udea4", "a boat \U0001f6a4"),
        ("a boat \\ud83d", "a boat \\ud83d"),
    ],
)
def test_half_a_character_gets_a_response(server: Server, prompt: str, received: str) -> None:
    """The SDK drops such a message, and the client waits for ever."""
    answer = server.ask("tools/call", {"name": "create_video", "arguments": {"prompt": prompt, "dry_run": True}})

    _, _, body = answer["result"]["structuredContent"]["request"].split(" ", 2)
    assert json.loads(body)["prompt"] == received
