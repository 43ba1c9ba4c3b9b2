"""Every operation on videos, from an agent's call to what the emulator was asked for."""

from typing import Any

import pytest

from luma_mcp.emulator.app import Emulator
from tests.support.agent import Agent, InMemory, once

pytestmark = pytest.mark.anyio


def echo(emulator: Emulator, generation_id: str) -> dict[str, Any]:
    return emulator.dream_machine.get(generation_id).body.model_dump()


async def test_create_video_buys_what_was_asked_for(agent: Agent, emulator: Emulator) -> None:
    bought = await agent.call(
        "create_video", prompt="a boat", model="ray-flash-2", aspect_ratio="9:16", resolution="540p", duration="9s",
        concepts=["orbit_left", "push_in"],
    )  # fmt: skip

    requested = echo(emulator, bought["generation_id"])
    assert requested["model"] == "ray-flash-2"
    assert (requested["aspect_ratio"], requested["resolution"], requested["duration"]) == ("9:16", "540p", "9s")
    assert [concept["key"] for concept in requested["concepts"]] == ["orbit_left", "push_in"]
    assert bought["price_usd"] == 0.25
    assert bought["next"].startswith("wait_for_generation")


async def test_what_is_bought_costs_what_was_reported(agent: Agent, emulator: Emulator) -> None:
    for model in ("ray-2", "ray-flash-2"):
        for resolution in ("540p", "720p", "1080p", "4k"):
            bought = await agent.call("create_video", prompt="a boat", model=model, resolution=resolution)

            charged = emulator.dream_machine.billing.entries[-1].cents
            assert 0 <= bought["price_usd"] * 100 - charged < 1, "rounded up to the cent"


async def test_a_dry_run_shows_the_request_and_sends_nothing(agent: Agent, emulator: Emulator) -> None:
    shown = await agent.call("create_video", prompt="a boat", dry_run=True)

    assert shown["dry_run"] is True
    assert shown["price_usd"] == 0.71
    assert shown["request"].startswith('POST /generations/video {"generation_type":"video"')
    assert "generation_id" not in shown
    assert emulator.dream_machine.generations == {}


async def test_a_picture_starts_a_video(agent: Agent, emulator: Emulator) -> None:
    image = await agent.make("create_image", prompt="a boat")
    video = await agent.make("create_video", start_frame=image, resolution="540p")

    frames = echo(emulator, video)["keyframes"]
    assert frames["frame0"]["type"] == "image"
    assert image in frames["frame0"]["url"]
    assert frames["frame1"] is None


async def test_a_url_ends_a_video(agent: Agent, emulator: Emulator) -> None:
    bought = await agent.call("create_video", prompt="a boat", end_frame="https://example.com/end.png")

    assert echo(emulator, bought["generation_id"])["keyframes"] == {
        "frame0": None,
        "frame1": {"type": "image", "url": "https://example.com/end.png"},
    }


async def test_a_video_as_a_frame_is_joined(agent: Agent, emulator: Emulator) -> None:
    first = await agent.make("create_video", prompt="a boat", resolution="540p")
    second = await agent.make("create_video", prompt="a port", resolution="540p")
    between = await agent.call("create_video", prompt="a voyage", start_frame=first, end_frame=second)

    frames = echo(emulator, between["generation_id"])["keyframes"]
    assert frames["frame0"] == {"type": "generation", "id": first}
    assert frames["frame1"] == {"type": "generation", "id": second}


async def test_extending_keeps_the_form_of_the_clip(agent: Agent, emulator: Emulator) -> None:
    video = await agent.make(
        "create_video", prompt="a boat", model="ray-flash-2", aspect_ratio="3:4", resolution="540p", duration="9s"
    )
    extension = await agent.call("extend_video", generation_id=video, prompt="on it goes")

    requested = echo(emulator, extension["generation_id"])
    assert (requested["model"], requested["aspect_ratio"], requested["resolution"], requested["duration"]) == (
        "ray-flash-2", "3:4", "540p", "9s",
    )  # fmt: skip
    assert requested["keyframes"] == {"frame0": {"type": "generation", "id": video}, "frame1": None}


async def test_extending_backward_leads_up_to_the_clip(agent: Agent, emulator: Emulator) -> None:
    video = await agent.make("create_video", prompt="a boat", resolution="540p")
    before = await agent.call(
        "extend_video", generation_id=video, prompt="before", direction="backward",
        end_frame="https://example.com/begin.png",
    )  # fmt: skip

    assert echo(emulator, before["generation_id"])["keyframes"] == {
        "frame0": {"type": "image", "url": "https://example.com/begin.png"},
        "frame1": {"type": "generation", "id": video},
    }


async def test_modify_accepts_an_earlier_clip_and_knows_its_price(agent: Agent, emulator: Emulator) -> None:
    video = await agent.make("create_video", prompt="a boat")
    image = await agent.make("create_image", prompt="a boat in oil")
    modified = await agent.call("modify_video", source=video, mode="flex_2", prompt="oil painting", first_frame=image)

    requested = echo(emulator, modified["generation_id"])
    assert video in requested["media"]["url"]
    assert image in requested["first_frame"]["url"]
    assert modified["price_usd"] == 1.75
    assert "price_is_assumed" not in modified


async def test_modifying_a_clip_from_elsewhere_has_an_assumed_price(agent: Agent) -> None:
    shown = await agent.call("modify_video", source="https://example.com/a.mp4", mode="adhere_1", dry_run=True)

    assert shown["price_is_assumed"]
    assert shown["price_usd"] > 1.75


async def test_reframe_passes_the_placement_on(agent: Agent, emulator: Emulator) -> None:
    video = await agent.make("create_video", prompt="a boat")
    reframed = await agent.call(
        "reframe_video", source=video, aspect_ratio="9:16", first_frame="https://example.com/a.png",
        placement=[0.125, 0.25, 0.75, 0.5],
    )  # fmt: skip

    requested = echo(emulator, reframed["generation_id"])
    assert [requested[field] for field in (
        "grid_position_x", "grid_position_y", "x_start", "x_end", "y_start", "y_end", "resized_width", "resized_height",
    )] == [144, 512, 144, 1008, 512, 1536, 864, 1024], "of a canvas of 1152x2048"  # fmt: skip


@pytest.mark.parametrize("old", ["grid_position_x", "x_start", "y_end", "resized_height"])
async def test_the_pixels_of_earlier_versions_are_refused_with_the_new_name(agent: Agent, old: str) -> None:
    message = await agent.refusal("reframe_video", source="https://a.example/a.mp4", aspect_ratio="9:16", **{old: 5})

    assert message == (
        f"reframe_video has no argument {old!r}. It is called placement here. It is [left, top, width, height] as "
        "fractions of the new canvas. Nothing was done."
    )


async def test_upscale_and_audio_make_new_generations(agent: Agent, emulator: Emulator) -> None:
    video = await agent.make("create_video", prompt="a boat", resolution="540p")
    larger = await agent.make("upscale_video", generation_id=video, resolution="1080p")
    sounding = await agent.call("add_audio", generation_id=larger, prompt="waves", negative_prompt="voices")

    assert len({video, larger, sounding["generation_id"]}) == 3
    assert echo(emulator, larger)["resolution"] == "1080p"
    assert echo(emulator, sounding["generation_id"])["negative_prompt"] == "voices"
    assert sounding["price_is_assumed"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"prompt": "no"}, "Prompt is too short, minimum length is 3 characters."),
        ({"prompt": "x" * 5001}, "Prompt is too long, maximum length is 5000 characters."),
        ({}, "Prompt is required."),
        (
            {"prompt": "a boat", "loop": True, "start_frame": "https://a.example/1.png", "end_frame": "https://a.example/2.png"},
            "Loop is not supported for keyframes.",
        ),
        (
            {"prompt": "a boat", "loop": True, "end_frame": "https://a.example/2.png"},
            "Loop is not supported for end frame.",
        ),
        ({"prompt": "a boat", "start_frame": "./hero.png"}, "There is no file './hero.png'"),
        ({"prompt": "a boat", "start_frame": "/home/me/hero.png"}, "is outside the folders that may be read"),
        ({"prompt": "a boat", "start_frame": "C:\\Users\\me\\hero.png"}, "is a Windows path"),
        ({"prompt": "a boat", "start_frame": "http://example.com/a.png"}, "It must begin with https://."),
        ({"prompt": "a boat", "start_frame": "http://169.254.169.254/"}, "It must begin with https://."),
        ({"prompt": "a boat", "start_frame": "ftp://example.com/a.png"}, "is not a source"),
        ({"prompt": "a boat", "start_frame": "data:image/png;base64,AAAA"}, "A picture cannot be sent as text."),
        ({"prompt": "a boat", "start_frame": "15b7abb1-3741-4b7e-9615-1f9a16c7442d"}, "No generation has the id"),
        ({"prompt": "a boat", "resolution": "8k"}, "resolution cannot be '8k'"),
        ({"prompt": "a boat", "duratoin": "9s"}, "has no argument 'duratoin'. It takes take, dry_run, count, prompt"),
    ],
)  # fmt: skip
async def test_what_cannot_be_made_is_refused_before_it_is_sent(
    agent: Agent, emulator: Emulator, arguments: dict[str, Any], sentence: str
) -> None:
    message = await agent.refusal("create_video", **arguments)

    assert sentence in message
    assert "\n" not in message
    assert not any(method == "POST" for method, _ in emulator.requests)


async def test_a_running_or_failed_clip_cannot_be_worked_on(agent: Agent) -> None:
    running = (await agent.call("create_video", prompt="a boat"))["generation_id"]
    message = await agent.refusal("upscale_video", generation_id=running)
    assert "is still queued" in message
    assert "wait_for_generation" in message

    await agent.call("wait_for_generation", generation_ids=[running], timeout_seconds=600)
    failed = (await agent.call("create_video", prompt="a boat [fail]"))["generation_id"]
    await agent.call("wait_for_generation", generation_ids=[failed], timeout_seconds=600)
    assert "failed, so there is nothing to use" in await agent.refusal("extend_video", generation_id=failed)


async def test_a_picture_is_not_taken_for_a_clip(agent: Agent) -> None:
    image = await agent.make("create_image", prompt="a boat")

    assert "is an image; a video is needed here" in await agent.refusal("add_audio", generation_id=image)
    assert "is an image; a video is needed here" in await agent.refusal("modify_video", source=image, mode="flex_1")


async def test_a_clip_is_not_taken_for_a_picture(agent: Agent) -> None:
    video = await agent.make("create_video", prompt="a boat")

    assert "is a video; a picture is needed here" in await agent.refusal(
        "reframe_image", source=video, aspect_ratio="1:1"
    )


@once
@pytest.mark.medium
async def test_no_call_sends_the_token_to_where_the_assets_are(agent: Agent, transport: InMemory) -> None:
    video = await agent.make("create_video", prompt="a boat", resolution="540p")
    await agent.call("download_generation", generation_ids=[video])

    to_assets = [request for request in transport.requests if request.url.path.startswith("/assets")]
    assert to_assets
    assert all("authorization" not in to_asset.headers for to_asset in to_assets)


async def test_a_list_that_is_no_json_is_refused_by_its_name(agent: Agent, emulator: Emulator) -> None:
    text = await agent.refusal("create_video", prompt="a boat", concepts='["handheld"')

    assert "concepts" in text
    assert emulator.dream_machine.billing.purchases() == []


async def test_a_concept_that_only_luma_knows_is_taken(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luma_mcp.emulator.dream_machine.app.CONCEPTS", ("orbit_left", "dive_under"))
    quoted = await agent.call("create_video", prompt="a boat", concepts=["dive_under", "orbit_left"], dry_run=True)

    assert '"dive_under"' in quoted["request"]
    assert "no concept 'fly_over'" in await agent.refusal("create_video", prompt="a boat", concepts=["fly_over"])
