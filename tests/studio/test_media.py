"""Sources, where the answer depends on what Luma holds."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from support import InMemory

from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.render.clips import write_clip
from luma_mcp.luma.client import LumaClient
from luma_mcp.luma.errors import InvalidRequestError
from luma_mcp.luma.models import ImageKeyframe
from luma_mcp.studio import Studio, media

pytestmark = pytest.mark.anyio


async def test_a_url_is_taken_as_it_is_without_asking_luma(studio: Studio, transport: InMemory) -> None:
    url = " https://example.com/a%20b.png?x=1#y "

    assert await studio.sources.keyframe(url) == ImageKeyframe(url.strip())
    assert (await studio.sources.clip("https://example.com/a.mp4", longest_seconds=10)).footage is None
    assert transport.requests == []


async def test_a_plain_link_to_the_emulator_is_taken(studio: Studio) -> None:
    assert (
        await studio.sources.picture("http://127.0.0.1:9/assets/x/image.jpg") == "http://127.0.0.1:9/assets/x/image.jpg"
    )


@pytest.mark.parametrize(
    "source", ["http://127.0.0.1:10/x", "https://me@example.com/a.png", "https://", "http://example.com"]
)
async def test_a_link_that_luma_should_not_read_is_refused(studio: Studio, source: str) -> None:
    with pytest.raises(InvalidRequestError):
        await studio.sources.picture(source)


def test_a_frame_whose_png_is_too_large_becomes_a_jpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = tmp_path / "clip.mp4"
    write_clip(clip, (Image.effect_noise((320, 180), 90).convert("RGB") for _ in range(12)), (320, 180))
    _, ending = media._still(clip, "first", "a")
    monkeypatch.setattr(media, "MOST_PICTURE_BYTES", 20_000)
    data, smaller = media._still(clip, "first", "a")

    assert (ending, smaller) == ("png", "jpg")
    with Image.open(BytesIO(data)) as picture:
        assert (picture.format, picture.size) == ("JPEG", (320, 180))


async def test_a_generation_whose_picture_is_gone_is_said(
    studio: Studio, luma: LumaClient, emulator: Emulator, clock
) -> None:
    from luma_mcp.emulator.requests import ImageBody

    made = emulator.machine.accept(ImageBody(model="photon-1", prompt="a boat"))
    clock.seconds += 60
    await emulator.machine.settle()
    generation = await luma.get_generation(made.id)
    bare = generation.model_copy(update={"assets": None})

    class Forgetful(LumaClient):
        async def get_generation(self, generation_id: str):
            return bare

    with pytest.raises(InvalidRequestError, match="has no image any more"):
        await replace(studio.sources, luma=Forgetful("t")).picture(made.id)
