"""The metadata of this server for OAuth clients (RFC 9728): its issuer and its scopes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from mcp.shared.auth import ProtectedResourceMetadata
from pydantic import AnyHttpUrl

from luma_mcp.domain.person import RIGHTS, Right

WELL_KNOWN = "/.well-known/"
_DOCUMENT = f"{WELL_KNOWN}oauth-protected-resource"


@dataclass(frozen=True, slots=True)
class ProtectedResource:
    """The metadata of this server for OAuth clients.

    Args:
        url: the address that people paste.
        issuer: the address of the issuer.
        scopes: the issuer's names of the scopes to read, spend and delete, in this order.
    """

    url: str
    issuer: str
    scopes: Sequence[str]

    @property
    def document_url(self) -> str:
        """The address of its metadata (RFC 9728, section 3.1)."""
        url = urlsplit(self.url)
        return f"{url.scheme}://{url.netloc}{self._paths[-1]}"

    @property
    def _paths(self) -> tuple[str, ...]:
        path = urlsplit(self.url).path.rstrip("/")
        return (_DOCUMENT, _DOCUMENT + path)

    def is_document(self, path: str) -> bool:
        """Check whether a path is that of its metadata."""
        return path.rstrip("/") in self._paths

    def document(self) -> dict[str, Any]:
        """Its metadata."""
        metadata = ProtectedResourceMetadata(
            resource=AnyHttpUrl(self.url),
            authorization_servers=[AnyHttpUrl(self.issuer)],
            scopes_supported=list(self.scopes),
            resource_name="Luma Dream Machine",
        )
        exact = {"resource": self.url, "authorization_servers": [self.issuer]}
        return metadata.model_dump(mode="json", exclude_none=True) | exact

    def names(self, rights: Sequence[Right]) -> list[str]:
        """The issuer's scopes for some rights, as far as it has any."""
        named = dict(zip(RIGHTS, self.scopes, strict=False))
        return list(dict.fromkeys(named[right] for right in rights if right in named))

    @property
    def rights(self) -> Sequence[Right]:
        """The rights that the issuer has a scope for."""
        return RIGHTS[: len(self.scopes)]
