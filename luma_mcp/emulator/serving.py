"""Running the emulator as a real server on loopback."""

import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import uvicorn
from starlette.middleware.trustedhost import TrustedHostMiddleware

from luma_mcp.emulator.agents import app as agents_app
from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.dream_machine.app import PREFIX

# Answers in flight may finish; then the server goes.
_GRACE_SECONDS = 1


def listen(port: int) -> socket.socket:
    """A socket on loopback; port 0 takes a free one. Raises: OSError when the port is taken."""
    # asyncio sends small pieces at once only on sockets that say they are TCP; else each answer waits 40 ms for an ACK.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        # Whoever connects before the server runs waits and is not refused.
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


def base_url(listener: socket.socket) -> str:
    """The base URL of the emulated Dream Machine."""
    return f"{_origin(listener)}{PREFIX}"


def agents_base_url(listener: socket.socket) -> str:
    """The base URL of the emulated Agents API."""
    return f"{_origin(listener)}{agents_app.PREFIX}"


def _origin(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def server(emulator: Emulator, log_level: str = "warning") -> uvicorn.Server:
    """The server, which answers to the names of this machine only: a page whose name leads here cannot use it."""
    app = TrustedHostMiddleware(emulator.app, allowed_hosts=("127.0.0.1", "localhost"))
    config = uvicorn.Config(
        app, log_level=log_level, timeout_graceful_shutdown=_GRACE_SECONDS, lifespan="on", access_log=False
    )
    return uvicorn.Server(config)


def run(emulator: Emulator, listener: socket.socket) -> None:
    """Serve until a signal says stop."""
    server(emulator).run(sockets=[listener])


@asynccontextmanager
async def serving(emulator: Emulator, port: int = 0, log_level: str = "warning") -> AsyncGenerator[str]:
    """Serve inside a running event loop; yields the base URL and stops on leaving."""
    listener = listen(port)
    running = server(emulator, log_level)
    stopped = anyio.Event()

    async def serve() -> None:
        await running.serve([listener])
        stopped.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve)
        try:
            yield base_url(listener)
        finally:
            running.should_exit = True
            with anyio.CancelScope(shield=True):
                await stopped.wait()
            listener.close()
