"""A plain HTTP client of the emulator, in memory."""

from collections.abc import AsyncIterator

import httpx
import pytest
from support import BASE_URL, TOKEN

from luma_mcp.emulator.app import Emulator


@pytest.fixture
async def http(emulator: Emulator) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(emulator.app)
    async with httpx.AsyncClient(
        transport=transport, base_url=BASE_URL, headers={"Authorization": f"Bearer {TOKEN}"}
    ) as client:
        yield client
