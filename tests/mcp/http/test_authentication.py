"""The door over HTTP: who is let in, what a client is told of signing in, and what a person may do."""

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import anyio
import httpx
import pytest

from luma_mcp.composition import build_server
from luma_mcp.config.settings import Settings, SettingsError
from luma_mcp.emulator.app import Emulator
from luma_mcp.mcp.http import authentication
from luma_mcp.mcp.http.serving import make_app
from tests.support import plain_http
from tests.support.agent import TOKEN, HeldClock, InMemory
from tests.support.issuer import ISSUER, PUBLIC_URL, FakeIssuer
from tests.support.plain_http import result_of, tool_call, variables

pytestmark = pytest.mark.anyio

KEY, OTHER = "zu8Hq2Lw0vXk4RtB", "Yp3Nd7Gs1mJc9FeA"
SIGN_IN = {"LUMA_HTTP_PUBLIC_URL": PUBLIC_URL, "LUMA_OAUTH_ISSUER": ISSUER, "LUMA_OAUTH_ALLOWED": "anna-7,ben-8"}
HEADERS = {**plain_http.HEADERS, "host": "luma.example.com"}
DOCUMENT = "https://luma.example.com/.well-known/oauth-protected-resource/mcp"


@pytest.fixture(params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """httpx's transport for ASGI applications is of either; the door does not differ."""
    return request.param


class Caller:
    """A client that speaks plain HTTP to the application."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def send(self, message: Any, **headers: str) -> httpx.Response:
        return await self.http.post("/mcp", json=message, headers={**HEADERS, **headers})

    async def ping(self, **headers: str) -> httpx.Response:
        return await self.send({"jsonrpc": "2.0", "id": 1, "method": "ping"}, **headers)

    async def call(self, token: str, tool: str, **arguments: Any) -> httpx.Response:
        return await self.send(tool_call(tool, **arguments), authorization=f"Bearer {token}")


@pytest.fixture(scope="module")
def issuer() -> FakeIssuer:
    return FakeIssuer()


OpenDoor = Callable[..., Awaitable[Caller]]


@pytest.fixture
async def opened(
    transport: InMemory, clock: HeldClock, output: Any, ledger_path: Any, issuer: FakeIssuer
) -> AsyncIterator[OpenDoor]:
    async with AsyncExitStack() as stack:

        async def build(**environment: str) -> Caller:
            values = Settings.from_environment(variables(output, ledger_path, **environment))
            server = build_server(values, transport=transport, clock=clock)
            application = make_app(server, values, issuer.transport)
            await stack.enter_async_context(server.session_manager.run())
            asgi = httpx.ASGITransport(application)
            return Caller(
                await stack.enter_async_context(httpx.AsyncClient(transport=asgi, base_url="http://127.0.0.1:8080"))
            )

        yield build


@pytest.fixture
async def caller(opened: OpenDoor) -> Caller:
    return await opened(**SIGN_IN, LUMA_HTTP_TOKENS=f"ci:{KEY},{OTHER}")


def challenge_of(answer: httpx.Response) -> dict[str, str]:
    scheme, _, rest = answer.headers["www-authenticate"].partition(" ")
    assert scheme == "Bearer"
    return {name: value.strip('"') for name, _, value in (part.partition("=") for part in rest.split(", "))}


@pytest.mark.parametrize("path", ["", "/mcp", "/mcp/", "/"])
async def test_the_address_for_sign_in_needs_no_token(caller: Caller, path: str) -> None:
    answer = await caller.http.get(f"/.well-known/oauth-protected-resource{path}")

    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.json() == {
        "resource": PUBLIC_URL,
        "authorization_servers": [ISSUER],
        "scopes_supported": ["luma:read", "luma:spend", "luma:delete"],
        "bearer_methods_supported": ["header"],
        "resource_name": "Luma Dream Machine",
    }


@pytest.mark.parametrize(
    "path",
    [
        "oauth-authorization-server",
        "openid-configuration",
        "oauth-protected-resource/other",
        "oauth-protected-resourcex",
        "mcp.json",
        "",
    ],
)
async def test_there_are_no_other_documents(caller: Caller, path: str) -> None:
    assert (await caller.http.get(f"/.well-known/{path}")).status_code == 404


async def test_a_request_without_a_token_gets_the_address_for_sign_in(caller: Caller) -> None:
    answer = await caller.ping()

    assert answer.status_code == 401
    assert challenge_of(answer) == {"scope": "luma:read luma:spend", "resource_metadata": DOCUMENT}


async def test_a_bad_token_is_reported(caller: Caller, issuer: FakeIssuer) -> None:
    answer = await caller.ping(authorization=f"Bearer {issuer.token(aud='https://other.example.com')}")

    assert answer.status_code == 401
    assert challenge_of(answer)["error"] == "invalid_token"


async def test_who_signed_in_is_let_in(caller: Caller, issuer: FakeIssuer) -> None:
    assert (await caller.ping(authorization=f"Bearer {issuer.token()}")).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": f"Bearer {KEY}"}, 200),
        ({"x-api-key": KEY}, 200),
        ({"x-api-key": f"ci:{KEY}"}, 401),
        ({"authorization": f"Bearer {OTHER}"}, 200),
        ({"authorization": f"Bearer ci:{KEY}"}, 401),
        ({"authorization": f"Basic {KEY}"}, 401),
        ({"authorization": "Basic x", "x-api-key": KEY}, 401),
        ({"x-api-key": "wrong"}, 401),
        ({"authorization": "Bearer "}, 401),
    ],
)
async def test_tokens_of_the_settings_still_work(
    caller: Caller, headers: dict[str, str], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "GUESS_SECONDS", 0)

    assert (await caller.ping(**headers)).status_code == status


async def test_a_token_of_the_issuer_is_no_api_key_of_the_settings(
    opened: OpenDoor, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "GUESS_SECONDS", 0.0)
    caller = await opened(LUMA_HTTP_TOKENS=KEY)

    assert (await caller.ping(authorization=f"Bearer {issuer.token()}", host="127.0.0.1")).status_code == 401


async def test_what_a_person_bought_is_in_the_ledger_under_the_persons_name(
    caller: Caller, issuer: FakeIssuer, emulator: Emulator
) -> None:
    bought = result_of(await caller.call(issuer.token(), "create_video", prompt="a boat"))
    theirs = result_of(await caller.call(issuer.token(sub="ben-8"), "list_generations"))
    spending = {"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": {"uri": "luma://spending"}}
    told = result_of(await caller.send(spending, authorization=f"Bearer {OTHER}"))["contents"][0]["text"]

    assert bought["structuredContent"]["generation_id"] in emulator.dream_machine.generations
    assert theirs["structuredContent"]["generations"] == []
    assert list(json.loads(told)["usd_by_person_today"]) == ["anna-7@login.example.com"]


@pytest.mark.parametrize(
    ("scopes", "tool", "wanted"),
    [
        ("luma:read", "create_video", "luma:read luma:spend"),
        ("luma:spend", "get_credits", "luma:read luma:spend"),
        ("", "ping", "luma:read"),
    ],
)
async def test_more_is_asked_for_when_it_is_needed(
    caller: Caller, issuer: FakeIssuer, emulator: Emulator, scopes: str, tool: str, wanted: str
) -> None:
    answer = await caller.call(issuer.token(scope=scopes), tool, prompt="a boat")

    assert answer.status_code == 403
    assert challenge_of(answer) == {
        "error": "insufficient_scope",
        "scope": wanted,
        "resource_metadata": DOCUMENT,
    }
    assert emulator.dream_machine.billing.purchases() == []


async def test_a_right_that_no_sign_in_asked_for_is_refused_in_a_sentence(caller: Caller, issuer: FakeIssuer) -> None:
    """Clients register with the scopes of the 401, and lose their connection over one more."""
    token = issuer.token(scope="luma:read luma:spend")
    answer = await caller.call(token, "delete_generation", generation_id="15b7abb1-3741-4b7e-9615-1f9a16c7442d")
    deleting = issuer.token(scope="luma:read luma:spend luma:delete")
    allowed = await caller.call(deleting, "delete_generation", generation_id="15b7abb1-3741-4b7e-9615-1f9a16c7442d")

    assert answer.status_code == 200
    assert (
        "You may not delete here. Sign in again with the scope luma:delete" in result_of(answer)["content"][0]["text"]
    )
    assert "No generation has the id" in result_of(allowed)["content"][0]["text"]


async def test_a_person_who_is_not_allowed_is_refused_in_a_sentence_and_not_sent_to_sign_in_again(
    caller: Caller, issuer: FakeIssuer
) -> None:
    answer = await caller.ping(authorization=f"Bearer {issuer.token(sub='eve-9')}")

    assert answer.status_code == 403
    assert "www-authenticate" not in answer.headers
    assert "You are signed in, and may not use this server: LUMA_OAUTH_ALLOWED does not name" in answer.json()["error"]


async def test_what_is_allowed_is_not_asked_for(caller: Caller, issuer: FakeIssuer) -> None:
    """Though the body is looked at, the application gets it whole."""
    answer = await caller.call(issuer.token(scope="luma:read"), "get_credits")

    assert answer.status_code == 200
    assert not result_of(answer).get("isError")


async def test_one_call_among_several_needs_more(caller: Caller, issuer: FakeIssuer) -> None:
    messages = [tool_call("get_credits"), tool_call("create_video", prompt="a boat")]
    answer = await caller.send(messages, authorization=f"Bearer {issuer.token(scope='luma:read')}")

    assert answer.status_code == 403


@pytest.mark.parametrize(
    "body", [b"", b"{", b"5", b"[5]", b'{"method": "tools/call"}', b'{"method": "tools/call", "params": []}']
)
async def test_a_body_that_makes_no_sense_is_the_applications_to_refuse(
    caller: Caller, issuer: FakeIssuer, body: bytes
) -> None:
    headers = {**HEADERS, "authorization": f"Bearer {issuer.token(scope='luma:read')}"}
    answer = await caller.http.post("/mcp", content=body, headers={**headers, "content-type": "application/json"})

    assert answer.status_code == 400


async def test_a_body_that_is_far_too_large_is_not_read_to_its_end(caller: Caller, issuer: FakeIssuer) -> None:
    sent = 0

    async def blocks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield b" " * 100_000

    headers = {**HEADERS, "authorization": f"Bearer {issuer.token(scope='luma:read')}"}
    answer = await caller.http.post("/mcp", content=blocks(), headers={**headers, "content-type": "application/json"})

    assert answer.status_code == 413
    assert sent < 30


async def test_an_issuer_without_a_scope_for_it_lets_no_person_do_it(opened: OpenDoor, issuer: FakeIssuer) -> None:
    caller = await opened(**SIGN_IN, LUMA_OAUTH_SCOPES="openid")
    answer = await caller.call(issuer.token(scope="openid luma:spend"), "create_video", prompt="a boat")

    assert answer.status_code == 200
    assert "You may not spend here." in result_of(answer)["content"][0]["text"]


async def test_a_token_of_the_settings_cannot_sign_in_for_more(caller: Caller) -> None:
    answer = await caller.call(KEY, "delete_generation", generation_id="15b7abb1-3741-4b7e-9615-1f9a16c7442d")

    assert answer.status_code == 200
    assert "LUMA_HTTP_DELETE=1" in result_of(answer)["content"][0]["text"]


async def test_a_wrong_token_is_delayed_and_a_right_one_is_not(
    caller: Caller, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    sleep = anyio.sleep

    async def note(seconds: float) -> None:
        slept.append(seconds)
        await sleep(0)

    monkeypatch.setattr(authentication.anyio, "sleep", note)
    await caller.ping(authorization="Bearer wrong")
    await caller.ping(**{"x-api-key": "wrong"})
    await caller.ping(authorization="Bearer wrong.with.dots")
    assert slept.count(authentication.GUESS_SECONDS) == 3

    await caller.ping()
    await caller.ping(authorization=f"Bearer {KEY}")
    await caller.ping(authorization=f"Bearer {issuer.token(exp=1)}")
    assert slept.count(authentication.GUESS_SECONDS) == 3


async def test_many_guesses_at_once_are_turned_away_while_the_right_one_comes_in(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = anyio.Event()

    async def hold(_seconds: float) -> None:
        await release.wait()

    monkeypatch.setattr(authentication.anyio, "sleep", hold)
    statuses: list[int] = []

    async def guess() -> None:
        statuses.append((await caller.ping(authorization="Bearer wrong")).status_code)

    async with anyio.create_task_group() as tasks:
        for _ in range(60):
            tasks.start_soon(guess)
        while len(statuses) < 10:
            await anyio.lowlevel.checkpoint()
        assert (await caller.ping(authorization=f"Bearer {KEY}")).status_code == 200
        release.set()

    assert sorted(statuses) == [401] * 50 + [429] * 10


async def test_the_log_names_the_person_and_no_token(
    caller: Caller, issuer: FakeIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = issuer.token()
    await caller.ping(authorization=f"Bearer {token}")
    await caller.send(tool_call("ping"), authorization=f"Bearer {KEY}")

    facts = [record.facts for record in caplog.records if record.message == "request"]
    assert [fact["person"] for fact in facts] == ["anna-7@login.example.com", "ci"]
    assert token.rpartition(".")[2] not in caplog.text
    assert KEY not in caplog.text


async def test_the_name_that_people_paste_is_one_that_it_answers_to(caller: Caller, issuer: FakeIssuer) -> None:
    authorization = f"Bearer {issuer.token()}"

    assert (await caller.ping(authorization=authorization, host="luma.example.com:8443")).status_code == 200
    assert (await caller.ping(authorization=authorization, host="evil.example.com")).status_code == 421


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"LUMA_OAUTH_ISSUER": ISSUER}, "LUMA_OAUTH_ISSUER needs LUMA_HTTP_PUBLIC_URL"),
        ({"LUMA_OAUTH_ALLOWED": "anna"}, "LUMA_OAUTH_AUDIENCE and LUMA_OAUTH_ALLOWED need LUMA_OAUTH_ISSUER"),
        ({"LUMA_HTTP_PUBLIC_URL": "http://luma.example.com/mcp"}, "LUMA_HTTP_PUBLIC_URL cannot be used"),
        ({"LUMA_HTTP_PUBLIC_URL": "https://luma.example.com/mcp?x=1"}, "LUMA_HTTP_PUBLIC_URL cannot be used"),
        ({"LUMA_OAUTH_ISSUER": "login.example.com"}, "LUMA_OAUTH_ISSUER cannot be used"),
        ({"LUMA_OAUTH_SCOPES": "a b c d"}, "LUMA_OAUTH_SCOPES cannot be used"),
        ({"LUMA_OAUTH_SCOPES": 'a"b'}, "LUMA_OAUTH_SCOPES cannot be used"),
        ({"LUMA_HTTP_TOKENS": f"anna:{KEY},ben:{KEY}"}, "anna and ben have the same token"),
        ({"LUMA_HTTP_TOKENS": f"anna:{KEY},{KEY}"}, "anna and nobody have the same token"),
        ({"LUMA_HTTP_TOKENS": "anna:short"}, "each must have 16 characters"),
    ],
)
def test_settings_that_cannot_be(variables: dict[str, str], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        Settings.from_environment(variables)


def test_a_person_who_may_sign_in_may_be_served_off_loopback(issuer: FakeIssuer) -> None:
    values = Settings.from_environment({"LUMA_TOKEN": TOKEN, "LUMA_HTTP_HOST": "0.0.0.0", **SIGN_IN})

    assert make_app(build_server(values), values, issuer.transport)
