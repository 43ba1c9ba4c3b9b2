"""The protocols of a backend, which is a Luma API that accepts requests.

Every API is a `Backend`. The other protocols are capabilities that an API may lack.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Protocol, cast

from pydantic_core import to_json

from luma_mcp.domain.apis import BackendName
from luma_mcp.domain.generation import Generation, Page
from luma_mcp.domain.requests import Request, backend_of


class Sendable(Protocol):
    """A request in the JSON of one API, as it is sent."""

    @property
    def backend(self) -> BackendName:
        """The API."""
        ...

    @property
    def path(self) -> str:
        """The path that it is POSTed to, below the base URL."""
        ...

    @property
    def body(self) -> dict[str, Any]:
        """The JSON object."""
        ...


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """A request that was encoded before, by any server of the account."""

    backend: BackendName
    path: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class EncodedRequest:
    """A request in the JSON of one API. It is encoded once, then displayed, stored, compared and sent.

    Args:
        request: the request itself.
        path: the path that it is POSTed to, below the base URL.
        body: the JSON object; only what was asked for, nothing filled in.
    """

    request: Request
    path: str
    body: dict[str, Any]

    @property
    def backend(self) -> BackendName:
        """The API that it is for."""
        return backend_of(self.request)

    def with_links(self, links: Mapping[str, str]) -> "EncodedRequest":
        """The same with URLs replaced by others, for local files whose signed links are known only before sending."""
        return replace(self, body=with_links(self.body, links))

    def __str__(self) -> str:
        # The address may hold a secret of the user's, and a model need not know it.
        visible = {name: "..." if name == "callback_url" else value for name, value in self.body.items()}
        return f"POST {self.path} {to_json(visible).decode()}"


def with_links(body: dict[str, Any], links: Mapping[str, str]) -> dict[str, Any]:
    """A body with URLs replaced by others."""
    replaced: dict[str, Any] = _replaced(body, links)
    return replaced


def _replaced(value: Any, links: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _replaced(item, links) for name, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_replaced(item, links) for item in cast("list[Any]", value)]
    return links.get(value, value) if isinstance(value, str) else value


class Backend(Protocol):
    """A Luma API. Every method raises `LumaError`s and nothing else."""

    @property
    def base_url(self) -> str:
        """The address of the API."""
        ...

    def encode(self, request: Request) -> EncodedRequest:
        """The request in the JSON of this API. Raises: InvalidRequestError."""
        ...

    async def submit(
        self, encoded: Sendable, *, request_id: str, decided_at: float | None = None, person: str = ""
    ) -> Generation:
        """Buy: send the request once, with an `X-Request-Id`.

        Args:
            encoded: the request.
            request_id: names the POST at Luma.
            decided_at: when the ledger last confirmed that the purchase is ours, by `clock.suspend_aware_now`; now by
                default.
            person: the buyer, where this server has several; no API learns the name.

        Raises:
            AmbiguousPurchaseError: it may have been bought.
            LumaError: it was not bought.
        """
        ...

    async def get_generation(self, generation_id: str) -> Generation:
        """Raises: NotFoundError."""
        ...

    async def ping(self) -> None:
        """Return if the API responds and accepts the token."""
        ...

    async def close(self) -> None:
        """Close the connections. A later call opens new ones."""
        ...


class Verdict(Enum):
    """Whether a generation came of a request."""

    SURELY = "surely"
    SURELY_NOT = "surely not"
    CANNOT_SAY = "cannot say"


class Listing(Protocol):
    """A backend that lists the account's generations, each with an echo of its request."""

    async def list_generations(self, *, limit: int = 20, offset: int = 0) -> Page:
        """Part of the list, newest first."""
        ...

    def compare(self, body: Mapping[str, Any], generation: Generation) -> Verdict:
        """Whether a generation came of a request with this unsigned body, by its echo."""
        ...


class AccountBackend(Backend, Protocol):
    """A backend that reports the account's credit."""

    async def get_credit_usd(self) -> float:
        """The credit that is left, in dollars."""
        ...


class CameraWords(Protocol):
    """A backend that lists the words that its models know for the camera."""

    async def list_concepts(self) -> tuple[str, ...]:
        """The values of `VideoRequest.concepts`."""
        ...

    async def list_camera_motions(self) -> tuple[str, ...]:
        """Words for a prompt."""
        ...
