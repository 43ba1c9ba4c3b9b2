"""Addresses: what is public, what may carry a secret, and what names a bucket."""

import ipaddress
from urllib.parse import SplitResult, parse_qsl, urlsplit

# The names that this machine has for itself.
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

# The addresses that lead inside or nowhere: IANA's registries of special addresses, and those of clouds. This table,
# and not `is_global`, which differs between versions of Python.
_INSIDE_4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/3", "168.63.129.16/32",
    )
)  # fmt: skip
# All public IPv6 addresses are of this block, save these in it.
_GLOBAL_6 = ipaddress.IPv6Network("2000::/3")
_INSIDE_6 = tuple(
    ipaddress.IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "2001:10::/28", "3fff::/20")
)

BUCKET_SCHEMES = ("s3", "gs", "az")
BUCKET_OPTIONS = ("endpoint", "region", "account")


def is_public_address(address: str) -> bool:
    """Whether an IP address is public, also if it is embedded in another address."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        embedded = ip.ipv4_mapped or ip.sixtofour
        if embedded is None:
            return ip in _GLOBAL_6 and not any(ip in network for network in _INSIDE_6)
        ip = embedded
    return not any(ip in network for network in _INSIDE_4)


def is_https_or_loopback(url: SplitResult) -> bool:
    """Whether what is sent there cannot be read on the way: the URL is https, or it stays on this machine."""
    return url.scheme == "https" or (url.scheme == "http" and url.hostname in LOOPBACK)


def check_bucket_address(url: str) -> None:
    """Raises: ValueError, if it is not the address of a bucket."""
    parts = urlsplit(url)
    if parts.scheme not in BUCKET_SCHEMES or not parts.netloc:
        raise ValueError("it must be a bucket: s3://bucket/folder, gs://bucket/folder or az://container/folder")
    if parts.username or parts.password or parts.fragment:
        raise ValueError("it must hold no credentials; they are set as for the bucket's own tools")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if not set(options) <= set(BUCKET_OPTIONS):
        raise ValueError("its options may be ?endpoint=..., ?region=... and ?account=...")
    endpoint = urlsplit(options.get("endpoint", "https://default"))
    if not is_https_or_loopback(endpoint):
        raise ValueError("its endpoint must begin with https:// (http:// only on loopback)")


def with_both_addresses(values: dict[str, object]) -> dict[str, object]:
    """The addresses of both APIs. One that is plainly the other's counts as the other's, and an emulator's as both.

    The SDK of the Agents API reads LUMA_BASE_URL too, so it may hold that API's address.
    """
    address = str(values.get("base_url", ""))
    if address and "agents_base_url" not in values and _is_agents(address):
        values = {name: value for name, value in values.items() if name != "base_url"} | {"agents_base_url": address}
    for name, other, path in (
        ("base_url", "agents_base_url", "/v1"),
        ("agents_base_url", "base_url", "/dream-machine/v1"),
    ):
        address = _split(values.get(name))
        if address.hostname in LOOPBACK and other not in values:
            values = values | {other: f"{address.scheme}://{address.netloc}{path}"}
    return values


def _split(address: object) -> SplitResult:
    """The parts of an address; none of one that cannot be read, which is refused later."""
    try:
        return urlsplit(str(address or ""))
    except ValueError:
        return urlsplit("")


def _is_agents(address: str) -> bool:
    parts = _split(address)
    if not is_https_or_loopback(parts):
        return False
    return (parts.hostname or "").startswith("agents.") or parts.path.rstrip("/") == "/v1"
