"""What a model sees of what was made, and what the app is told."""

import base64
import json
from io import BytesIO
from pathlib import Path

import av
import pytest
from mcp import Client
from mcp.client import advertise
from PIL import Image

from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.faults import Fault
from luma_mcp.media.images import MAX_JPEG_BYTES
from tests.support.agent import Agent, fields_of, once, text

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

APPS = advertise("io.modelcontextprotocol/ui", {"mimeTypes": ["text/html;profile=mcp-app"]})
OFFERS = "dream-machine-mcp/offers"


def picture_of(result) -> Image.Image:
    (block,) = [part for part in result.content if part.type == "image"]
    data = base64.b64decode(block.data)
    assert block.mime_type == "image/jpeg"
    assert len(data) <= MAX_JPEG_BYTES
    return Image.open(BytesIO(data))


async def test_an_image_is_seen_made_small(agent: Agent) -> None:
    image = await agent.make("create_image", prompt="a boat")
    result = await agent.result("view_generation", generation_id=image)

    assert picture_of(result).size == (1024, 576)
    assert result.structured_content is None, "some clients show a model nothing else, if there is any"
    reply = fields_of(result)
    assert (reply["width"], reply["height"], reply["generation_id"]) == (2048, 1152, image)
    assert "seconds" not in reply
    assert "It is 2048x1152. The picture shows it, made small." in text(result)
    assert base64.b64encode(b"\xff\xd8\xff").decode()[:4] not in json.dumps(reply)


@once
@pytest.mark.parametrize("frames", [4, 6, 9])
async def test_a_clip_is_seen_as_a_contact_sheet_frames_with_their_times(agent: Agent, frames: int) -> None:
    clip = await agent.make("create_video", prompt="a boat", resolution="540p", model="ray-flash-2")
    result = await agent.result("view_generation", generation_id=clip, frames=frames)

    reply = fields_of(result)
    assert len(reply["frame_seconds"]) == frames
    assert (reply["frame_seconds"][0], reply["frame_seconds"][-1]) == (0, 4.96)
    assert (reply["seconds"], reply["fps"], reply["has_sound"]) == (5, 24, False)
    assert max(picture_of(result).size) <= 1280
    assert "960x540, 5.0 s at 24 frames a second, silent" in text(result)
    assert "It is not saved yet" in text(result)


async def test_a_saved_file_is_looked_at_where_it_lies_and_named(agent: Agent, emulator: Emulator) -> None:
    image = await agent.make("create_image", prompt="a boat")
    saved = (await agent.call("download_generation", generation_ids=[image]))["files"][0]["path"]
    emulator.faults.append(Fault("expire", path="/assets/*", times=100))
    result = await agent.result("view_generation", generation_id=image)

    assert fields_of(result)["path"] == saved
    assert f"Saved as {saved}." in text(result)
    assert picture_of(result).size == (1024, 576)


async def test_a_file_that_was_changed_is_not_taken_for_it(agent: Agent) -> None:
    image = await agent.make("create_image", prompt="a boat")
    saved = Path((await agent.call("download_generation", generation_ids=[image]))["files"][0]["path"])
    saved.write_bytes(saved.read_bytes()[:-1])

    assert "path" not in await agent.call("view_generation", generation_id=image)


async def test_a_dream_is_seen_by_its_preview(agent: Agent, emulator: Emulator, clock) -> None:
    clip = (await agent.call("create_video", prompt="a boat", resolution="540p"))["generation_id"]
    assert "is still queued, so it has no video" in await agent.refusal("view_generation", generation_id=clip)

    while not (await agent.call("get_generation", generation_id=clip)).get("preview_url"):
        clock.seconds += 1
    result = await agent.result("view_generation", generation_id=clip)

    assert fields_of(result)["state"] == "dreaming"
    assert len(fields_of(result)["frame_seconds"]) == 4
    assert "The picture shows what there is so far, at 0" in text(result)
    assert picture_of(result).width > 100


async def test_what_failed_cannot_be_seen(agent: Agent) -> None:
    failed = (await agent.call("create_video", prompt="a boat [fail]"))["generation_id"]
    await agent.call("wait_for_generation", generation_ids=[failed], timeout_seconds=300)

    assert "failed, so it has no video" in await agent.refusal("view_generation", generation_id=failed)


async def test_pictures_can_be_turned_off(serve) -> None:
    async with Client(serve(LUMA_INLINE_IMAGES="0")) as client:
        agent = Agent(client)
        image = await agent.make("create_image", prompt="a boat")
        clip = await agent.make("create_video", prompt="a boat", resolution="540p", model="ray-flash-2")
        for made in (image, clip):
            result = await agent.result("view_generation", generation_id=made)
            assert [part.type for part in result.content] == ["text"]
            assert "No picture is shown, for LUMA_INLINE_IMAGES is 0." in text(result)
        assert fields_of(result)["seconds"] == 5


@pytest.mark.parametrize("frames", [3, 10])
async def test_a_sheet_has_four_to_nine_frames(agent: Agent, frames: int) -> None:
    assert "frames cannot be" in await agent.refusal("view_generation", generation_id="x" * 36, frames=frames)


@once
async def test_clips_are_joined_into_one_file(agent: Agent, output: Path) -> None:
    first = await agent.make("create_video", prompt="a boat", resolution="540p", model="ray-flash-2")
    second = await agent.make("extend_video", generation_id=first, prompt="night falls")
    clips = (await agent.call("list_generations"))["generations"]
    answer = await agent.call("edit_video", clips=[first, second])

    (file,) = answer["files"]
    path = Path(file["path"])
    assert path.name == f"a-boat-{first[:8]}-edited-2.mp4"
    with av.open(str(path)) as whole:
        assert float(whole.streams.video[0].duration * whole.streams.video[0].time_base) == pytest.approx(10, abs=0.1)
    note = json.loads((output / f"{path.name}.json").read_text())
    assert [part["generation_id"] for part in note["parts"]] == [first, second]
    assert "generation_id" not in note, "it is none of them"
    assert note["price_usd"] == pytest.approx(sum(clip["price_usd"] for clip in clips))
    assert "url" not in file
    assert {each_path.name for each_path in output.iterdir()} == {path.name, f"{path.name}.json"}
    again = await agent.call("edit_video", clips=[first, second])
    assert again["files"][0]["path"] == file["path"]


async def test_files_are_named_as_the_person_wants(serve, output: Path) -> None:
    async with Client(serve(LUMA_OUTPUT_TEMPLATE="{kind}/{short_id} {asset}")) as client:
        agent = Agent(client)
        image = await agent.make("create_image", prompt="a boat")
        answer = await agent.call("download_generation", generation_ids=[image])

    assert answer["files"][0]["path"] == str(output / "image" / f"{image[:8]}-image.jpg")


async def test_many_files_share_one_progress_that_only_rises(agent: Agent) -> None:
    made = [await agent.make("create_image", prompt=f"a boat {n}", model="photon-flash-1") for n in range(3)]
    reply: list[tuple[float, str | None]] = []

    async def on_progress(progress: float, _total: float | None, message: str | None) -> None:
        reply.append((progress, message))

    result = await agent.client.call_tool(
        "download_generation", {"generation_ids": made}, progress_callback=on_progress
    )

    assert [file["generation_id"] for file in result.structured_content["files"]] == made
    assert [count for count, _ in reply] == sorted(count for count, _ in reply)
    assert {str(message).split(":")[0] for _, message in reply} == {"File 1", "File 2", "File 3"}


async def test_only_a_client_with_apps_gets_offers(serve, era: str) -> None:
    async with (
        Client(serve(), mode=era) as plain,
        Client(serve(), mode=era, extensions=[APPS]) as able,
    ):
        image = await Agent(plain).make("create_image", prompt="a boat")
        answers = [await client.call_tool("get_generation", {"generation_id": image}) for client in (plain, able)]

    assert OFFERS not in (answers[0].meta or {})
    assert [item["action"] for item in answers[1].meta[OFFERS]] == ["animate", "variation"]
    assert answers[0].content == answers[1].content
    assert fields_of(answers[0]) == fields_of(answers[1])


async def test_nothing_is_offered_that_this_server_does_not_sell(serve) -> None:
    async with Client(serve()) as plain:
        image = await Agent(plain).make("create_image", prompt="a boat")
    async with Client(serve(LUMA_READ_ONLY="1"), extensions=[APPS]) as able:
        answer = await able.call_tool("get_generation", {"generation_id": image})

    assert OFFERS not in (answer.meta or {})


async def test_each_offer_costs_its_stated_price_and_is_taken_by_its_tool(serve) -> None:
    async with Client(serve(), extensions=[APPS]) as client:
        agent = Agent(client)
        image = await agent.make("create_image", prompt="a boat", aspect_ratio="9:16", format="png")
        clip = await agent.make("create_video", start_frame=image, loop=True, aspect_ratio="9:16", resolution="540p")
        longer = await agent.make("extend_video", generation_id=clip, prompt="night falls")
        mixed = await agent.make(
            "create_image",
            prompt="a boat",
            image_refs=[{"source": image, "weight": 0.3}],
            style_refs=[{"source": image}],
            character_images=[image],
            modify_image={"source": image, "weight": 0.5},
        )
        seen = {}
        for made in (image, clip, longer, mixed):
            answer = await client.call_tool("get_generation", {"generation_id": made})
            seen[made] = [item["action"] for item in answer.meta[OFFERS]]
            for offer in answer.meta[OFFERS]:
                words = {"prompt": "it goes on"} if offer.get("prompt") == "required" else {}
                quoted = await agent.call(offer["tool"], **offer["arguments"], **words, dry_run=True)
                assert quoted["price_usd"] == offer["price_usd"], offer
                assert quoted.get("price_is_assumed", False) == (offer["price_basis"] == "assumed"), offer

    assert seen[clip] == seen[longer] == ["extend", "upscale", "add audio", "variation"]
    assert seen[image] == seen[mixed] == ["animate", "variation"]
