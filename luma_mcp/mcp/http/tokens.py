"""Bearer tokens: those that the settings name, and those that an OAuth issuer signs.

Both verifiers return an `AccessToken` of the SDK whose subject is the person and whose scopes are `SCOPES`, whatever
the issuer calls them; None for a token that is not theirs or is not valid. A token is neither stored nor logged.
"""

import hmac
import logging
from collections.abc import Collection, Sequence
from typing import Any, cast
from urllib.parse import urlsplit

import jwt
from mcp.server.auth.provider import AccessToken

from luma_mcp.domain.person import SCOPES
from luma_mcp.domain.text import cleaned
from luma_mcp.mcp.http.issuer import Issuer, IssuerError

# Signatures by a private key. A signature by a shared secret (HS256) could be made by anyone with the public key.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
# The largest difference between the clocks of issuer and server.
LEEWAY_SECONDS = 30
EVERYBODY = "*"
SUBJECT = "sub:"
"""The prefix of an entry of LUMA_OAUTH_ALLOWED that is a subject though it has an @."""
_MAX_SUBJECT_LENGTH = 255

_log = logging.getLogger(__name__)


class NotAllowedError(Exception):
    """A person signed in, and is not allowed here.

    Args:
        reason: why, as a sentence for that person.
    """


class NamedTokens:
    """The tokens of the settings.

    Args:
        tokens: the name of a person, empty for the owner, and a token, for each.
        scopes: the scopes of these tokens.
        without_rights: the names of persons without any scope.
    """

    def __init__(
        self, tokens: Sequence[tuple[str, str]], scopes: Sequence[str], *, without_rights: Collection[str] = ()
    ) -> None:
        self._tokens = [(name, token.encode()) for name, token in tokens]
        self._scopes = list(scopes)
        self._without_rights = without_rights

    async def verify_token(self, token: str) -> AccessToken | None:
        """Verify a token. It is compared with each, so that the duration reveals nothing."""
        sent = token.encode("utf-8", "surrogateescape")
        names = [name for name, known in self._tokens if hmac.compare_digest(sent, known)]
        if not names:
            return None
        return access_token(names[0], [] if names[0] in self._without_rights else self._scopes)


class IssuedTokens:
    """JSON Web Tokens that an issuer signed for this server (RFC 9068, RFC 8707).

    Args:
        issuer: the issuer that signs them.
        audience: the audience that they must have.
        allowed: subjects, verified e-mail addresses and `@domain`s; `*` for every person of the issuer. An entry
            with an @ is an address; `sub:` before it makes it a subject.
        scopes: the issuer's names of the scopes to read, spend and delete, in this order.
    """

    def __init__(self, issuer: Issuer, *, audience: str, allowed: Sequence[str], scopes: Sequence[str]) -> None:
        self._issuer = issuer
        # A client may have written the address with a slash at its end, and the issuer repeats what it was asked for.
        self._audiences = [audience.rstrip("/"), audience.rstrip("/") + "/"]
        self._subjects = frozenset(
            entry.removeprefix(SUBJECT) for entry in allowed if entry.startswith(SUBJECT) or "@" not in entry
        )
        self._emails = frozenset(entry.lower() for entry in allowed if "@" in entry and not entry.startswith(SUBJECT))
        self._scopes = dict(zip(SCOPES, scopes, strict=False))

    async def verify_token(self, token: str) -> AccessToken | None:
        """Verify a token; None for one that is not valid. Raises: NotAllowedError."""
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in ALGORITHMS:
                raise jwt.InvalidAlgorithmError
            key = await self._issuer.key(header.get("kid"), header["alg"])
            if key is None:
                raise jwt.InvalidKeyError
            claims = jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                audience=self._audiences,
                issuer=self._issuer.name,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
            if not _is_subject(claims["sub"]):
                raise jwt.InvalidTokenError
        # pyjwt lets the errors of numbers and of nested JSON through.
        except (jwt.PyJWTError, IssuerError, ValueError, TypeError, OverflowError, RecursionError) as error:
            # The kind of the error is enough; its text may repeat the token.
            _log.info("a token was refused: %s", type(error).__name__)
            return None
        person = f"{claims['sub']}@{urlsplit(self._issuer.name).hostname}"
        problem = self._problem(claims)
        if problem is not None:
            _log.warning("%s signed in and is not allowed here: %s", cleaned(person, 200), problem)
            raise NotAllowedError(problem)
        granted = _scopes_of(claims)
        scopes = [scope for scope, issued in self._scopes.items() if issued in granted]
        return access_token(person, scopes, issuer=self._issuer.name)

    def _problem(self, claims: dict[str, Any]) -> str | None:
        """Why the person of these claims is not allowed; None if they are."""
        if EVERYBODY in self._subjects or claims["sub"] in self._subjects:
            return None
        email = claims.get("email")
        local_part, _, domain = email.lower().rpartition("@") if isinstance(email, str) else ("", "", "")
        if not local_part or not self._emails & {f"{local_part}@{domain}", f"@{domain}"}:
            return "LUMA_OAUTH_ALLOWED does not name this person."
        # An address that is not verified may be another person's.
        if claims.get("email_verified") is not True:
            return "the issuer does not say that the e-mail address is verified (email_verified must be true)."
        return None


def _is_subject(subject: str) -> bool:
    """Check that it may be the name of a person: one line of text of 1 to 255 characters (OpenID Connect)."""
    try:
        subject.encode()
    except UnicodeEncodeError:
        return False
    return 0 < len(subject) <= _MAX_SUBJECT_LENGTH and subject.isprintable()


def is_signed(token: str) -> bool:
    """Check whether a token has the format of an issuer's: signed text, which cannot be guessed."""
    try:
        return jwt.get_unverified_header(token).get("alg") in ALGORITHMS
    except (jwt.PyJWTError, ValueError, RecursionError):
        return False


def access_token(person: str, scopes: Sequence[str], *, issuer: str | None = None) -> AccessToken:
    """The claims of a verified token. The token itself is left out."""
    claims = {"iss": issuer} if issuer else None
    return AccessToken(token="", client_id=person, subject=person, scopes=list(scopes), claims=claims)


def _scopes_of(claims: dict[str, Any]) -> frozenset[str]:
    """The scopes of a token: `scope` (RFC 9068), or `scp` and `permissions` of Entra and Auth0, as text or list."""
    values = [claims.get(name) for name in ("scope", "scp", "permissions")]
    texts = [" ".join(map(str, cast("list[object]", value))) if isinstance(value, list) else value for value in values]
    return frozenset(scope for text in texts if isinstance(text, str) for scope in text.split())
