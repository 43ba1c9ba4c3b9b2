"""Every operation on pictures."""

import pytest

from luma_mcp.emulator.app import Emulator
from tests.support.agent import Agent

pytestmark = pytest.mark.anyio


async def test_references_are_passed_on_with_their_weights(agent: Agent, emulator: Emulator) -> None:
    earlier = await agent.make("create_image", prompt="a boat")
    bought = await agent.call(
        "create_image",
        prompt="a ship",
        model="photon-flash-1",
        aspect_ratio="1:1",
        format="png",
        image_refs=[{"source": earlier, "weight": 0.5}, {"source": "https://example.com/a.jpg"}],
        style_refs=[{"source": "https://example.com/s.jpg", "weight": 0}],
        character_images=["https://example.com/c.jpg", earlier],
    )

    requested = emulator.dream_machine.get(bought["generation_id"]).body.model_dump()
    assert (requested["model"], requested["aspect_ratio"], requested["format"]) == ("photon-flash-1", "1:1", "png")
    assert earlier in requested["image_ref"][0]["url"]
    assert [item["weight"] for item in requested["image_ref"]] == [0.5, None]
    assert requested["style_ref"] == [{"url": "https://example.com/s.jpg", "weight": 0}]
    assert len(requested["character_ref"]["identity0"]["images"]) == 2


async def test_a_picture_can_be_changed_without_a_prompt(agent: Agent, emulator: Emulator) -> None:
    bought = await agent.call("create_image", modify_image={"source": "https://example.com/a.jpg", "weight": 0.05})

    requested = emulator.dream_machine.get(bought["generation_id"]).body.model_dump()
    assert requested["modify_image_ref"] == {"url": "https://example.com/a.jpg", "weight": 0.05}


async def test_reframing_a_picture_passes_everything_on(agent: Agent, emulator: Emulator) -> None:
    image = await agent.make("create_image", prompt="a boat")
    bought = await agent.call(
        "reframe_image", source=image, aspect_ratio="1:1", prompt="more sky", format="png",
        placement=[0.25, 0, 0.5, 1],
    )  # fmt: skip

    requested = emulator.dream_machine.get(bought["generation_id"]).body.model_dump()
    assert (requested["x_start"], requested["x_end"], requested["y_start"], requested["y_end"]) == (384, 1152, 0, 1536)
    assert requested["generation_type"] == "reframe_image"
    assert requested["format"] == "png"


async def test_pictures_cost_what_was_reported(agent: Agent, emulator: Emulator) -> None:
    for model in ("photon-1", "photon-flash-1"):
        bought = await agent.call("create_image", prompt="a boat", model=model)

        assert emulator.dream_machine.billing.entries[-1].cents == pytest.approx(bought["price_usd"] * 100, abs=0.01)


async def test_a_list_may_come_as_json_in_a_string(agent: Agent, emulator: Emulator) -> None:
    """Claude Desktop is known to send lists so."""
    bought = await agent.call("create_image", prompt="a boat", character_images='["https://example.com/c.jpg"]')

    requested = emulator.dream_machine.get(bought["generation_id"]).body.model_dump()
    assert requested["character_ref"]["identity0"]["images"] == ["https://example.com/c.jpg"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, "Prompt is required."),
        (
            {"prompt": "a boat", "image_refs": [{"source": "https://e.example/a.png", "weight": 2}]},
            "image_refs.0.weight",
        ),
        ({"prompt": "a boat", "image_refs": [{"sauce": "https://e.example/a.png"}]}, "image_refs.0.source"),
        (
            {"prompt": "a boat", "image_refs": [{"source": "https://e.example/a.png", "wait": 1}]},
            "image_refs.0.wait is not an argument",
        ),
        ({"prompt": "a boat", "image_refs": [{"source": "https://e.example/a.png"}] * 5}, "At most 4 image references"),
        ({"prompt": "a boat", "aspect_ratio": "2:1"}, "photon-1 has no aspect_ratio 2:1"),
        ({"prompt": "a boat", "aspect_ratio": "5:1"}, "aspect_ratio cannot be '5:1'"),
    ],
)
async def test_what_cannot_be_made_is_refused(
    agent: Agent, emulator: Emulator, arguments: dict[str, object], sentence: str
) -> None:
    assert sentence in await agent.refusal("create_image", **arguments)
    assert emulator.dream_machine.generations == {}
