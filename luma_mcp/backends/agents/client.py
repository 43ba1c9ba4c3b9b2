"""The Agents API as a backend: generations are bought and read singly.

It has no list of generations, no balance, no deletion and no callback; nothing finds a purchase whose answer was lost.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import anyio

from luma_mcp.backends.agents import decoding, encoding
from luma_mcp.backends.agents.errors import is_refusal
from luma_mcp.backends.agents.files import FilesApi
from luma_mcp.backends.base import EncodedRequest
from luma_mcp.backends.client import ApiClient
from luma_mcp.backends.transport import OnAnswer, Sleep
from luma_mcp.domain.generation import Generation, check_id
from luma_mcp.domain.requests import Request

if TYPE_CHECKING:
    import httpx

DEFAULT_BASE_URL: Final = "https://agents.lumalabs.ai/v1"


class Agents(ApiClient):
    """A client of the Agents API.

    Args:
        token: the API key; None if there is none, and then every call says so.
        token_hint: what to tell a person whose token is missing or refused.
        base_url: where the API is; the token is sent there and nowhere else.
        transport: carries the bytes; a test gives its own.
        sleep: waits between attempts; a test gives its own.
        wall: Unix time; a test gives its own.
        on_answer: called after each exchange.
    """

    # Nothing but the response to a purchase names its generation: the API has no list.
    purchase_seconds = 15 * 60.0

    def __init__(
        self,
        token: str | None,
        *,
        token_hint: str = "",
        base_url: str = DEFAULT_BASE_URL,
        transport: "httpx.AsyncBaseTransport | None" = None,
        sleep: Sleep = anyio.sleep,
        wall: Callable[[], float] = time.time,
        on_answer: OnAnswer | None = None,
    ) -> None:
        super().__init__(
            token,
            token_hint=token_hint,
            base_url=base_url,
            is_refusal=is_refusal,
            read_generation=decoding.read_generation,
            transport=transport,
            sleep=sleep,
            on_answer=on_answer,
        )
        self.files = FilesApi(self._transport, sleep, wall)

    def encode(self, request: Request) -> EncodedRequest:
        """The request as the API takes it. Raises: InvalidRequestError."""
        return encoding.encode(request)

    async def submit(self, encoded: EncodedRequest, *, request_id: str, decided_at: float | None = None) -> Generation:
        """Buy; as `Backend.submit`."""
        return await self._purchase(encoded.path, encoded.body, request_id=request_id, decided_at=decided_at)

    async def get_generation(self, generation_id: str) -> Generation:
        """A generation, with links that open for an hour. Raises: NotFoundError."""
        check_id(generation_id)
        return decoding.read_generation(await self._transport.read("GET", f"{encoding.PATH}/{generation_id}"))

    async def ping(self) -> None:
        """Return if the API answers and accepts the token."""
        await self.files.check()
