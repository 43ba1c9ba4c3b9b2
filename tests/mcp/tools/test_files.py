"""Downloading, as an agent does it."""

import hashlib
from pathlib import Path

import pytest

from luma_mcp.domain.errors import FileError
from luma_mcp.domain.generation import Generation, Output
from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.faults import Fault
from luma_mcp.files.service import asset_url
from luma_mcp.mcp.results import details_result, wait_result
from tests.support.agent import Agent, once, text

pytestmark = pytest.mark.anyio

OUTPUT = Output("image", "https://cdn.example/i.jpg")


async def test_a_file_is_saved_and_reported_in_full(agent: Agent, output: Path) -> None:
    image = await agent.make("create_image", prompt="A boat, at dawn!", format="png")
    answer = await agent.call("download_generation", generation_ids=[image])

    (file,) = answer["files"]
    path = Path(file["path"])
    assert path.is_absolute()
    assert path == output / f"a-boat-at-dawn-{image[:8]}.png"
    assert file["size_bytes"] == path.stat().st_size
    assert file["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (file["generation_id"], file["media_type"]) == (image, "image/png")
    assert file["url"].endswith("/image.png")
    assert {each_path.name for each_path in output.iterdir()} == {path.name, f"{path.name}.json"}


async def test_several_are_saved_and_what_cannot_be_is_reported(agent: Agent) -> None:
    image = await agent.make("create_image", prompt="a boat")
    running = (await agent.call("create_video", prompt="a boat"))["generation_id"]
    result = await agent.result("download_generation", generation_ids=[image, running])

    assert result.structured_content is not None
    assert len(result.structured_content["files"]) == 1
    (problem,) = result.structured_content["problems"]
    assert problem.startswith(f"{running} was not saved.")
    assert "wait_for_generation" in problem
    assert problem in text(result)


async def test_nothing_saved_at_all_is_an_error(agent: Agent, output: Path) -> None:
    running = (await agent.call("create_video", prompt="a boat"))["generation_id"]

    assert "is still queued, so it has no video" in await agent.refusal("download_generation", generation_ids=[running])
    assert not output.exists()


async def test_a_failed_generation_has_nothing_to_save(agent: Agent) -> None:
    failed = (await agent.call("create_video", prompt="a boat [fail]"))["generation_id"]
    await agent.call("wait_for_generation", generation_ids=[failed], timeout_seconds=300)

    assert "failed, so it has no video" in await agent.refusal("download_generation", generation_ids=[failed])


async def test_saving_again_returns_the_same_file(agent: Agent, output: Path) -> None:
    image = await agent.make("create_image", prompt="a boat")
    first = await agent.call("download_generation", generation_ids=[image])
    again = await agent.call("download_generation", generation_ids=[image])

    assert first == again
    assert len(list(output.glob("*.jpg"))) == 1


async def test_a_folder_inside_is_made(agent: Agent, output: Path) -> None:
    image = await agent.make("create_image", prompt="a boat")
    answer = await agent.call("download_generation", generation_ids=[image], directory="takes/first")

    assert Path(answer["files"][0]["path"]).parent == (output / "takes" / "first").resolve()


@pytest.mark.parametrize("directory", ["..", "/etc", "takes/../../x", "~", "//host/share", "a\x00b"])
async def test_a_folder_outside_is_refused(agent: Agent, tmp_path: Path, directory: str) -> None:
    image = await agent.make("create_image", prompt="a boat")
    sentence = await agent.refusal("download_generation", generation_ids=[image], directory=directory)

    assert "is outside the output folder" in sentence
    assert "LUMA_OUTPUT_DIR" in sentence
    assert list(tmp_path.iterdir()) == []


async def test_a_link_inside_that_leads_out_is_refused(agent: Agent, output: Path, tmp_path: Path) -> None:
    image = await agent.make("create_image", prompt="a boat")
    output.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (output / "door").symlink_to(tmp_path / "elsewhere")

    assert "outside" in await agent.refusal("download_generation", generation_ids=[image], directory="door")


@once
@pytest.mark.medium
async def test_the_thumbnail_of_a_video_can_be_saved(agent: Agent) -> None:
    video = await agent.make("create_video", prompt="a boat", resolution="540p")
    answer = await agent.call("download_generation", generation_ids=[video], asset="image")

    assert answer["files"][0]["media_type"] == "image/jpeg"
    assert answer["files"][0]["path"].endswith("-image.jpg")


async def test_an_asset_that_is_gone_for_good_is_reported_and_leaves_nothing(
    agent: Agent, emulator: Emulator, output: Path
) -> None:
    image = await agent.make("create_image", prompt="a boat")
    emulator.faults.append(Fault("expire", path="/assets/*", times=2))

    assert "its link has expired (403)" in await agent.refusal("download_generation", generation_ids=[image])
    assert list(output.iterdir()) == []


async def test_an_expired_link_is_asked_for_again(agent: Agent, emulator: Emulator) -> None:
    image = await agent.make("create_image", prompt="a boat")
    emulator.faults.append(Fault("expire", path="/assets/*"))
    before = emulator.requests.count(("GET", f"/generations/{image}"))
    answer = await agent.call("download_generation", generation_ids=[image])

    assert Path(answer["files"][0]["path"]).stat().st_size == answer["files"][0]["size_bytes"]
    assert emulator.requests.count(("GET", f"/generations/{image}")) == before + 2


async def test_progress_counts_bytes(agent: Agent) -> None:
    image = await agent.make("create_image", prompt="a boat")
    reply: list[str | None] = []

    async def on_progress(_progress: float, _total: float | None, message: str | None) -> None:
        reply.append(message)

    await agent.client.call_tool("download_generation", {"generation_ids": [image]}, progress_callback=on_progress)

    assert reply
    assert "File 1: " in str(reply[-1])


def test_what_is_over_and_has_no_such_asset_is_reported() -> None:
    bare = Generation(id="a", state="completed", outputs=(OUTPUT,))
    with pytest.raises(FileError, match="has no video") as caught:
        asset_url(bare, "video")

    assert caught.value.hint == "get_generation lists what it has."


def test_what_is_completed_without_any_file_has_a_next_step_that_leads_on() -> None:
    bare, good = Generation(id="a", state="completed"), Generation(id="b", state="completed", outputs=(OUTPUT,))
    with pytest.raises(FileError) as caught:
        asset_url(bare, None)
    step = "Luma names no file of a. Call get_generation again in a minute"

    assert caught.value.hint.startswith(step)
    assert (details_result(bare).next or "").startswith(step)
    assert wait_result([bare], "all", 1.0).next.startswith(step)
    both = wait_result([bare, good], "all", 1.0).next
    assert both.startswith('download_generation(generation_ids=["b"]) saves the files. Luma names no file of a.')
