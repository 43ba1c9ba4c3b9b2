"""The SSRF guard: checks the addresses that a file may be fetched from.

A link comes from an API's response, so it is not trusted. It must be https and lead to public addresses only; every
redirect is checked again. The connection goes to the address that was checked, so that the name cannot change its
meaning between the check and the use. The one exception is the API's own address, which may be the emulator's.

Behind a proxy, the proxy finds the address, often of names that this network cannot resolve. A name that this network
can resolve must be public there too.
"""

import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import anyio

from luma_mcp.domain.addresses import is_public_address
from luma_mcp.domain.errors import FileError, TransientFileError
from luma_mcp.domain.text import cleaned

Resolve = Callable[[str, int], Awaitable[list[str]]]

_REFUSED = "The link comes from Luma's answer; nothing was fetched from it."


@dataclass(frozen=True, slots=True)
class Destination:
    """A link that may be fetched.

    No addresses means that the name is not pinned to one: it is the API's own host, or a proxy finds it.
    """

    url: str
    host: str
    addresses: tuple[str, ...] = ()


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name, by the operating system. Raises: OSError."""
    entries = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in entries))


def host_of(url: str) -> str:
    """The host of a link, for messages; empty if it names none."""
    try:
        return (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return ""


async def check(url: str, *, api_url: str, resolve_host: Resolve = resolve, by_proxy: bool = False) -> Destination:
    """The destination that a link leads to.

    Args:
        url: the link.
        api_url: the API's base URL.
        resolve_host: resolves names to addresses.
        by_proxy: whether a proxy will open the connection.

    Raises:
        FileError: it is not https, holds a password, names no host, or leads to an address that is not public.
    """
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port or 443
    except ValueError:
        raise FileError("The link is not a URL.", _REFUSED) from None
    api = urlsplit(api_url)
    if (parts.scheme, parts.netloc) == (api.scheme, api.netloc):
        return Destination(url, host)
    if parts.scheme != "https" or not host or parts.username is not None or parts.password is not None:
        # The message contains the host alone: the rest may hold a password or a signature.
        raise FileError(f"The link to {cleaned(host or 'nowhere', 80)} is not a plain https URL.", _REFUSED)
    try:
        addresses = await resolve_host(host, port)
    except (OSError, UnicodeError) as error:
        if by_proxy and "." in host:
            return Destination(url, host)
        raise TransientFileError(
            f"The host {cleaned(host, 80)} of the link cannot be found.", "Check the network."
        ) from error
    if not addresses or not all(is_public_address(address) for address in addresses):
        raise FileError(f"The link leads to {cleaned(host, 80)}, which is not a public address.", _REFUSED)
    return Destination(url, host, () if by_proxy else tuple(addresses))
