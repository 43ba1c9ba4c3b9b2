"""Reads the pictures and clips that requests name, from where Luma's servers could read them: the internet.

This machine itself is the one exception, for here the emulator and the servers of a test have their files. A redirect
does not lead from the internet to this machine.
"""

import ipaddress
from collections.abc import Awaitable, Callable

import anyio
import httpx


async def fetch(url: str, *, seconds: float, max_bytes: int) -> tuple[int, str, bytes]:
    """The status, the media type and the body that a URL answers with.

    Args:
        url: what a request names.
        seconds: how long each step may take.
        max_bytes: how long the body may be.

    Raises:
        OSError: it cannot be read, is too long, or leads into the network of this machine.
    """
    try:
        async with (
            httpx.AsyncClient(
                timeout=seconds, follow_redirects=True, event_hooks={"request": [_refuse_inside_addresses()]}
            ) as client,
            client.stream("GET", url) as response,
        ):
            data = bytearray()
            async for block in response.aiter_bytes():
                data += block
                if len(data) > max_bytes:
                    raise OSError(f"over {max_bytes // 1024**2} MB")
            return response.status_code, response.headers.get("content-type", "").partition(";")[0], bytes(data)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise OSError(type(error).__name__) from error


def _refuse_inside_addresses() -> Callable[[httpx.Request], Awaitable[None]]:
    """A hook for the requests of one fetch: the first may go to this machine, and no later one that it did not."""
    may_be_here = True

    async def check(request: httpx.Request) -> None:
        nonlocal may_be_here
        try:
            entries = await anyio.getaddrinfo(request.url.host, request.url.port)
        except (OSError, UnicodeError):
            # A proxy may know the name. Without one, the request fails.
            may_be_here = False
            return
        addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in entries]
        is_here = all(address.is_loopback for address in addresses)
        if not all(address.is_global for address in addresses) and not (is_here and may_be_here):
            raise OSError("an address inside this network")
        may_be_here = is_here

    return check
