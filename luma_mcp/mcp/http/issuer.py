"""The keys of an OAuth issuer: discovered by its metadata, cached, and fetched again when it signs with a new key.

Sources: RFC 8414 and OpenID Connect Discovery (metadata), RFC 7517 (JWKS).
"""

import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, cast
from urllib.parse import urlsplit

import anyio
import httpx
import jwt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from luma_mcp.domain.addresses import is_https_or_loopback
from luma_mcp.domain.errors import LumaError
from luma_mcp.net.http import HINT_CA, is_certificate_error, open_http
from luma_mcp.net.proxies import proxy_for

# A key that the issuer has revoked is accepted for at most this time.
_CACHE_SECONDS = 3600.0
# A token may name any key, so an unknown key does not cause a fetch at every request.
_RETRY_SECONDS = 30.0
_TIMEOUT_SECONDS = 10.0
_MAX_BYTES = 512 * 1024

_log = logging.getLogger(__name__)


class IssuerError(Exception):
    """The issuer cannot be reached, or its response cannot be used."""


class _Metadata(BaseModel):
    issuer: str
    jwks_uri: str = Field(max_length=2000)


class _Key(BaseModel):
    """A key as RFC 7517 has it; what is left out here depends on its kind."""

    model_config = ConfigDict(extra="allow")

    kid: str | None = None
    use: str = "sig"
    alg: str | None = None


class _KeySet(BaseModel):
    keys: list[_Key] = Field(max_length=100)


class Issuer:
    """An issuer and its signing keys.

    Args:
        url: the issuer, as its tokens name it. A slash at the end makes no difference here.
        transport: carries bytes to it; the network unless a test passes one.
        now: a monotonic clock.
        timeout_seconds: the time limit for its metadata and keys together.
    """

    def __init__(
        self,
        url: str,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        now: Callable[[], float] = time.monotonic,
        timeout_seconds: float = _TIMEOUT_SECONDS,
    ) -> None:
        self._url = url
        self._transport = transport
        self._now = now
        self._timeout_seconds = timeout_seconds
        self._name = url
        self._jwks_uri: str | None = None
        self._keys: dict[str | None, _Key] = {}
        self._fetched_at = -_CACHE_SECONDS
        self._lock = anyio.Lock()

    @property
    def name(self) -> str:
        """The issuer exactly as its metadata and its tokens name it; known after the first fetch of its keys."""
        return self._name

    async def key(self, key_id: str | None, algorithm: str) -> jwt.PyJWK | None:
        """The key of that id, or without an id the only one; None if the issuer has no such key.

        Args:
            key_id: which key, as a token names it.
            algorithm: how a token is signed; a key that names an algorithm of its own is used with that.

        Raises:
            IssuerError: its keys cannot be fetched, and none are cached.
            jwt.PyJWTError: the key does not fit the algorithm.
        """
        key = self._find(key_id)
        # A request for the keys may be under way. A call that needs no new key does not wait for it.
        if key is None or (self._must_fetch(key_id) and not self._lock.locked()):
            async with self._lock:
                if self._must_fetch(key_id):
                    await self._fetch()
            key = self._find(key_id)
        return jwt.PyJWK(key.model_dump(exclude_none=True), key.alg or algorithm) if key else None

    def _must_fetch(self, key_id: str | None) -> bool:
        age = self._now() - self._fetched_at
        return age >= _CACHE_SECONDS or (self._find(key_id) is None and age >= _RETRY_SECONDS)

    def _find(self, key_id: str | None) -> _Key | None:
        if key_id is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(key_id)

    async def _fetch(self) -> None:
        """Fetch the keys. If that fails, the cached keys stay in use until the next try."""
        self._fetched_at = self._now()
        try:
            with anyio.fail_after(self._timeout_seconds):
                if self._jwks_uri is None:
                    self._jwks_uri = await self._discover()
                content = await self._json(self._jwks_uri)
            keys = _KeySet.model_validate(content).keys
        except (IssuerError, ValidationError, TimeoutError) as error:
            problem = _problem(error, "keys")
            _log.warning("the keys of the issuer of LUMA_OAUTH_ISSUER cannot be fetched: %s", problem)
            if not self._keys:
                raise problem from error
            return
        self._keys = {key.kid: key for key in keys if key.use == "sig"}

    async def _discover(self) -> str:
        """The address of the keys."""
        problem = IssuerError("it has no metadata")
        for address in _metadata_addresses(self._url):
            try:
                metadata = _Metadata.model_validate(await self._json(address))
            except (IssuerError, ValidationError) as error:
                problem = _problem(error, "metadata")
                continue
            if metadata.issuer.rstrip("/") != self._url.rstrip("/"):
                raise IssuerError("its metadata is another issuer's")
            if not _is_safe(metadata.jwks_uri):
                raise IssuerError("its keys are not at an https address")
            self._name = metadata.issuer
            return metadata.jwks_uri
        raise problem

    async def _json(self, address: str) -> Any:
        """A small JSON document. Redirects are not followed. Raises: IssuerError."""
        try:
            proxy = proxy_for(address) if self._transport is None else None
            async with (
                open_http(self._transport, proxy=proxy) as client,
                client.stream("GET", address, headers={"Accept": "application/json"}) as response,
            ):
                if response.status_code != 200:
                    raise IssuerError(f"it answers {response.status_code}")
                content = b""
                async with aclosing(cast("AsyncGenerator[bytes]", response.aiter_bytes())) as blocks:
                    async for block in blocks:
                        content += block
                        if len(content) > _MAX_BYTES:
                            raise IssuerError("its answer is too long")
            return httpx.Response(200, content=content).json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            if is_certificate_error(error):
                raise IssuerError(f"its certificate is not trusted here. {HINT_CA}") from error
            raise IssuerError(f"it cannot be asked ({type(error).__name__})") from error
        except LumaError as error:
            raise IssuerError(error.full_text) from error


def _problem(error: Exception, document: str) -> IssuerError:
    if isinstance(error, IssuerError):
        return error
    return IssuerError("it takes too long" if isinstance(error, TimeoutError) else f"its {document} cannot be read")


def _is_safe(address: str) -> bool:
    try:
        return is_https_or_loopback(urlsplit(address))
    except ValueError:
        return False


def _metadata_addresses(issuer: str) -> list[str]:
    """The possible addresses of its metadata: by OpenID Connect after its path, by RFC 8414 before it."""
    url = urlsplit(issuer)
    origin, path = f"{url.scheme}://{url.netloc}", url.path.rstrip("/")
    paths = [
        f"{path}/.well-known/openid-configuration",
        f"/.well-known/oauth-authorization-server{path}",
        f"/.well-known/openid-configuration{path}",
    ]
    return list(dict.fromkeys(origin + document for document in paths))
