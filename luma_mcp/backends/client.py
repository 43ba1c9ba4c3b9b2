"""What the clients of both APIs have in common: one transport, and purchases whose answers are read."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from luma_mcp.backends import errors
from luma_mcp.backends.transport import IsRefusal, OnAnswer, Sleep, Transport, ambiguous
from luma_mcp.domain.errors import UnexpectedResponseError
from luma_mcp.domain.generation import Generation

if TYPE_CHECKING:
    import httpx


class ApiClient:
    """A client of one API.

    Args:
        token: the API key; None if there is none, and then every call says so.
        token_hint: what to tell a person whose token is missing or refused.
        base_url: where the API is; the token is sent there and nowhere else.
        is_refusal: whether an answer to a purchase proves that nothing was bought.
        read_generation: reads the answer to a purchase. Raises: UnexpectedResponseError.
        transport: carries the bytes; a test gives its own.
        sleep: waits between attempts; a test gives its own.
        on_answer: called after each exchange.
    """

    purchase_seconds: ClassVar[float] = 60.0
    """How long the response to a purchase is awaited."""

    def __init__(
        self,
        token: str | None,
        *,
        token_hint: str,
        base_url: str,
        is_refusal: IsRefusal,
        read_generation: Callable[[bytes], Generation],
        transport: "httpx.AsyncBaseTransport | None",
        sleep: Sleep,
        on_answer: OnAnswer | None,
    ) -> None:
        self._transport = Transport(
            token,
            token_hint=token_hint,
            base_url=base_url,
            error_of=errors.error_of,
            is_refusal=is_refusal,
            transport=transport,
            sleep=sleep,
            on_answer=on_answer,
        )
        self._read_generation = read_generation

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self.base_url!r})"

    @property
    def base_url(self) -> str:
        """Where the API is."""
        return self._transport.base_url

    async def close(self) -> None:
        """Close the connections. A later call opens new ones."""
        await self._transport.close()

    async def _purchase(
        self, path: str, body: dict[str, Any], *, request_id: str, decided_at: float | None
    ) -> Generation:
        """POST once, and read what was bought. Raises: as `Backend.submit`."""
        data = await self._transport.purchase(
            path, body, request_id=request_id, decided_at=decided_at, seconds=self.purchase_seconds
        )
        try:
            return self._read_generation(data)
        except UnexpectedResponseError as error:
            raise ambiguous(error) from error
