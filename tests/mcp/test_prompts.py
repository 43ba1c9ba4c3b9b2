"""Ways of asking that are offered."""

import pytest
from mcp.types import PromptReference

from luma_mcp.mcp.server import TOOLSETS
from tests.support.agent import Agent

pytestmark = pytest.mark.anyio


async def test_each_states_what_it_accepts_and_what_to_do(agent: Agent) -> None:
    prompts = (await agent.client.list_prompts()).prompts
    tools = {generation.name for listed in TOOLSETS.values() for generation in listed}

    assert [prompt.name for prompt in prompts] == ["shot_list", "product_shot", "seamless_loop", "storyboard"]
    for prompt in prompts:
        assert prompt.title
        assert prompt.description
        assert all(argument.description for argument in prompt.arguments or [])
        needed = {argument.name: "a paper boat" for argument in prompt.arguments or [] if argument.required}
        text = (await agent.client.get_prompt(prompt.name, needed)).messages[0].content.text
        assert "a paper boat" in text
        assert "dry_run" in text
        named = {word.strip(".,:;()") for word in text.split() if "_" in word}
        arguments = {
            "start_frame",
            "end_frame",
            "style_refs",
            "dry_run",
            "film_id",
            "orbit_left",
            "push_in",
            "pedestal_up",
        }
        assert {word.partition("=")[0] for word in named} - arguments <= tools


async def test_a_ratio_is_completed(agent: Agent) -> None:
    loop = PromptReference(name="seamless_loop")
    ratios = await agent.client.complete(loop, {"name": "aspect_ratio", "value": "9:"})
    scenes = await agent.client.complete(loop, {"name": "scene", "value": "a"})

    assert ratios.completion.values == ["9:16", "9:21"]
    assert scenes.completion.values == []
