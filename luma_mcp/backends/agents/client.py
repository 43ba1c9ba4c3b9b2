"""The Agents API as a backend: generations are bought and read singly.

It has no list of generations, no balance, no deletion and no callback. A purchase whose response was lost cannot be
found.
"""

import hmac
import time
from collections.abc import Callable

import anyio

from luma_mcp.backends.agents import decoding, encoding
from luma_mcp.backends.agents.errors import is_refusal
from luma_mcp.backends.agents.files import FilesApi
from luma_mcp.backends.base import EncodedRequest, Sendable
from luma_mcp.backends.client import ApiClient
from luma_mcp.backends.transport import Sleep, Transport
from luma_mcp.domain.generation import Generation, check_id
from luma_mcp.domain.requests import Request


class Agents(ApiClient):
    """A client of the Agents API.

    Args:
        transport: speaks HTTP to the API.
        sleep: waits until an uploaded file is ready.
        wall: Unix time.
        user_key: a secret that the servers of one account share; it makes persons into `user_id`s.
    """

    # Nothing but the response to a purchase names its generation: the API has no list.
    purchase_seconds = 15 * 60.0

    def __init__(
        self,
        transport: Transport,
        *,
        sleep: Sleep = anyio.sleep,
        wall: Callable[[], float] = time.time,
        user_key: bytes = b"",
    ) -> None:
        super().__init__(transport, is_refusal=is_refusal, read_generation=decoding.read_generation)
        self.files = FilesApi(transport, sleep, wall)
        self._user_key = user_key

    def encode(self, request: Request) -> EncodedRequest:
        """The request in the JSON of the API. Raises: InvalidRequestError."""
        return encoding.encode(request)

    async def submit(
        self, encoded: Sendable, *, request_id: str, decided_at: float | None = None, person: str = ""
    ) -> Generation:
        """Buy; as `Backend.submit`."""
        # A violation is then the buyer's and not the account's. It is no part of what is bought.
        buyer = {"user_id": self._user_id(person)} if person else {}
        body = encoded.body | buyer
        return await self._purchase(encoded.path, body, request_id=request_id, decided_at=decided_at)

    async def get_generation(self, generation_id: str) -> Generation:
        """A generation, with links that open for an hour. Raises: NotFoundError."""
        check_id(generation_id)
        return decoding.read_generation(await self._transport.read("GET", f"{encoding.PATH}/{generation_id}"))

    async def ping(self) -> None:
        """Return if the API responds and accepts the token."""
        await self.files.check()

    def _user_id(self, person: str) -> str:
        """The same for the same person at every server of the account. Luma cannot compute the person from it."""
        return hmac.new(self._user_key, person.encode(), "sha256").hexdigest()[:32]
