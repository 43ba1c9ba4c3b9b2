"""The proxy for an address, by the settings of the environment and of the operating system.

httpx reads the same settings when a client is made, fails with errors of its own at one that it does not know, and
sends requests to this machine by the proxy too, where a token would be seen.
"""

from importlib.util import find_spec
from urllib.parse import urlsplit

from luma_mcp.domain.addresses import LOOPBACK
from luma_mcp.domain.errors import UnreachableError
from luma_mcp.domain.text import cleaned

_SCHEMES = ("http", "https", "socks5", "socks5h")
_HINT = "Nothing was sent. Correct the proxy settings of this server's environment, or name the host in NO_PROXY."


def proxy_for(url: str) -> str | None:
    """The proxy that leads to a URL; None if it is reached without one, as this machine itself always is.

    Raises:
        UnreachableError: the settings name a proxy that cannot be used.
    """
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415 - costs 20 ms, and the start does not need it

    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None  # the sender refuses what is no URL
    if not host or host in LOOPBACK:
        return None
    proxies = getproxies()
    address = proxies.get(parts.scheme) or proxies.get("all")
    if not address or proxy_bypass(host if port is None else f"{host}:{port}"):
        return None
    return _checked(address)


def _checked(address: str) -> str:
    """The address of a proxy as httpx accepts it."""
    if "://" not in address:
        address = f"http://{address}"
    scheme, _, rest = address.partition("://")
    # GNOME writes socks:// for what others call socks5://.
    scheme = {"socks": "socks5"}.get(scheme.lower(), scheme.lower())
    try:
        parts = urlsplit(f"{scheme}://{rest}")
        is_usable = scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable:
        # It may hold a password, so the message contains only its start.
        raise UnreachableError(f"The proxy {cleaned(scheme, 20)}://... that is set cannot be used.", _HINT)
    if scheme.startswith("socks") and find_spec("socksio") is None:
        raise UnreachableError(
            "The proxy that is set speaks SOCKS, and the package socksio is missing.",
            "Nothing was sent. Install the extra `socks`, or set HTTPS_PROXY to an HTTP proxy and unset ALL_PROXY.",
        )
    return f"{scheme}://{rest}"
