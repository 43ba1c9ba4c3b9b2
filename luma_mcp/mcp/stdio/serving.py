"""Serving over stdin and stdout.

The SDK's own stdio transport makes two trips through worker threads for each message, dies on SIGTERM without cleaning
up, hangs on SIGINT until stdin closes, and may lose the last request of a piped script. This one reads and writes on
the event loop: signals and the end of input stop it in order, and stdout carries the protocol and nothing else.

Where stdin or stdout cannot be polled (Windows, a plain file) the SDK's transport is used.
"""

import asyncio
import os
import signal
import stat
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
from mcp.server.mcpserver import MCPServer

from luma_mcp.mcp.sdk_compat import run_on_streams
from luma_mcp.mcp.server import ToolServer
from luma_mcp.mcp.stdio.messages import Line, read_line

# After the end of input, open requests may still get a response for so long.
_GRACE_SECONDS = 0.5
# After so long the process ends, whatever is open. A purchase that is under way is in the ledger, and Luma's list shows
# it; where there is no list, its response is awaited.
_LAST_SECONDS = 1.0
_BUSY_CHECK_SECONDS = 0.1
_READ_BYTES = 64 * 1024
# The methods by which clients check the protocol of a server.
_PROBES = frozenset({"server/discover", "ping"})


def run(server: MCPServer[Any]) -> None:
    """Serve until the end of input or a signal."""
    if sys.stdin is None or sys.stdout is None:  # as they are where they are closed
        raise SystemExit("dream-machine-mcp serves MCP over stdin and stdout, and one of them is closed.")
    asyncio.run(_serve(server))


class _Exit:
    """Ends the process, if it does not end by itself, but not while a response must be awaited.

    At an API without a list the response to a purchase is all that names its generation, so it is awaited until Luma
    responds or the host kills the process.

    Args:
        is_busy: whether such a purchase is under way.
    """

    def __init__(self, is_busy: Callable[[], bool]) -> None:
        self._is_busy = is_busy

    def after(self, seconds: float, code: int = 0) -> None:
        """End the process then."""
        asyncio.get_running_loop().call_later(seconds, self.now, code)

    def now(self, code: int) -> None:
        """End the process, as soon as no such purchase is under way."""
        if self._is_busy():
            self.after(_BUSY_CHECK_SECONDS, code)
        else:
            os._exit(code)


async def _serve(server: MCPServer[Any]) -> None:
    ending = _Exit(lambda: isinstance(server, ToolServer) and server.services.purchases.must_not_end)
    async with _streams(ending) as streams:
        serving = asyncio.create_task(_serve_sessions(server, streams))
        _stop_on_signals(serving, ending)
        await asyncio.wait([serving])
    if not serving.cancelled():
        serving.result()


async def _serve_sessions(server: MCPServer[Any], streams: "tuple[_Lines, _Writer] | None") -> None:
    """Serve one session after the other: a handshake after nothing but probes starts a new one."""
    if streams is None:
        await run_on_streams(server, ())
        return
    lines, _ = streams
    while lines.has_session:
        await run_on_streams(server, streams)


def _stop_on_signals(serving: asyncio.Task[None], ending: _Exit) -> None:
    is_stopping = False

    def stop() -> None:
        # The thread of the SDK's own transport cannot be interrupted: then the process exits with a read open.
        nonlocal is_stopping
        if is_stopping:
            ending.now(1)  # a second signal: do not wait for the cleanup
            return
        is_stopping = True
        ending.after(_LAST_SECONDS)
        serving.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError):  # Windows has other signals, which asyncio.run handles
            loop.add_signal_handler(number, stop)


@asynccontextmanager
async def _streams(ending: _Exit) -> AsyncGenerator["tuple[_Lines, _Writer] | None"]:
    """Line streams over the process's own stdin and stdout, or None where they cannot be polled.

    Meanwhile descriptor 1 leads to stderr, so that a stray print, or a child's, does not land in the protocol.
    """
    if sys.platform == "win32" or not (_can_be_polled(0) and _can_be_polled(1)):
        yield None
        return
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    source = os.fdopen(os.dup(0), "rb", buffering=0)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), source)
    wire = os.dup(1)
    os.dup2(2, 1)
    try:
        sink = os.fdopen(wire, "wb", buffering=0)
        transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, sink)
        open_requests = _OpenRequests()
        writer = _Writer(asyncio.StreamWriter(transport, protocol, None, loop), open_requests, ending)
        yield _Lines(reader, open_requests, ending, writer.write_refusal), writer
    finally:
        # A host that has gone has closed its end, and the transport then closes ours.
        with suppress(OSError):
            os.dup2(wire, 1)


def _can_be_polled(descriptor: int) -> bool:
    mode = os.fstat(descriptor).st_mode
    # Of what is a device, only a terminal can be polled: /dev/null cannot.
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(descriptor)


class _OpenRequests:
    """The number of requests without a response yet. An estimate, used only after the end of input."""

    def __init__(self) -> None:
        self._count = 0
        self._all_closed = asyncio.Event()
        self.input_has_ended = False

    def opened(self) -> None:
        self._count += 1

    def closed(self) -> None:
        self._count -= 1
        if self._count <= 0:
            self._all_closed.set()

    async def wait_until_none(self, seconds: float) -> None:
        """Wait until all have a response, for at most that many seconds."""
        if self._count > 0:
            self._all_closed.clear()
            with anyio.move_on_after(seconds):
                await self._all_closed.wait()


class _Lines:
    """The lines of stdin, of any length, in sessions.

    The SDK reads the protocol version from the first request of a connection: after `server/discover` it refuses
    `initialize`. Clients that probe for the newer protocol time out after 1 s (AI SDK 2) to 5 s (the C# SDK), sooner
    than some hosts start a server, and send the handshake of the older one then. So a probe decides nothing:
    `initialize` after nothing but probes ends the session, and is the first line of the next one.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        open_requests: _OpenRequests,
        ending: _Exit,
        refuse: Callable[[str], Awaitable[None]],
    ) -> None:
        self._ending = ending
        self._refuse = refuse
        self._reader = reader
        self._open_requests = open_requests
        self._unread = bytearray()
        self._held_back: Line | None = None
        self._has_probed = self._is_decided = False
        self.has_session = True
        """Whether there is another session to be served."""

    def __aiter__(self) -> "_Lines":
        return self

    async def __anext__(self) -> str:
        line, text = await self._read_message()
        if self._starts_session(line.method):
            self._held_back = line
            await self._open_requests.wait_until_none(_GRACE_SECONDS)
            raise StopAsyncIteration
        self._held_back = None
        if line.method is not None:
            self._open_requests.opened()
        return text

    async def _read_message(self) -> tuple[Line, str]:
        """The next message. What is none gets its response here."""
        while True:
            line = self._held_back or read_line(await self._read_line())
            if line.text is not None:
                return line, line.text
            if line.refusal is not None:
                await self._refuse(line.refusal)

    def _starts_session(self, method: str | None) -> bool:
        """Check whether it is a handshake after nothing but probes."""
        if self._is_decided:
            return False
        if method == "initialize" and self._has_probed:
            self._has_probed = False
            return True
        if method in _PROBES:
            self._has_probed = True
        elif method is not None:
            self._is_decided = True
        return False

    async def _read_line(self) -> bytes:
        searched = 0
        while (end := self._unread.find(b"\n", searched)) < 0:
            searched = len(self._unread)
            block = await self._reader.read(_READ_BYTES)
            if not block and (last := bytes(self._unread)) and read_line(last).text is not None:
                self._unread.clear()
                return last
            if not block:
                # Half a message at the end is none. Requests before it shall get a response.
                await self._open_requests.wait_until_none(_GRACE_SECONDS)
                self._open_requests.input_has_ended = True
                self.has_session = False
                self._ending.after(_LAST_SECONDS)
                raise StopAsyncIteration
            self._unread += block
        line = bytes(self._unread[: end + 1])
        del self._unread[: end + 1]
        return line


class _Writer:
    """stdout, written on the event loop."""

    def __init__(self, writer: asyncio.StreamWriter, open_requests: _OpenRequests, ending: _Exit) -> None:
        self._ending = ending
        self._writer = writer
        self._open_requests = open_requests

    async def write(self, text: str) -> None:
        # Requests open at the end of input get no response: "Connection closed" crashes clients (mcp 1.20 to 1.30).
        if self._open_requests.input_has_ended and '"error":{"code":-32000,' in text:
            return
        self._writer.write(text.encode())
        if text.startswith('{"jsonrpc":"2.0","id":') and '"method":' not in text[:200]:
            self._open_requests.closed()

    async def write_refusal(self, text: str) -> None:
        """The response to what is no message, and so no open request either."""
        self._writer.write(text.encode())
        await self.flush()

    async def flush(self) -> None:
        try:
            await self._writer.drain()
        except ConnectionError:  # pragma: no cover - in a process that leaves at once, so nothing is written down of it
            # The host has closed its end, so there is no reader.
            self._ending.after(_LAST_SECONDS)
