"""Presigned links to outputs: each carries when it was made and a signature, and ends after an hour."""

import hashlib
import hmac
import secrets
from urllib.parse import urlencode

from luma_mcp.emulator.agents.catalogue import LINK_SECONDS


class LinkExpiredError(Exception):
    """The link has ended, or its signature is wrong."""


class Links:
    """Makes and checks links in the manner of S3."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def query(self, path: str, now: float) -> str:
        """The query of a new link to a path."""
        signed = str(int(now))
        return urlencode(
            {"X-Amz-Date": signed, "X-Amz-Expires": LINK_SECONDS, "X-Amz-Signature": self._signature(path, signed)}
        )

    def check(self, path: str, signed: str, signature: str, now: float) -> None:
        """Raises: LinkExpiredError."""
        if not hmac.compare_digest(self._signature(path, signed).encode(), signature.encode()):
            raise LinkExpiredError
        if now > int(signed) + LINK_SECONDS:
            raise LinkExpiredError

    def _signature(self, path: str, signed: str) -> str:
        return hmac.new(self._key, f"{path}\n{signed}".encode(), hashlib.sha256).hexdigest()
