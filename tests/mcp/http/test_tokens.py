"""Which tokens are good, whose they are, and what they allow."""

import base64
import json
import logging
import ssl
import time
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from luma_mcp.domain.person import SCOPES
from luma_mcp.mcp.http.issuer import Issuer, IssuerError
from luma_mcp.mcp.http.tokens import LEEWAY_SECONDS, IssuedTokens, NamedTokens, NotAllowedError
from tests.support.issuer import ISSUER, PUBLIC_URL, FakeIssuer

pytestmark = pytest.mark.anyio


class Clock:
    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture(scope="module")
def shared() -> FakeIssuer:
    """Keys take long to make."""
    return FakeIssuer()


@pytest.fixture
def fake(shared: FakeIssuer) -> FakeIssuer:
    made = FakeIssuer.__new__(FakeIssuer)
    made.__dict__ |= {**shared.__dict__, "private": {**shared.private}, "requests": []}
    made.metadata = {**shared.metadata}
    return made


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def issuer(fake: FakeIssuer, clock: Clock) -> Issuer:
    return Issuer(ISSUER, transport=fake.transport, now=clock)


def verifier(issuer: Issuer, *allowed: str, scopes: tuple[str, ...] = SCOPES) -> IssuedTokens:
    return IssuedTokens(issuer, audience=PUBLIC_URL, allowed=allowed or ("anna-7",), scopes=scopes)


async def test_a_good_token_states_who_it_is_and_what_it_allows(fake: FakeIssuer, issuer: Issuer) -> None:
    found = await verifier(issuer).verify_token(fake.token())

    assert found is not None
    assert (found.subject, found.scopes) == ("anna-7@login.example.com", ["luma:read", "luma:spend"])
    assert found.token == ""


def _unsigned(fake: FakeIssuer) -> str:
    parts = [{"alg": "none", "kid": "one"}, fake.claims()]
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


def _signed_with_the_public_key(fake: FakeIssuer) -> str:
    """HS256, with the public key's own text as the secret: what a careless verifier takes."""
    import hashlib
    import hmac

    public = fake.private["one"].public_key()
    secret = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    parts = [{"alg": "HS256", "kid": "one"}, fake.claims()]
    content = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    code = base64.urlsafe_b64encode(hmac.digest(secret, content, hashlib.sha256)).rstrip(b"=")
    return (content + b"." + code).decode()


def _strangers(fake: FakeIssuer) -> str:
    key = rsa.generate_private_key(65537, 2048)
    return jwt.encode(fake.claims(), key, "RS256", headers={"kid": "one"})


def _changed(fake: FakeIssuer) -> str:
    head, _, signature = fake.token().split(".")
    body = base64.urlsafe_b64encode(json.dumps(fake.claims(sub="ben-8")).encode()).decode().rstrip("=")
    return f"{head}.{body}.{signature}"


def _nested() -> str:
    return base64.urlsafe_b64encode(b"[" * 100_000).decode().rstrip("=") + ".a.b"


now = time.time
BAD: dict[str, Any] = {
    "of another issuer": lambda fake: fake.token(iss="https://login.example.com"),
    "of an issuer with another case": lambda fake: fake.token(iss=ISSUER.upper()),
    "for another audience": lambda fake: fake.token(aud="https://other.example.com/mcp"),
    "for the origin only": lambda fake: fake.token(aud="https://luma.example.com"),
    "for a longer address": lambda fake: fake.token(aud=PUBLIC_URL + "/x"),
    "without an audience": lambda fake: fake.token(aud=None),
    "without a subject": lambda fake: fake.token(sub=None),
    "without an issuer": lambda fake: fake.token(iss=None),
    "without an end": lambda fake: fake.token(exp=None),
    "expired": lambda fake: fake.token(exp=int(now()) - LEEWAY_SECONDS - 5),
    "not yet valid": lambda fake: fake.token(nbf=int(now()) + LEEWAY_SECONDS + 5),
    "from the future": lambda fake: fake.token(iat=int(now()) + LEEWAY_SECONDS + 5),
    "with an unknown key": lambda fake: fake.token(kid="two"),
    "of half a character": lambda fake: fake.token(sub="anna\ud83d"),
    "of a subject that is too long": lambda fake: fake.token(sub="a" * 256),
    "of a subject without a name": lambda fake: fake.token(sub=""),
    "of a subject of two lines": lambda fake: fake.token(sub="anna\u2028admin"),
    "that ends at no time": lambda fake: fake.token(exp=float("inf")),
    "that begins at no time": lambda fake: fake.token(nbf=float("inf")),
    "of nested JSON": lambda _fake: _nested(),
    "not signed": _unsigned,
    "signed with the public key": _signed_with_the_public_key,
    "signed by a stranger": _strangers,
    "changed": _changed,
    "cut": lambda fake: fake.token()[:-20],
    "no token": lambda _fake: "a.b.c",
    "empty parts": lambda _fake: "..",
    "no text": lambda _fake: "\udcff.\udcff.\udcff",
    "the key itself": lambda fake: json.dumps(fake.jwks()),
}


@pytest.mark.parametrize("kind", BAD)
async def test_a_bad_token_is_refused_and_not_logged(
    fake: FakeIssuer, issuer: Issuer, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = BAD[kind](fake)

    assert await verifier(issuer).verify_token(token) is None
    assert not any(part in caplog.text for part in token.split(".") if len(part) > 5)


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 10 - LEEWAY_SECONDS},
        {"nbf": LEEWAY_SECONDS - 5},
        {"aud": ["https://other.example.com", PUBLIC_URL]},
        {"aud": PUBLIC_URL + "/"},
        {"kid": None},
    ],
)
async def test_what_differs_without_meaning_is_taken(fake: FakeIssuer, issuer: Issuer, changes: dict[str, Any]) -> None:
    times = {name: value + int(now()) for name, value in changes.items() if name in ("exp", "nbf")}

    assert await verifier(issuer).verify_token(fake.token(**{**changes, **times})) is not None


@pytest.mark.parametrize(
    ("allowed", "claims", "is_allowed"),
    [
        (("*",), {}, True),
        (("anna-7",), {}, True),
        (("@example.com",), {}, False),
        (("@example.com",), {"email": "anna@example.com", "email_verified": True}, True),
        (("@EXAMPLE.com",), {"email": "Anna@Example.COM", "email_verified": True}, True),
        (("anna@example.com",), {"email": "anna@example.com", "email_verified": True}, True),
        (("anna@example.com",), {"email": "anna@example.com"}, False),
        (("anna@example.com",), {"email": "anna@example.com", "email_verified": False}, False),
        (("anna@example.com",), {"email": "anna@example.com", "email_verified": "true"}, False),
        (("@example.com",), {"email": "eve@evil.com@example.com.evil.com", "email_verified": True}, False),
        (("@example.com",), {"email": "eve@notexample.com", "email_verified": True}, False),
        (("@example.com",), {"email": ["anna@example.com"], "email_verified": True}, False),
        (("ben-8", "@other.com"), {"email": "anna@example.com", "email_verified": True}, False),
        (("anna@example.com",), {"sub": "anna@example.com"}, False),
        (("sub:anna@example.com",), {"sub": "anna@example.com"}, True),
        (("sub:anna@example.com",), {"email": "anna@example.com", "email_verified": True}, False),
        (("sub:anna-7",), {}, True),
        (("@example.com",), {"email": "example.com", "email_verified": True}, False),
        (("@example.com",), {"email": "@example.com", "email_verified": True}, False),
    ],
)
async def test_the_allowed_are_let_in_and_others_are_not(
    fake: FakeIssuer, issuer: Issuer, allowed: tuple[str, ...], claims: dict[str, Any], is_allowed: bool
) -> None:
    assert await _is_allowed(verifier(issuer, *allowed), fake.token(**claims)) is is_allowed


async def test_without_a_list_no_person_is_allowed(fake: FakeIssuer, issuer: Issuer) -> None:
    tokens = IssuedTokens(issuer, audience=PUBLIC_URL, allowed=(), scopes=SCOPES)

    assert not await _is_allowed(tokens, fake.token())


async def _is_allowed(tokens: IssuedTokens, token: str) -> bool:
    try:
        assert await tokens.verify_token(token) is not None
    except NotAllowedError:
        return False
    return True


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({}, "LUMA_OAUTH_ALLOWED does not name this person"),
        ({"email": "anna@example.com", "email_verified": "true"}, "email_verified must be true"),
        ({"email": "anna@example.com"}, "email_verified must be true"),
    ],
)
async def test_a_person_who_is_not_allowed_gets_the_reason_and_the_operator_the_name(
    fake: FakeIssuer, issuer: Issuer, caplog: pytest.LogCaptureFixture, claims: dict[str, Any], reason: str
) -> None:
    with pytest.raises(NotAllowedError, match=reason):
        await verifier(issuer, "anna@example.com").verify_token(fake.token(**claims))

    (line,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "anna-7@login.example.com signed in and is not allowed here" in line.getMessage()
    assert reason in line.getMessage()


_ENTRA = ("api://x/Read", "api://x/Spend")


@pytest.mark.parametrize(
    ("names", "claims", "scopes"),
    [
        (SCOPES, {"scope": "luma:read"}, ["luma:read"]),
        (SCOPES, {"scope": ""}, []),
        (SCOPES, {"scope": None}, []),
        (SCOPES, {"scope": None, "scp": ["luma:read", "luma:delete", 5]}, ["luma:read", "luma:delete"]),
        (SCOPES, {"scope": None, "permissions": ["luma:read"]}, ["luma:read"]),
        (SCOPES, {"scope": {"luma:read": True}}, []),
        (
            ("api://x/Read", "api://x/Spend"),
            {"scope": None, "scp": "api://x/Read api://x/Spend x"},
            ["luma:read", "luma:spend"],
        ),
        (("openid", "openid"), {"scope": "openid"}, ["luma:read", "luma:spend"]),
    ],
)
async def test_scopes_may_have_other_names(
    fake: FakeIssuer, issuer: Issuer, names: tuple[str, ...], claims: dict[str, Any], scopes: list[str]
) -> None:
    found = await verifier(issuer, scopes=names).verify_token(fake.token(**claims))

    assert found is not None
    assert found.scopes == scopes


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("RS512", None),
        ("PS256", None),
        ("ES256", ec.generate_private_key(ec.SECP256R1())),
        ("ES384", ec.generate_private_key(ec.SECP384R1())),
        ("EdDSA", ed25519.Ed25519PrivateKey.generate()),
    ],
)
async def test_other_signatures_of_a_private_key_are_taken(
    fake: FakeIssuer, issuer: Issuer, algorithm: str, key: Any
) -> None:
    fake.private["other"] = key or fake.private["one"]

    assert await verifier(issuer).verify_token(fake.token(key="other", kid="other", algorithm=algorithm)) is not None


async def test_keys_are_asked_for_once(fake: FakeIssuer, issuer: Issuer) -> None:
    tokens = verifier(issuer)
    for _ in range(5):
        assert await tokens.verify_token(fake.token()) is not None

    assert fake.requests == ["/realm/.well-known/openid-configuration", "/realm/keys"]


async def test_a_new_key_is_found_and_unknown_ones_do_not_make_us_ask_every_time(
    fake: FakeIssuer, issuer: Issuer, clock: Clock
) -> None:
    tokens = verifier(issuer)
    assert await tokens.verify_token(fake.token()) is not None
    fake.private["two"] = rsa.generate_private_key(65537, 2048)
    for _ in range(20):
        assert await tokens.verify_token(fake.token(key="two", kid="two")) is None
    assert fake.requests.count("/realm/keys") == 1
    clock.seconds += 30

    assert await tokens.verify_token(fake.token(key="two", kid="two")) is not None
    assert fake.requests.count("/realm/keys") == 2


async def test_a_key_that_was_taken_back_is_forgotten_within_an_hour(
    fake: FakeIssuer, issuer: Issuer, clock: Clock
) -> None:
    tokens = verifier(issuer)
    token = fake.token(exp=int(now()) + 7200)
    assert await tokens.verify_token(token) is not None
    fake.private["two"] = fake.private.pop("one")
    clock.seconds += 3600

    assert await tokens.verify_token(token) is None


async def test_an_issuer_that_is_down_for_a_while_keeps_no_person_out(
    fake: FakeIssuer, issuer: Issuer, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = verifier(issuer)
    assert await tokens.verify_token(fake.token()) is not None
    fake.fails = True
    clock.seconds += 3600

    assert await tokens.verify_token(fake.token()) is not None
    assert "cannot be fetched: it cannot be asked (ConnectError)" in caplog.text


async def test_an_issuer_that_was_down_at_first_is_asked_again_after_half_a_minute(
    fake: FakeIssuer, issuer: Issuer, clock: Clock
) -> None:
    tokens = verifier(issuer)
    fake.fails = True
    assert await tokens.verify_token(fake.token()) is None
    asked = len(fake.requests)
    fake.fails = False
    assert await tokens.verify_token(fake.token()) is None
    assert len(fake.requests) == asked, "who sends tokens does not make us knock"
    clock.seconds += 30

    assert await tokens.verify_token(fake.token()) is not None


@pytest.mark.parametrize(
    "path", ["/.well-known/oauth-authorization-server/realm", "/.well-known/openid-configuration/realm"]
)
async def test_metadata_is_found_wherever_it_may_be(fake: FakeIssuer, issuer: Issuer, path: str) -> None:
    fake.metadata_path = path

    assert await verifier(issuer).verify_token(fake.token()) is not None


async def test_a_slash_at_the_end_of_the_issuer_makes_no_difference(fake: FakeIssuer, clock: Clock) -> None:
    """Auth0's issuer has one, and people leave it out."""
    fake.url = ISSUER + "/"
    fake.metadata["issuer"] = fake.url

    assert await verifier(Issuer(ISSUER, transport=fake.transport, now=clock)).verify_token(fake.token()) is not None


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [
        ({"issuer": "https://evil.example.com"}, "its metadata is another issuer's"),
        ({"jwks_uri": "http://login.example.com/keys"}, "its keys are not at an https address"),
        ({"jwks_uri": None}, "it answers 404"),
        ({"jwks_uri": "https://login.example.com/elsewhere"}, "it answers 404"),
        ({"jwks_uri": "https://["}, "its keys are not at an https address"),
    ],
)
async def test_metadata_that_cannot_be_used(
    fake: FakeIssuer, issuer: Issuer, metadata: dict[str, Any], problem: str
) -> None:
    fake.metadata |= metadata

    with pytest.raises(IssuerError, match=problem):
        await issuer.key("one", "RS256")


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (httpx.Response(200, content=b"<html>"), "cannot be asked"),
        (httpx.Response(200, json=[]), "its keys cannot be read"),
        (httpx.Response(200, json={"keys": ["x"]}), "its keys cannot be read"),
        (httpx.Response(200, content=b" " * 600_000), "its answer is too long"),
        (httpx.Response(302, headers={"location": f"{ISSUER}/keys"}), "it answers 302"),
    ],
)
async def test_keys_that_cannot_be_used(fake: FakeIssuer, issuer: Issuer, answer: httpx.Response, problem: str) -> None:
    fake.keys_answer = answer

    with pytest.raises(IssuerError, match=problem):
        await issuer.key("one", "RS256")


@pytest.mark.parametrize(
    "key", [{"kid": "one"}, {"kid": "one", "kty": "oct", "k": "c2VjcmV0"}, {"kid": "one", "kty": "RSA", "n": "x"}]
)
async def test_a_key_that_does_not_fit_verifies_nothing(fake: FakeIssuer, issuer: Issuer, key: dict[str, str]) -> None:
    fake.keys_answer = httpx.Response(200, json={"keys": [key]})

    assert await verifier(issuer).verify_token(fake.token()) is None


async def test_a_key_for_encryption_verifies_nothing(fake: FakeIssuer, issuer: Issuer) -> None:
    key = fake.jwks()["keys"][0] | {"use": "enc"}
    fake.keys_answer = httpx.Response(200, json={"keys": [key]})

    assert await verifier(issuer).verify_token(fake.token()) is None


def _certificate_error() -> Exception:
    error = httpx.ConnectError("x")
    error.__cause__ = ssl.SSLCertVerificationError("no")
    return error


class Slow(httpx.AsyncBaseTransport):
    """Leads to an issuer that takes its time."""

    def __init__(self, fake: FakeIssuer) -> None:
        self._inner = fake.transport
        self.reached, self.go_on = anyio.Event(), anyio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.reached.set()
        await self.go_on.wait()
        return await self._inner.handle_async_request(request)


async def test_who_comes_while_the_keys_are_asked_for_waits_for_them(fake: FakeIssuer, clock: Clock) -> None:
    slow, found = Slow(fake), []
    tokens = verifier(Issuer(ISSUER, transport=slow, now=clock))

    async def verify() -> None:
        found.append(await tokens.verify_token(fake.token()))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(verify)
            await slow.reached.wait()
            clock.seconds += 1
            for _ in range(10):
                tasks.start_soon(verify)
            await anyio.wait_all_tasks_blocked()
            slow.go_on.set()

    assert len(found) == 11
    assert all(found)
    assert fake.requests.count("/realm/keys") == 1


async def test_who_has_a_known_key_does_not_wait_for_an_issuer_that_drips(fake: FakeIssuer, clock: Clock) -> None:
    slow = Slow(fake)
    slow.go_on.set()
    tokens = verifier(Issuer(ISSUER, transport=slow, now=clock))
    assert await tokens.verify_token(fake.token()) is not None
    slow.reached, slow.go_on = anyio.Event(), anyio.Event()
    clock.seconds += 3600

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(tokens.verify_token, fake.token())
            await slow.reached.wait()
            assert await tokens.verify_token(fake.token()) is not None
            slow.go_on.set()


async def test_an_issuer_that_drips_is_abandoned_in_time(fake: FakeIssuer) -> None:
    class Dripping(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                yield b" "
                await anyio.sleep(0.01)

    fake.keys_answer = httpx.Response(200, stream=Dripping())
    issuer = Issuer(ISSUER, transport=fake.transport, timeout_seconds=0.1)

    with anyio.fail_after(10), pytest.raises(IssuerError, match="it takes too long"):
        await issuer.key("one", "RS256")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (httpx.ConnectError("x"), "it cannot be asked"),
        (_certificate_error(), "its certificate is not trusted here. A company's proxy may sign in its place"),
    ],
)
async def test_an_issuer_that_cannot_be_reached_is_reported_with_the_cause(error: Exception, sentence: str) -> None:
    def fail(_request: httpx.Request) -> httpx.Response:
        raise error

    with pytest.raises(IssuerError, match=sentence):
        await Issuer(ISSUER, transport=httpx.MockTransport(fail)).key("one", "RS256")


async def test_a_proxy_that_cannot_be_used_is_reported_for_the_issuer_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "gopher://a")

    with pytest.raises(IssuerError, match=r"The proxy gopher://\.\.\. that is set"):
        await Issuer(ISSUER).key("one", "RS256")


async def test_a_token_of_the_settings_names_its_person() -> None:
    tokens = NamedTokens([("anna", "first-token"), ("", "second-token"), ("anna", "newer-token")], SCOPES[:2])
    found = [await tokens.verify_token(token) for token in ("first-token", "newer-token", "second-token", "third")]

    assert [token and token.subject for token in found] == ["anna", "anna", "", None]
    assert found[0] is not None
    assert found[0].scopes == ["luma:read", "luma:spend"]
    assert await tokens.verify_token("\udcff") is None
