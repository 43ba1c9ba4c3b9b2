"""An exchange with an API as it was on the wire, for who examines the API itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and the whole response to it.

    Args:
        method: of the request.
        path: of the request, below the base URL.
        sent: its JSON; None if it has none.
        status: of the response.
        headers: of the response.
        body: of the response.
    """

    method: str
    path: str
    sent: Mapping[str, Any] | None
    status: int
    headers: Mapping[str, str]
    body: bytes


OnExchange = Callable[[Exchange], None]


def ignore_exchange(_exchange: Exchange) -> None:
    """Record nothing."""
