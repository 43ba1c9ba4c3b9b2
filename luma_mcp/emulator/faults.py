"""Faults between a client and Luma, produced on purpose.

A fault has a kind, says which requests it strikes, and how often. Kinds:

=============  =======================================================================================
`error`        answer with `status`; `after` it was accepted (and charged) or before
`drop`         close the connection without an answer, before the request is taken or `after`
`slow`         wait `seconds` before the request is taken or, `after` that, before the answer
`cut`          send only half of the answer's body
`garble`       answer with the right status and something that is not JSON
`limit`        answer 429, with `Retry-After: seconds` if those are given
`expire`       an asset's link answers 403
`moderate`     the next generation fails with `reason`
=============  =======================================================================================
"""

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Any, Literal, cast, get_args

import anyio

Kind = Literal["error", "drop", "slow", "cut", "garble", "limit", "expire", "moderate"]
Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class ConnectionDroppedError(ConnectionError):
    """Stands for a closed connection where there is no real one to close: the app runs in the client's own process."""


@dataclass
class Fault:
    """One thing that goes wrong, `times` times, for requests whose method and path match."""

    kind: Kind
    method: str = "*"
    path: str = "*"
    times: int = 1
    after: bool = False
    status: int = 500
    seconds: float | None = None
    reason: str = "Advanced prompt moderation failed"

    def strikes(self, method: str, path: str) -> bool:
        return self.times > 0 and fnmatch(method, self.method) and fnmatch(path, self.path)


def parse(text: str) -> Fault:
    """A fault from the command line: `KIND` or `KIND,name=value,...`, as in `drop,path=*/video,after=yes`.

    Raises:
        ValueError: the text names no such kind or setting.
    """
    kind, *settings = text.split(",")
    if kind not in get_args(Kind):
        raise ValueError(f"{kind!r} is no fault; there are {', '.join(get_args(Kind))}")
    fault = Fault(cast("Kind", kind))
    for setting in settings:
        name, _, value = setting.partition("=")
        match name:
            case "method" | "path" | "reason":
                setattr(fault, name, value)
            case "times" | "status":
                setattr(fault, name, int(value))
            case "seconds":
                fault.seconds = float(value)
            case "after":
                fault.after = value in ("yes", "true", "1")
            case _:
                raise ValueError(f"{name!r} is no setting of a fault")
    return fault


@dataclass
class FaultyApp:
    """An ASGI app with injected faults, in the order given; each applies until its count is used up."""

    app: App
    faults: list[Fault] = field(default_factory=list[Fault])

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        fault = self._due(scope) if scope["type"] == "http" else None
        if fault is None:
            await self.app(scope, receive, send)
            return
        fault.times -= 1
        if fault.kind == "slow":
            await self._slowly(fault, scope, receive, send)
        elif fault.kind in ("cut", "garble"):
            await self.app(scope, receive, _Spoiled(send, cut=fault.kind == "cut").send)
        else:
            if fault.after:
                await self.app(scope, receive, _swallow)
            await _respond_badly(fault, send)

    async def _slowly(self, fault: Fault, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Wait before the request is taken or, `after`, before its answer is given."""
        seconds = fault.seconds or 1

        async def send_late(message: Message) -> None:
            if message["type"] == "http.response.start":
                await anyio.sleep(seconds)
            await send(message)

        if not fault.after:
            await anyio.sleep(seconds)
        await self.app(scope, receive, send_late if fault.after else send)

    def _due(self, scope: MutableMapping[str, Any]) -> Fault | None:
        for fault in self.faults:
            if fault.kind != "moderate" and fault.strikes(scope["method"], scope["path"]):
                return fault
        return None

    def moderation_due(self, method: str, path: str) -> str | None:
        """The reason for which a generation that is being created will fail, if a fault says so."""
        for fault in self.faults:
            if fault.kind == "moderate" and fault.strikes(method, path):
                fault.times -= 1
                return fault.reason
        return None


async def _swallow(_message: Message) -> None:
    """Let nothing of an answer through."""


async def _respond_badly(fault: Fault, send: Send) -> None:
    match fault.kind:
        case "drop":
            _close_the_connection(send)
        case "limit":
            headers = [] if fault.seconds is None else [(b"retry-after", str(fault.seconds).encode())]
            await _respond(send, 429, b'{"detail":"Rate limit exceeded"}', headers)
        case "expire":
            await _respond(send, 403, b"<Error><Code>AccessDenied</Code></Error>", content_type=b"application/xml")
        case _:
            await _respond(send, fault.status, b"<html><h1>Bad gateway</h1></html>", content_type=b"text/html")


def _close_the_connection(send: Send) -> None:
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionDroppedError("the emulator dropped this connection")
    transport.abort()


async def _respond(
    send: Send,
    status: int,
    body: bytes,
    headers: list[tuple[bytes, bytes]] | None = None,
    content_type: bytes = b"application/json",
) -> None:
    lines = [(b"content-type", content_type), (b"content-length", str(len(body)).encode()), *(headers or [])]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body})


class _Spoiled:
    """Passes an answer on with half its body, or with a body that means nothing."""

    def __init__(self, send: Send, *, cut: bool) -> None:
        self._send = send
        self._cut = cut
        self._start: Message | None = None
        self._body = b""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._body += message.get("body", b"")
        if message.get("more_body") or self._start is None:
            return
        if not self._cut:
            await _respond(self._send, self._start["status"], b"<html>\xff not json</html>")
            return
        await self._send(self._start)
        await self._send({"type": "http.response.body", "body": self._body[: len(self._body) // 2], "more_body": True})
        _close_the_connection(self._send)
