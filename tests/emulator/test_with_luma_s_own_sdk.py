"""Luma's official Python SDK takes the emulator for the real thing, unchanged."""

from collections.abc import AsyncIterator

import httpx
import lumaai
import pytest

from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.serving import serving

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def sdk() -> AsyncIterator[lumaai.AsyncLumaAI]:
    async with (
        serving(Emulator(token="luma-sdk", speed=5000)) as base_url,
        lumaai.AsyncLumaAI(auth_token="luma-sdk", base_url=base_url) as client,
    ):
        yield client


async def completed(sdk: lumaai.AsyncLumaAI, generation_id: str | None) -> lumaai.types.Generation:
    assert generation_id is not None
    while True:
        generation = await sdk.generations.get(generation_id)
        if generation.state in ("completed", "failed"):
            assert generation.state == "completed", generation.failure_reason
            return generation


async def test_every_method_of_it(sdk: lumaai.AsyncLumaAI) -> None:
    assert (await sdk.ping.check()).message == "pong"
    assert (await sdk.credits.get()).credit_balance == 10_000
    assert "orbit_left" in await sdk.generations.concepts.list()

    video = await sdk.generations.video.create(
        model="ray-2", prompt="a boat", resolution="540p", duration="5s", aspect_ratio="16:9", loop=False,
        concepts=[{"key": "orbit_left"}],
    )  # fmt: skip
    made = await completed(sdk, video.id)
    assert made.assets is not None
    assert made.assets.video is not None
    assert made.created_at is not None
    extended = await sdk.generations.create(
        model="ray-2", prompt="on it goes", keyframes={"frame0": {"type": "generation", "id": video.id or ""}}
    )
    await completed(sdk, extended.id)

    image = await sdk.generations.image.create(model="photon-1", prompt="a boat", format="png")
    picture = await completed(sdk, image.id)
    assert picture.assets is not None
    assert picture.assets.image is not None
    reframed = await sdk.generations.image.reframe(
        generation_type="reframe_image", model="photon-1", aspect_ratio="1:1", media={"url": picture.assets.image}
    )
    await completed(sdk, reframed.id)

    modified = await sdk.generations.video.modify(
        generation_type="modify_video", model="ray-2", mode="flex_1", media={"url": made.assets.video}
    )
    await completed(sdk, modified.id)
    tall = await sdk.generations.video.reframe(
        generation_type="reframe_video", model="ray-2", aspect_ratio="9:16", media={"url": made.assets.video}
    )
    await completed(sdk, tall.id)

    larger = await sdk.generations.upscale(video.id or "", resolution="720p")
    await completed(sdk, larger.id)
    sounding = await sdk.generations.audio(video.id or "", prompt="waves", negative_prompt="voices")
    assert (await completed(sdk, sounding.id)).request is not None

    listed = await sdk.generations.list(limit=3, offset=1)
    assert listed.generations is not None
    assert [generation.id for generation in listed.generations] == [larger.id, tall.id, modified.id]
    await sdk.generations.delete(video.id or "")
    with pytest.raises(lumaai.NotFoundError):
        await sdk.generations.get(video.id or "")


async def test_its_errors_are_raised_by_the_emulator_s_answers(sdk: lumaai.AsyncLumaAI) -> None:
    with pytest.raises(lumaai.BadRequestError, match="Prompt is too short"):
        await sdk.generations.video.create(model="ray-2", prompt="no")
    with pytest.raises(lumaai.UnprocessableEntityError):
        await sdk.generations.video.create(model="ray-9", prompt="a boat")  # type: ignore[arg-type]
    with pytest.raises(lumaai.AuthenticationError):
        await sdk.with_options(auth_token="wrong").ping.check()


async def test_a_synchronous_image_comes_completed(sdk: lumaai.AsyncLumaAI) -> None:
    image = await sdk.generations.image.create(model="photon-1", prompt="a boat", sync=True, sync_timeout=10)

    assert image.state == "completed"
    assert image.assets is not None
    async with httpx.AsyncClient() as http:
        assert (await http.get(image.assets.image or "")).headers["content-type"] == "image/jpeg"
