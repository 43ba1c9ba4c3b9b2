"""The receiver of events: its address, and the secret that it shares with this server."""

import base64
import binascii
from urllib.parse import urlsplit

from luma_mcp.domain.addresses import is_https_or_loopback

_PREFIX = "whsec_"
# Of the specification of Standard Webhooks.
_MIN_BYTES, _MAX_BYTES = 24, 64


def check_events_url(text: str) -> None:
    """Raises: ValueError, if it is not an address that events may be sent to."""
    url = urlsplit(text)
    if not url.hostname or url.port == 0 or not is_https_or_loopback(url):
        raise ValueError("it must be an https URL, for names and prices are sent there (http:// only on loopback)")
    if url.username or url.password or url.fragment:
        raise ValueError("it must hold no credentials and no fragment; LUMA_EVENTS_SECRET signs what is sent")


def check_events_secret(text: str) -> None:
    """Raises: ValueError, if it is not a secret of Standard Webhooks. The message never holds it."""
    try:
        length = len(base64.b64decode(text.removeprefix(_PREFIX), validate=True)) if text.startswith(_PREFIX) else 0
    except binascii.Error:
        length = 0
    if not _MIN_BYTES <= length <= _MAX_BYTES:
        raise ValueError(
            f"it must be {_PREFIX} and {_MIN_BYTES} to {_MAX_BYTES} random bytes in base64: "
            f'echo "{_PREFIX}$(openssl rand -base64 32)"'
        )
