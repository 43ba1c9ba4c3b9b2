"""Purchases beyond Luma's limits: they wait, are sent when there is a slot, and are good wherever a generation is."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from mcp import Client

from luma_mcp.backends.dream_machine import encoding
from luma_mcp.composition import build_server, build_services, with_runner
from luma_mcp.config.settings import Settings
from luma_mcp.domain.errors import InvalidRequestError, NotFoundError, UnreachableError
from luma_mcp.domain.generation import Generation
from luma_mcp.domain.media_refs import name_of_generation
from luma_mcp.domain.person import Person
from luma_mcp.domain.requests import ImageKeyframe, VideoRequest
from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.faults import Fault
from luma_mcp.emulator.limiter import Limits
from luma_mcp.mcp.services import Services
from luma_mcp.mcp.spec import Call
from luma_mcp.mcp.tools.generations import DeleteGenerationArguments, delete_generation
from luma_mcp.purchasing.payloads import Payloads
from luma_mcp.work.jobs import NoRunner
from tests.support.agent import TOKEN, Agent, HeldClock, InMemory, emulator_of_both, fetch
from tests.support.ledgers import all_rows

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", ["asyncio"]),
]

KEY = "luma-api-of-a-test"
APIS = ["dream_machine", "agents"]


@pytest.fixture(params=APIS)
def api(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def limited(api: str, clock: HeldClock) -> Emulator:
    """A Luma with two slots, and ten requests a minute."""
    limits = dict.fromkeys(("video", "image", "agents"), Limits(10, 2))
    if api == "agents":
        return emulator_of_both(clock, KEY, limits=limits)
    return Emulator(token=TOKEN, credit_usd=1000, limits=limits, clock=clock.now, wall=clock.luma_wall, fetch=fetch)


@pytest.fixture
def keys(api: str, settings: Settings) -> Settings:
    if api == "dream_machine":
        return settings
    return Settings.from_environment(
        {
            "LUMA_TOKEN": KEY,
            "LUMA_AGENTS_BASE_URL": "http://127.0.0.1:9/v1",
            "LUMA_OUTPUT_DIR": str(settings.output_folder),
            "LUMA_LEDGER": str(settings.ledger_file),
        }
    )


@pytest.fixture
async def buyer(keys: Settings, limited: Emulator, clock: HeldClock) -> AsyncIterator[Agent]:
    async with Client(build_server(keys, transport=InMemory(limited), clock=clock, with_jobs=True)) as client:
        yield Agent(client)
    limited.assets.close()


def purchases(limited: Emulator, api: str) -> list[str]:
    return (limited.agents if api == "agents" else limited.dream_machine).billing.purchases()


async def three(buyer: Agent) -> tuple[list[str], str]:
    """Two clips that Luma makes, and the id of a purchase that waits."""
    bought = [(await buyer.call("create_video", prompt=f"boat {number}"))["generation_id"] for number in (1, 2)]
    waiting = await buyer.call("create_video", prompt="boat 3")
    assert waiting["state"] == "waiting"
    return bought, waiting["generation_id"]


async def test_all_are_bought_once_and_in_order(buyer: Agent, limited: Emulator, api: str) -> None:
    """Each response comes at once: those that wait have an id too."""
    responses: dict[int, dict[str, Any]] = {}

    async def buy(number: int) -> None:
        responses[number] = await buyer.call("create_video", prompt=f"boat {number}")

    async with anyio.create_task_group() as tasks:
        for number in range(14):
            tasks.start_soon(buy, number)
    ids = [responses[number]["generation_id"] for number in range(14)]
    waited = await buyer.call("wait_for_generation", generation_ids=ids, timeout_seconds=1800)

    assert sum(response["state"] == "waiting" for response in responses.values()) == 12
    assert [entry["state"] for entry in waited["generations"]] == ["completed"] * 14
    assert [entry["prompt"] for entry in waited["generations"]] == [f"boat {number}" for number in range(14)]
    assert purchases(limited, api) == [entry["generation_id"] for entry in waited["generations"]]


async def test_the_id_is_good_before_and_after_it_is_sent(buyer: Agent, api: str) -> None:
    bought, waiting = await three(buyer)
    got = await buyer.call("get_generation", generation_id=waiting)
    listed = await buyer.call("list_generations", limit=5)
    only = await buyer.call("list_generations", state="waiting")
    unready = await buyer.refusal("extend_video", generation_id=waiting, prompt="on")
    unsaved = await buyer.refusal("download_generation", generation_ids=[waiting])
    (contents,) = (await buyer.client.read_resource(f"luma://generations/{waiting}")).contents

    assert (got["generation_id"], got["state"], got["prompt"]) == (waiting, "waiting", "boat 3")
    assert got["next"].startswith("place 1 of the queue: ")
    assert [entry["generation_id"] for entry in listed["generations"]] == [waiting, *reversed(bought)]
    assert [entry["generation_id"] for entry in only["generations"]] == [waiting]
    assert f"Generation {waiting} is still waiting." in unready
    assert waiting in unsaved
    assert '"state":"waiting"' in contents.text.replace(" ", "")

    waited = await buyer.call("wait_for_generation", generation_ids=[waiting], timeout_seconds=1800)
    made = waited["generations"][0]["generation_id"]
    assert made != waiting
    assert (await buyer.call("get_generation", generation_id=waiting))["generation_id"] == made
    extended = await buyer.call("extend_video", generation_id=waiting, prompt="sails on", dry_run=True)
    assert made in extended["request"]


async def test_a_wait_that_ends_earlier_states_the_place(buyer: Agent) -> None:
    _, waiting = await three(buyer)
    waited = await buyer.call("wait_for_generation", generation_ids=[waiting], timeout_seconds=0)

    assert waited["done"] is False
    assert f"Of the queue {waiting} has place 1." in waited["next"]


async def test_it_is_cancelled_by_deletion_and_frees_its_money(buyer: Agent, limited: Emulator, api: str) -> None:
    bought, waiting = await three(buyer)
    reserved = (await buyer.call("get_credits"))["reserved_usd"]
    deleted = await buyer.result("delete_generation", generation_id=waiting)
    waited = await buyer.call("wait_for_generation", generation_ids=[*bought, waiting], timeout_seconds=1800)

    assert reserved > 0
    assert "is cancelled. Nothing was bought" in str(deleted.content)
    assert (await buyer.call("get_credits"))["reserved_usd"] == 0
    assert [entry["state"] for entry in waited["generations"]] == ["completed", "completed", "failed"]
    assert "It was cancelled before it was sent" in waited["generations"][2]["failure_reason"]
    assert purchases(limited, api) == bought
    assert (await buyer.call("delete_generation", generation_id=waiting))["deleted"] is True


async def test_an_id_that_nobody_has_is_not_found(buyer: Agent) -> None:
    unknown = "purchase-0123456789abcdef"
    for tool in ("get_generation", "delete_generation"):
        assert f"No purchase has the id {unknown}." in await buyer.refusal(tool, generation_id=unknown)
    assert "No purchase" in await buyer.refusal("wait_for_generation", generation_ids=[unknown], timeout_seconds=1)


async def test_a_server_that_is_started_later_sends_what_waits(
    keys: Settings, limited: Emulator, clock: HeldClock, api: str
) -> None:
    """The one that allowed it had no runner of jobs, or died."""
    transport = InMemory(limited)
    async with Client(build_server(keys, transport=transport, clock=clock)) as client:
        bought, waiting = await three(Agent(client))
    async with Client(build_server(keys, transport=transport, clock=clock, with_jobs=True)) as client:
        again = await Agent(client).call("create_video", prompt="boat 3")
        waited = await Agent(client).call("wait_for_generation", generation_ids=[waiting], timeout_seconds=1800)

    assert again["generation_id"] == waiting
    assert waited["generations"][0]["state"] == "completed"
    assert purchases(limited, api) == [*bought, waited["generations"][0]["generation_id"]]


async def test_a_number_of_slots_that_the_user_states_is_kept(
    keys: Settings, emulator: Emulator, clock: HeldClock, api: str
) -> None:
    luma = emulator if api == "dream_machine" else emulator_of_both(clock, KEY)
    settings = keys.model_copy(update={"max_concurrent": 1})
    async with Client(build_server(settings, transport=InMemory(luma), clock=clock)) as client:
        states = [(await Agent(client).call("create_video", prompt=f"boat {number}"))["state"] for number in range(3)]

    assert states == ["queued", "waiting", "waiting"]
    assert len(purchases(luma, api)) == 1


async def test_a_person_sees_and_cancels_only_what_is_the_person_s_own(
    keys: Settings, limited: Emulator, clock: HeldClock
) -> None:
    services = build_services(keys, InMemory(limited), clock)
    async with Client(build_server(keys, transport=InMemory(limited), clock=clock)) as client:
        _, waiting = await three(Agent(client))
    await services.access.check(Person(), [waiting])
    with pytest.raises(NotFoundError):
        await services.access.check(Person("anna"), [waiting])
    with pytest.raises(NotFoundError):
        await services.access.check(Person("anna"), ["purchase-0123456789abcdef"])
    assert await services.backend._history.waiting(5, "anna") == []
    await services.close()


async def test_an_account_that_cannot_be_reached_keeps_what_waits_until_it_can(
    services: Services, emulator: Emulator, transport: InMemory, clock: HeldClock
) -> None:
    import httpx

    agent_order = services.purchases.quote(VideoRequest(model="ray-2", prompt="a boat"))
    emulator.faults.append(Fault("limit", method="POST", seconds=1))
    waiting = (await services.purchases.buy(_order(agent_order))).generation
    (account,) = await services.purchases.queue.waiting_accounts()
    clock.seconds += 1
    transport.fails_before.append(httpx.ConnectError("no route"))
    services.purchases._sender._tasks = None
    await services.purchases.queue.send_waiting(account)
    assert (await services.backend.get_generation(waiting.id)).state == "waiting"
    assert await services.purchases.queue.send_waiting(account) == pytest.approx(30)
    clock.seconds += 30
    await services.purchases.queue.send_waiting(account)

    assert (await services.backend.get_generation(waiting.id)).state == "queued"
    assert len(emulator.dream_machine.billing.purchases()) == 1


async def test_what_luma_refuses_when_it_is_sent_has_failed_and_frees_its_money(
    services: Services, emulator: Emulator, clock: HeldClock
) -> None:
    emulator.faults.append(Fault("limit", method="POST", seconds=1))
    quote = services.purchases.quote(VideoRequest(model="ray-2", prompt="a boat"))
    waiting = (await services.purchases.buy(_order(quote))).generation
    emulator.dream_machine.billing.credit_cents = 0
    (account,) = await services.purchases.queue.waiting_accounts()
    clock.seconds += 1
    services.purchases._sender._tasks = None
    assert await services.purchases.queue.send_waiting(account) is None
    found = await services.backend.get_generation(waiting.id)

    assert (found.state, found.is_final) == ("failed", True)
    assert "insufficient credits" in (found.failure_reason or "")
    assert (await services.purchases.spending()).reserved_usd == 0


@pytest.mark.parametrize(
    ("state", "shown", "is_final"),
    [
        ("sending", "waiting", False),
        ("lost", "lost", False),
        ("disputed", "in doubt", True),
        ("absent", "failed", True),
    ],
)
async def test_each_state_of_its_purchase_is_stated(
    services: Services, emulator: Emulator, state: str, shown: str, is_final: bool
) -> None:
    emulator.faults.append(Fault("limit", method="POST", seconds=1))
    quote = services.purchases.quote(VideoRequest(model="ray-2", prompt="a boat"))
    waiting = (await services.purchases.buy(_order(quote))).generation
    ledger = services.purchases._ledger
    await ledger.transact(
        lambda transaction: transaction.execute("UPDATE purchases SET state = ?, note = 'why'", (state,))
    )
    found = await services.backend.get_generation(waiting.id)

    assert (found.state, found.is_final) == (shown, is_final)
    assert (found.failure_reason == "why") is is_final


async def test_a_request_that_waits_with_signed_links_is_encrypted(services: Services) -> None:
    link = "https://bucket.example.com/a.png?X-Amz-Signature=secret&X-Amz-Expires=9"
    request = VideoRequest(model="ray-2", prompt="a boat", start=ImageKeyframe("https://bucket.example.com/a.png"))
    encoded = encoding.encode(request)
    payloads = Payloads(b"k" * 32)
    payload = payloads.write(encoded, {"https://bucket.example.com/a.png": link})
    stored, stills = payloads.read(payload)

    assert "secret" not in payload
    assert "a boat" not in payload
    assert stored.body["keyframes"]["frame0"]["url"] == link
    assert (stored.backend, stored.path, stills) == ("dream_machine", encoded.path, ())
    with pytest.raises(InvalidRequestError, match="another API key"):
        Payloads(b"x" * 32).read(payload)


async def test_a_request_of_another_key_is_refused_when_its_turn_comes(
    services: Services, emulator: Emulator, clock: HeldClock, settings: Settings, transport: InMemory
) -> None:
    emulator.faults.append(Fault("limit", method="POST", seconds=1))
    quote = services.purchases.quote(VideoRequest(model="ray-2", prompt="a boat"))
    waiting = (await services.purchases.buy(_order(quote))).generation
    await services.purchases._ledger.transact(
        lambda transaction: transaction.execute("UPDATE waiting SET payload = 'gAAAA'")
    )
    (account,) = await services.purchases.queue.waiting_accounts()
    clock.seconds += 1
    assert await services.purchases.queue.send_waiting(account) is None

    found = await services.backend.get_generation(waiting.id)
    assert "another API key" in (found.failure_reason or "")
    assert emulator.dream_machine.billing.purchases() == []


async def test_a_server_that_only_reads_runs_no_jobs(settings: Settings) -> None:
    services = build_services(settings)
    assert isinstance(with_runner(services, settings.model_copy(update={"read_only": True})).runner, NoRunner)
    assert not isinstance(with_runner(services, settings).runner, NoRunner)


async def test_a_still_that_waits_gets_its_link_when_it_is_sent(
    keys: Settings, limited: Emulator, clock: HeldClock, api: str
) -> None:
    """Links of the Agents API end within an hour."""
    if api == "dream_machine":
        return
    services = build_services(keys, InMemory(limited), clock)
    async with Client(build_server(keys, transport=InMemory(limited), clock=clock, with_jobs=True)) as client:
        buyer = Agent(client)
        still = await buyer.make("create_image", prompt="a harbour")
        await three(buyer)
        waiting = (await buyer.call("create_video", prompt="it moves", start_frame=still))["generation_id"]
        rows = {row.queue_id: row for row in await all_rows(services.purchases._ledger)}
        payload = await services.purchases._ledger.read(
            lambda transaction: transaction.execute(
                "SELECT payload FROM waiting WHERE purchase_id = ?", (rows[waiting].id,)
            ).fetchone()[0]
        )
        clock.seconds += 2 * 3600
        waited = await buyer.call("wait_for_generation", generation_ids=[waiting], timeout_seconds=1800)
    await services.close()

    assert f'"stills":["{name_of_generation(still)}"]' in payload
    assert waited["generations"][0]["state"] == "completed"


async def _queued(services: Services, emulator: Emulator) -> Generation:
    """A clip that waits, since Luma was busy."""
    emulator.faults.append(Fault("limit", method="POST", seconds=1))
    quote = services.purchases.quote(VideoRequest(model="ray-2", prompt="a boat"))
    return (await services.purchases.buy(_order(quote))).generation


async def test_its_length_is_told_by_api_family_and_person(services: Services, emulator: Emulator) -> None:
    await _queued(services, emulator)
    ((api, length),) = await services.purchases.queue.lengths()

    assert (api, length.family, length.person, length.purchases) == ("dream_machine", "video", "", 1)


async def test_one_that_is_sent_while_it_is_described_has_its_generation_s_id(
    services: Services, emulator: Emulator, clock: HeldClock
) -> None:
    waiting = await _queued(services, emulator)
    (row,) = await all_rows(services.purchases._ledger)
    clock.seconds += 1
    await services.purchases.queue.send_waiting(row.account)
    described = await services.purchases.queue.described(row)

    assert described.id == emulator.dream_machine.billing.purchases()[0]
    assert described.id != waiting.id


async def test_one_that_waits_has_an_api_and_nothing_to_delete_at_luma(services: Services, emulator: Emulator) -> None:
    waiting = await _queued(services, emulator)

    assert await services.backend.backend_of(waiting.id) == "dream_machine"
    with pytest.raises(InvalidRequestError, match="has no generation"):
        await services.backend.delete_generation(waiting.id)


async def test_who_may_only_spend_cancels_what_waits_and_deletes_nothing_that_was_sent(
    services: Services, emulator: Emulator, clock: HeldClock
) -> None:
    waiting = await _queued(services, emulator)
    (account,) = await services.purchases.queue.waiting_accounts()
    clock.seconds += 1
    await services.purchases.queue.send_waiting(account)
    caller: Any = None
    arguments = DeleteGenerationArguments(generation_id=waiting.id)
    with pytest.raises(InvalidRequestError, match="does not wait any more") as caught:
        await delete_generation(Call(services, caller, Person("", frozenset({"read", "spend"}))), arguments)

    assert "luma:delete" in (caught.value.hint or "")
    assert len(emulator.dream_machine.billing.purchases()) == 1
    await delete_generation(Call(services, caller), arguments)


async def test_a_mistake_while_it_is_sent_is_logged_and_stops_no_other(
    services: Services, emulator: Emulator, clock: HeldClock, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    await _queued(services, emulator)
    (account,) = await services.purchases.queue.waiting_accounts()
    clock.seconds += 1

    async def fail(*_arguments: object, **_options: object) -> None:
        raise RuntimeError("no such thing")

    monkeypatch.setattr(services.purchases._sender, "_exchange", fail)
    services.purchases._sender._tasks = None
    await services.purchases.queue.send_waiting(account)

    assert "a mistake in this server: purchase 1" in caplog.text


@pytest.mark.parametrize("case", ["unreachable", "no image", "lease is another's"])
async def test_a_still_without_a_link_ends_or_delays_only_what_needs_it(
    keys: Settings, limited: Emulator, clock: HeldClock, api: str, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    if api == "dream_machine":
        return
    async with Client(build_server(keys, transport=InMemory(limited), clock=clock)) as client:
        buyer = Agent(client)
        still = await buyer.make("create_image", prompt="a harbour")
        await three(buyer)
        waiting = (await buyer.call("create_video", prompt="it moves", start_frame=still))["generation_id"]
    services = build_services(keys, InMemory(limited), clock)
    (account,) = await services.purchases.queue.waiting_accounts()
    rows = {row.queue_id: row for row in await all_rows(services.purchases._ledger)}
    get_generation = services.backend.get_generation

    async def get_still(generation_id: str) -> Generation:
        if generation_id != still:
            return await get_generation(generation_id)
        if case == "unreachable":
            raise UnreachableError("no route")
        if case == "no image":
            return Generation(id=still, state="completed")
        await services.purchases._ledger.transact(
            lambda transaction: transaction.execute(
                "UPDATE purchases SET owner = 'another' WHERE id = ?", (rows[waiting].id,)
            )
        )
        return await get_generation(generation_id)

    monkeypatch.setattr(services.backend, "get_generation", get_still)
    bought = purchases(limited, api)
    # What was bought has ended by now, and the minute is over.
    clock.seconds += 2 * 3600
    await services.purchases.queue.send_waiting(account)
    found = await services.backend.get_generation(waiting)
    await services.close()

    assert len(purchases(limited, api)) == len(bought) + 1
    if case == "no image":
        assert (found.state, found.is_final) == ("failed", True)
        assert "has no image any more" in (found.failure_reason or "")
    else:
        assert (found.state, found.is_final) == ("waiting", False)


def _order(quote: Any) -> Any:
    from luma_mcp.purchasing.orders import PurchaseRequest

    async def nobody(_seconds: float, _why: str) -> None:
        """Nobody is told of waits."""

    return PurchaseRequest(quote, nobody, take=1)
