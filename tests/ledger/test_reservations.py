"""Reservations: set aside as a whole, each drawn on once, the rest given back."""

import secrets
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from luma_mcp.domain.errors import BudgetError
from luma_mcp.ledger.caps import Balance, Budget, ConsentNeededError, ConsentUsedError
from luma_mcp.ledger.purchases import Ledger
from luma_mcp.ledger.reservation_groups import GroupChangedError, ReservationGroups
from luma_mcp.ledger.reservations import (
    EXPIRED,
    REMOVED,
    NewGroup,
    NewReservation,
    Reservation,
    ReservationGroup,
    ReservationName,
    ReservationUnavailableError,
)
from luma_mcp.ledger.rows import NewPurchase, PurchaseRow
from luma_mcp.ledger.states import LEASE_SECONDS, RESERVATION_SECONDS, State
from luma_mcp.ledger.store import Store
from tests.support.agent import Wall
from tests.support.ledgers import all_rows, open_rows

pytestmark = pytest.mark.anyio

FREE = Budget()
SHOTS = (NewReservation("a", 100_000), NewReservation("b", 200_000), NewReservation("c", 300_000))
NEW = NewGroup("group-0", "fingerprint", "plan", SHOTS, "me")
A_DAY = 24 * 3600
ON_FILE = pytest.mark.parametrize("engine", ["file"], indirect=True)


def new_id() -> str:
    return f"group-{secrets.token_hex(4)}"


def new_group(**changes: Any) -> NewGroup:
    return replace(NEW, id=new_id(), **changes)


@pytest.fixture
def groups(ledger: Ledger) -> ReservationGroups:
    return ReservationGroups(ledger)


@pytest.fixture
def others(other: Ledger) -> ReservationGroups:
    """The same groups as another server has them."""
    return ReservationGroups(other)


async def create(groups: ReservationGroups, budget: Budget = FREE, **changes: Any) -> ReservationGroup:
    group, is_new = await groups.create(new_group(**changes), budget)
    assert is_new
    return group


def purchase(group: ReservationGroup, key: str, micros: int | None = None) -> NewPurchase:
    micros = group.reservations[key].micros if micros is None else micros
    return NewPurchase(f"{group.id} {key}", "signature", "{}", "video", micros, "published", person=group.person)


async def buy(
    ledger: Ledger, group: ReservationGroup, key: str, budget: Budget = FREE, micros: int | None = None
) -> PurchaseRow:
    decision = await ledger.decide(
        purchase(group, key, micros), budget, request_id="r", draws_on=ReservationName(group.id, key)
    )
    assert decision.is_new
    return decision.row


async def reserved(ledger: Ledger) -> float:
    return (await ledger.today()).reserved_usd


async def found(groups: ReservationGroups, group: ReservationGroup) -> ReservationGroup:
    again = await groups.get(group.id)
    assert again is not None
    return again


async def test_a_group_reserves_the_money_of_all_its_shots(ledger: Ledger, groups: ReservationGroups) -> None:
    group = await create(groups)

    assert (group.document, group.take, group.person, group.account) == ("plan", 1, "", "me")
    assert await reserved(ledger) == pytest.approx(0.6)
    assert (await ledger.today()).purchases == 0
    assert {key: (shot.micros, shot.is_wanted, shot.purchase) for key, shot in group.reservations.items()} == {
        "a": (100_000, True, None), "b": (200_000, True, None), "c": (300_000, True, None),
    }  # fmt: skip


async def test_without_an_account_it_is_dream_machine_s(engine: Callable[[], Store]) -> None:
    both = Ledger(engine(), account="me", others=["agents"], owner="x")

    assert (await create(ReservationGroups(both), account="")).account == "me"
    assert (await create(ReservationGroups(both), account="agents")).account == "agents"
    await both.close()


async def test_the_same_plan_is_the_same_group_for_every_server(
    groups: ReservationGroups, others: ReservationGroups
) -> None:
    group = await create(groups)
    again, is_new = await others.create(new_group(), FREE)
    other_take, is_other = await others.create(new_group(take=2), FREE)

    assert (again.id, is_new) == (group.id, False)
    assert is_other
    assert other_take.id != group.id


async def test_two_servers_that_plan_at_once_plan_one_group(
    groups: ReservationGroups, others: ReservationGroups
) -> None:
    made: list[tuple[str, bool]] = []

    async def plan(where: ReservationGroups) -> None:
        group, is_new = await where.create(new_group(), FREE)
        made.append((group.id, is_new))

    async with anyio.create_task_group() as tasks:
        for where in (groups, others, groups, others):
            tasks.start_soon(plan, where)

    assert len({group_id for group_id, _ in made}) == 1
    assert [is_new for _, is_new in made].count(True) == 1


@pytest.mark.parametrize(("seconds", "is_new"), [(A_DAY - 1, False), (A_DAY, True)])
async def test_after_a_day_the_same_plan_is_a_new_group(
    ledger: Ledger, groups: ReservationGroups, wall: Wall, seconds: float, is_new: bool
) -> None:
    group = await create(groups)
    wall.seconds += seconds
    again, is_another = await groups.create(new_group(), FREE)

    assert is_another is is_new
    assert (again.id != group.id) is is_new
    assert await reserved(ledger) == pytest.approx(0.6)


async def test_persons_have_groups_of_their_own_unless_they_share(engine: Callable[[], Store]) -> None:
    for is_shared in (False, True):
        ledger = Ledger(engine(), account="me", owner="x", is_shared=is_shared)
        groups = ReservationGroups(ledger)
        new = replace(NEW, fingerprint=f"shared {is_shared}")
        hers, _ = await groups.create(replace(new, id=new_id(), person="anna"), FREE)
        his, is_new = await groups.create(replace(new, id=new_id(), person="ben"), FREE)

        assert is_new is not is_shared
        assert (hers.id == his.id) is is_shared
        assert {group.person for group in await groups.newest(9, "anna")} == {"anna"}
        await ledger.close()


async def test_the_money_of_a_shot_that_is_bought_is_counted_once(ledger: Ledger, groups: ReservationGroups) -> None:
    group = await create(groups)
    row = await buy(ledger, group, "b")

    assert await reserved(ledger) == pytest.approx(0.6)
    await ledger.advance(row, "accepted", generation_id="g")
    today = await ledger.today()

    assert (today.spent_usd, today.reserved_usd) == (pytest.approx(0.2), pytest.approx(0.4))
    shot = (await found(groups, group)).reservations["b"]
    assert shot.is_bought
    assert shot.purchase is not None
    assert shot.purchase.generation_id == "g"


async def test_a_shot_s_money_was_allowed_with_the_group(ledger: Ledger, groups: ReservationGroups) -> None:
    """No cap is checked again, or the group would stand in its own way."""
    group = await create(groups, Budget(max_usd_per_day=0.6))
    strict = Budget(max_usd_per_day=0.6, max_usd_per_person_per_day=0.6, confirm_above_usd=0)

    for key in "abc":
        await buy(ledger, group, key, strict)


@pytest.mark.parametrize("micros", [100_001, 10**9])
async def test_a_shot_may_not_cost_more_than_was_reserved(
    ledger: Ledger, groups: ReservationGroups, micros: int
) -> None:
    group = await create(groups)
    with pytest.raises(ReservationUnavailableError):
        await buy(ledger, group, "a", micros=micros)

    assert await all_rows(ledger) == []
    await buy(ledger, group, "a", micros=100_000)


async def test_a_shot_is_bought_once_whoever_tries(ledger: Ledger, other: Ledger, groups: ReservationGroups) -> None:
    group = await create(groups)
    new: list[bool] = []

    async def attempt(where: Ledger) -> None:
        decision = await where.decide(
            purchase(group, "a"), FREE, request_id="r", draws_on=ReservationName(group.id, "a")
        )
        new.append(decision.is_new)

    async with anyio.create_task_group() as tasks:
        for where in (ledger, other) * 5:
            tasks.start_soon(attempt, where)

    assert new.count(True) == 1
    assert len(await all_rows(ledger)) == 1


async def test_a_shot_stays_bought_after_a_day(ledger: Ledger, groups: ReservationGroups, wall: Wall) -> None:
    group = await create(groups)
    await ledger.advance(await buy(ledger, group, "a"), "accepted", generation_id="g")
    wall.seconds += 3 * A_DAY
    decision = await ledger.decide(purchase(group, "a"), FREE, draws_on=ReservationName(group.id, "a"))

    assert (decision.is_new, decision.row.generation_id) == (False, "g")


@pytest.mark.parametrize("state", ["refused", "absent", "failed"])
async def test_what_was_not_bought_may_be_bought_again(ledger: Ledger, groups: ReservationGroups, state: State) -> None:
    group = await create(groups)
    row = await buy(ledger, group, "a")
    ways: dict[str, tuple[State, ...]] = {"absent": ("lost",), "failed": ("accepted",)}
    for step in (*ways.get(state, ()), state):
        row = await ledger.advance(row, step, generation_id="g" if step == "accepted" else None) or row
    again = await found(groups, group)

    assert not again.reservations["a"].is_bought
    if state == "failed":
        # Luma's word is final. A new plan takes it up again.
        assert await reserved(ledger) == pytest.approx(0.5)
        with pytest.raises(ReservationUnavailableError):
            await buy(ledger, group, "a")
        await groups.change(group, "plan", SHOTS, max_micros=100_000, budget=FREE)
    assert await reserved(ledger) == pytest.approx(0.6)
    await buy(ledger, group, "a")
    assert await reserved(ledger) == pytest.approx(0.6)


@pytest.mark.parametrize("state", ["lost", "disputed"])
async def test_what_is_in_doubt_is_not_bought_again(ledger: Ledger, groups: ReservationGroups, state: State) -> None:
    group = await create(groups)
    row = await ledger.advance(await buy(ledger, group, "a"), "lost")
    assert row is not None
    if state == "disputed":
        await ledger.advance(row, "disputed")
    decision = await ledger.decide(purchase(group, "a"), FREE, request_id="r", draws_on=ReservationName(group.id, "a"))

    assert not decision.is_new
    assert (await found(groups, group)).reservations["a"].is_bought
    assert (await found(groups, group)).unpaid(SHOTS) == []


async def test_what_a_server_left_before_sending_is_free_again(
    ledger: Ledger, groups: ReservationGroups, wall: Wall
) -> None:
    group = await create(groups)
    decision = await ledger.decide(purchase(group, "a"), FREE, draws_on=ReservationName(group.id, "a"))
    assert decision.row.state == "reserved"
    wall.seconds += LEASE_SECONDS + 1

    assert not (await found(groups, group)).reservations["a"].is_bought
    await buy(ledger, group, "a")
    assert await reserved(ledger) == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("budget", "allowed"),
    [
        (Budget(max_usd_per_day=0.6), True), (Budget(max_usd_per_day=0.599999), False),
        (Budget(max_usd_per_person_per_day=0.6), True), (Budget(max_usd_per_person_per_day=0.599999), False),
        (Budget(min_credit_usd=9.4), True), (Budget(min_credit_usd=9.400001), False),
    ],
)  # fmt: skip
async def test_nothing_is_reserved_if_the_whole_cannot_be_afforded(
    ledger: Ledger, groups: ReservationGroups, wall: Wall, budget: Budget, allowed: bool
) -> None:
    balance = Balance(10.0, wall.seconds)
    if allowed:
        await groups.create(new_group(), budget, balance)
        with pytest.raises(BudgetError, match=r"0\.60"):
            await groups.create(new_group(take=2), budget, balance)
    else:
        with pytest.raises(BudgetError, match=r"\$0\.60"):
            await groups.create(new_group(), budget, balance)
    assert await reserved(ledger) == pytest.approx(0.6 if allowed else 0)
    assert len(await groups.newest(9)) == allowed


async def test_a_group_s_reservation_stands_in_the_way_of_other_purchases(
    ledger: Ledger, groups: ReservationGroups
) -> None:
    await create(groups, person="anna")
    single = NewPurchase("f", "s", "{}", "video", 100_001, "published")
    with pytest.raises(BudgetError, match=r"\$0\.60 reserved"):
        await ledger.decide(single, Budget(max_usd_per_day=0.7))
    with pytest.raises(BudgetError):
        await ledger.decide(replace(single, person="anna"), Budget(max_usd_per_person_per_day=0.7))

    await ledger.decide(replace(single, person="ben"), Budget(max_usd_per_person_per_day=0.7))
    assert (await ledger.today("anna")).reserved_usd == pytest.approx(0.6)
    assert (await ledger.today("ben")).reserved_usd == pytest.approx(0.1, abs=0.001)


async def test_a_yes_serves_for_one_group(groups: ReservationGroups) -> None:
    asks = Budget(confirm_above_usd=0.5)
    with pytest.raises(ConsentNeededError):
        await groups.create(new_group(), asks)
    await groups.create(new_group(consent="yes 1"), asks)
    with pytest.raises(ConsentUsedError):
        await groups.create(new_group(take=2, consent="yes 1"), asks)

    assert len(await groups.newest(9)) == 1
    await groups.create(new_group(fingerprint="small", reservations=SHOTS[:2]), asks)


async def test_a_yes_serves_for_one_change(groups: ReservationGroups) -> None:
    group = await create(groups)
    asks = Budget(confirm_above_usd=0.5)
    more = (*SHOTS, NewReservation("d", 600_000))

    async def change(consent: str | None, shots: tuple[NewReservation, ...] = more) -> ReservationGroup:
        return await groups.change(
            group, "another", shots, max_micros=10**6, budget=asks, balance=None, consent=consent
        )

    with pytest.raises(ConsentNeededError):
        await change(None)
    assert (await change("yes 1")).document == "another"
    with pytest.raises(ConsentUsedError):
        await change("yes 1", (*more, NewReservation("e", 600_000)))


async def test_a_change_keeps_what_is_bought_and_reserves_the_rest(ledger: Ledger, groups: ReservationGroups) -> None:
    group = await create(groups)
    row = await ledger.advance(await buy(ledger, group, "a"), "accepted", generation_id="g")
    shots = (SHOTS[0], NewReservation("d", 500_000))
    changed = await groups.change(group, "new", shots, max_micros=500_000, budget=FREE)

    assert changed.reservations["a"].purchase == row
    assert {key for key, shot in changed.reservations.items() if shot.is_wanted} == {"d"}
    assert changed.reservations["b"].note == REMOVED
    assert await reserved(ledger) == pytest.approx(0.5)
    with pytest.raises(ReservationUnavailableError):
        await buy(ledger, group, "b")
    back = await groups.change(changed, "old", SHOTS, max_micros=500_000, budget=FREE)
    assert {key for key, shot in back.reservations.items() if shot.is_wanted} == {"b", "c"}
    assert back.reservations["b"].note == ""
    assert await reserved(ledger) == pytest.approx(0.5)


async def test_a_change_that_costs_more_than_was_told_is_no_change(ledger: Ledger, groups: ReservationGroups) -> None:
    group = await create(groups)
    with pytest.raises(GroupChangedError):
        await groups.change(group, "new", (NewReservation("d", 500_000),), max_micros=499_999, budget=FREE)

    assert (await found(groups, group)).document == "plan"
    assert await reserved(ledger) == pytest.approx(0.6)


async def test_a_change_that_a_cap_forbids_changes_nothing(ledger: Ledger, groups: ReservationGroups) -> None:
    group = await create(groups)
    budget = Budget(max_usd_per_day=1.0)
    more = (*SHOTS, NewReservation("d", 400_001))
    with pytest.raises(BudgetError):
        await groups.change(group, "new", more, max_micros=10**6, budget=budget, balance=None, consent=None)

    assert (await found(groups, group)).document == "plan"
    assert set((await found(groups, group)).reservations) == {"a", "b", "c"}


async def test_what_cannot_be_made_gives_its_money_back(ledger: Ledger, groups: ReservationGroups) -> None:
    group = await create(groups)
    await buy(ledger, group, "a")
    await groups.release(group.id, {"a": "too late", "b": "It waits for shot 1."})
    again = await found(groups, group)

    assert (again.reservations["a"].is_bought, again.reservations["a"].note) == (True, "")
    assert (again.reservations["b"].is_wanted, again.reservations["b"].note) == (False, "It waits for shot 1.")
    assert await reserved(ledger) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("seconds", "is_over"),
    [(RESERVATION_SECONDS - 1, False), (RESERVATION_SECONDS, True), (-RESERVATION_SECONDS - 1, True),
     (-RESERVATION_SECONDS + 1, False)],
)  # fmt: skip
async def test_a_group_that_is_left_alone_gives_its_money_back(
    ledger: Ledger, groups: ReservationGroups, wall: Wall, seconds: float, is_over: bool
) -> None:
    group = await create(groups)
    wall.seconds += seconds

    assert await reserved(ledger) == pytest.approx(0 if is_over else 0.6), "also before anything is written"
    again = await found(groups, group)
    assert {shot.is_wanted for shot in again.reservations.values()} == {not is_over}
    assert {shot.note for shot in again.reservations.values()} == {EXPIRED if is_over else ""}
    assert await reserved(ledger) == pytest.approx(0 if is_over else 0.6)


async def test_each_purchase_keeps_the_reservation(ledger: Ledger, groups: ReservationGroups, wall: Wall) -> None:
    group = await create(groups)
    wall.seconds += RESERVATION_SECONDS - 10
    await buy(ledger, group, "a")
    wall.seconds += RESERVATION_SECONDS - 10
    again = await found(groups, group)

    assert [again.reservations[key].is_wanted for key in "bc"] == [True, True]


async def test_the_end_of_a_reservation_frees_the_caps_of_whoever_decides_next(
    ledger: Ledger, groups: ReservationGroups, wall: Wall
) -> None:
    await create(groups)
    wall.seconds += RESERVATION_SECONDS
    single = NewPurchase("f", "s", "{}", "video", 600_000, "published")

    assert (await ledger.decide(single, Budget(max_usd_per_day=0.6))).is_new


async def test_groups_of_another_account_are_not_seen(groups: ReservationGroups, engine: Callable[[], Store]) -> None:
    group = await create(groups)
    stranger = Ledger(engine(), account="you", owner="x")

    assert await ReservationGroups(stranger).get(group.id) is None
    assert await ReservationGroups(stranger).newest(9) == []
    assert (await stranger.today()).reserved_usd == 0
    assert await groups.get("group-x") is None
    await stranger.close()


async def test_the_newest_group_comes_first(groups: ReservationGroups, wall: Wall) -> None:
    made: list[str] = []
    for take in (1, 2, 3):
        made.append((await create(groups, take=take)).id)
        wall.seconds += 1

    assert [group.id for group in await groups.newest(2)] == [made[2], made[1]]


async def test_the_credit_floor_counts_what_is_planned(ledger: Ledger, groups: ReservationGroups, wall: Wall) -> None:
    await create(groups)
    single = NewPurchase("f", "s", "{}", "video", 400_000, "published")
    balance = Balance(2.0, wall.seconds)
    with pytest.raises(BudgetError, match=r"less \$0\.60"):
        await ledger.decide(single, Budget(min_credit_usd=1.000001), balance)

    assert (await ledger.decide(single, Budget(min_credit_usd=1.0), balance)).is_new


@ON_FILE
async def test_the_file_refuses_what_cannot_be(groups: ReservationGroups, ledger_path: Path) -> None:
    group = await create(groups)
    with open_rows(ledger_path) as rows:
        for change in ("micros = -1", "wanted = 2"):
            with pytest.raises(sqlite3.IntegrityError):
                rows.execute(f"UPDATE reservations SET {change} WHERE group_id = ?", (group.id,))
    rows.close()


def test_a_shot_is_paid_if_it_is_bought_or_reserved() -> None:
    row = PurchaseRow("f", "s", "{}", "video", 1, "published", is_live=True, state="completed")
    gone = replace(row, is_live=False)
    cases = {
        "planned": Reservation("planned", 1, True),
        "left out": Reservation("left out", 1, False, REMOVED),
        "bought": Reservation("bought", 1, False, purchase=row),
        "deleted": Reservation("deleted", 1, False, purchase=gone),
        "failed": Reservation("failed", 1, False, purchase=replace(gone, state="failed")),
        "refused": Reservation("refused", 1, True, purchase=replace(gone, state="refused")),
        "refused for good": Reservation("x", 1, False, purchase=replace(gone, state="refused")),
    }
    group = ReservationGroup("group-1", "me", "", "f", 1, True, "", 0, 0, cases)
    unpaid = group.unpaid([NewReservation(key, 1) for key in [*cases, "new"]])

    assert [shot.key for shot in unpaid] == ["left out", "deleted", "failed", "refused for good", "new"]
