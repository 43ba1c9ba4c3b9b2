"""Texts that go through other people's hands and come back: only servers with the same key can make one.

A sealed text can be read by anybody. It cannot be changed, and one that was made for one purpose is none for another.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, cast

from pydantic_core import from_json, to_json

_CODE_BYTES = 16


def key_for(purpose: str, key: bytes) -> bytes:
    """A key for one purpose, made from the key that servers share: 32 bytes."""
    return hashlib.sha256(key + b" " + purpose.encode()).digest()


class Seal:
    """Seals texts for one purpose.

    Args:
        key: what the servers of one account share, and nobody else knows.
        purpose: what the texts are for.
    """

    def __init__(self, key: bytes, purpose: str) -> None:
        self._key = key_for(purpose, key)

    def seal(self, content: Mapping[str, Any]) -> str:
        """A text of letters, digits, `-`, `_` and one dot."""
        data = to_json(dict(content))
        return f"{_text(data)}.{_text(self._code(data))}"

    def open(self, text: str) -> dict[str, Any] | None:
        """What was sealed; None if no server with this key has sealed it for this purpose."""
        content, _, code = text.partition(".")
        try:
            data, given = _bytes(content), _bytes(code)
        except (ValueError, binascii.Error):
            return None
        if not hmac.compare_digest(given, self._code(data)):
            return None
        return cast("dict[str, Any]", from_json(data))

    def _code(self, data: bytes) -> bytes:
        return hmac.digest(self._key, data, "sha256")[:_CODE_BYTES]


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
