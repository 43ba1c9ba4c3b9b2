"""An emulated Agents API in the test's own process, with a clock that the test moves."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import httpx
import pytest
from PIL import Image

from luma_mcp.emulator.agents.account import Fetched
from luma_mcp.emulator.app import Emulator

KEY = "luma-api-test"


@dataclass
class World:
    """What the emulator sees: the time, and somebody else's files by URL."""

    seconds: float = 1_000.0
    files: dict[str, Fetched] = field(default_factory=dict[str, Fetched])

    def now(self) -> float:
        return self.seconds

    async def fetch(self, url: str) -> Fetched:
        if url not in self.files:
            raise OSError("refused")
        return self.files[url]


def still(size: tuple[int, int] = (64, 36), colour: str = "red", kind: str = "PNG") -> bytes:
    out = BytesIO()
    Image.new("RGB", size, colour).save(out, kind)
    return out.getvalue()


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def emulator(world: World) -> Emulator:
    return Emulator(clock=world.now, wall=world.now, fetch_url=world.fetch, agents_token=KEY)


@pytest.fixture
async def http(emulator: Emulator) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {KEY}"}
    transport = httpx.ASGITransport(emulator.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://emulator", headers=headers) as client:
        yield client


class Api:
    """Calls of the emulated API, each checked for its status."""

    def __init__(self, http: httpx.AsyncClient, world: World) -> None:
        self.http = http
        self.world = world

    async def create(self, **body: Any) -> dict[str, Any]:
        answer = await self.http.post("/v1/generations", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def refusal(self, **body: Any) -> tuple[int, Any]:
        answer = await self.http.post("/v1/generations", json=body)
        assert answer.status_code >= 400
        return answer.status_code, answer.json()["detail"]

    async def get(self, generation_id: str) -> dict[str, Any]:
        return (await self.http.get(f"/v1/generations/{generation_id}")).json()

    async def completed(self, **body: Any) -> dict[str, Any]:
        """Create, let its time pass, and get it."""
        made = await self.create(**body)
        self.world.seconds += 1_000
        generation = await self.get(made["id"])
        assert generation["state"] == "completed", generation
        return generation

    async def output(self, generation: dict[str, Any], number: int = 0) -> bytes:
        answer = await self.http.get(generation["output"][number]["url"])
        assert answer.status_code == 200
        return answer.content

    async def uploaded(self, data: bytes, mime_type: str = "image/png") -> str:
        """The id of a file that is ready."""
        made = (await self.http.post("/v1/files", json={"mime_type": mime_type, "size_bytes": len(data)})).json()
        upload = made["upload"]
        put = await self.http.put(upload["url"], content=data, headers=upload["headers"])
        assert put.status_code == 200
        await self.http.post(f"/v1/files/{made['id']}/complete")
        self.world.seconds += 10
        return made["id"]


@pytest.fixture
def api(http: httpx.AsyncClient, world: World) -> Api:
    return Api(http, world)
