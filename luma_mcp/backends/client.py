"""The common base of the clients of both APIs: purchases whose responses are read."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

from luma_mcp.backends.transport import IsRefusal, Transport, ambiguous
from luma_mcp.domain.errors import UnexpectedResponseError
from luma_mcp.domain.generation import Generation


class ApiClient:
    """A client of one API.

    Args:
        transport: speaks HTTP to the API.
        is_refusal: whether a response to a purchase proves that nothing was bought.
        read_generation: reads the response to a purchase. Raises: UnexpectedResponseError.
    """

    purchase_seconds: ClassVar[float] = 60.0
    """How long the response to a purchase is awaited."""

    def __init__(
        self, transport: Transport, *, is_refusal: IsRefusal, read_generation: Callable[[bytes], Generation]
    ) -> None:
        self._transport = transport
        self._is_refusal = is_refusal
        self._read_generation = read_generation

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self.base_url!r})"

    @property
    def base_url(self) -> str:
        """The address of the API."""
        return self._transport.base_url

    async def close(self) -> None:
        """Close the connections. A later call opens new ones."""
        await self._transport.close()

    async def _purchase(
        self, path: str, body: dict[str, Any], *, request_id: str, decided_at: float | None
    ) -> Generation:
        """POST once, and read what was bought. Raises: as `Backend.submit`."""
        data = await self._transport.purchase(
            path,
            body,
            is_refusal=self._is_refusal,
            request_id=request_id,
            decided_at=decided_at,
            seconds=self.purchase_seconds,
        )
        try:
            return replace(self._read_generation(data), per_minute=self._transport.per_minute)
        except UnexpectedResponseError as error:
            raise ambiguous(error) from error
