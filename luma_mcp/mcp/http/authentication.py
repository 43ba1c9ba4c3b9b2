"""Authentication: a token of the settings, or one of an OAuth issuer.

This server is a resource server of OAuth 2.1: people sign in at an issuer, and this server checks the tokens that the
issuer signed, and issues nothing itself. Sources: RFC 6750 (bearer tokens), RFC 9728 (the issuer's address), MCP
2026-07-28, section Authorization.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import anyio
from mcp.server.auth.middleware.auth_context import AuthContextMiddleware
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from pydantic_core import from_json
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from luma_mcp.domain.person import RIGHTS, Right
from luma_mcp.mcp.http.protected_resource import WELL_KNOWN, ProtectedResource
from luma_mcp.mcp.http.tokens import IssuedTokens, NamedTokens, NotAllowedError, access_token, is_signed
from luma_mcp.mcp.persons import person_of

# The delay of the response to a wrong token, so that guessing is slow; a right token has no delay.
GUESS_SECONDS = 1.0
# The rights that a sign-in is asked for. Clients register with their scopes, and an issuer refuses a scope that a
# client has not registered: it would lose its connection. So a call that needs another right is refused by its tool.
_REQUESTED: tuple[Right, ...] = ("read", "spend")
_MAX_GUESSES_AT_ONCE = 50
# No more is read to learn the tool of a call; the application refuses longer bodies.
_MAX_PEEKED_BYTES = 1024 * 1024


class Authentication:
    """Admits requests with a valid token, and sets the person of the request.

    Metadata needs no token. Every other `/.well-known/` path is 404 without a token: clients check there whether
    sign-in is possible, and a 401 would mean that it is.

    Args:
        inner: the application behind.
        named: the tokens of the settings.
        issued: the tokens of the issuer; None without one.
        resource: the metadata for clients that sign in; None without an issuer.
        rights: the right that each tool needs.
        open_scopes: the scopes of requests without a token; None if a token is needed.
    """

    def __init__(
        self,
        inner: ASGIApp,
        *,
        named: NamedTokens,
        issued: IssuedTokens | None,
        resource: ProtectedResource | None,
        rights: Mapping[str, Right],
        open_scopes: Sequence[str] | None,
    ) -> None:
        self._inner = AuthContextMiddleware(inner)
        self._named = named
        self._issued = issued
        self._resource = resource
        self._rights = rights
        self._open = None if open_scopes is None else access_token("", open_scopes)
        self._guesses = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        if scope["path"].startswith(WELL_KNOWN):
            await self._document_response(scope)(scope, receive, send)
            return
        sent = _sent_token(scope)
        try:
            token = self._open or (await self._verified(sent) if sent else None)
        except NotAllowedError as error:
            # No challenge: a person who signs in again is still not allowed, and clients would repeat it for ever.
            sentence = f"You are signed in, and may not use this server: {error} Ask who runs it."
            await JSONResponse({"error": sentence}, 403)(scope, receive, send)
            return
        if token is None:
            await self._refusal(scope, receive, send, sent)
            return
        scope["user"] = AuthenticatedUser(token)
        scope.setdefault("state", {})["person"] = token.subject
        missing, receive = await self._missing_right(token, scope, receive)
        if missing is not None:
            await self._step_up(token, missing)(scope, receive, send)
            return
        await self._inner(scope, receive, send)

    def _document_response(self, scope: Scope) -> JSONResponse:
        if self._resource is None or not self._resource.is_document(scope["path"]):
            return JSONResponse({"error": "There is no such document here."}, 404)
        # Clients in a browser read it before they have a token, from any page.
        headers = {"Cache-Control": "public, max-age=3600", "Access-Control-Allow-Origin": "*"}
        return JSONResponse(self._resource.document(), headers=headers)

    async def _verified(self, sent: str) -> AccessToken | None:
        token = await self._named.verify_token(sent)
        if token is None and self._issued is not None:
            token = await self._issued.verify_token(sent)
        return token

    async def _refusal(self, scope: Scope, receive: Receive, send: Send, sent: str) -> None:
        """Respond with 401. The response to a guess at a token is delayed; a signature cannot be guessed."""
        is_guess = bool(sent) and not (self._issued is not None and is_signed(sent))
        if is_guess and self._guesses >= _MAX_GUESSES_AT_ONCE:
            response = JSONResponse({"error": "Too many wrong tokens. Wait a minute."}, 429, {"Retry-After": "60"})
            await response(scope, receive, send)
            return
        if is_guess:
            self._guesses += 1
            try:
                await anyio.sleep(GUESS_SECONDS)
            finally:
                self._guesses -= 1
        if self._resource is None:
            refusal = "A bearer token is needed: Authorization: Bearer ..., or X-API-Key: ..."
            challenge = 'Bearer realm="dream-machine-mcp"'
        else:
            refusal = f"Sign in at {self._resource.issuer}, or send a token of this server."
            error = {"error": "invalid_token"} if sent else {}
            challenge = self._challenge(_REQUESTED, **error)
        await JSONResponse({"error": refusal}, 401, {"WWW-Authenticate": challenge})(scope, receive, send)

    async def _missing_right(self, token: AccessToken, scope: Scope, receive: Receive) -> tuple[Right | None, Receive]:
        """The right that a call lacks and that a new sign-in could grant; and a `receive` with the same body."""
        held = person_of(token).rights
        # Only a person who signed in can sign in again.
        offered = self._resource.rights if self._resource is not None and token.claims else ()
        obtainable: list[Right] = [right for right in offered if right in _REQUESTED and right not in held]
        if scope["method"] != "POST" or not obtainable:
            return None, receive
        body, receive = await _peeked(receive)
        needed: set[str] = {"read", *(self._rights[name] for name in _called_tools(body) if name in self._rights)}
        return next((right for right in obtainable if right in needed), None), receive

    def _step_up(self, token: AccessToken, missing: Right) -> JSONResponse:
        """Respond with 403 and the scope that is missing."""
        held = person_of(token).rights
        wanted: list[Right] = [right for right in RIGHTS if right in held or right == missing]
        challenge = self._challenge(wanted, error="insufficient_scope")
        return JSONResponse(
            {"error": f"Your sign-in does not allow to {missing}. Sign in again and allow it."},
            403,
            {"WWW-Authenticate": challenge},
        )

    def _challenge(self, rights: Sequence[Right], **facts: str) -> str:
        resource = cast("ProtectedResource", self._resource)
        facts |= {"scope": " ".join(resource.names(rights)), "resource_metadata": resource.document_url}
        return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in facts.items())


def _sent_token(scope: Scope) -> str:
    """The token of a request; empty if it has none."""
    headers = Headers(scope=scope)
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return "" if scheme else headers.get("x-api-key", "").strip()


async def _peeked(receive: Receive) -> tuple[bytes, Receive]:
    """The body of a request, and a `receive` that returns it again."""
    messages: list[Message] = []
    body = b""
    while len(body) <= _MAX_PEEKED_BYTES:
        message = await receive()
        messages.append(message)
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break

    async def again() -> Message:
        return messages.pop(0) if messages else await receive()

    return body, again


def _called_tools(body: bytes) -> list[str]:
    """The tools that a message, or each of several, calls. An unreadable message calls none."""
    try:
        content: Any = from_json(body)
    except ValueError:
        return []
    names: list[str] = []
    for message in cast("list[Any]", content) if isinstance(content, list) else [content]:
        call = cast("dict[str, Any]", message) if isinstance(message, dict) else {}
        params = call.get("params")
        if call.get("method") == "tools/call" and isinstance(params, dict):
            names.append(str(cast("dict[str, Any]", params).get("name")))
    return names
