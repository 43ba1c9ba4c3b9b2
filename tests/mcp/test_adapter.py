"""What every tool has in common."""

import json
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest
from mcp import Client
from pydantic import BaseModel

from luma_mcp.domain import catalogue
from luma_mcp.domain.errors import InternalError
from luma_mcp.mcp.arguments.schema import simplified
from tests.support.agent import Agent
from tests.support.spending_calls import SPENDING

pytestmark = pytest.mark.anyio

SNAPSHOTS = Path(__file__).parent / "snapshots"


class Mode(NamedTuple):
    """The keys of a server, and the most characters of its list of tools."""

    keys: dict[str, str]
    most_characters: int


MODES = {
    "dream_machine": Mode({}, 25_500),
    "agents": Mode({"LUMA_TOKEN": "luma-api-1"}, 21_500),
    "both": Mode({"LUMA_AGENTS_API_KEY": "1"}, 27_000),
}
# A film's shots are bought one by one.
BUYING = {*SPENDING, "create_film"}
ALL_TOOLS = {
    *BUYING, "get_generation", "wait_for_generation", "list_generations", "delete_generation", "download_generation",
    "edit_video",
    "view_generation", "get_credits", "ping", "list_concepts", "wait_for_film",
}  # fmt: skip


async def definitions(agent: Agent) -> list[dict[str, Any]]:
    tools = (await agent.client.list_tools()).tools
    return [tool.model_dump(by_alias=True, mode="json", exclude_none=True) for tool in tools]


def nodes(schema: Any) -> list[dict[str, Any]]:
    """Every schema inside a schema, itself included."""
    if isinstance(schema, list):
        return [node for item in schema for node in nodes(item)]
    if not isinstance(schema, dict):
        return []
    return [schema, *(node for value in schema.values() for node in nodes(value))]


@pytest.mark.parametrize("mode", MODES)
async def test_the_public_contract_changes_only_on_purpose(serve, request: pytest.FixtureRequest, mode: str) -> None:
    async with Client(serve(**MODES[mode].keys)) as client:
        now = json.dumps(await definitions(Agent(client)), indent=1, sort_keys=True) + "\n"
    snapshot = SNAPSHOTS / f"{mode}.json"
    if request.config.getoption("--update-snapshots"):
        snapshot.write_text(now)

    assert now == snapshot.read_text(), "If this change is meant: just snapshots"


@pytest.mark.parametrize("mode", MODES)
async def test_the_list_of_tools_and_the_instructions_stay_small(serve, mode: str) -> None:
    """Every conversation pays for it."""
    async with Client(serve(**MODES[mode].keys)) as client:
        listed = await definitions(Agent(client))
        assert len(client.instructions or "") < 2_000

    assert len(json.dumps(listed, separators=(",", ":"))) < MODES[mode].most_characters


@pytest.mark.parametrize("mode", ["dream_machine", "agents"])
async def test_a_server_with_one_key_shows_only_what_its_models_accept(serve, mode: str) -> None:
    videos = [model for model in catalogue.VIDEO_MODELS.values() if model.backend == mode]
    images = [model for model in catalogue.IMAGE_MODELS.values() if model.backend == mode]
    taken = {
        "aspect_ratio": {ratio for model in (*videos, *images) for ratio in model.ratios},
        "resolution": {resolution for model in videos for resolution in model.resolutions},
        "duration": {duration for model in videos for duration in model.durations},
    }
    async with Client(serve(**MODES[mode].keys)) as client:
        listed = await definitions(Agent(client))

    shown = 0
    for tool in listed:
        for node in nodes(tool["inputSchema"]):
            for name in taken.keys() & node.get("properties", {}).keys():
                words = node["properties"][name].get("enum")
                if words is not None:
                    shown += 1
                    assert set(words) <= taken[name], (tool["name"], name)
    assert shown >= 8


async def test_every_tool_is_there(agent: Agent) -> None:
    assert {tool["name"] for tool in await definitions(agent)} == ALL_TOOLS


async def test_every_hint_is_stated(agent: Agent) -> None:
    for tool in await definitions(agent):
        hints = tool["annotations"]
        assert set(hints) == {"readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"}, tool["name"]
        spends = (hints["readOnlyHint"], hints["destructiveHint"], hints["idempotentHint"]) == (False, True, False)
        assert spends == (tool["name"] in BUYING), tool["name"]
        assert ("dry_run" in tool["inputSchema"]["properties"]) == (tool["name"] in BUYING), tool["name"]


async def test_every_tool_has_a_title_and_every_argument_a_description(agent: Agent) -> None:
    for tool in await definitions(agent):
        assert tool["title"]
        assert tool["description"]
        for name, argument in tool["inputSchema"]["properties"].items():
            assert argument.get("description"), f"{tool['name']}.{name}"


async def test_schemas_hold_nothing_that_a_client_chokes_on(agent: Agent) -> None:
    forbidden = {
        "$ref",
        "$defs",
        "anyOf",
        "oneOf",
        "allOf",
        "const",
        "title",
        "exclusiveMinimum",
        "additionalProperties",
    }
    for tool in await definitions(agent):
        for schema in (tool["inputSchema"], tool.get("outputSchema", {"type": "object"})):
            assert schema["type"] == "object"
            for node in nodes(schema):
                # A property may be called title; a keyword may not be there.
                if all(isinstance(value, dict) for value in node.values()):
                    continue
                assert not forbidden & set(node), f"{tool['name']}: {node}"
                assert "items" in node or node.get("type") != "array"


async def test_names_fit_every_host(agent: Agent) -> None:
    for tool in await definitions(agent):
        assert len(tool["name"]) <= 21
        assert len(tool["description"]) <= 1000


async def test_instructions_are_not_cut_by_any_host(agent: Agent) -> None:
    assert agent.client.instructions is not None
    assert len(agent.client.instructions) < 2000


@pytest.mark.parametrize("prompt", ["true", "[1, 2]", '{"a": 1}', "123456", '"quoted"'])
async def test_a_string_stays_a_string(agent: Agent, prompt: str) -> None:
    bought = await agent.call("create_video", prompt=prompt)

    assert (await agent.call("get_generation", generation_id=bought["generation_id"]))["prompt"] == prompt


async def test_an_unknown_argument_is_named(agent: Agent) -> None:
    message = await agent.refusal("ping", loudly=True)

    assert message == "ping has no argument 'loudly'. It takes no arguments. Nothing was done."


async def test_a_missing_argument_is_named(agent: Agent) -> None:
    assert await agent.refusal("get_generation") == "get_generation needs the argument generation_id."


async def test_a_wrong_value_is_shown_short(agent: Agent) -> None:
    message = await agent.refusal("list_generations", limit="x" * 500)

    assert message.startswith("list_generations: limit cannot be 'xxx")
    assert len(message) < 250
    assert "pydantic" not in message


async def test_structured_content_is_what_the_schema_promises(agent: Agent) -> None:
    from jsonschema import validate

    schemas = {tool["name"]: tool.get("outputSchema") for tool in await definitions(agent)}
    assert [name for name, schema in schemas.items() if schema is None] == ["view_generation"]
    image = await agent.make("create_image", prompt="a boat")
    for tool, arguments in {
        "create_video": {"prompt": "a boat", "dry_run": True},
        "create_image": {"prompt": "a boat"},
        "get_generation": {"generation_id": image},
        "wait_for_generation": {"generation_ids": [image]},
        "list_generations": {},
        "download_generation": {"generation_ids": [image]},
        "get_credits": {},
        "ping": {},
        "list_concepts": {},
        "delete_generation": {"generation_id": image},
    }.items():
        validate(await agent.call(tool, **arguments), schemas[tool])


class Inner(BaseModel):
    title: str
    weight: float | None = None


class Outer(BaseModel):
    inner: Inner | None = None
    many: list[Inner] = []
    either: int | str = 1
    always: Literal["so"] = "so"


def test_a_schema_is_made_plain() -> None:
    plain = simplified(Outer.model_json_schema())

    inner = {
        "type": "object",
        "properties": {"title": {"type": "string"}, "weight": {"type": "number"}},
        "required": ["title"],
    }
    assert plain == {
        "type": "object",
        "properties": {
            "inner": inner,
            "many": {"type": "array", "items": inner},
            "either": {"anyOf": [{"type": "integer"}, {"type": "string"}], "default": 1},
            "always": {"enum": ["so"], "type": "string", "default": "so"},
        },
    }


async def test_a_tool_that_there_is_not_is_reported(agent: Agent) -> None:
    assert "make_coffee" in await agent.refusal("make_coffee")


async def test_a_crash_reveals_nothing_to_the_client(settings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Our own mistakes are not the model's to read."""
    from luma_mcp.composition import build_server

    class Broken:
        async def handle_async_request(self, _request: object) -> object:
            raise ZeroDivisionError("secret detail")

        async def aclose(self) -> None:
            """Nothing to close."""

    async with Client(build_server(settings, transport=Broken())) as client:  # type: ignore[arg-type]
        message = await Agent(client).refusal("ping")

    assert message == (
        "ping failed through a mistake in this server. Its log has the details. If it was a purchase, list_generations "
        "shows whether it was made."
    )


async def test_an_internal_error_keeps_its_sentence_and_its_traceback_is_logged(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    from luma_mcp.composition import build_server

    class Broken:
        async def handle_async_request(self, _request: object) -> object:
            raise InternalError("The video cannot be read.", "Report it.", "secret detail")

        async def aclose(self) -> None:
            """Nothing to close."""

    async with Client(build_server(settings, transport=Broken())) as client:  # type: ignore[arg-type]
        message = await Agent(client).refusal("get_generation", generation_id="15b7abb1-3741-4b7e-9615-1f9a16c7442d")

    assert message == "The video cannot be read. Report it."
    assert "InternalError: The video cannot be read." in caplog.text
