"""The Dream Machine API as a backend: one method for each read, and one `submit` for everything that costs money.

Luma has no idempotency key, so a second POST is a second purchase: a purchase is sent once.
"""

from collections.abc import Mapping
from typing import Any

from luma_mcp.backends import errors
from luma_mcp.backends.base import EncodedRequest, Sendable, Verdict
from luma_mcp.backends.client import ApiClient
from luma_mcp.backends.dream_machine import decoding, encoding, matching
from luma_mcp.backends.transport import Transport
from luma_mcp.domain.errors import NotFoundError
from luma_mcp.domain.generation import Generation, Page
from luma_mcp.domain.requests import Request


class DreamMachine(ApiClient):
    """An account at Dream Machine. It has every capability of `backends.base`.

    Args:
        transport: speaks HTTP to the API.
        callback_url: the address that Luma posts each change of state to.
    """

    def __init__(self, transport: Transport, *, callback_url: str | None = None) -> None:
        super().__init__(transport, is_refusal=errors.is_refusal, read_generation=decoding.read_generation)
        self._callback_url = callback_url

    def encode(self, request: Request) -> EncodedRequest:
        """The request in the JSON of the API. Raises: InvalidRequestError, if an id in it is none."""
        return encoding.encode(request)

    async def submit(
        self,
        encoded: Sendable,
        *,
        request_id: str,
        decided_at: float | None = None,
        person: str = "",  # noqa: ARG002 - the API has no field for the buyer
    ) -> Generation:
        """Buy; as `Backend.submit`."""
        # The callback is this server's business and no part of what is bought.
        callback = {"callback_url": self._callback_url} if self._callback_url else {}
        body = encoded.body | callback
        return await self._purchase(encoded.path, body, request_id=request_id, decided_at=decided_at)

    async def get_generation(self, generation_id: str) -> Generation:
        """Raises: NotFoundError."""
        return decoding.read_generation(await self._call_generation("GET", generation_id))

    async def list_generations(self, *, limit: int = 20, offset: int = 0) -> Page:
        """Newest first. Large limits are known to make Luma fail with 500."""
        return decoding.read_page(await self._transport.read("GET", "/generations", {"limit": limit, "offset": offset}))

    def compare(self, body: Mapping[str, Any], generation: Generation) -> Verdict:
        """Whether a generation came of a request with this unsigned body, by its echo."""
        return matching.compare(body, generation)

    async def delete_generation(self, generation_id: str) -> None:
        """Raises: NotFoundError."""
        await self._call_generation("DELETE", generation_id)

    async def get_credit_usd(self) -> float:
        """The credit that is left, in dollars."""
        return decoding.read_credit_usd(await self._transport.read("GET", "/credits"))

    async def ping(self) -> None:
        """Return if Luma responds and accepts the token."""
        await self._transport.read("GET", "/ping")

    async def list_concepts(self) -> tuple[str, ...]:
        """The camera concepts that `VideoRequest.concepts` accepts."""
        return decoding.read_words(await self._transport.read("GET", "/generations/concepts/list"))

    async def list_camera_motions(self) -> tuple[str, ...]:
        """Words for a prompt. An older endpoint that may be gone."""
        return decoding.read_words(await self._transport.read("GET", "/generations/camera_motion/list"))

    async def _call_generation(self, method: str, generation_id: str) -> bytes:
        try:
            return await self._transport.read(method, encoding.generation_path(generation_id))
        except NotFoundError as error:
            raise NotFoundError(f"No generation has the id {generation_id}.", error.hint) from error
