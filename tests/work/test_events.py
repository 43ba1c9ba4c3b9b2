"""Events that the operator's receiver gets, as Standard Webhooks."""

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import anyio
import httpx
import pytest
from mcp import Client
from pydantic import SecretStr
from standardwebhooks import Webhook

from luma_mcp.composition import build_server, build_services, with_runner
from luma_mcp.config.settings import Settings
from luma_mcp.emulator.app import Emulator
from luma_mcp.ledger.outbox import Outbox
from luma_mcp.mcp.services import Services
from luma_mcp.work.in_process import InProcessRunner
from tests.support.agent import Agent, HeldClock, InMemory, until

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8G"
URL = "https://events.example/hook?of=luma"
CHEAP = {"model": "ray-flash-2", "resolution": "540p"}


class Site(httpx.AsyncBaseTransport):
    """Leads to the emulator, and to a receiver of events."""

    def __init__(self, emulator: Emulator) -> None:
        self._luma = InMemory(emulator)
        self.received: list[httpx.Request] = []
        self.attempts = 0
        self.respond: Callable[[], httpx.Response] = lambda: httpx.Response(204)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.host != "events.example":
            return await self._luma.handle_async_request(request)
        self.attempts += 1
        response = self.respond()
        if response.is_success:
            self.received.append(request)
        return response

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(request.content) for request in self.received]

    @property
    def types(self) -> list[str]:
        return sorted(body["type"] for body in self.bodies)


@pytest.fixture
def site(emulator: Emulator) -> Site:
    return Site(emulator)


@pytest.fixture
def told(settings: Settings) -> Settings:
    return settings.model_copy(update={"events_url": URL, "events_secret": SecretStr(SECRET)})


@asynccontextmanager
async def server(settings: Settings, site: Site, clock: HeldClock) -> AsyncIterator[tuple[Agent, Services]]:
    made = build_server(settings, transport=site, clock=clock, with_jobs=True)
    async with Client(made) as client:
        yield Agent(client), made.services


def delivered(services: Services, *others: str) -> Callable[[], Awaitable[bool]]:
    """Whether no event, and no other job, is open."""
    outbox = Outbox(services.purchases.ledger)

    async def is_done() -> bool:
        await anyio.sleep(0.01)
        return not any([await outbox.open(kind) for kind in (*others, "event")])

    return is_done


async def test_an_event_has_an_id_a_time_and_a_signature_and_names_no_prompt(
    told: Settings, site: Site, clock: HeldClock
) -> None:
    async with server(told, site, clock) as (agent, services):
        generation_id = (await agent.call("create_image", prompt="a secret harbour"))["generation_id"]
        with anyio.fail_after(60):
            await until(delivered(services, "save"))

    [request] = site.received
    [body] = site.bodies
    sent_at = int(request.headers["webhook-timestamp"])
    assert str(request.url) == URL
    assert body["type"] == "generation.completed"
    assert body["data"] == {
        "generation_id": generation_id, "kind": "image", "model": "photon-1", "usd": 0.0173, "person": "",
    }  # fmt: skip
    assert "harbour" not in request.content.decode()
    assert request.headers["webhook-id"].startswith("evt_")
    assert abs(sent_at - clock.wall()) < 600
    # The library's `verify` checks the time of day too, so the signature is computed again.
    signature = Webhook(SECRET).sign(
        request.headers["webhook-id"], datetime.fromtimestamp(sent_at, UTC), request.content.decode()
    )
    assert request.headers["webhook-signature"] == signature
    assert not any("authorization" in request.headers for request in site.received)


async def test_an_event_names_the_prompt_where_that_is_set(told: Settings, site: Site, clock: HeldClock) -> None:
    async with server(told.model_copy(update={"events_prompts": True}), site, clock) as (agent, services):
        await agent.call("create_image", prompt="a harbour")
        with anyio.fail_after(60):
            await until(delivered(services, "save"))

    assert site.bodies[0]["data"]["prompt"] == "a harbour"
    assert site.bodies[0]["data"]["reason"] is None


@pytest.mark.slow
async def test_a_film_that_is_completed_and_saved_is_an_event_each(
    told: Settings, site: Site, clock: HeldClock
) -> None:
    async with server(told, site, clock) as (agent, services):
        film_id = (await agent.call("create_film", shots=[{"prompt": "a boat"}], **CHEAP))["film_id"]
        with anyio.fail_after(120):
            await until(delivered(services, "save", "group"))

    assert site.types == ["film.completed", "film.saved", "generation.completed"]
    films = [body["data"] for body in site.bodies if body["type"].startswith("film")]
    assert [film["film_id"] for film in films] == [film_id] * 2


@pytest.mark.slow
async def test_a_film_that_stops_is_an_event(told: Settings, site: Site, clock: HeldClock) -> None:
    async with server(told, site, clock) as (agent, services):
        shots = [{"prompt": "[fail: moderation] a boat"}]
        await agent.call("create_film", shots=shots, **CHEAP)
        with anyio.fail_after(120):
            await until(delivered(services, "save", "group"))

    assert site.types == ["film.failed", "generation.failed"]


async def test_a_generation_that_is_saved_is_an_event(told: Settings, site: Site, clock: HeldClock) -> None:
    async with server(told.model_copy(update={"save": "all"}), site, clock) as (agent, services):
        await agent.call("create_image", prompt="a harbour")
        with anyio.fail_after(60):
            await until(delivered(services, "save"))

    assert site.types == ["generation.completed", "generation.saved"]


async def test_a_cap_that_is_reached_is_one_event_a_day(
    told: Settings, site: Site, clock: HeldClock, in_one_day: None
) -> None:
    async with server(told.model_copy(update={"max_usd_per_day": 0.01}), site, clock) as (agent, services):
        for _ in range(3):
            assert "LUMA_MAX_USD_PER_DAY" in await agent.refusal("create_image", prompt="a harbour")
            with anyio.fail_after(60):
                await until(delivered(services))

    [body] = site.bodies
    assert body["type"] == "cap.reached"
    assert body["data"]["cap"] == "LUMA_MAX_USD_PER_DAY"


async def test_a_purchase_that_needs_an_approval_is_an_event(told: Settings, site: Site, clock: HeldClock) -> None:
    async with server(told.model_copy(update={"confirm_above_usd": 0.0}), site, clock) as (agent, services):
        await agent.refusal("create_image", prompt="a harbour")
        with anyio.fail_after(60):
            await until(delivered(services))

    [body] = site.bodies
    assert body["type"] == "approval.wanted"
    assert body["data"]["usd"] == 0.0173


@pytest.fixture
async def idle(told: Settings, site: Site, clock: HeldClock) -> AsyncIterator[Services]:
    """Services whose jobs a test runs by itself."""
    made = with_runner(build_services(told, site, clock), told, site)
    try:
        yield made
    finally:
        await made.close()


def job(services: Services) -> Any:
    assert isinstance(services.runner, InProcessRunner)
    return services.runner._jobs.kind("event")


async def record(services: Services, *numbers: int) -> list[str]:
    outbox = Outbox(services.purchases.ledger)
    for number in numbers:
        await outbox.add_event("film.completed", film_id=f"film-{number}")
    return await outbox.open("event")


async def test_a_receiver_that_is_down_for_an_hour_gets_all_events_later_each_once(
    idle: Services, site: Site, clock: HeldClock
) -> None:
    keys = await record(idle, *range(5))
    site.respond = lambda: httpx.Response(503)
    began, pauses = clock.seconds, []
    while clock.seconds < began + 3600:
        pause = max([await job(idle).run(key) for key in keys])
        pauses.append(pause)
        assert await job(idle).find() == []
        clock.seconds += pause
    assert sorted(await job(idle).find()) == sorted(keys)
    site.respond = lambda: httpx.Response(200)
    for key in await job(idle).find():
        assert await job(idle).run(key) is None

    assert pauses[:4] == [5, 5, 10, 20]
    assert len(pauses) < 15
    assert len({request.headers["webhook-id"] for request in site.received}) == len(site.received) == 5
    assert await job(idle).find() == []
    assert await job(idle).run(keys[0]) is None
    assert len(site.received) == 5


async def test_each_delivery_of_an_event_has_the_same_id_and_body(
    idle: Services, site: Site, clock: HeldClock, told: Settings
) -> None:
    [key] = await record(idle, 1)
    requests: list[httpx.Request] = []

    class Recorded(Site):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            requests.append(request)
            return httpx.Response(500 if len(requests) == 1 else 200)

    for emulated in (Recorded, Recorded):
        transport = emulated.__new__(emulated)
        other = with_runner(build_services(told, site, clock), told, transport)
        await job(other).run(key)
        await other.close()
        clock.seconds += 60

    assert len({(request.headers["webhook-id"], request.content) for request in requests}) == 1
    assert len({request.headers["webhook-timestamp"] for request in requests}) == 2
    assert await job(idle).find() == []


async def test_an_event_is_given_up_after_a_day(
    idle: Services, site: Site, clock: HeldClock, caplog: pytest.LogCaptureFixture
) -> None:
    [key] = await record(idle, 1)
    site.respond = lambda: httpx.Response(410)
    clock.seconds += 24 * 3600
    with caplog.at_level(logging.WARNING):
        assert await job(idle).run(key) is None

    assert "given up" in caplog.text
    assert await job(idle).find() == []


async def test_a_delivered_event_is_remembered_for_a_day(idle: Services, site: Site, clock: HeldClock) -> None:
    for _ in range(2):
        for key in await record(idle, 1):
            await job(idle).run(key)
    assert len(site.received) == 1

    clock.seconds += 25 * 3600
    for key in await record(idle, 2):
        await job(idle).run(key)
    for key in await record(idle, 1):
        await job(idle).run(key)
    assert len(site.received) == 3


def _raise(error: Exception) -> httpx.Response:
    raise error


class Endless(httpx.AsyncByteStream):
    """A body that never ends."""

    def __init__(self) -> None:
        self.blocks = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            self.blocks += 1
            yield b"x" * 65536


@pytest.mark.parametrize(
    "respond",
    [
        lambda: httpx.Response(307, headers={"Location": "https://inside.example/"}),
        lambda: httpx.Response(400, content=b"\xff" * 1000),
        lambda: _raise(httpx.ConnectError("refused")),
        lambda: _raise(httpx.RemoteProtocolError("no HTTP")),
        lambda: _raise(TimeoutError()),
        lambda: _raise(httpx.InvalidURL("odd")),
    ],
    ids=["redirect", "refusal", "no connection", "no HTTP", "timeout", "odd"],
)
async def test_a_hostile_response_leaves_the_event_for_later(
    idle: Services, site: Site, respond: Callable[[], httpx.Response]
) -> None:
    [key] = await record(idle, 1)
    site.respond = respond

    assert await job(idle).run(key) == 5
    assert site.attempts == 1
    assert site.received == []


async def test_the_body_of_a_response_is_not_read(idle: Services, site: Site) -> None:
    [key] = await record(idle, 1)
    body = Endless()
    site.respond = lambda: httpx.Response(200, stream=body)

    assert await job(idle).run(key) is None
    assert body.blocks == 0


async def test_a_receiver_that_never_answers_is_given_fifteen_seconds(
    told: Settings, site: Site, clock: HeldClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luma_mcp.work.events._DELIVERY_SECONDS", 0.01)

    class Silent(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await anyio.sleep_forever()
            raise AssertionError

    services = with_runner(build_services(told, site, clock), told, Silent())
    [key] = await record(services, 1)
    assert await job(services).run(key) == 5
    await services.close()


async def test_a_purchase_in_doubt_and_one_that_is_not_found_are_events(
    told: Settings, site: Site, clock: HeldClock
) -> None:
    async with server(told, site, clock) as (agent, services):
        site._luma.fails_after.append(httpx.ReadError("gone"))
        await agent.result("create_image", prompt="a harbour")
        with anyio.fail_after(60):
            await until(delivered(services))

    assert "generation.in_doubt" in site.types


async def test_without_a_receiver_no_event_is_recorded(settings: Settings, site: Site, clock: HeldClock) -> None:
    services = with_runner(build_services(settings, site, clock), settings, site)
    await Outbox(services.purchases.ledger).add_event("film.completed", film_id="film-1")
    assert await Outbox(services.purchases.ledger).open("event") == []
    with pytest.raises(KeyError):
        job(services)
    await services.close()
