"""The Dream Machine API as a backend: one method for each read, and one `submit` for everything that costs money.

Luma has no idempotency key, so a second POST is a second purchase: a purchase is sent once.
"""

from typing import TYPE_CHECKING, Final

import anyio

from luma_mcp.backends import errors
from luma_mcp.backends.base import EncodedRequest
from luma_mcp.backends.client import ApiClient
from luma_mcp.backends.dream_machine import decoding, encoding
from luma_mcp.backends.transport import OnAnswer, Sleep
from luma_mcp.domain.errors import NotFoundError
from luma_mcp.domain.generation import Generation, Page
from luma_mcp.domain.requests import Request

if TYPE_CHECKING:
    import httpx

DEFAULT_BASE_URL: Final = "https://api.lumalabs.ai/dream-machine/v1"


class DreamMachine(ApiClient):
    """An account at Dream Machine. It has every capability of `backends.base`.

    Args:
        token: the API key; None if there is none, and then every call says so.
        token_hint: what to tell a person whose token is missing or refused.
        base_url: where the API is; the token is sent there and nowhere else.
        callback_url: where Luma posts each change of state.
        transport: carries the bytes; a test gives its own.
        sleep: waits between attempts; a test gives its own.
        on_answer: called after each exchange.
    """

    def __init__(
        self,
        token: str | None,
        *,
        token_hint: str = "",
        base_url: str = DEFAULT_BASE_URL,
        callback_url: str | None = None,
        transport: "httpx.AsyncBaseTransport | None" = None,
        sleep: Sleep = anyio.sleep,
        on_answer: OnAnswer | None = None,
    ) -> None:
        super().__init__(
            token,
            token_hint=token_hint,
            base_url=base_url,
            is_refusal=errors.is_refusal,
            read_generation=decoding.read_generation,
            transport=transport,
            sleep=sleep,
            on_answer=on_answer,
        )
        self._callback_url = callback_url

    def encode(self, request: Request) -> EncodedRequest:
        """The request as the API takes it. Raises: InvalidRequestError, if an id in it is none."""
        return encoding.encode(request)

    async def submit(self, encoded: EncodedRequest, *, request_id: str, decided_at: float | None = None) -> Generation:
        """Buy; as `Backend.submit`."""
        # Whom Luma calls back is this server's business and no part of what is bought.
        callback = {"callback_url": self._callback_url} if self._callback_url else {}
        body = encoded.body | callback
        return await self._purchase(encoded.path, body, request_id=request_id, decided_at=decided_at)

    async def get_generation(self, generation_id: str) -> Generation:
        """Raises: NotFoundError."""
        return decoding.read_generation(await self._call_generation("GET", generation_id))

    async def list_generations(self, *, limit: int = 20, offset: int = 0) -> Page:
        """Newest first. Large limits are known to make Luma answer 500."""
        return decoding.read_page(await self._transport.read("GET", "/generations", {"limit": limit, "offset": offset}))

    async def delete_generation(self, generation_id: str) -> None:
        """Raises: NotFoundError."""
        await self._call_generation("DELETE", generation_id)

    async def get_credit_usd(self) -> float:
        """The credit that is left, in dollars."""
        return decoding.read_credit_usd(await self._transport.read("GET", "/credits"))

    async def ping(self) -> None:
        """Return if Luma answers and accepts the token."""
        await self._transport.read("GET", "/ping")

    async def list_concepts(self) -> tuple[str, ...]:
        """The camera concepts that `VideoRequest.concepts` takes."""
        return decoding.read_words(await self._transport.read("GET", "/generations/concepts/list"))

    async def list_camera_motions(self) -> tuple[str, ...]:
        """Words for a prompt. An older endpoint that may be gone."""
        return decoding.read_words(await self._transport.read("GET", "/generations/camera_motion/list"))

    async def _call_generation(self, method: str, generation_id: str) -> bytes:
        try:
            return await self._transport.read(method, encoding.generation_path(generation_id))
        except NotFoundError as error:
            raise NotFoundError(f"No generation has the id {generation_id}.", error.hint) from error
