"""The requests of purchases that wait, as the ledger keeps them until any server of the account sends them.

Signed links open files, so a request with such links is encrypted. Servers with the same API key read it. A still of
an earlier generation has a link for an hour only, so it is named by its id, and gets its link when it is sent.
"""

import base64
from collections.abc import Mapping

from pydantic_core import from_json, to_json

from luma_mcp.backends.base import EncodedRequest, StoredRequest, with_links
from luma_mcp.domain.errors import InvalidRequestError
from luma_mcp.domain.media_refs import generation_in
from luma_mcp.domain.signing import key_for
from luma_mcp.domain.url_signatures import without_signatures


class Payloads:
    """Writes and reads the requests.

    Args:
        key: the secret that the servers of one account share.
    """

    def __init__(self, key: bytes) -> None:
        self._key = base64.urlsafe_b64encode(key_for("requests that wait", key))

    def write(self, encoded: EncodedRequest, links: Mapping[str, str]) -> str:
        """A request as the ledger keeps it.

        Args:
            encoded: the request, with the names of its files.
            links: the links of its files.
        """
        stills = [name for name in links if generation_in(name)]
        lasting = {name: link for name, link in links.items() if name not in stills}
        body = with_links(encoded.body, lasting)
        content = to_json({"backend": encoded.backend, "path": encoded.path, "body": body, "stills": stills})
        if without_signatures(body) == body:
            return content.decode()
        from cryptography.fernet import Fernet  # noqa: PLC0415 - few requests wait with signed links

        return Fernet(self._key).encrypt(content).decode()

    def read(self, payload: str) -> tuple[StoredRequest, tuple[str, ...]]:
        """A request, and the stills that it names.

        Raises:
            InvalidRequestError: it was encrypted by a server with another API key.
        """
        if not payload.startswith("{"):
            from cryptography.fernet import Fernet, InvalidToken  # noqa: PLC0415

            try:
                payload = Fernet(self._key).decrypt(payload.encode()).decode()
            except InvalidToken:
                raise InvalidRequestError(
                    "A server with another API key wrote this request down.", "The same call again buys it."
                ) from None
        content = from_json(payload)
        return StoredRequest(content["backend"], content["path"], content["body"]), tuple(content["stills"])
