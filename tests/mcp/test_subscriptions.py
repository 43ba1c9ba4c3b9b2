"""Subscribers of a generation hear of each change of its state."""

import warnings
from dataclasses import dataclass
from typing import Any

import anyio
import pytest
from mcp import Client, MCPError
from mcp.types import ResourceUpdatedNotification

from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.dream_machine.bodies import VideoBody
from luma_mcp.mcp.services import Services
from luma_mcp.mcp.subscriptions import Subscriptions
from tests.support.agent import Agent

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore::mcp.MCPDeprecationWarning")]

PREFIX = "luma://generations/"


def video(emulator: Emulator, prompt: str = "a boat") -> str:
    return emulator.dream_machine.accept(VideoBody(model="ray-2", prompt=prompt)).id


class Ear:
    """Hears notifications."""

    def __init__(self, wanted: int) -> None:
        self.received: list[str] = []
        self.wanted = wanted
        self.satisfied = anyio.Event()

    async def __call__(self, message: object) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            self.received.append(str(message.params.uri))
            if len(self.received) == self.wanted:
                self.satisfied.set()


async def test_a_legacy_subscriber_hears_of_every_change(serve, emulator: Emulator) -> None:
    ear = Ear(2)
    async with Client(serve(), mode="legacy", message_handler=ear) as client:
        uri = PREFIX + video(emulator)
        await client.subscribe_resource(uri)
        await client.subscribe_resource(uri)
        with anyio.fail_after(20):
            await ear.satisfied.wait()

    assert ear.received == [uri, uri]


async def test_a_legacy_subscriber_can_stop(serve, emulator: Emulator) -> None:
    ear = Ear(1)
    emulator.dream_machine._speed = 1e-6
    async with Client(serve(), mode="legacy", message_handler=ear) as client:
        uri = PREFIX + video(emulator)
        await client.subscribe_resource(uri)
        await client.unsubscribe_resource(uri)
        await client.unsubscribe_resource(uri)
        requested = len(emulator.requests)
        emulator.dream_machine._speed = 1
        await Agent(client).call("ping")
        await anyio.wait_all_tasks_blocked()

    assert ear.received == []
    assert len(emulator.requests) == requested + 1


async def test_a_listener_hears_of_every_change(serve, emulator: Emulator) -> None:
    async with Client(serve()) as client:
        uri = PREFIX + video(emulator)
        received = []
        with anyio.fail_after(20):
            async with client.listen(resource_subscriptions=[uri, "luma://models"]) as events:
                async for event in events:
                    received.append(event.uri)  # type: ignore[union-attr]
                    if len(received) == 2:
                        break

    assert received == [uri, uri]


async def test_what_is_not_there_is_listened_to_in_silence(serve, emulator: Emulator) -> None:
    missing = PREFIX + "15b7abb1-3741-4b7e-9615-1f9a16c7442d"
    async with Client(serve()) as client, client.listen(resource_subscriptions=[missing]):
        assert (await Agent(client).call("ping"))["ok"] is True
    async with Client(serve(), mode="legacy") as client:
        await client.subscribe_resource(missing)
        await client.subscribe_resource("luma://models")
        assert (await Agent(client).call("ping"))["ok"] is True


async def test_polling_ends_with_the_last_listener(serve, emulator: Emulator, clock) -> None:
    emulator.dream_machine._speed = 1e-6
    async with Client(serve()) as client:
        async with client.listen(resource_subscriptions=[PREFIX + video(emulator)]):
            await Agent(client).call("ping")
        await anyio.wait_all_tasks_blocked()
        requested = len(emulator.requests)
        clock.seconds += 1000
        await Agent(client).call("ping")

    assert len(emulator.requests) == requested + 1


async def test_a_listen_request_that_is_wrong_is_refused_as_such(serve) -> None:
    async with Client(serve()) as client:
        with pytest.raises(MCPError) as caught:
            await client.session._dispatcher.send_raw_request(
                "subscriptions/listen",
                {
                    "notifications": {"resourceSubscriptions": [PREFIX + "x", 5]},
                    "_meta": {
                        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                        "io.modelcontextprotocol/clientCapabilities": {},
                    },
                },
                None,
            )

    assert caught.value.error.code == -32602


def test_subscribing_is_offered_to_older_clients(serve) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        capabilities = serve()._lowlevel_server.create_initialization_options().capabilities

    assert capabilities.resources.subscribe is True


@dataclass
class Requested:
    """A request, as far as subscriptions look at it."""

    params: dict[str, Any]
    method: str = "subscriptions/listen"


def subscriptions_of(services: Services) -> Subscriptions:
    return Subscriptions(services.poller, services.access, services.films, services.clock)


@pytest.mark.parametrize("text", [None, "all", {}, {"resourceSubscriptions": "luma://generations/a"}])
async def test_a_listener_who_names_nothing_is_passed_on(services: Services, text: object) -> None:
    async def answer(_ctx: object) -> str:
        return "answer"

    requested: Any = Requested({"notifications": text})
    assert await subscriptions_of(services).middleware(requested, answer) == "answer"


@pytest.mark.parametrize("fails", [False, True])
async def test_however_listening_ends_so_it_ends_for_the_listener(
    services: Services, emulator: Emulator, fails: bool
) -> None:
    async def answer(_ctx: object) -> str:
        if fails:
            raise ValueError("as it was raised")
        return "answer"

    requested: Any = Requested({"notifications": {"resourceSubscriptions": [PREFIX + video(emulator), 7]}})
    subscriptions = subscriptions_of(services)
    if fails:
        with pytest.raises(ValueError, match="as it was raised"):
            await subscriptions.middleware(requested, answer)
    else:
        assert await subscriptions.middleware(requested, answer) == "answer"


async def test_a_subscriber_who_has_gone_away_takes_no_other_along(services: Services, emulator: Emulator) -> None:
    async def gone(_uri: str) -> None:
        raise anyio.BrokenResourceError

    received: list[str] = []

    async def receive(uri: str) -> None:
        received.append(uri)

    item = video(emulator)
    subscriptions = subscriptions_of(services)
    async with anyio.create_task_group() as tasks:
        for number, tell in enumerate((gone, receive)):
            tasks.start_soon(subscriptions._watch_in_scope, anyio.CancelScope(), (number, PREFIX + item), tell)

    assert received == [PREFIX + item] * 2


async def test_watching_ends_where_there_is_nothing_to_watch(services: Services) -> None:
    async def nobody(_uri: str) -> None:
        raise AssertionError

    missing = "15b7abb1-3741-4b7e-9615-1f9a16c7442d"
    with anyio.fail_after(5):
        await subscriptions_of(services)._watch(PREFIX + missing, nobody)


async def heard(client: Client, uris: list[str]) -> list[object]:
    async with client.listen(resource_subscriptions=uris) as events:
        return [event async for event in events]


async def test_the_number_of_watched_generations_is_limited(serve, emulator: Emulator) -> None:
    many = [f"{PREFIX}id-{number}" for number in range(12_000)]
    async with Client(serve()) as client:
        with pytest.raises(MCPError, match="At most 100 generations"), anyio.fail_after(20):
            await heard(client, many)
    emulator.dream_machine._speed = 1e-6
    running = [PREFIX + video(emulator, f"boat {number}") for number in range(101)]
    async with Client(serve(), mode="legacy") as client:
        for uri in running[:100]:
            await client.subscribe_resource(uri)
        with pytest.raises(MCPError, match="At most 100 generations"):
            await client.subscribe_resource(running[100])
        await client.unsubscribe_resource(running[0])
        await client.subscribe_resource(running[100])

    assert len(emulator.requests) < 500


@pytest.mark.parametrize("uri", [PREFIX, f"{PREFIX}../credits", f"{PREFIX}a b", "luma://models", "https://a.example"])
async def test_what_names_no_generation_is_not_watched(serve, emulator: Emulator, uri: str) -> None:
    async with Client(serve(), mode="legacy") as client:
        await client.subscribe_resource(uri)
        await anyio.wait_all_tasks_blocked()

    assert emulator.requests == []
