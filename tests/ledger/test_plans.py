"""Every statement of the ledger uses an index. All tests of this folder check it; these prove that the check works."""

from collections.abc import Callable

import pytest

from luma_mcp.ledger import rows
from luma_mcp.ledger.caps import Balance, Budget
from luma_mcp.ledger.purchases import Ledger
from luma_mcp.ledger.reservation_groups import ReservationGroups
from luma_mcp.ledger.reservations import NewGroup, NewReservation, ReservationName
from luma_mcp.ledger.rows import NewPurchase
from luma_mcp.ledger.store import Store
from tests.support import plans
from tests.support.agent import Wall
from tests.support.ledgers import all_rows

pytestmark = pytest.mark.anyio

ALL_CAPS = Budget(
    max_usd_per_call=9, max_usd_per_day=9, max_usd_per_person_per_day=9, min_credit_usd=1, confirm_above_usd=0
)
SCANS = (
    "note = ?",
    "account IN ('me', 'you') AND note = ?",
    "account = 'me' AND reserved_at >= 0 AND note = ?",
    "account = 'me' AND person = 'anna' AND note = ?",
    "account = 'me' AND person = ? AND state = 'lost' ORDER BY reserved_at LIMIT 5",
    "account = 'me' AND note = ? ORDER BY updated_at LIMIT 5",
)


@pytest.mark.parametrize("engine", ["file"], indirect=True)
@pytest.mark.parametrize("condition", SCANS)
async def test_a_statement_that_scans_fails_the_test_that_runs_it(ledger: Ledger, condition: str) -> None:
    with pytest.raises(AssertionError, match="purchases"):
        await ledger.read(lambda transaction: rows.select(transaction, condition, ["x"]))


@pytest.mark.services
@pytest.mark.parametrize("engine", ["database"], indirect=True)
async def test_a_database_s_plan_is_read_too(ledger: Ledger) -> None:
    with pytest.raises(AssertionError, match="Seq Scan"):
        await ledger.read(lambda transaction: rows.select(transaction, "note = ?", ["x"]))


@pytest.mark.parametrize("is_shared", [False, True])
async def test_no_statement_on_the_way_of_money_scans(
    engine: Callable[[], Store], wall: Wall, monkeypatch: pytest.MonkeyPatch, is_shared: bool
) -> None:
    """A purchase, a repeat, a film, the lists and the sums, with every cap."""
    known: set[tuple[str, str]] = set()
    with plans.checked(monkeypatch, known):
        ledger = Ledger(
            engine(), account="me", others=["agents"], owner="x", former_accounts=["old"], is_shared=is_shared
        )
        groups, balance = ReservationGroups(ledger), Balance(5.0, wall.seconds)
        new = NewPurchase("f", "s", "{}", "video", 1, "published", consent="yes 1", person="anna")
        row = (await ledger.decide(new, ALL_CAPS, balance)).row
        assert not (await ledger.decide(new, ALL_CAPS, balance)).is_new
        await ledger.renew(row)
        await ledger.advance(row, "sending", requires_lease=True)
        row = await ledger.advance(row, "accepted", generation_id="g") or row
        group = NewGroup("group-1", "f", "text", (NewReservation("a", 1), NewReservation("b", 1)), consent="yes 2")
        made, _ = await groups.create(group, ALL_CAPS, balance)
        draws_on = ReservationName("group-1", "a")
        shot = (
            await ledger.decide(NewPurchase("f2", "s", "{}", "video", 1, "published"), ALL_CAPS, draws_on=draws_on)
        ).row
        await groups.change(made, "other", [NewReservation("c", 1)], max_micros=9, budget=ALL_CAPS, consent="yes 3")
        await groups.release("group-1", {"c": "why"})
        wall.seconds += 100
        await ledger.in_state("reserved", "accepted", since=1.0)
        await ledger.claim(row)
        await ledger.release(row)
        await ledger.known_before(shot, 5)
        for person in (None, "anna"):
            await ledger.today(person)
            await ledger.totals(7, person)
            await ledger.newest_today(5, person)
            await groups.newest(5, person)
            page = await ledger.bought(1, person=person)
            await ledger.bought(1, person=person, before=page[-1].position)
            assert [item async for item in ledger.pages(person=person, in_doubt=True)] == []
            assert [item async for item in ledger.pages(person=person)]
        await groups.get("group-1")
        await ledger.by_generation(["g", "h"])
        await ledger.free_take(row)
        assert len(await all_rows(ledger)) == 2
        await ledger.close()

    assert len(known) > 40
