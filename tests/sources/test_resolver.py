"""Sources, where the answer depends on what Luma holds."""

from dataclasses import replace

import pytest

from luma_mcp.backends.dream_machine.client import DreamMachine
from luma_mcp.backends.transport import Transport
from luma_mcp.domain.errors import InvalidRequestError
from luma_mcp.domain.generation import Generation
from luma_mcp.domain.requests import ImageKeyframe
from luma_mcp.emulator.app import Emulator
from luma_mcp.mcp.services import Services
from tests.support.agent import InMemory

pytestmark = pytest.mark.anyio


async def test_a_url_is_taken_as_it_is_without_asking_luma(services: Services, transport: InMemory) -> None:
    url = " https://example.com/a%20b.png?x=1#y "

    assert await services.sources.start("dream_machine").keyframe(url) == ImageKeyframe(url.strip())
    assert (
        await services.sources.start("dream_machine").clip("https://example.com/a.mp4", max_seconds=10)
    ).footage is None
    assert transport.requests == []


async def test_a_plain_link_to_the_emulator_is_taken(services: Services) -> None:
    assert (
        await services.sources.start("dream_machine").image("http://127.0.0.1:9/assets/x/image.jpg")
        == "http://127.0.0.1:9/assets/x/image.jpg"
    )


@pytest.mark.parametrize(
    "source", ["http://127.0.0.1:10/x", "https://me@example.com/a.png", "https://", "http://example.com"]
)
async def test_a_link_that_luma_should_not_read_is_refused(services: Services, source: str) -> None:
    with pytest.raises(InvalidRequestError):
        await services.sources.start("dream_machine").image(source)


async def test_a_generation_whose_picture_is_gone_is_reported(
    services: Services, luma: DreamMachine, emulator: Emulator, clock
) -> None:
    from luma_mcp.emulator.dream_machine.bodies import ImageBody

    made = emulator.dream_machine.accept(ImageBody(model="photon-1", prompt="a boat"))
    clock.seconds += 60
    await emulator.dream_machine.settle()
    generation = await luma.get_generation(made.id)
    bare = replace(generation, outputs=())

    class Forgetful(DreamMachine):
        async def get_generation(self, generation_id: str):
            return bare

    with pytest.raises(InvalidRequestError, match="has no image any more"):
        await (
            replace(services.sources, backend=Forgetful(Transport("t", base_url=luma.base_url, clock=clock)))
            .start("dream_machine")
            .image(made.id)
        )


async def test_a_link_to_an_own_clip_has_the_footage_of_the_clip(
    services: Services, luma: DreamMachine, emulator: Emulator, clock
) -> None:
    """Luma's links name the generation; its size and length are the generation's, and so is the price."""
    from luma_mcp.emulator.dream_machine.bodies import VideoBody

    made = emulator.dream_machine.accept(VideoBody(model="ray-2", prompt="a boat", resolution="540p"))
    clock.seconds += 100
    await emulator.dream_machine.settle()
    url = (await luma.get_generation(made.id)).url("video")
    assert url is not None
    assert made.id in url

    clip = await services.sources.start("dream_machine").clip(url, max_seconds=10)
    assert clip.footage is not None
    assert clip.footage.seconds == 5

    for other in (url.replace("video", "image"), f"https://a.example/{made.id}/video.mp4"):
        assert (await services.sources.start("dream_machine").clip(other, max_seconds=10)).footage is None
    unknown = f"https://a.example/{made.id[:-1]}{'0' if made.id[-1] != '0' else '1'}/video.mp4"
    assert (await services.sources.start("dream_machine").clip(unknown, max_seconds=10)).footage is None


async def test_the_footage_of_a_clip_whose_source_is_gone_is_unknown(
    services: Services, emulator: Emulator, clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = Generation(id="a", state="completed", kind="upscale_video")

    async def made_from(_generation: Generation) -> tuple[str, ...]:
        return ("15b7abb1-3741-4b7e-9615-1f9a16c7442d",)

    sources = replace(services.sources, made_from=made_from)
    assert await sources.footage(unknown) is None

    class Endless:
        """Each clip was made of another one, and none tells its length."""

        async def get_generation(self, _generation_id: str) -> Generation:
            return unknown

    assert await replace(sources, backend=Endless()).footage(unknown) is None  # type: ignore[arg-type]
    picture = replace(unknown, kind="image")

    class Picture:
        async def get_generation(self, _generation_id: str) -> Generation:
            return picture

    assert await replace(sources, backend=Picture()).footage(unknown) is None  # type: ignore[arg-type]
