"""Texts that other people pass on and bring back: only servers with the same key can make or read one.

A signed text is a Fernet token (cryptography): encrypted, and with the time at which it was made. One that was made for
one purpose is not valid for another.
"""

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from pydantic_core import from_json, to_json

if TYPE_CHECKING:
    from cryptography.fernet import Fernet


def key_for(purpose: str, key: bytes) -> bytes:
    """A key for one purpose, made from the key that servers share: 32 bytes."""
    return hashlib.sha256(key + b" " + purpose.encode()).digest()


class Signer:
    """Signs texts for one purpose.

    Args:
        key: a secret that the servers of one account share.
        purpose: what the texts are for.
    """

    def __init__(self, key: bytes, purpose: str) -> None:
        self._key = key_for(purpose, key)

    def sign(self, content: Mapping[str, Any], *, now: float = 0.0) -> str:
        """A text of letters, digits, `-` and `_`.

        Args:
            content: what the text holds.
            now: Unix time, from which its life is counted.
        """
        return self._fernet.encrypt_at_time(to_json(dict(content)), max(int(now), 0)).decode().rstrip("=")

    def read(self, text: str, *, now: float = 0.0, seconds: int | None = None) -> dict[str, Any] | None:
        """The content of a text; None if no server with this key has signed it for this purpose, or if it has ended.

        Args:
            text: the signed text.
            now: Unix time.
            seconds: how long a text lives; for ever, if None.
        """
        from cryptography.fernet import InvalidToken  # noqa: PLC0415 - costs 20 ms, and the start does not need it

        token = text + "=" * (-len(text) % 4)
        try:
            if seconds is None:
                data = self._fernet.decrypt(token)
            else:
                data = self._fernet.decrypt_at_time(token, seconds, int(now))
        except (InvalidToken, ValueError):
            return None
        return cast("dict[str, Any]", from_json(data))

    @cached_property
    def _fernet(self) -> "Fernet":
        from cryptography.fernet import Fernet  # noqa: PLC0415 - as above

        return Fernet(urlsafe_b64encode(self._key))
