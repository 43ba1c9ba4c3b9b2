"""Luma's own SDK `luma-agents`, unchanged, against the emulator as a real server: every method, and its errors."""

from collections.abc import AsyncIterator
from io import BytesIO

import anyio
import httpx
import luma_agents
import pytest
from luma_agents import AsyncLuma
from PIL import Image

from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.serving import serving
from tests.emulator.agents.conftest import KEY, still

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]


@pytest.fixture
async def sdk() -> AsyncIterator[AsyncLuma]:
    async with serving(Emulator(agents_token=KEY, speed=500)) as base_url:
        origin = base_url.removesuffix("/dream-machine/v1")
        async with AsyncLuma(auth_token=KEY, base_url=f"{origin}/v1", max_retries=0) as client:
            yield client


async def completed(sdk: AsyncLuma, generation_id: str) -> luma_agents.types.Generation:
    with anyio.fail_after(20):
        while (generation := await sdk.generations.get(generation_id)).state != "completed":  # noqa: ASYNC110
            await anyio.sleep(0.05)
    return generation


@pytest.mark.medium
async def test_every_method_of_it(sdk: AsyncLuma) -> None:
    data = still((320, 180))
    created = await sdk.files.create(mime_type="image/png", size_bytes=len(data), filename="a.png", purpose="reference")
    upload = created.upload
    assert upload is not None
    async with httpx.AsyncClient() as client:
        (await client.put(upload.url, content=data, headers=dict(upload.headers))).raise_for_status()
    assert (await sdk.files.complete(created.id)).state == "pending"
    with anyio.fail_after(10):
        while (await sdk.files.get(created.id)).state != "ready":  # noqa: ASYNC110
            await anyio.sleep(0.02)
    assert [file.id for file in (await sdk.files.list(purpose="reference", state="ready")).data] == [created.id]

    clip = await sdk.generations.create(
        prompt="a boat", model="ray-3.2", type="video", aspect_ratio=None,
        video={"resolution": "360p", "start_frame": {"file_id": created.id}},
    )  # fmt: skip
    assert (clip.state, clip.output, clip.type) == ("queued", [], "video")
    made = await completed(sdk, clip.id)
    async with httpx.AsyncClient() as client:
        answer = await client.get(made.output[0].url or "")
    assert answer.content[4:8] == b"ftyp"

    extended = await sdk.generations.create(
        prompt="on it goes", model="ray-3.2", type="video",
        video={"resolution": "360p", "start_frame": {"generation_id": clip.id}},
    )  # fmt: skip
    await completed(sdk, extended.id)
    image = await sdk.generations.create(prompt="a boat", image_ref=[{"file_id": created.id}], output_format="jpeg")
    answered = await completed(sdk, image.id)
    async with httpx.AsyncClient() as client:
        picture = Image.open(BytesIO((await client.get(answered.output[0].url or "")).content))
    assert (picture.format, picture.size) == ("JPEG", (2048, 2048))

    await sdk.files.delete(created.id)
    assert (await sdk.files.list()).data == []


async def test_its_errors_are_raised_by_the_emulator_s_answers(sdk: AsyncLuma) -> None:
    with pytest.raises(luma_agents.BadRequestError, match="Unknown model: ray-9"):
        await sdk.generations.create(prompt="a boat", model="ray-9")  # type: ignore[arg-type]
    with pytest.raises(luma_agents.UnprocessableEntityError, match=r"video\.loop cannot be used"):
        await sdk.generations.create(
            prompt="a boat", model="ray-3.2", type="video", video={"loop": True, "duration": "10s"}
        )
    with pytest.raises(luma_agents.NotFoundError, match="Generation not found"):
        await sdk.generations.get("nothing")
    with pytest.raises(luma_agents.NotFoundError, match="File not found"):
        await sdk.files.get("nothing")
    with pytest.raises(luma_agents.AuthenticationError, match="Invalid API key"):
        await sdk.with_options(auth_token="luma-api-other").files.list()
    with pytest.raises(luma_agents.AuthenticationError, match="Missing or invalid API key"):
        await sdk.with_options(auth_token="luma-other").files.list()
