"""Paid once, never lost: every way to spend, with everything that can go wrong, by the emulator's own records."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from pydantic_core import to_json

from luma_mcp.backends.dream_machine.client import DreamMachine
from luma_mcp.backends.dream_machine.encoding import encode
from luma_mcp.domain.errors import LedgerError, NotFoundError, ServerError
from luma_mcp.domain.generation import Generation, Page
from luma_mcp.domain.requests import ImageRequest
from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.dream_machine.bodies import ImageBody
from luma_mcp.emulator.faults import Fault
from luma_mcp.ledger.caps import Budget
from luma_mcp.ledger.purchases import Ledger
from luma_mcp.ledger.rows import NewPurchase
from luma_mcp.ledger.sqlite import SqliteStore
from luma_mcp.mcp.services import Services
from luma_mcp.purchasing import fingerprints
from luma_mcp.purchasing.orders import PurchaseRequest
from luma_mcp.purchasing.reconcile import ABSENT_AFTER_SECONDS, DISPUTED_AFTER_SECONDS, ByListing
from tests.support.agent import Agent, HeldClock, InMemory
from tests.support.ledgers import open_rows
from tests.support.spending_calls import SPENDING, arguments

# The matrix is large enough; the other loop has the tests of the client and the tools.
pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

Spend = Callable[[Agent], Awaitable[Any]]

# The answer is lost after Luma has accepted.
ACCEPTED: dict[str, Fault | Exception] = {
    "dropped": Fault("drop", method="POST", after=True),
    "500": Fault("error", method="POST", after=True, status=500),
    "502": Fault("error", method="POST", after=True, status=502),
    "503": Fault("error", method="POST", after=True, status=503),
    "504": Fault("error", method="POST", after=True, status=504),
    "not json": Fault("garble", method="POST"),
    "cut": Fault("cut", method="POST"),
    "read time-out": httpx.ReadTimeout("slow"),
    "reset while reading": httpx.ReadError("reset"),
    "protocol error": httpx.RemoteProtocolError("nonsense"),
}
# It is lost before Luma has accepted, which nobody can tell.
NOT_ACCEPTED: dict[str, Fault | Exception] = {
    "dropped": Fault("drop", method="POST"),
    "500": Fault("error", method="POST", status=500),
    "502": Fault("error", method="POST", status=502),
    "503": Fault("error", method="POST", status=503),
    "504": Fault("error", method="POST", status=504),
    "reset while writing": httpx.WriteError("reset"),
    "write time-out": httpx.WriteTimeout("slow"),
}


@pytest.fixture
def era() -> str:
    return "auto"


def fail(emulator: Emulator, transport: InMemory, what: Fault | Exception, *, after: bool) -> None:
    if isinstance(what, Exception):
        (transport.fails_after if after else transport.fails_before).append(what)
    else:
        emulator.faults.append(
            Fault(what.kind, what.method, what.path, after=what.after, status=what.status, seconds=what.seconds)
        )


def posts(transport: InMemory) -> int:
    return sum(request.method == "POST" for request in transport.requests)


async def lose_a_boat(agent: Agent, emulator: Emulator) -> None:
    """Buy one whose answer is lost, while Luma's list, where it would be looked for, fails."""
    emulator.faults.append(Fault("drop", method="POST", after=True))
    emulator.faults.append(Fault("error", method="GET", path="*/generations", times=100))
    await agent.refusal("create_image", prompt="a boat")


@pytest.mark.parametrize("what", ACCEPTED)
@pytest.mark.parametrize("tool", SPENDING)
async def test_a_purchase_whose_answer_is_lost_is_found_and_not_bought_again(
    agent: Agent, emulator: Emulator, transport: InMemory, video: str, tool: str, what: str
) -> None:
    sent = posts(transport)
    fail(emulator, transport, ACCEPTED[what], after=True)
    bought = await agent.call(tool, **arguments(tool, video))

    assert emulator.dream_machine.billing.purchases() == [bought["generation_id"]]
    assert bought["recovered"] is True
    assert posts(transport) - sent == 1


@pytest.mark.parametrize("what", NOT_ACCEPTED)
@pytest.mark.parametrize("tool", SPENDING)
async def test_a_purchase_that_did_not_arrive_is_sent_again_only_after_it_was_looked_for(
    agent: Agent, emulator: Emulator, transport: InMemory, clock: HeldClock, video: str, tool: str, what: str
) -> None:
    sent = posts(transport)
    fail(emulator, transport, NOT_ACCEPTED[what], after=False)
    sentence = await agent.refusal(tool, **arguments(tool, video))
    assert "It may have been charged. Call again in a minute" in sentence
    assert "for another one say take=2" in sentence
    assert "It may have been charged" in await agent.refusal(tool, **arguments(tool, video))
    assert posts(transport) - sent == 1

    clock.seconds += ABSENT_AFTER_SECONDS
    bought = await agent.call(tool, **arguments(tool, video))

    assert emulator.dream_machine.billing.purchases() == [bought["generation_id"]]
    assert "recovered" not in bought
    assert posts(transport) - sent == 2


@pytest.mark.parametrize("error", [httpx.ConnectError("x"), httpx.ConnectTimeout("x"), httpx.PoolTimeout("x")])
@pytest.mark.parametrize("tool", SPENDING)
async def test_a_purchase_that_never_left_may_be_sent_again_at_once(
    agent: Agent, emulator: Emulator, transport: InMemory, video: str, tool: str, error: Exception
) -> None:
    transport.fails_before.append(error)
    assert "Nothing was sent" in await agent.refusal(tool, **arguments(tool, video))
    bought = await agent.call(tool, **arguments(tool, video))

    assert emulator.dream_machine.billing.purchases() == [bought["generation_id"]]


@pytest.mark.parametrize("seconds", [None, 7])
@pytest.mark.parametrize("tool", SPENDING)
async def test_a_purchase_beyond_a_rate_limit_waits_and_is_bought_once(
    working: Agent, emulator: Emulator, video: str, tool: str, seconds: float | None
) -> None:
    emulator.faults.append(Fault("limit", method="POST", times=2, seconds=seconds))
    waiting = await working.call(tool, **arguments(tool, video))
    again = await working.call(tool, **arguments(tool, video))
    waited = await working.call("wait_for_generation", generation_ids=[waiting["generation_id"]], timeout_seconds=1800)

    assert waiting["state"] == "waiting"
    assert waiting["next"].startswith("place 1 of the queue: wait_for_generation")
    assert (again["generation_id"], again["recovered"]) == (waiting["generation_id"], True)
    assert waited["done"] is True
    assert emulator.dream_machine.billing.purchases() == [waited["generations"][0]["generation_id"]]


@pytest.mark.parametrize("tool", SPENDING)
async def test_the_same_call_again_is_the_same_purchase_and_another_take_another(
    agent: Agent, emulator: Emulator, clock: HeldClock, video: str, tool: str
) -> None:
    first = await agent.call(tool, **arguments(tool, video))
    clock.seconds += 5
    again = await agent.call(tool, **arguments(tool, video))
    second = await agent.call(tool, **arguments(tool, video), take=2)

    assert again["generation_id"] == first["generation_id"]
    assert again["recovered"] is True
    assert again["next"].startswith("bought 5 s ago; for another take of it say take=2. ")
    assert "recovered" not in first
    assert emulator.dream_machine.billing.purchases() == [first["generation_id"], second["generation_id"]]


async def test_four_of_it_are_four_takes(agent: Agent, emulator: Emulator) -> None:
    ids: list[str] = []

    async def buy(take: int) -> None:
        ids.append((await agent.call("create_video", prompt="a boat", take=take))["generation_id"])

    async with anyio.create_task_group() as tasks:
        for take in (1, 2, 3, 4):
            tasks.start_soon(buy, take)

    assert sorted(ids) == sorted(emulator.dream_machine.billing.purchases())
    assert len(set(ids)) == 4


@pytest.mark.medium
async def test_two_hundred_repeats_at_once_are_one_purchase(agent: Agent, emulator: Emulator) -> None:
    answers: list[dict[str, Any]] = []

    async def buy() -> None:
        answers.append(await agent.call("create_video", prompt="a boat"))

    async with anyio.create_task_group() as tasks:
        for _ in range(200):
            tasks.start_soon(buy)

    assert {answer["generation_id"] for answer in answers} == set(emulator.dream_machine.billing.purchases())
    assert len(emulator.dream_machine.billing.purchases()) == 1
    assert sum("recovered" in answer for answer in answers) == 199


async def test_repeats_of_what_luma_refuses_are_all_refused(agent: Agent, emulator: Emulator) -> None:
    emulator.dream_machine.billing.credit_cents = 1
    refusals: list[str] = []

    async def buy() -> None:
        refusals.append(await agent.refusal("create_video", prompt="a boat"))

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(buy)

    assert all("insufficient credits" in refusal for refusal in refusals)
    assert (await agent.call("get_credits"))["reserved_usd"] == 0


async def test_a_failed_generation_is_bought_anew_by_the_same_call(
    agent: Agent, emulator: Emulator, clock: HeldClock
) -> None:
    failed = await agent.call("create_video", prompt="a boat [fail]")
    clock.seconds += 300
    again = await agent.call("create_video", prompt="a boat [fail]")

    assert again["generation_id"] != failed["generation_id"]
    assert "recovered" not in again


async def test_a_deleted_generation_is_bought_anew_by_the_same_call(
    agent: Agent, emulator: Emulator, clock: HeldClock
) -> None:
    first = await agent.make("create_video", prompt="a boat")
    await agent.call("delete_generation", generation_id=first)
    again = await agent.call("create_video", prompt="a boat")

    assert again["generation_id"] != first

    emulator.dream_machine.delete(again["generation_id"])
    joined = await agent.call("create_video", prompt="a boat")
    assert joined["generation_id"] == again["generation_id"], "so young, it may be that not all of Luma knows it"
    clock.seconds += 3600
    told = await agent.refusal("create_video", prompt="a boat")
    assert f"generation {again['generation_id']}, which was deleted at Luma since. Nothing was bought now" in told
    third = await agent.call("create_video", prompt="a boat")
    assert third["generation_id"] not in (first, again["generation_id"])


async def test_a_joined_purchase_has_its_id_though_luma_does_not_answer_just_then(
    agent: Agent, emulator: Emulator
) -> None:
    bought = await agent.call("create_video", prompt="a boat")
    emulator.faults.append(Fault("error", method="GET", path="*/generations/*", times=99))
    again = await agent.call("create_video", prompt="a boat")

    assert (again["generation_id"], again["state"]) == (bought["generation_id"], "unknown")


async def test_a_retry_after_of_nothing_makes_no_storm(working: Agent, emulator: Emulator) -> None:
    emulator.faults.append(Fault("limit", method="POST", times=10_000, seconds=0))
    waiting = (await working.call("create_video", prompt="a boat"))["generation_id"]
    await working.call("wait_for_generation", generation_ids=[waiting], timeout_seconds=600)

    assert 5 < 10_000 - emulator.faults[0].times <= 16
    (contents,) = (await working.client.read_resource("luma://spending")).contents
    assert '"purchases_today":1' in contents.text


@pytest.mark.usefixtures("in_one_day")
async def test_a_lost_purchase_is_looked_for_on_the_schedule_and_at_no_read(
    agent: Agent, services: Services, emulator: Emulator, transport: InMemory, clock: HeldClock
) -> None:
    await lose_a_boat(agent, emulator)
    emulator.faults.clear()
    clock.seconds += 61
    before = len(emulator.requests)
    await agent.client.read_resource("luma://spending")
    assert len(emulator.requests) == before

    await services.purchases.settle_if_due()
    (contents,) = (await agent.client.read_resource("luma://spending")).contents

    (bought,) = emulator.dream_machine.billing.purchases()
    assert bought in contents.text
    assert posts(transport) == 1


@pytest.mark.parametrize(("others", "is_found"), [(50, True), (580, True), (610, False)])
async def test_a_lost_purchase_is_looked_for_behind_what_others_bought_since(
    agent: Agent, emulator: Emulator, clock: HeldClock, others: int, is_found: bool
) -> None:
    """Six hundred generations; beyond that it is a person's to settle, and not taken for absent."""
    await lose_a_boat(agent, emulator)
    emulator.faults.clear()
    clock.seconds += 5
    for number in range(others):
        emulator.dream_machine.accept(ImageBody(model="photon-1", prompt=f"somebody else's {number}"))

    if is_found:
        again = await agent.call("create_image", prompt="a boat")
        assert again["recovered"] is True
        assert again["generation_id"] == emulator.dream_machine.billing.purchases()[0]
    else:
        for _ in range(3):
            sentence = await agent.refusal("create_image", prompt="a boat")
            assert "Luma's list is too long to be read to its end. It may have been charged" in sentence
            clock.seconds += 61
        clock.seconds += 15 * 60
        sentence = await agent.refusal("create_image", prompt="a boat")
        assert "nobody can say whether it was bought. Luma's list is too long" in sentence
        assert "dream-machine-mcp purchases settle 1 --bought ID" in sentence
        assert "For another one say take=2." in sentence
        (contents,) = (await agent.client.read_resource("luma://spending")).contents
        assert '"state":"disputed"' in contents.text
    assert len(emulator.dream_machine.billing.purchases()) == others + 1


async def test_the_day_s_spending_is_told_though_luma_s_list_fails(agent: Agent, emulator: Emulator) -> None:
    bought = (await agent.call("create_image", prompt="a boat"))["generation_id"]
    emulator.faults.append(Fault("error", method="GET", path="*/generations", times=100))

    (contents,) = (await agent.client.read_resource("luma://spending")).contents

    assert bought in contents.text


async def test_what_another_process_claims_in_the_same_moment_is_not_recovered_twice(
    luma: DreamMachine, emulator: Emulator, clock: HeldClock, ledger_path: Path
) -> None:
    """Both see it in the list; the ledger lets one of them have it."""

    class Late(Ledger):
        async def advance(self, row, state, **changes):
            return None if state == "accepted" else await super().advance(row, state, **changes)

    ledger = Late(SqliteStore(lambda: ledger_path, now=clock.wall), account="me", owner="late")
    encoded = encode(ImageRequest(model="photon-1", prompt="a boat"))
    body = to_json(fingerprints.unsigned_body(encoded)).decode()
    new = NewPurchase(
        fingerprints.fingerprint(encoded), fingerprints.signature(encoded), body, "image", 17_200, "published"
    )  # fmt: skip
    row = (await ledger.decide(new, Budget())).row
    await ledger.advance(row, "sending")
    lost = await ledger.advance(row, "lost")
    assert lost is not None
    emulator.dream_machine.accept(ImageBody(model="photon-1", prompt="a boat"))
    finding = await ByListing(luma, ledger).search(lost)
    await ledger.close()

    assert (finding.outcome, finding.reason) == ("cannot say", "Another server has just settled it.")


async def test_an_absent_purchase_that_is_still_not_listed_stays_absent(
    luma: DreamMachine, clock: HeldClock, ledger_path: Path
) -> None:
    ledger = Ledger(SqliteStore(lambda: ledger_path, now=clock.wall), account="me", owner="x")
    encoded = encode(ImageRequest(model="photon-1", prompt="a boat"))
    body = to_json(fingerprints.unsigned_body(encoded)).decode()
    new = NewPurchase(
        fingerprints.fingerprint(encoded), fingerprints.signature(encoded), body, "image", 17_200, "published"
    )  # fmt: skip
    row = (await ledger.decide(new, Budget())).row
    for state in ("sending", "lost", "absent"):
        row = await ledger.advance(row, state) or row
    clock.seconds += DISPUTED_AFTER_SECONDS
    result = await ByListing(luma, ledger).search(row)
    after = await ledger.get(row.id)
    await ledger.close()

    assert result.outcome == "cannot say"
    assert after is not None
    assert (row.state, after.state) == ("absent", "absent")


async def test_what_is_lost_holds_up_nothing_else(agent: Agent, emulator: Emulator) -> None:
    await lose_a_boat(agent, emulator)

    other = await agent.call("create_image", prompt="another boat")

    assert emulator.dream_machine.billing.purchases()[-1] == other["generation_id"]


async def test_many_who_buy_and_look_at_once_do_not_trip_over_what_was_handed_over(
    agent: Agent, emulator: Emulator, clock: HeldClock
) -> None:
    first = (await agent.call("create_image", prompt="a boat"))["generation_id"]
    clock.seconds += 3600  # so that who looks finds it completed

    async with anyio.create_task_group() as tasks:
        for number in range(8):
            tasks.start_soon(partial(agent.call, "create_image", prompt=f"boat {number}"))
            tasks.start_soon(partial(agent.call, "get_generation", generation_id=first))

    assert len(emulator.dream_machine.billing.purchases()) == 9


async def test_takes_whose_answers_are_all_lost_are_all_found(
    agent: Agent, emulator: Emulator, transport: InMemory
) -> None:
    """Equal requests are as good as each other: each finds one, none is bought again."""
    transport.fails_after.extend(httpx.ReadTimeout("slow") for _ in range(4))
    ids: list[str] = []

    async def buy(take: int) -> None:
        for _ in range(5):
            result = await agent.result("create_video", prompt="a boat", take=take)
            if result.structured_content is not None:
                ids.append(result.structured_content["generation_id"])
                break

    async with anyio.create_task_group() as tasks:
        for take in (1, 2, 3, 4):
            tasks.start_soon(buy, take)

    assert sorted(ids) == sorted(emulator.dream_machine.billing.purchases())
    assert len(set(ids)) == 4


async def test_what_somebody_else_bought_just_so_is_not_taken_by_a_guess(
    agent: Agent, emulator: Emulator, transport: InMemory, clock: HeldClock
) -> None:
    """The same request from another program at the same time: two that look alike, one of them ours."""
    from luma_mcp.emulator.dream_machine.bodies import VideoBody

    stranger = emulator.dream_machine.accept(
        VideoBody(model="ray-2", prompt="a boat", aspect_ratio="16:9", resolution="720p", duration="5s")
    )
    transport.fails_after.append(httpx.ReadTimeout("slow"))
    sentence = await agent.refusal("create_video", prompt="a boat")
    ours = emulator.dream_machine.billing.purchases()[-1]

    assert stranger.id in sentence
    assert ours in sentence
    assert "may be one of these generations" in sentence
    assert "Look whether one of them is it" in await agent.refusal("create_video", prompt="a boat")
    assert len(emulator.dream_machine.billing.purchases()) == 2

    clock.seconds += 15 * 60 + 1
    assert "may be one of these" in await agent.refusal("create_video", prompt="a boat")
    assert "nobody can say whether it was bought" in await agent.refusal("create_video", prompt="a boat")
    await agent.call("create_video", prompt="a boat", take=2)
    assert len(emulator.dream_machine.billing.purchases()) == 3


async def test_an_upscale_of_another_clip_is_not_mistaken_for_ours(
    agent: Agent, emulator: Emulator, transport: InMemory, video: str
) -> None:
    """Luma's list does not name the clip that was upscaled, so two lost upscales cannot be told apart."""
    other = await agent.make("create_video", prompt="another source", resolution="540p")
    emulator.dream_machine.billing.entries.clear()
    transport.fails_after.extend([httpx.ReadTimeout("slow")] * 2)
    sentence: list[str] = []

    async def item(generation_id: str) -> None:
        sentence.append(await agent.refusal("upscale_video", generation_id=generation_id))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(item, video)
        tasks.start_soon(item, other)

    assert len(emulator.dream_machine.billing.purchases()) == 2
    assert all("It may have been charged" in item or "may be one of these" in item for item in sentence)


async def test_what_is_found_again_tells_its_age_its_price_and_its_basis(
    agent: Agent, emulator: Emulator, clock
) -> None:
    clip = await agent.make("create_video", prompt="the source", resolution="540p")
    for tool, call, is_assumed in (
        ("create_image", {"prompt": "a boat"}, None),
        ("add_audio", {"generation_id": clip}, True),
    ):
        emulator.faults.append(Fault("drop", method="POST", after=True))
        quoted = await agent.call(tool, dry_run=True, **call)
        found = await agent.call(tool, **call)
        clock.seconds += 1000
        again = await agent.call(tool, **call)

        for answer, youngest, oldest in ((found, 0, 120), (again, 1000, 1120)):
            assert answer["recovered"] is True
            assert answer["price_usd"] == quoted["price_usd"]
            assert answer.get("price_is_assumed") == is_assumed
            (age,) = re.findall(r"bought (\d+) s ago; for another take of it say take=2", answer["next"])
            assert youngest <= int(age) <= oldest


async def test_a_purchase_that_luma_denies_may_exist_for_ten_minutes(
    agent: Agent, services: Services, emulator: Emulator, clock: HeldClock
) -> None:
    clock.began = float(int(clock.began))  # so that sums are exact
    bought = (await agent.call("create_image", prompt="a boat"))["generation_id"]
    emulator.dream_machine.delete(bought)
    clock.seconds += 599
    assert await services.purchases.may_exist(bought)
    for seconds in (1, 1, 3600):
        clock.seconds += seconds
        assert not await services.purchases.may_exist(bought)


async def test_a_generation_that_the_ledger_does_not_know_does_not_exist_if_luma_denies_it(services: Services) -> None:
    assert not await services.purchases.may_exist("15b7abb1-3741-4b7e-9615-1f9a16c7442d")


async def test_a_denial_that_a_failure_follows_is_no_deletion(
    agent: Agent, emulator: Emulator, clock: HeldClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await agent.call("create_image", prompt="a boat")
    emulator.dream_machine.delete(first["generation_id"])
    clock.seconds += 3600
    real, calls = DreamMachine.get_generation, [0]

    async def fails_after_the_first(client: DreamMachine, generation_id: str) -> Generation:
        calls[0] += 1
        if calls[0] > 1:
            raise ServerError("Luma failed (503).")
        return await real(client, generation_id)

    monkeypatch.setattr(DreamMachine, "get_generation", fails_after_the_first)
    again = await agent.call("create_image", prompt="a boat")

    assert (again["generation_id"], again["state"]) == (first["generation_id"], "unknown")
    assert calls[0] == 2
    assert len(emulator.dream_machine.billing.purchases()) == 1


async def test_at_most_ten_are_asked_for_singly_and_none_that_the_list_shows(
    agent: Agent, services, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        await agent.call("create_image", prompt=f"boat {number}")

    async def asked() -> int:
        before = len(emulator.requests)
        await services.purchases.settle_states()
        singly = [path for method, path in emulator.requests[before:] if method == "GET" and path != "/generations"]
        return len(singly)

    assert await asked() == 0
    for made in emulator.dream_machine.generations.values():
        made.is_listed = False
    assert await asked() == 10


async def test_one_that_failed_and_is_completed_after_all_is_paid(
    agent: Agent, services, ledger_path: Path, clock: HeldClock
) -> None:
    """A final word of Luma wins, and then its money is spent again."""
    bought = (await agent.call("create_image", prompt="a boat"))["generation_id"]
    states: list[str] = []
    for state in ("failed", "completed", "failed"):
        await services.purchases.record_final_states(Generation(id=bought, state=state))
        with open_rows(ledger_path) as rows:
            states += [found for (found,) in rows.execute("SELECT state FROM purchases")]

    assert states == ["failed", "completed", "completed"]


async def test_a_repeat_at_the_same_moment_is_no_second_old(agent: Agent) -> None:
    await agent.call("create_image", prompt="a boat")
    again = await agent.call("create_image", prompt="a boat")

    assert "bought 0 s ago" in again["next"]


async def test_what_is_found_long_after_tells_its_age(agent: Agent, emulator: Emulator, clock: HeldClock) -> None:
    await lose_a_boat(agent, emulator)
    emulator.faults.clear()
    clock.seconds += 500
    found = await agent.call("create_image", prompt="a boat")
    (age,) = re.findall(r"bought (\d+) s ago", found["next"])

    assert 500 <= int(age) <= 520


@pytest.mark.parametrize("denials", [1, 2, 99])
async def test_404s_buy_nothing_again_while_the_list_shows_it(
    agent: Agent, emulator: Emulator, clock: HeldClock, monkeypatch: pytest.MonkeyPatch, denials: int
) -> None:
    """A replica of Luma's may deny for a moment what is there."""
    first = await agent.call("create_image", prompt="a boat")
    clock.seconds += 3600
    real, left = DreamMachine.get_generation, [denials]

    async def deny(client: DreamMachine, generation_id: str) -> Generation:
        left[0] -= 1
        if left[0] >= 0:
            raise NotFoundError("Luma has nothing at this address (404).")
        return await real(client, generation_id)

    monkeypatch.setattr(DreamMachine, "get_generation", deny)
    again = await agent.call("create_image", prompt="a boat")
    seen = await agent.call("get_generation", generation_id=first["generation_id"])
    (waited,) = (await agent.call("wait_for_generation", generation_ids=[first["generation_id"]], timeout_seconds=0))[
        "generations"
    ]

    assert again["generation_id"] == first["generation_id"]
    assert {seen["state"], waited["state"]} <= {"unknown", "completed"}
    assert len(emulator.dream_machine.billing.purchases()) == 1


async def test_an_html_404_is_no_deletion(agent: Agent, emulator: Emulator, clock: HeldClock) -> None:
    first = await agent.call("create_image", prompt="a boat")
    clock.seconds += 3600
    emulator.faults.append(Fault("error", method="GET", path="*/generations/*", status=404, times=99))

    assert (await agent.call("create_image", prompt="a boat"))["generation_id"] == first["generation_id"]
    assert len(emulator.dream_machine.billing.purchases()) == 1


async def test_many_lost_purchases_are_looked_for_by_one_reading(
    services: Services, emulator: Emulator, transport: InMemory, clock: HeldClock
) -> None:
    lost = await lose_many(services, emulator, 12)
    before = len(emulator.requests)
    await services.purchases.settle_if_due()
    found = [row.state for row in await services.purchases.newest_today(100)]

    assert emulator.requests[before:].count(("GET", "/generations")) <= 3
    assert len(emulator.requests) - before <= 10
    assert found == ["accepted"] * lost


async def lose_many(services: Services, emulator: Emulator, count: int) -> int:
    """Accepted purchases whose responses were lost, while the list failed."""
    await services.purchases.buy(image_order(services, "known"))
    for number in range(count):
        await services.purchases.buy(image_order(services, f"boat {number}"))
    ledger = services.purchases._ledger
    await ledger.transact(
        lambda rows: rows.execute(
            "UPDATE purchases SET state = 'lost', generation_id = NULL, lost_at = reserved_at WHERE id > 1"
        )
    )
    return count + 1


def image_order(services: Services, prompt: str) -> PurchaseRequest:
    return PurchaseRequest(services.purchases.quote(ImageRequest(model="photon-1", prompt=prompt)), on_wait, take=1)


async def on_wait(_seconds: float, _why: str) -> None:
    """Nobody is told of waits."""


async def test_what_is_in_doubt_is_disputed_by_itself_after_its_time(
    agent: Agent, services: Services, emulator: Emulator, clock: HeldClock
) -> None:
    await lose_a_boat(agent, emulator)
    clock.seconds += 16 * 60
    await services.purchases.settle_if_due()

    assert [row.state for row in await services.purchases.newest_today(5)] == ["disputed"]


async def test_the_schedule_grows_rarer_and_starts_again_after_a_loss(
    services: Services, clock: HeldClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[float] = []

    async def settle_all(_reconciler: Any) -> bool:
        passes.append(clock.seconds)
        return False

    monkeypatch.setattr("luma_mcp.purchasing.reconcile.Reconciler.settle_all", settle_all)
    for _ in range(2 * 360):
        clock.seconds += 10
        await services.purchases.settle_if_due()
    gaps = [later - earlier for earlier, later in pairwise(passes)]
    assert gaps == [30, 60, 120, 240, 480, 960, 1800, 1800]

    services.purchases._settler.settle_soon()
    clock.seconds += 31
    await services.purchases.settle_if_due()
    assert passes[-1] == clock.seconds


@pytest.mark.parametrize("error", [ZeroDivisionError("ours"), LedgerError("The disk is full.")])
async def test_a_mistake_in_a_pass_is_logged_and_the_schedule_continues(
    services: Services,
    clock: HeldClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    caplog.set_level("INFO")
    with monkeypatch.context() as patch:

        async def fails(_reconciler: Any) -> bool:
            raise error

        patch.setattr("luma_mcp.purchasing.reconcile.Reconciler.settle_all", fails)
        await services.purchases.settle_if_due()
    assert type(error).__name__ in caplog.text
    clock.seconds += 60
    await services.purchases.settle_if_due()


async def test_an_empty_list_proves_nothing_to_a_ledger_that_knows_nothing(
    agent: Agent, transport: InMemory, clock: HeldClock, emulator: Emulator
) -> None:
    transport.fails_before.append(httpx.WriteError("reset"))
    for _ in range(4):
        assert "Luma's list is empty" in await agent.refusal("create_image", prompt="a boat")
        clock.seconds += 200

    assert posts(transport) == 1


async def test_a_list_entry_that_cannot_be_read_may_be_the_purchase(
    agent: Agent, transport: InMemory, clock: HeldClock, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    await agent.call("create_image", prompt="known")
    clock.seconds += 200
    real = DreamMachine.list_generations

    async def with_a_riddle(client: DreamMachine, **named: Any) -> Page:
        return replace(await real(client, **named), unreadable=1)

    monkeypatch.setattr(DreamMachine, "list_generations", with_a_riddle)
    transport.fails_before.append(httpx.WriteError("reset"))
    for _ in range(3):
        assert "an entry that cannot be read" in await agent.refusal("create_image", prompt="a boat")
        clock.seconds += 200

    assert posts(transport) == 2


async def test_a_wish_that_differs_in_case_is_not_taken_for_the_lost_one(
    agent: Agent, emulator: Emulator, transport: InMemory, clock: HeldClock
) -> None:
    await agent.call("create_image", prompt="known")
    clock.seconds += 60
    transport.fails_before.append(httpx.WriteError("reset"))
    await agent.refusal("create_image", prompt="a boat at sea")
    other = emulator.dream_machine.accept(ImageBody(model="photon-1", prompt="A boat at sea"))

    told = await agent.refusal("create_image", prompt="a boat at sea")
    assert f"may be one of these generations: {other.id}" in told
