"""An OAuth issuer of the tests' own: its keys, its documents, and the tokens that it signs or should not have."""

import time
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER = "https://login.example.com/realm"
PUBLIC_URL = "https://luma.example.com/mcp"


class FakeIssuer:
    """Signs tokens, and answers at its addresses through `transport`."""

    def __init__(self, url: str = ISSUER) -> None:
        self.url = url
        self.private: dict[str, Any] = {"one": rsa.generate_private_key(65537, 2048)}
        self.metadata: dict[str, Any] = {"issuer": url, "jwks_uri": f"{url}/keys"}
        self.metadata_path = "/realm/.well-known/openid-configuration"
        self.requests: list[str] = []
        self.fails = False
        self.keys_answer: httpx.Response | None = None

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._answer)

    def jwks(self) -> dict[str, Any]:
        return {"keys": [{**_public(key), "kid": name, "use": "sig"} for name, key in self.private.items()]}

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Those of a good token; a change to None leaves one out."""
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.url,
            "sub": "anna-7",
            "aud": PUBLIC_URL,
            "exp": now + 300,
            "iat": now,
            "scope": "luma:read luma:spend",
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, *, key: str = "one", algorithm: str = "RS256", kid: str | None = "one", **changes: Any) -> str:
        headers = {"kid": kid} if kid else {}
        return jwt.encode(self.claims(**changes), self.private[key], algorithm, headers=headers)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request.url.path)
        if self.fails:
            raise httpx.ConnectError("no way there")
        if request.url.path == self.metadata_path:
            return httpx.Response(200, json=self.metadata)
        if request.url.path == "/realm/keys":
            return self.keys_answer or httpx.Response(200, json=self.jwks())
        return httpx.Response(404)


def _public(key: Any) -> dict[str, Any]:
    public = key.public_key()
    if isinstance(key, rsa.RSAPrivateKey):
        return RSAAlgorithm.to_jwk(public, as_dict=True)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return ECAlgorithm.to_jwk(public, as_dict=True)
    assert isinstance(key, ed25519.Ed25519PrivateKey)
    return OKPAlgorithm.to_jwk(public, as_dict=True)
