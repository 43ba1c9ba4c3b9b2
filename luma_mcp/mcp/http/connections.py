"""The connections of clients: those that send nothing hold no resources for long, and make room for others."""

import asyncio
from operator import attrgetter

from uvicorn.protocols.http.h11_impl import H11Protocol

_HEAD_SECONDS = 10.0


class HttpConnection(H11Protocol):
    """A connection of a client.

    The head of its first request has 10 s; uvicorn itself counts the time between requests only (`timeout_keep_alive`).
    Where the server has as many connections as it may have, the one that has been silent longest is closed, so that
    silent connections do not make it refuse the others. One with a request under way is never closed.
    """

    _head_timeout: asyncio.TimerHandle | None = None
    silent_since = 0.0
    """When it was made, or the last request on it came, by the time of the loop."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        loop = asyncio.get_running_loop()
        self.silent_since = loop.time()
        self._head_timeout = loop.call_later(_HEAD_SECONDS, transport.close)
        if self.limit_concurrency is not None and len(self.connections) >= self.limit_concurrency:
            self._close_a_silent_one()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._has_request():
            self.silent_since = asyncio.get_running_loop().time()
            self._cancel_head_timeout()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_head_timeout()
        super().connection_lost(exc)

    def _cancel_head_timeout(self) -> None:
        if self._head_timeout is not None:
            self._head_timeout.cancel()
            self._head_timeout = None

    def _has_request(self) -> bool:
        """Whether the head of a request has come. Before the first one there is no cycle, in spite of the type."""
        return getattr(self, "cycle", None) is not None

    def is_silent(self) -> bool:
        """Whether no request is under way on it."""
        return not self._has_request() or self.cycle.response_complete

    def _close_a_silent_one(self) -> None:
        silent: list[HttpConnection] = [
            each
            for each in self.connections
            if isinstance(each, HttpConnection)
            and each is not self
            and each.is_silent()
            and not each.transport.is_closing()
        ]
        if silent:
            min(silent, key=attrgetter("silent_since")).transport.close()
