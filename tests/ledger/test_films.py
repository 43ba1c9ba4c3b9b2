"""Films in the ledger: reserved as a whole, each shot bought once, the rest given back."""

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from luma_mcp.domain.errors import BudgetError
from luma_mcp.ledger import film_rows
from luma_mcp.ledger.caps import Balance, Budget, ConsentNeededError, ConsentUsedError
from luma_mcp.ledger.film_rows import (
    LEFT_ALONE,
    RESERVATION_SECONDS,
    FilmRow,
    NewFilm,
    NewShot,
    ShotName,
    ShotTakenError,
    unpaid_shots,
)
from luma_mcp.ledger.films import FilmChangedError, FilmLedger
from luma_mcp.ledger.migrations import VERSION
from luma_mcp.ledger.purchases import LEASE_SECONDS, Ledger
from luma_mcp.ledger.rows import NewPurchase, Row
from luma_mcp.ledger.states import State
from luma_mcp.ledger.store import Store
from tests.support.agent import Wall
from tests.support.ledgers import open_rows

pytestmark = pytest.mark.anyio

FREE = Budget()
SHOTS = (NewShot("a", 100_000), NewShot("b", 200_000), NewShot("c", 300_000))
NEW = NewFilm("fingerprint", "plan", SHOTS, "me")
A_DAY = 24 * 3600
ON_FILE = pytest.mark.parametrize("engine", ["file"], indirect=True)


@pytest.fixture
def films(ledger: Ledger) -> FilmLedger:
    return FilmLedger(ledger)


@pytest.fixture
def others(other: Ledger) -> FilmLedger:
    """The same films as another server has them."""
    return FilmLedger(other)


async def create(films: FilmLedger, budget: Budget = FREE, **changes: Any) -> FilmRow:
    film, is_new = await films.create(replace(NEW, **changes), budget, None, None)
    assert is_new
    return film


def purchase(film: FilmRow, key: str, micros: int | None = None) -> NewPurchase:
    micros = film.shots[key].micros if micros is None else micros
    return NewPurchase(f"{film.id} {key}", "signature", "{}", "video", micros, "published", person=film.person)


async def buy(ledger: Ledger, film: FilmRow, key: str, budget: Budget = FREE, micros: int | None = None) -> Row:
    decision = await ledger.decide(purchase(film, key, micros), budget, request_id="r", shot=ShotName(film.id, key))
    assert decision.is_new
    return decision.row


async def reserved(ledger: Ledger) -> float:
    return (await ledger.today()).reserved_usd


async def found(films: FilmLedger, film: FilmRow) -> FilmRow:
    again = await films.get(film.id)
    assert again is not None
    return again


async def test_a_film_reserves_the_money_of_all_its_shots(ledger: Ledger, films: FilmLedger) -> None:
    film = await create(films)

    assert film.id.startswith("film-")
    assert len(film.id) == len("film-") + 16
    assert (film.plan, film.take, film.person, film.account) == ("plan", 1, "", "me")
    assert await reserved(ledger) == pytest.approx(0.6)
    assert (await ledger.today()).purchases == 0
    assert {key: (shot.micros, shot.is_wanted, shot.purchase) for key, shot in film.shots.items()} == {
        "a": (100_000, True, None), "b": (200_000, True, None), "c": (300_000, True, None),
    }  # fmt: skip


async def test_without_an_account_it_is_dream_machine_s(engine: Callable[[], Store]) -> None:
    both = Ledger(engine(), account="me", others=["agents"], owner="x")

    assert (await create(FilmLedger(both), account="")).account == "me"
    assert (await create(FilmLedger(both), account="agents")).account == "agents"
    await both.close()


async def test_the_same_plan_is_the_same_film_for_every_server(films: FilmLedger, others: FilmLedger) -> None:
    film = await create(films)
    again, is_new = await others.create(NEW, FREE, None, None)
    other_take, is_other = await others.create(replace(NEW, take=2), FREE, None, None)

    assert (again.id, is_new) == (film.id, False)
    assert is_other
    assert other_take.id != film.id


async def test_two_servers_that_plan_at_once_plan_one_film(films: FilmLedger, others: FilmLedger) -> None:
    made: list[tuple[str, bool]] = []

    async def plan(where: FilmLedger) -> None:
        film, is_new = await where.create(NEW, FREE, None, None)
        made.append((film.id, is_new))

    async with anyio.create_task_group() as tasks:
        for where in (films, others, films, others):
            tasks.start_soon(plan, where)

    assert len({film_id for film_id, _ in made}) == 1
    assert [is_new for _, is_new in made].count(True) == 1


@pytest.mark.parametrize(("seconds", "is_new"), [(A_DAY - 1, False), (A_DAY, True)])
async def test_after_a_day_the_same_plan_is_a_new_film(
    ledger: Ledger, films: FilmLedger, wall: Wall, seconds: float, is_new: bool
) -> None:
    film = await create(films)
    wall.seconds += seconds
    again, is_another = await films.create(NEW, FREE, None, None)

    assert is_another is is_new
    assert (again.id != film.id) is is_new
    assert await reserved(ledger) == pytest.approx(0.6)


async def test_persons_have_films_of_their_own_unless_they_share(engine: Callable[[], Store]) -> None:
    for is_shared in (False, True):
        ledger = Ledger(engine(), account="me", owner="x", is_shared=is_shared)
        films = FilmLedger(ledger)
        new = replace(NEW, fingerprint=f"shared {is_shared}")
        hers, _ = await films.create(replace(new, person="anna"), FREE, None, None)
        his, is_new = await films.create(replace(new, person="ben"), FREE, None, None)

        assert is_new is not is_shared
        assert (hers.id == his.id) is is_shared
        assert {film.person for film in await films.newest(9, "anna")} == {"anna"}
        await ledger.close()


async def test_the_money_of_a_shot_that_is_bought_is_counted_once(ledger: Ledger, films: FilmLedger) -> None:
    film = await create(films)
    row = await buy(ledger, film, "b")

    assert await reserved(ledger) == pytest.approx(0.6)
    await ledger.advance(row, "accepted", generation_id="g")
    today = await ledger.today()

    assert (today.spent_usd, today.reserved_usd) == (pytest.approx(0.2), pytest.approx(0.4))
    shot = (await found(films, film)).shots["b"]
    assert shot.is_bought
    assert shot.purchase is not None
    assert shot.purchase.generation_id == "g"


async def test_a_shot_s_money_was_allowed_with_the_film(ledger: Ledger, films: FilmLedger) -> None:
    """No cap is checked again, or the film would stand in its own way."""
    film = await create(films, Budget(max_usd_per_day=0.6))
    strict = Budget(max_usd_per_day=0.6, max_usd_per_person_per_day=0.6, confirm_above_usd=0)

    for key in "abc":
        await buy(ledger, film, key, strict)


@pytest.mark.parametrize("micros", [100_001, 10**9])
async def test_a_shot_may_not_cost_more_than_was_reserved(ledger: Ledger, films: FilmLedger, micros: int) -> None:
    film = await create(films)
    with pytest.raises(ShotTakenError):
        await buy(ledger, film, "a", micros=micros)

    assert await ledger.all_rows() == []
    await buy(ledger, film, "a", micros=100_000)


async def test_a_shot_is_bought_once_whoever_tries(ledger: Ledger, other: Ledger, films: FilmLedger) -> None:
    film = await create(films)
    new: list[bool] = []

    async def attempt(where: Ledger) -> None:
        decision = await where.decide(purchase(film, "a"), FREE, request_id="r", shot=ShotName(film.id, "a"))
        new.append(decision.is_new)

    async with anyio.create_task_group() as tasks:
        for where in (ledger, other) * 5:
            tasks.start_soon(attempt, where)

    assert new.count(True) == 1
    assert len(await ledger.all_rows()) == 1


async def test_a_shot_stays_bought_after_a_day(ledger: Ledger, films: FilmLedger, wall: Wall) -> None:
    film = await create(films)
    await ledger.advance(await buy(ledger, film, "a"), "accepted", generation_id="g")
    wall.seconds += 3 * A_DAY
    decision = await ledger.decide(purchase(film, "a"), FREE, shot=ShotName(film.id, "a"))

    assert (decision.is_new, decision.row.generation_id) == (False, "g")


@pytest.mark.parametrize("state", ["refused", "absent", "failed"])
async def test_what_was_not_bought_may_be_bought_again(ledger: Ledger, films: FilmLedger, state: State) -> None:
    film = await create(films)
    row = await buy(ledger, film, "a")
    ways: dict[str, tuple[State, ...]] = {"absent": ("lost",), "failed": ("accepted",)}
    for step in (*ways.get(state, ()), state):
        row = await ledger.advance(row, step, generation_id="g" if step == "accepted" else None) or row
    again = await found(films, film)

    assert not again.shots["a"].is_bought
    if state == "failed":
        # Luma's word is final. A new plan takes it up again.
        assert await reserved(ledger) == pytest.approx(0.5)
        with pytest.raises(ShotTakenError):
            await buy(ledger, film, "a")
        await films.change(film, "plan", SHOTS, most_micros=100_000, budget=FREE, balance=None, consent=None)
    assert await reserved(ledger) == pytest.approx(0.6)
    await buy(ledger, film, "a")
    assert await reserved(ledger) == pytest.approx(0.6)


@pytest.mark.parametrize("state", ["lost", "disputed"])
async def test_what_is_in_doubt_is_not_bought_again(ledger: Ledger, films: FilmLedger, state: State) -> None:
    film = await create(films)
    row = await ledger.advance(await buy(ledger, film, "a"), "lost")
    assert row is not None
    if state == "disputed":
        await ledger.advance(row, "disputed")
    decision = await ledger.decide(purchase(film, "a"), FREE, request_id="r", shot=ShotName(film.id, "a"))

    assert not decision.is_new
    assert (await found(films, film)).shots["a"].is_bought
    assert unpaid_shots(await found(films, film), SHOTS) == []


async def test_what_a_server_left_before_sending_is_free_again(ledger: Ledger, films: FilmLedger, wall: Wall) -> None:
    film = await create(films)
    decision = await ledger.decide(purchase(film, "a"), FREE, shot=ShotName(film.id, "a"))
    assert decision.row.state == "reserved"
    wall.seconds += LEASE_SECONDS + 1

    assert not (await found(films, film)).shots["a"].is_bought
    await buy(ledger, film, "a")
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
    ledger: Ledger, films: FilmLedger, wall: Wall, budget: Budget, allowed: bool
) -> None:
    balance = Balance(10.0, wall.seconds)
    if allowed:
        await films.create(NEW, budget, balance, None)
        with pytest.raises(BudgetError, match=r"0\.60"):
            await films.create(replace(NEW, take=2), budget, balance, None)
    else:
        with pytest.raises(BudgetError, match=r"\$0\.60"):
            await films.create(NEW, budget, balance, None)
    assert await reserved(ledger) == pytest.approx(0.6 if allowed else 0)
    assert len(await films.newest(9)) == allowed


async def test_a_film_s_reservation_stands_in_the_way_of_other_purchases(ledger: Ledger, films: FilmLedger) -> None:
    await create(films, person="anna")
    single = NewPurchase("f", "s", "{}", "video", 100_001, "published")
    with pytest.raises(BudgetError, match=r"\$0\.60 reserved"):
        await ledger.decide(single, Budget(max_usd_per_day=0.7))
    with pytest.raises(BudgetError):
        await ledger.decide(replace(single, person="anna"), Budget(max_usd_per_person_per_day=0.7))

    await ledger.decide(replace(single, person="ben"), Budget(max_usd_per_person_per_day=0.7))
    assert (await ledger.today("anna")).reserved_usd == pytest.approx(0.6)
    assert (await ledger.today("ben")).reserved_usd == pytest.approx(0.1, abs=0.001)


async def test_a_yes_serves_for_one_film(films: FilmLedger) -> None:
    asks = Budget(confirm_above_usd=0.5)
    with pytest.raises(ConsentNeededError):
        await films.create(NEW, asks, None, None)
    await films.create(NEW, asks, None, "yes 1")
    with pytest.raises(ConsentUsedError):
        await films.create(replace(NEW, take=2), asks, None, "yes 1")

    assert len(await films.newest(9)) == 1
    await films.create(replace(NEW, fingerprint="small", shots=SHOTS[:2]), asks, None, None)


async def test_a_yes_serves_for_one_change(films: FilmLedger) -> None:
    film = await create(films)
    asks = Budget(confirm_above_usd=0.5)
    more = (*SHOTS, NewShot("d", 600_000))

    async def change(consent: str | None, shots: tuple[NewShot, ...] = more) -> FilmRow:
        return await films.change(film, "another", shots, most_micros=10**6, budget=asks, balance=None, consent=consent)

    with pytest.raises(ConsentNeededError):
        await change(None)
    assert (await change("yes 1")).plan == "another"
    with pytest.raises(ConsentUsedError):
        await change("yes 1", (*more, NewShot("e", 600_000)))


async def test_a_change_keeps_what_is_bought_and_reserves_the_rest(ledger: Ledger, films: FilmLedger) -> None:
    film = await create(films)
    row = await ledger.advance(await buy(ledger, film, "a"), "accepted", generation_id="g")
    shots = (SHOTS[0], NewShot("d", 500_000))
    changed = await films.change(film, "new", shots, most_micros=500_000, budget=FREE, balance=None, consent=None)

    assert changed.shots["a"].purchase == row
    assert {key for key, shot in changed.shots.items() if shot.is_wanted} == {"a", "d"}
    assert changed.shots["b"].note == "The plan has no such shot any more."
    assert await reserved(ledger) == pytest.approx(0.5)
    with pytest.raises(ShotTakenError):
        await buy(ledger, film, "b")
    back = await films.change(changed, "old", SHOTS, most_micros=500_000, budget=FREE, balance=None, consent=None)
    assert {key for key, shot in back.shots.items() if shot.is_wanted} == {"a", "b", "c"}
    assert back.shots["b"].note == ""
    assert await reserved(ledger) == pytest.approx(0.5)


async def test_a_change_that_costs_more_than_was_told_is_no_change(ledger: Ledger, films: FilmLedger) -> None:
    film = await create(films)
    with pytest.raises(FilmChangedError):
        await films.change(
            film, "new", (NewShot("d", 500_000),), most_micros=499_999, budget=FREE, balance=None, consent=None
        )

    assert (await found(films, film)).plan == "plan"
    assert await reserved(ledger) == pytest.approx(0.6)


async def test_a_change_that_a_cap_forbids_changes_nothing(ledger: Ledger, films: FilmLedger) -> None:
    film = await create(films)
    budget = Budget(max_usd_per_day=1.0)
    more = (*SHOTS, NewShot("d", 400_001))
    with pytest.raises(BudgetError):
        await films.change(film, "new", more, most_micros=10**6, budget=budget, balance=None, consent=None)

    assert (await found(films, film)).plan == "plan"
    assert set((await found(films, film)).shots) == {"a", "b", "c"}


async def test_what_cannot_be_made_gives_its_money_back(ledger: Ledger, films: FilmLedger) -> None:
    film = await create(films)
    await buy(ledger, film, "a")
    await films.stop(film.id, {"a": "too late", "b": "It waits for shot 1."})
    again = await found(films, film)

    assert (again.shots["a"].is_wanted, again.shots["a"].note) == (True, "")
    assert (again.shots["b"].is_wanted, again.shots["b"].note) == (False, "It waits for shot 1.")
    assert await reserved(ledger) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("seconds", "is_over"),
    [(RESERVATION_SECONDS - 1, False), (RESERVATION_SECONDS, True), (-RESERVATION_SECONDS - 1, True),
     (-RESERVATION_SECONDS + 1, False)],
)  # fmt: skip
async def test_a_film_that_is_left_alone_gives_its_money_back(
    ledger: Ledger, films: FilmLedger, wall: Wall, seconds: float, is_over: bool
) -> None:
    film = await create(films)
    wall.seconds += seconds

    assert await reserved(ledger) == pytest.approx(0.6), "a look alone writes nothing"
    again = await found(films, film)
    assert {shot.is_wanted for shot in again.shots.values()} == {not is_over}
    assert {shot.note for shot in again.shots.values()} == {LEFT_ALONE if is_over else ""}
    assert await reserved(ledger) == pytest.approx(0 if is_over else 0.6)


async def test_each_purchase_keeps_the_reservation(ledger: Ledger, films: FilmLedger, wall: Wall) -> None:
    film = await create(films)
    wall.seconds += RESERVATION_SECONDS - 10
    await buy(ledger, film, "a")
    wall.seconds += RESERVATION_SECONDS - 10
    again = await found(films, film)

    assert [again.shots[key].is_wanted for key in "bc"] == [True, True]


async def test_the_end_of_a_reservation_frees_the_caps_of_whoever_decides_next(
    ledger: Ledger, films: FilmLedger, wall: Wall
) -> None:
    await create(films)
    wall.seconds += RESERVATION_SECONDS
    single = NewPurchase("f", "s", "{}", "video", 600_000, "published")

    assert (await ledger.decide(single, Budget(max_usd_per_day=0.6))).is_new


async def test_films_of_another_account_are_not_seen(films: FilmLedger, engine: Callable[[], Store]) -> None:
    film = await create(films)
    stranger = Ledger(engine(), account="you", owner="x")

    assert await FilmLedger(stranger).get(film.id) is None
    assert await FilmLedger(stranger).newest(9) == []
    assert (await stranger.today()).reserved_usd == 0
    assert await films.get("film-0000000000000000") is None
    await stranger.close()


async def test_the_newest_film_comes_first(films: FilmLedger, wall: Wall) -> None:
    made: list[str] = []
    for take in (1, 2, 3):
        made.append((await create(films, take=take)).id)
        wall.seconds += 1

    assert [film.id for film in await films.newest(2)] == [made[2], made[1]]


async def test_the_credit_floor_counts_what_is_planned(ledger: Ledger, films: FilmLedger, wall: Wall) -> None:
    await create(films)
    single = NewPurchase("f", "s", "{}", "video", 400_000, "published")
    balance = Balance(2.0, wall.seconds)
    with pytest.raises(BudgetError, match=r"less \$0\.60"):
        await ledger.decide(single, Budget(min_credit_usd=1.000001), balance)

    assert (await ledger.decide(single, Budget(min_credit_usd=1.0), balance)).is_new


@ON_FILE
async def test_a_ledger_without_films_is_given_their_tables(
    ledger: Ledger, other: Ledger, films: FilmLedger, ledger_path: Path
) -> None:
    """As version 2 left it."""
    await ledger.decide(NewPurchase("f", "s", "{}", "video", 100_000, "published"), FREE)
    await ledger.close()
    with open_rows(ledger_path) as rows:
        for table in ("film_consents", "film_shots", "films"):
            rows.execute(f"DROP TABLE {table}")
        rows.execute("PRAGMA user_version = 2")
    rows.close()
    film = await create(FilmLedger(other))

    assert await reserved(other) == pytest.approx(0.7)
    assert (await found(films, film)).shots.keys() == {"a", "b", "c"}
    with open_rows(ledger_path) as rows:
        assert rows.execute("PRAGMA user_version").fetchone() == (VERSION,)
    rows.close()


@ON_FILE
async def test_the_file_refuses_what_cannot_be(films: FilmLedger, ledger_path: Path) -> None:
    film = await create(films)
    with open_rows(ledger_path) as rows:
        for change in ("micros = -1", "wanted = 2"):
            with pytest.raises(sqlite3.IntegrityError):
                rows.execute(f"UPDATE film_shots SET {change} WHERE film_id = ?", (film.id,))
    rows.close()


def test_a_shot_is_paid_if_it_is_bought_or_reserved() -> None:
    row = Row("f", "s", "{}", "video", 1, "published", holds_take=1, state="completed")
    gone = replace(row, holds_take=0)
    cases = {
        "planned": film_rows.FilmShotRow("planned", 1, True),
        "left out": film_rows.FilmShotRow("left out", 1, False),
        "bought": film_rows.FilmShotRow("bought", 1, True, purchase=row),
        "bought and left out": film_rows.FilmShotRow("bought and left out", 1, False, purchase=row),
        "deleted": film_rows.FilmShotRow("deleted", 1, True, purchase=gone),
        "failed": film_rows.FilmShotRow("failed", 1, True, purchase=replace(gone, state="failed")),
        "refused": film_rows.FilmShotRow("refused", 1, True, purchase=replace(gone, state="refused")),
        "refused for good": film_rows.FilmShotRow("x", 1, False, purchase=replace(gone, state="refused")),
    }
    film = FilmRow("film-1", "me", "", 1, "", 0, 0, cases)
    unpaid = unpaid_shots(film, [NewShot(key, 1) for key in [*cases, "new"]])

    assert [shot.key for shot in unpaid] == ["left out", "deleted", "failed", "refused for good", "new"]
