"""The queue of purchases that Luma has no slot for."""

import pytest

from luma_mcp.domain.apis import APIS, LimitFamily, limit_family
from luma_mcp.ledger import queue
from luma_mcp.ledger.caps import Budget
from luma_mcp.ledger.purchase_queue import CANCELLED, NextPurchase, PurchaseQueue, QueuePause
from luma_mcp.ledger.purchases import Ledger
from luma_mcp.ledger.queue import GIVEN_UP, LimitNews, QueueEntry, place_of
from luma_mcp.ledger.reservation_groups import ReservationGroups
from luma_mcp.ledger.reservations import NewGroup, NewReservation, ReservationName
from luma_mcp.ledger.rows import NewPurchase, PurchaseRow
from luma_mcp.ledger.states import LEASE_SECONDS, WAITING_SECONDS
from luma_mcp.ledger.store import Transaction
from tests.support.agent import Wall
from tests.support.ledgers import all_rows

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

FAMILY = LimitFamily()
ENTRY = QueueEntry(FAMILY, lambda: "{}", 1)


def new(name: str, person: str = "", kind: str = "video") -> NewPurchase:
    return NewPurchase(name, "s", "{}", kind, 1_000_000, "published", person=person)


async def buy(
    ledger: Ledger, name: str, person: str = "", entry: QueueEntry = ENTRY, kind: str = "video"
) -> PurchaseRow:
    """A purchase with nothing to be done before its POST."""
    return (await ledger.decide(new(name, person, kind), Budget(), request_id=f"r {name}", entry=entry)).row


async def send(ledger: Ledger, most: int | None = 1, family: LimitFamily = FAMILY) -> NextPurchase | QueuePause:
    return await PurchaseQueue(ledger).send_next("me", family, max_at_once=most, request_id="again")


async def sent(ledger: Ledger, most: int | None = 1) -> str:
    """The name of the next purchase, which is sent."""
    found = await send(ledger, most)
    assert isinstance(found, NextPurchase), found
    return found.row.fingerprint


async def end(ledger: Ledger, row: PurchaseRow) -> None:
    """Luma has made a purchase."""
    accepted = await ledger.advance(row, "accepted", generation_id=f"g {row.id}")
    assert accepted is not None
    assert await ledger.advance(accepted, "completed") is not None


async def test_what_has_a_slot_is_sent_and_the_next_waits(ledger: Ledger) -> None:
    first, second = await buy(ledger, "a"), await buy(ledger, "b")

    assert (first.state, first.queue_id) == ("sending", None)
    assert (second.state, second.request_id, second.lease_until) == ("waiting", None, 0.0)
    assert second.queue_id is not None
    assert (await ledger.today()).reserved_usd == 2.0


async def test_a_purchase_that_waits_is_joined_and_not_bought_twice(ledger: Ledger, other: Ledger, wall: Wall) -> None:
    await buy(ledger, "a")
    waiting = await buy(ledger, "b")
    wall.seconds += WAITING_SECONDS - 1
    again = await other.decide(new("b"), Budget(), request_id="r", entry=ENTRY)

    assert (again.is_new, again.row.id, again.row.state) == (False, waiting.id, "waiting")


async def test_a_cap_counts_what_waits(ledger: Ledger) -> None:
    await buy(ledger, "a", "anna")
    await buy(ledger, "b", "anna")
    await buy(ledger, "c", "ben")

    assert (await ledger.today("anna")).reserved_usd == 2.0
    assert (await ledger.today("ben")).reserved_usd == 1.0
    assert (await ledger.today()).reserved_usd == 3.0


async def test_persons_are_served_in_turn_and_each_in_order(ledger: Ledger, wall: Wall) -> None:
    running = await buy(ledger, "a0", "anna")
    for name in ("a1", "a2", "a3"):
        wall.seconds += 1
        await buy(ledger, name, "anna")
    for name, person in (("b1", "ben"), ("b2", "ben"), ("c1", "cleo")):
        await buy(ledger, name, person)
    places = {found.row.fingerprint: found.place for found in await PurchaseQueue(ledger).newest(10, None)}
    await end(ledger, running)
    order: list[str] = []
    for _ in range(6):
        found = await send(ledger)
        assert isinstance(found, NextPurchase)
        order.append(found.row.fingerprint)
        await end(ledger, found.row)

    assert order == ["a1", "b1", "c1", "a2", "b2", "a3"]
    assert sorted(places, key=lambda name: places[name] or 0) == order
    assert sorted(place or 0 for place in places.values()) == [1, 2, 3, 4, 5, 6]
    assert await send(ledger) == QueuePause(None)


async def test_a_person_who_comes_later_is_served_before_the_rest_of_another(ledger: Ledger) -> None:
    running = await buy(ledger, "a0", "anna")
    for name in ("a1", "a2", "a3"):
        await buy(ledger, name, "anna")
    await end(ledger, running)
    assert await sent(ledger) == "a1"
    late = await buy(ledger, "z1", "zoe")

    assert (await PurchaseQueue(ledger).get([late.queue_id or ""]))[late.queue_id or ""].place == 1
    assert await sent(ledger, 2) == "z1"


async def test_nothing_passes_those_that_wait(ledger: Ledger) -> None:
    running = await buy(ledger, "a")
    await buy(ledger, "b")
    await end(ledger, running)

    assert (await buy(ledger, "c")).state == "waiting"
    assert await sent(ledger) == "b"


async def test_two_servers_send_each_purchase_once(ledger: Ledger, other: Ledger) -> None:
    await buy(ledger, "a")
    await buy(ledger, "b")
    found = await send(ledger, 2)
    assert isinstance(found, NextPurchase)

    assert (found.row.state, found.row.request_id, found.row.owner) == ("sending", "again", "this server")
    assert await send(other, 3) == QueuePause(None)


async def test_a_server_that_dies_while_it_sends_leaves_the_purchase_lost_and_not_in_the_queue(
    ledger: Ledger, other: Ledger, wall: Wall
) -> None:
    await buy(ledger, "a")
    await buy(ledger, "b")
    await sent(ledger, 2)
    wall.seconds += 2 * LEASE_SECONDS

    assert await send(other, 3) == QueuePause(None)
    assert [row.state for row in await other.in_state("lost")] == ["lost", "lost"]


async def test_a_refusal_teaches_the_slots_for_an_hour(ledger: Ledger, wall: Wall) -> None:
    entry = QueueEntry(FAMILY, lambda: "{}")
    rows = [await buy(ledger, name, entry=entry) for name in ("a", "b", "c")]
    assert {row.state for row in rows} == {"sending"}
    news = LimitNews(at_once=2, retry_seconds=60, is_full=True)
    back = await ledger.advance(rows[2], "waiting", entry=entry, news=news)
    assert back is not None

    assert (back.state, back.queue_id is not None) == ("waiting", True)
    assert (await buy(ledger, "d", entry=entry)).state == "waiting"
    assert await send(ledger, None) == QueuePause(queue.FULL_SECONDS, may_check=True)
    assert await send(ledger, None) == QueuePause(queue.FULL_SECONDS, may_check=False)
    await end(ledger, rows[0])
    assert await sent(ledger, None) == "c"
    await end(ledger, rows[1])
    wall.seconds += 3600
    assert await sent(ledger, None) == "d"


async def test_a_refusal_that_others_caused_holds_until_luma_s_pause_or_the_end_of_ours(
    ledger: Ledger, wall: Wall
) -> None:
    entry = QueueEntry(FAMILY, lambda: "{}")
    running, refused = await buy(ledger, "a", entry=entry), await buy(ledger, "b", entry=entry)
    await ledger.advance(refused, "waiting", entry=entry, news=LimitNews(retry_seconds=60, is_full=True))
    assert await send(ledger, None) == QueuePause(queue.FULL_SECONDS, may_check=True)
    await end(ledger, running)
    found = await send(ledger, None)
    assert isinstance(found, NextPurchase)

    await ledger.advance(found.row, "waiting", entry=entry, news=LimitNews(retry_seconds=60, is_full=True))
    assert await send(ledger, None) == QueuePause(60)
    wall.seconds += 60
    assert await sent(ledger, None) == "b"


async def test_a_refusal_again_at_once_doubles_the_pause_up_to_a_minute(ledger: Ledger, wall: Wall) -> None:
    entry = QueueEntry(FAMILY, lambda: "{}")
    row: PurchaseRow | None = await buy(ledger, "a", entry=entry)
    pauses: list[float | None] = []
    for _ in range(8):
        assert row is not None
        await ledger.advance(row, "waiting", entry=entry, news=LimitNews(retry_seconds=1))
        pause = await send(ledger, None)
        assert isinstance(pause, QueuePause)
        pauses.append(pause.seconds)
        wall.seconds += pause.seconds or 0
        found = await send(ledger, None)
        assert isinstance(found, NextPurchase)
        row = found.row

    assert pauses == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60])


async def test_the_limit_of_a_minute_is_that_of_the_last_sixty_seconds(ledger: Ledger, wall: Wall) -> None:
    entry = QueueEntry(FAMILY, lambda: "{}")
    row = await buy(ledger, "a", entry=entry)
    await ledger.advance(row, "accepted", generation_id="g", entry=entry, news=LimitNews(per_minute=2))
    wall.seconds += 20
    assert (await buy(ledger, "b", entry=entry)).state == "sending"
    assert (await buy(ledger, "c", entry=entry)).state == "waiting"

    assert await send(ledger, None) == QueuePause(pytest.approx(40), may_check=True)
    wall.seconds += 40
    assert await sent(ledger, None) == "c"
    assert (await buy(ledger, "d", entry=entry)).state == "waiting"
    assert await send(ledger, None) == QueuePause(pytest.approx(20), may_check=True)


async def test_a_slot_is_free_after_an_hour_though_nobody_knows_how_it_ended(ledger: Ledger, wall: Wall) -> None:
    running = await buy(ledger, "a")
    await ledger.advance(running, "accepted", generation_id="g")
    assert (await buy(ledger, "b")).state == "waiting"
    assert [row.id for row in await PurchaseQueue(ledger).running("me")] == [running.id]
    wall.seconds += 3600

    assert await sent(ledger) == "b"


async def test_families_are_limited_each_by_itself(ledger: Ledger) -> None:
    video = QueueEntry(limit_family("dream_machine", "video"), lambda: "{}", 1)
    image = QueueEntry(limit_family("dream_machine", "reframe_image"), lambda: "{}", 1)
    states = [(await buy(ledger, "a", entry=video)).state, (await buy(ledger, "b", entry=image, kind="image")).state]
    states += [(await buy(ledger, "c", entry=video)).state, (await buy(ledger, "d", entry=image, kind="image")).state]

    assert states == ["sending", "sending", "waiting", "waiting"]


async def test_every_operation_belongs_to_one_family() -> None:
    for api in APIS.values():
        for operation in api.operations:
            families = [
                family for family in api.limit_families if family.operations is None or operation in family.operations
            ]
            assert len(families) == 1, operation


async def test_a_cancelled_purchase_frees_its_money_and_its_take(ledger: Ledger) -> None:
    running = await buy(ledger, "a")
    waiting = await buy(ledger, "b")
    cancelled = await PurchaseQueue(ledger).cancel(waiting.queue_id or "")
    assert cancelled is not None

    assert (cancelled.state, cancelled.note, cancelled.is_live) == ("refused", CANCELLED, False)
    assert (await ledger.today()).reserved_usd == 1.0
    assert await PurchaseQueue(ledger).lengths() == []
    assert await PurchaseQueue(ledger).cancel("purchase-0000000000000000") is None
    await end(ledger, running)
    again = await PurchaseQueue(ledger).cancel(waiting.queue_id or "")
    assert again is not None
    assert again.state == "refused"
    assert (await buy(ledger, "b")).state == "sending"


async def test_what_has_waited_a_day_is_given_up_and_its_money_is_free(ledger: Ledger, wall: Wall) -> None:
    await buy(ledger, "a")
    waiting = await buy(ledger, "b")
    wall.seconds += WAITING_SECONDS + 1

    assert await send(ledger) == QueuePause(None)
    found = (await PurchaseQueue(ledger).get([waiting.queue_id or ""]))[waiting.queue_id or ""]
    assert (found.row.state, found.row.note, found.place) == ("refused", GIVEN_UP, None)


@pytest.mark.parametrize("is_cancelled", [True, False])
async def test_the_reservation_of_what_is_given_up_is_released_and_not_drawn_on_again(
    ledger: Ledger, wall: Wall, is_cancelled: bool
) -> None:
    await buy(ledger, "a")
    groups = ReservationGroups(ledger)
    await groups.create(NewGroup("group-1", "f", "text", (NewReservation("x", 1_000_000),)), Budget())
    draws_on = ReservationName("group-1", "x")
    decision = await ledger.decide(new("b"), Budget(), request_id="r", draws_on=draws_on, entry=ENTRY)
    assert decision.row.state == "waiting"
    if is_cancelled:
        await PurchaseQueue(ledger).cancel(decision.row.queue_id or "")
    else:
        wall.seconds += WAITING_SECONDS + 1
        await send(ledger)
    group = await groups.get("group-1")
    assert group is not None

    assert group.reservations["x"].is_wanted is False
    assert group.reservations["x"].note == (CANCELLED if is_cancelled else GIVEN_UP)


async def test_a_purchase_whose_files_are_uploaded_waits_only_then(ledger: Ledger) -> None:
    row = (await ledger.decide(new("a"), Budget(), entry=ENTRY)).row
    assert row.state == "reserved"
    await buy(ledger, "b")
    waiting = await ledger.advance(row, "sending", request_id="r", requires_lease=True, entry=ENTRY)
    assert waiting is not None

    assert (waiting.state, waiting.lease_until) == ("waiting", 0.0)
    (length,) = await PurchaseQueue(ledger).lengths()
    assert (length.account, length.person, length.purchases, length.oldest_at) == ("me", "", 1, row.reserved_at)
    assert await PurchaseQueue(ledger).accounts() == ["me"]


async def test_a_refused_purchase_keeps_its_turn(ledger: Ledger, wall: Wall) -> None:
    entry = QueueEntry(FAMILY, lambda: "{}")
    first = await buy(ledger, "a", entry=entry)
    wall.seconds += 1
    second = await buy(ledger, "b", entry=entry)
    for row in (second, first):
        await ledger.advance(row, "waiting", entry=entry, news=LimitNews(retry_seconds=1))
    wall.seconds += 5

    assert [await sent(ledger, None), await sent(ledger, None)] == ["a", "b"]


async def absent(ledger: Ledger, name: str, person: str = "") -> PurchaseRow:
    """A purchase that was sent, and that was searched for in vain."""
    row = await buy(ledger, name, person, QueueEntry(FAMILY, lambda: "{}", 9))
    lost = await ledger.advance(row, "lost")
    assert lost is not None
    gone = await ledger.advance(lost, "absent")
    assert gone is not None
    return gone


async def test_a_purchase_that_turns_up_late_is_joined_again(ledger: Ledger) -> None:
    gone = await absent(ledger, "a")
    await ledger.advance(gone, "accepted", generation_id="g")

    again = await ledger.decide(new("a"), Budget(), request_id="r", entry=ENTRY)

    assert (again.is_new, again.row.id) == (False, gone.id)


async def test_a_purchase_that_turns_up_late_takes_the_place_of_an_equal_one_that_waits(ledger: Ledger) -> None:
    gone = await absent(ledger, "a")
    await buy(ledger, "slot")
    waiting = await buy(ledger, "a")
    assert waiting.state == "waiting"

    await ledger.advance(gone, "accepted", generation_id="g")

    again = await ledger.decide(new("a"), Budget(), request_id="r", entry=ENTRY)
    assert (again.is_new, again.row.id) == (False, gone.id)
    assert isinstance(await send(ledger, 9), QueuePause)
    (row,) = [row for row in await all_rows(ledger) if row.id == waiting.id]
    assert row.note == "An equal purchase turned up at Luma."


@pytest.mark.parametrize("person", ["", "ben"])
async def test_an_equal_purchase_that_was_sent_since_or_is_another_persons_stays(ledger: Ledger, person: str) -> None:
    gone = await absent(ledger, "a", "anna")
    since = await buy(ledger, "a", person or "anna", QueueEntry(FAMILY, lambda: "{}", 9))
    assert since.state == "sending"

    await ledger.advance(gone, "accepted", generation_id="g")

    again = await ledger.decide(new("a", person or "anna"), Budget(), request_id="r", entry=ENTRY)
    assert again.row.id == since.id


async def test_a_shot_is_drawn_by_the_purchase_that_turns_up_and_not_by_the_one_that_waits(ledger: Ledger) -> None:
    groups = ReservationGroups(ledger)
    group = NewGroup("film", "f", "{}", (NewReservation("k", 1_000_000),), "me", 1, "", None)
    await groups.create(group, Budget(), None)
    shot = ReservationName("film", "k")

    async def draw(most: int) -> PurchaseRow:
        entry = QueueEntry(FAMILY, lambda: "{}", most)
        return (await ledger.decide(new("film k"), Budget(), request_id="r", draws_on=shot, entry=entry)).row

    gone = await draw(9)
    gone = await ledger.advance(await ledger.advance(gone, "lost") or gone, "absent") or gone
    await buy(ledger, "slot")
    waiting = await draw(1)
    assert waiting.state == "waiting"

    await ledger.advance(gone, "accepted", generation_id="g")

    found = await groups.get("film")
    assert found is not None
    reservation = found.reservations["k"]
    assert (reservation.purchase and reservation.purchase.id, reservation.is_wanted) == (gone.id, False)


async def test_what_does_not_wait_has_no_place_and_cannot_be_given_up(ledger: Ledger) -> None:
    running = await buy(ledger, "a")

    def work(transaction: Transaction) -> tuple[int | None, bool]:
        now = transaction.now()
        return place_of(transaction, running.id), ledger.refuse_waiting(transaction, running.id, "over", now)

    assert await ledger.transact(work) == (None, False)
    assert (await ledger.today()).reserved_usd == 1.0
