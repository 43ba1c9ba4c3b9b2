"""The server as a client first sees it."""

import logging
import re

import pytest
from mcp import Client, MCPError

import luma_mcp
from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.faults import Fault
from tests.support.agent import Agent

pytestmark = pytest.mark.anyio


async def test_it_introduces_itself(agent: Agent) -> None:
    info = agent.client.server_info

    assert (info.name, info.title, info.version) == ("luma", "Luma Dream Machine", luma_mcp.__version__)
    assert info.icons is not None
    assert info.icons[0].src.startswith("https://")


async def test_read_only_offers_only_what_reads(serve, era: str, emulator: Emulator) -> None:
    async with Client(serve(LUMA_READ_ONLY="1"), mode=era) as client:
        tools = (await client.list_tools()).tools
        assert {tool.name for tool in tools} == {
            "get_generation", "wait_for_generation", "list_generations", "get_credits", "ping", "list_concepts",
            "view_generation",
        }  # fmt: skip

        assert "Unknown tool" in await Agent(client).refusal("create_video", prompt="a boat")
        assert emulator.requests == []


async def test_read_only_wins_over_toolsets(serve, era: str) -> None:
    async with Client(serve(LUMA_READ_ONLY="1", LUMA_TOOLSETS="video,account"), mode=era) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}

    assert names == {"get_credits", "ping", "list_concepts"}


async def test_toolsets_offer_a_part(serve, era: str) -> None:
    async with Client(serve(LUMA_TOOLSETS=" image , generations"), mode=era) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}

    assert names == {
        "create_image", "reframe_image", "get_generation", "wait_for_generation", "list_generations",
        "delete_generation",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "tool", "sentence"),
    [
        ({"LUMA_READ_ONLY": "1"}, "create_video", "This server only reads (LUMA_READ_ONLY)."),
        ({"LUMA_TOOLSETS": "image"}, "create_video", "LUMA_TOOLSETS leaves out video."),
        ({"LUMA_TOKEN": "luma-api-x"}, "upscale_video", "It is Dream Machine's, and this server has no key for it."),
        ({"LUMA_TOKEN": "luma-api-x"}, "list_camera_motions", "It is Dream Machine's"),
        ({}, "upload_file", "It works by links to this server, which has no public address."),
        ({"LUMA_HTTP_PUBLIC_URL": "https://luma.example.com/mcp"}, "ping", "get_credits asks Luma"),
    ],
)
async def test_a_tool_that_is_not_offered_states_why(
    serve, era: str, emulator: Emulator, settings: dict[str, str], tool: str, sentence: str
) -> None:
    async with Client(serve(**settings), mode=era) as client:
        assert f"Unknown tool: {tool}. {sentence}" in await Agent(client).refusal(tool)
        assert await Agent(client).refusal("make_coffee") == "Unknown tool: make_coffee"

    assert emulator.requests == []


async def test_building_it_touches_nothing(serve, emulator: Emulator, output) -> None:
    serve()

    assert emulator.requests == []
    assert not output.exists()


async def test_resources_are_listed_and_can_be_read(agent: Agent) -> None:
    listed = (await agent.client.list_resources()).resources
    templates = (await agent.client.list_resource_templates()).resource_templates

    uris = [str(generation.uri) for generation in listed]
    ours = [f"luma://{name}" for name in ("camera-motions", "concepts", "models", "spending", "films")]
    assert uris == ["ui://luma/view", "skill://dream-machine/SKILL.md", *ours]
    assert [template.uri_template for template in templates] == [
        "luma://generations/{generation_id}",
        "luma://films/{film_id}",
    ]
    assert '"orbit_left"' in await read(agent, "luma://concepts")
    assert '"Orbit Left"' in await read(agent, "luma://camera-motions")
    page = await read(agent, "ui://luma/view")
    assert page.startswith("<!doctype html>")
    assert "view.css" not in page
    assert "view.js" not in page


async def test_the_models_resource_knows_the_prices(agent: Agent) -> None:
    from json import loads

    models = loads(await read(agent, "luma://models"))["models"]
    assert models["ray-2"]["usd_for_16:9"]["720p 5s"] == 0.71
    assert models["ray-flash-2"]["usd_for_16:9"]["4k 9s"] == 3.95
    assert models["photon-1"]["usd"] == pytest.approx(0.0172, abs=0.0001)


async def test_a_generation_can_be_read_as_a_resource(agent: Agent) -> None:
    image = await agent.make("create_image", prompt="a boat")

    assert f'"generation_id":"{image}","state":"completed"' in await read(agent, f"luma://generations/{image}")


@pytest.mark.parametrize("generation_id", ["15b7abb1-3741-4b7e-9615-1f9a16c7442d", "no$id"])
async def test_a_resource_that_is_not_there_is_reported(agent: Agent, generation_id: str) -> None:
    with pytest.raises(MCPError, match=r"No generation has the id|is not a generation id") as caught:
        await read(agent, f"luma://generations/{generation_id}")

    assert caught.value.error.code == -32602


async def test_a_resource_that_cannot_be_read_states_why(serve, era: str) -> None:
    async with Client(serve(LUMA_TOKEN="wrong"), mode=era) as client:
        with pytest.raises(MCPError, match="Luma refused the token") as caught:
            await read(Agent(client), "luma://generations/15b7abb1-3741-4b7e-9615-1f9a16c7442d")

    assert caught.value.error.code == -32603


async def test_recent_ids_complete(agent: Agent) -> None:
    from mcp.types import ResourceTemplateReference

    ids = [(await agent.call("create_image", prompt=f"boat number {n}"))["generation_id"] for n in range(3)]
    template = ResourceTemplateReference(type="ref/resource", uri="luma://generations/{generation_id}")

    everything = await agent.client.complete(template, {"name": "generation_id", "value": ""})
    some = await agent.client.complete(template, {"name": "generation_id", "value": ids[0][:6]})
    assert everything.completion.values == ids[::-1]
    assert some.completion.values == [ids[0]]


async def test_completion_is_empty_while_luma_fails(agent: Agent, emulator: Emulator) -> None:
    from mcp.types import ResourceTemplateReference

    await agent.call("create_image", prompt="a boat")
    template = ResourceTemplateReference(type="ref/resource", uri="luma://generations/{generation_id}")
    emulator.faults.append(Fault("error", method="GET", path="*/generations", times=100))
    during = await agent.client.complete(template, {"name": "generation_id", "value": ""})
    emulator.faults.clear()
    after = await agent.client.complete(template, {"name": "generation_id", "value": ""})

    assert (len(during.completion.values), len(after.completion.values)) == (0, 1)


async def test_completion_without_a_response_is_empty(serve, era: str) -> None:
    from mcp.types import PromptReference, ResourceTemplateReference

    template = ResourceTemplateReference(type="ref/resource", uri="luma://generations/{generation_id}")
    async with Client(serve(LUMA_TOKEN=""), mode=era) as client:
        nothing = await client.complete(template, {"name": "generation_id", "value": ""})
        other = await client.complete(PromptReference(type="ref/prompt", name="x"), {"name": "y", "value": ""})

        stranger = ResourceTemplateReference(type="ref/resource", uri="luma://nowhere/{generation_id}")
        nowhere = await client.complete(stranger, {"name": "generation_id", "value": ""})

    assert nothing.completion.values == other.completion.values == nowhere.completion.values == []


async def read(agent: Agent, uri: str) -> str:
    (contents,) = (await agent.client.read_resource(uri)).contents
    return contents.text  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        (
            {"LUMA_TOKEN": ""},
            r"No Luma token is set\. Get an API key at https://\S+,",
        ),
        (
            {"LUMA_TOKEN": "${LUMA_TOKEN}"},
            r"LUMA_TOKEN holds the text \$\{LUMA_TOKEN\}, which the host did not replace",
        ),
        ({"LUMA_TOKEN": "wrong"}, r"Luma refused the token \(401\).*The token came from LUMA_TOKEN\. Check that"),
        (
            {"LUMA_TOKEN": "", "LUMA_AGENTS_API_KEY": "x"},
            r"Luma refused the token \(401\).*The token came from LUMA_AGENTS_API_KEY",
        ),
        ({"LUMA_TOKEN": "two words"}, r"LUMA_TOKEN holds characters that cannot be in a key"),
    ],
)
async def test_a_token_that_is_no_good_is_one_clear_sentence(
    serve, era: str, environment: dict[str, str], sentence: str
) -> None:
    async with Client(serve(**environment), mode=era) as client:
        message = await Agent(client).refusal("create_video", prompt="a boat")

    assert re.search(sentence, message), message
    assert "\n" not in message


async def test_insufficient_credits_are_one_clear_sentence(agent: Agent, emulator: Emulator) -> None:
    emulator.dream_machine.billing.credit_cents = 1

    message = await agent.refusal("create_video", prompt="a boat")
    assert message.startswith("The Luma account has insufficient credits for this. Nothing was bought.")


async def test_a_callback_url_goes_with_every_purchase(serve, era: str, emulator: Emulator) -> None:
    async with Client(serve(LUMA_CALLBACK_URL="https://hooks.example/luma"), mode=era) as client:
        bought = await Agent(client).call("create_image", prompt="a boat")

    assert emulator.dream_machine.get(bought["generation_id"]).body.callback_url == "https://hooks.example/luma"


@pytest.mark.parametrize("listing", ["list_tools", "list_prompts", "list_resources", "list_resource_templates"])
async def test_an_unknown_cursor_is_refused(agent: Agent, listing: str) -> None:
    with pytest.raises(MCPError, match="no such cursor") as caught:
        await getattr(agent.client, listing)(cursor="bogus")

    assert caught.value.error.code == -32602


@pytest.mark.parametrize(("name", "arguments"), [("nothing", {}), ("storyboard", {}), ("storyboard", {"x": "b"})])
async def test_a_mistake_with_a_prompt_is_one_sentence_and_no_trace(
    agent: Agent, caplog: pytest.LogCaptureFixture, name: str, arguments: dict[str, str]
) -> None:
    with pytest.raises(MCPError) as caught:
        await agent.client.get_prompt(name, arguments)

    assert caught.value.error.code == -32602
    assert not [record for record in caplog.records if record.exc_info]


async def test_it_states_where_it_is_described(agent: Agent) -> None:
    assert str(agent.client.server_info.website_url).startswith("https://github.com/")


async def test_the_log_of_a_failed_call_has_no_argument(agent: Agent, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    link = "https://cdn.example/a.png?Signature=abcdef"
    await agent.refusal("get_generation", generation_id=link)
    await agent.refusal("create_video", prompt="a boat", duration=link)
    with pytest.raises(MCPError):
        await agent.client.read_resource("luma://generations/not%20there")

    assert "Tool 'get_generation' failed" in caplog.text
    assert "Signature" not in caplog.text
    assert "No generation" not in caplog.text
