"""A plain HTTP client of the emulator, in memory."""

from collections.abc import AsyncIterator

import httpx
import pytest

from luma_mcp.emulator.app import Emulator
from tests.support.agent import BASE_URL, TOKEN


@pytest.fixture
async def http(emulator: Emulator) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(emulator.app)
    async with httpx.AsyncClient(
        transport=transport, base_url=BASE_URL, headers={"Authorization": f"Bearer {TOKEN}"}
    ) as client:
        yield client
