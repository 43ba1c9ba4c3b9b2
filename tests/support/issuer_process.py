"""An OpenID Connect issuer of other people's making (npm `oidc-provider`), and somebody with a browser."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
from mcp.client.auth import OAuthClientProvider, TokenStorage
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

from tests.support.processes import free_port, once_it_listens

FOLDER = Path(__file__).parent / "oidc"
CALLBACK = "http://127.0.0.1:9/callback"
_FORM = re.compile(r'<form[^>]* action="([^"]+)"')
_PROMPT = re.compile(r'name="prompt" value="([^"]+)"')


@contextmanager
def running(token_seconds: int = 300) -> Iterator[str]:
    """The issuer's address, while it runs."""
    assert (FOLDER / "node_modules").exists(), f"These tests need: npm --prefix {FOLDER} install --no-package-lock"
    port, node = free_port(), shutil.which("node")
    assert node is not None, "These tests need Node.js"
    environment = {**os.environ, "TOKEN_SECONDS": str(token_seconds)}
    command = [node, str(FOLDER / "issuer.js"), str(port)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               env=environment)  # fmt: skip
    try:
        once_it_listens("GET", f"http://127.0.0.1:{port}/.well-known/openid-configuration")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.communicate(timeout=10)


class Kept(TokenStorage):
    """What a client keeps of its sign-in."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self._client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self._client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self._client = client_info


class Browser:
    """Somebody who signs in under a name, and agrees to everything."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._answer: dict[str, str] = {}
        self.asked_scopes: list[str] = []
        """The scopes that each sign-in was for."""

    async def open(self, url: str) -> None:
        """Follow a sign-in to its end."""
        self.asked_scopes.append(parse_qs(urlsplit(url).query)["scope"][0])
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.get(url)
            for _ in range(12):
                if answer.is_redirect:
                    place = urljoin(str(answer.url), answer.headers["location"])
                    if place.startswith(CALLBACK):
                        self._answer = {name: values[0] for name, values in parse_qs(urlsplit(place).query).items()}
                        return
                    answer = await http.get(place)
                    continue
                action, prompt = _FORM.search(answer.text), _PROMPT.search(answer.text)
                assert action is not None, answer.text
                assert prompt is not None, answer.text
                fields = {"prompt": prompt[1], "login": self._name, "password": "any"}
                answer = await http.post(urljoin(str(answer.url), action[1]), data=fields)
        raise AssertionError("the sign-in does not end")

    async def answered(self) -> AuthorizationCodeResult:
        """What came back to the client."""
        assert "code" in self._answer, self._answer
        return AuthorizationCodeResult.model_validate(self._answer)


def sign_in(url: str, browser: Browser, kept: Kept) -> OAuthClientProvider:
    """The SDK's own OAuth client for a server."""
    metadata = OAuthClientMetadata.model_validate(
        {
            "client_name": "a client of the tests",
            "redirect_uris": [CALLBACK],
            "grant_types": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_method": "none",
            "application_type": "native",
        }
    )
    return OAuthClientProvider(url, metadata, kept, browser.open, browser.answered)
