"""Signed links in the plan of a film, encrypted: the ledger keeps the plan, and a shot may be bought much later.

A signed link opens a file for a while, so the ledger does not hold it in plain text. Servers with
the same API key read it.
"""

import base64

from luma_mcp.domain.errors import InvalidRequestError
from luma_mcp.domain.signing import key_for
from luma_mcp.domain.url_signatures import unsigned

# Between the link without its signature, which a person may read, and the encrypted link.
_MARK = "#signed:"


class SignedLinks:
    """Encrypts and decrypts signed links.

    Args:
        key: the secret that the servers of one account share.
    """

    def __init__(self, key: bytes) -> None:
        self._key = base64.urlsafe_b64encode(key_for("links of films", key))

    def encrypted(self, source: str | None) -> str | None:
        """A source as the ledger keeps it: a signed link encrypted, anything else as it is."""
        if source is None or (readable := unsigned(source)) == source:
            return source
        from cryptography.fernet import Fernet  # noqa: PLC0415 - few films have signed links

        return f"{readable}{_MARK}{Fernet(self._key).encrypt(source.encode()).decode()}"

    def decrypted(self, source: str) -> str:
        """The source in plain text; any other one as it is.

        Raises:
            InvalidRequestError: it was encrypted by a server with another API key.
        """
        _, mark, encrypted = source.rpartition(_MARK)
        if not mark:
            return source
        from cryptography.fernet import Fernet, InvalidToken  # noqa: PLC0415

        try:
            return Fernet(self._key).decrypt(encrypted.encode()).decode()
        except InvalidToken:
            raise InvalidRequestError(
                "A signed link of this film was written down by a server with another API key.",
                "create_film with this film_id and all shots, with that link again, goes on.",
            ) from None
