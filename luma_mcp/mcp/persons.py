"""The person of the present request, as the transport authenticated it."""

from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken

from luma_mcp.domain.person import OWNER, RIGHTS, SCOPES, Person, Right


def current_person() -> Person:
    """The person behind the present request; the owner over stdio."""
    token = get_access_token()
    return OWNER if token is None else person_of(token)


def person_of(token: AccessToken) -> Person:
    """The person of a verified token. Its scopes are `SCOPES`, whatever the issuer calls them."""
    rights: set[Right] = {right for right, scope in zip(RIGHTS, SCOPES, strict=True) if scope in token.scopes}
    return Person(token.subject or "", frozenset(rights))
