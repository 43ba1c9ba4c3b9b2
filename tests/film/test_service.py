"""Films as they are bought, on both APIs, through what goes wrong: each shot once, and every dollar accounted for."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from luma_mcp.composition import build_services
from luma_mcp.config.settings import Settings
from luma_mcp.domain.errors import (
    AuthenticationError,
    BudgetError,
    FileError,
    GoneError,
    InsufficientCreditsError,
    InvalidRequestError,
    LedgerError,
    LumaError,
    NotFoundError,
)
from luma_mcp.domain.requests import ImageRequest
from luma_mcp.domain.usd import Usd
from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.dream_machine.account import RuleBrokenError
from luma_mcp.emulator.faults import Fault
from luma_mcp.emulator.habits import Habits
from luma_mcp.film.film import Film
from luma_mcp.film.plan import CONTINUE, NEXT, FilmFormat, Shot
from luma_mcp.ledger.caps import ConsentNeededError
from luma_mcp.ledger.states import SPENT
from luma_mcp.mcp.services import Services
from luma_mcp.purchasing.orders import PurchaseRequest
from tests.sources.test_local_files import picture
from tests.support.agent import BASE_URL, INTERNET, TOKEN, HeldClock, InMemory, emulator_of_both
from tests.support.ledgers import all_rows

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

KEY = f"luma-api-{TOKEN}"
OLDER, NEWER = FilmFormat("ray-flash-2", "16:9", "540p"), FilmFormat("ray-3.2", "16:9", "540p")
BOTH = pytest.mark.parametrize("form", [OLDER, NEWER], ids=["dream_machine", "agents"])
THREE = (Shot("a boat at dawn"), Shot("it drifts off", start=CONTINUE), Shot("a storm comes"))


@pytest.fixture
def emulator(clock: HeldClock) -> Emulator:
    return emulator_of_both(clock, KEY)


class Studio:
    """A server that makes films, without an MCP client before it."""

    def __init__(self, services: Services, clock: HeldClock) -> None:
        self.services = services
        self.clock = clock
        self.told: list[str] = []

    async def create(self, form: FilmFormat, *shots: Shot, take: int = 1, consent: str | None = None) -> Film:
        plan = await self.services.films.plan(form, shots, self.services.sources.start)
        film, self.was_new = await self.services.films.create(plan, take=take, person="", consent=consent)
        return film

    async def change(
        self, film: Film, *shots: Shot, approved_usd: float | None = None, form: FilmFormat | None = None
    ) -> Film:
        plan = await self.services.films.plan(form or film.plan.form, shots, self.services.sources.start)
        usd = (
            sum(item.micros for item in self.services.films.unpaid(film, plan)) / 1e6
            if approved_usd is None
            else approved_usd
        )
        return await self.services.films.change(film, plan, approved_usd=usd, consent=None)

    async def wait(self, film: Film, timeout_seconds: float = 3600) -> Film:
        async def tell(current: Film, seconds: float, problem: str | None) -> None:
            self.told.append(f"{seconds:.0f} {' '.join(shot.state for shot in current.shots)} {problem or ''}")

        return await self.services.films.wait(
            film.id, None, timeout_seconds=timeout_seconds, sources_of=self.services.sources.start, on_film=tell
        )

    async def money(self) -> tuple[float, float]:
        """The spent and the reserved US dollars; a film of the tests may cross midnight."""
        rows = await all_rows(self.services.purchases._ledger)
        spent = sum(row.micros for row in rows if row.state in SPENT) / 1e6
        return round(spent, 4), round((await self.services.purchases.spending()).reserved_usd, 4)


@pytest.fixture
async def open_studio(transport: InMemory, clock: HeldClock, output: Path, ledger_path: Path) -> AsyncIterator[Any]:
    """Opens another server of the same ledger, in settings of the test's own."""
    async with anyio.create_task_group() as tasks:
        over = anyio.Event()

        async def build(**environment: str) -> Studio:
            values = {
                "LUMA_TOKEN": TOKEN, "LUMA_AGENTS_API_KEY": KEY, "LUMA_BASE_URL": BASE_URL,
                "LUMA_AGENTS_BASE_URL": BASE_URL.replace("/dream-machine", ""),
                "LUMA_OUTPUT_DIR": str(output), "LUMA_LEDGER": str(ledger_path),
            }  # fmt: skip
            services = build_services(Settings.from_environment({**values, **environment}), transport, clock)
            ready = anyio.Event()

            async def run() -> None:
                async with services.running():
                    ready.set()
                    await over.wait()

            tasks.start_soon(run)
            await ready.wait()
            return Studio(services, clock)

        yield build
        over.set()


@pytest.fixture
async def studio(open_studio: Any) -> Studio:
    return await open_studio()


def bought(emulator: Emulator) -> int:
    return sum(len(account.billing.purchases()) for account in (emulator.dream_machine, emulator.agents))


def states(film: Film) -> list[str]:
    return [shot.state for shot in film.shots]


@BOTH
async def test_a_film_is_bought_shot_by_shot(studio: Studio, emulator: Emulator, form: FilmFormat) -> None:
    film = await studio.create(form, *THREE)
    spent, reserved = await studio.money()
    assert (bought(emulator), spent, reserved) == (0, 0, film.plan.usd)
    done = await studio.wait(film)

    assert (done.state, states(done)) == ("completed", ["completed"] * 3)
    assert bought(emulator) == 3
    assert await studio.money() == (film.plan.usd, 0)
    assert done.spent_usd == film.plan.usd
    first, second, _ = done.shots
    assert second.purchase is not None
    assert second.purchase.made_from == (first.generation_id,)
    assert studio.told[0].endswith("planned planned planned ")


async def test_what_waits_for_nothing_is_made_at_once(studio: Studio, clock: HeldClock) -> None:
    began = clock.seconds
    one = await studio.wait(await studio.create(OLDER, Shot("a boat")))
    alone = clock.seconds - began
    began = clock.seconds
    many = await studio.wait(await studio.create(OLDER, *[Shot(f"boat {number}") for number in range(8)]))

    assert (one.state, many.state) == ("completed", "completed")
    assert clock.seconds - began < 2 * alone


@pytest.mark.parametrize("count", [12, 25])
async def test_no_more_are_made_at_once_than_luma_makes(studio: Studio, emulator: Emulator, count: int) -> None:
    most = 0

    async def look(film: Film, _seconds: float, _problem: str | None) -> None:
        nonlocal most
        most = max(most, len(film.running))

    film = await studio.create(OLDER, *[Shot(f"boat {number}") for number in range(count)])
    done = await studio.services.films.wait(
        film.id, None, timeout_seconds=36_000, sources_of=studio.services.sources.start, on_film=look
    )

    assert (done.state, most, bought(emulator)) == ("completed", 10, count)


async def test_a_wait_that_is_over_buys_nothing_more_and_the_next_one_continues(
    studio: Studio, emulator: Emulator
) -> None:
    film = await studio.create(OLDER, *THREE)
    first = await studio.wait(film, timeout_seconds=5)
    count = bought(emulator)
    assert (first.state, count) == ("running", 2)
    last = await studio.wait(film)

    assert (last.state, bought(emulator)) == ("completed", 3)


async def test_another_server_continues_where_one_was_left(open_studio: Any, emulator: Emulator) -> None:
    film = await (await open_studio()).create(OLDER, *THREE)
    await (await open_studio()).wait(film, timeout_seconds=5)
    done = await (await open_studio()).wait(film)

    assert (done.state, bought(emulator)) == ("completed", 3)


@BOTH
async def test_two_servers_that_wait_at_once_buy_each_shot_once(
    open_studio: Any, emulator: Emulator, form: FilmFormat
) -> None:
    studios = [await open_studio() for _ in range(3)]
    film = await studios[0].create(form, *THREE, Shot("a bird"), Shot("a lamp"))
    ended: list[Film] = []

    async def wait(where: Studio) -> None:
        ended.append(await where.wait(film))

    async with anyio.create_task_group() as tasks:
        for where in studios:
            tasks.start_soon(wait, where)

    assert [film.state for film in ended] == ["completed"] * 3
    assert bought(emulator) == 5
    assert await studios[0].money() == (film.plan.usd, 0)


@BOTH
async def test_a_failed_shot_stops_what_depends_on_it_and_nothing_else(
    studio: Studio, emulator: Emulator, form: FilmFormat
) -> None:
    shots = (Shot("a boat [fail]"), Shot("on", start=CONTINUE), Shot("and on", start=CONTINUE), Shot("a storm"))
    done = await studio.wait(await studio.create(form, shots[0], replace(shots[1], prompt="on it goes"), *shots[2:]))

    assert states(done) == ["failed", "stopped", "stopped", "completed"]
    assert done.state == "stopped"
    assert [shot.reason for shot in done.shots[1:3]] == [
        "It waits for shot 1, which was not made.", "It waits for shot 2, which was not made.",
    ]  # fmt: skip
    assert bought(emulator) == 2
    assert await studio.money() == (done.plan.shots[3].usd, 0)


async def test_a_refused_shot_stops_what_depends_on_it_and_nothing_else(
    studio: Studio, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept = emulator.dream_machine.accept

    def refuse(body: Any, *more: Any) -> Any:
        if body.prompt == "a boat":
            raise RuleBrokenError("400: A boat is no subject.")
        return accept(body, *more)

    monkeypatch.setattr(emulator.dream_machine, "accept", refuse)
    film = await studio.create(OLDER, Shot("a boat"), Shot("it goes", start=CONTINUE), Shot("a storm"))
    done = await studio.wait(film)

    assert states(done) == ["refused", "stopped", "completed"]
    assert "A boat is no subject" in done.shots[0].reason
    assert await studio.money() == (pytest.approx(0.14), 0)


@pytest.mark.parametrize("what", ["credit", "token"])
async def test_an_account_that_cannot_buy_costs_no_shot(studio: Studio, emulator: Emulator, what: str) -> None:
    film = await studio.create(OLDER, *THREE)
    client = studio.services.backend.dream_machine
    assert client is not None
    if what == "credit":
        emulator.dream_machine.billing.charge("elsewhere", 99_999)
        with pytest.raises(InsufficientCreditsError):
            await studio.wait(film)
        emulator.dream_machine.billing.refund("elsewhere")
        emulator.dream_machine.billing.entries.clear()
    else:
        emulator._dream_machine_api._token = "another"
        with pytest.raises(AuthenticationError):
            await studio.wait(film)
        emulator._dream_machine_api._token = TOKEN
    assert states(await studio.services.films.get(film.id, None)) == ["planned"] * 3
    done = await studio.wait(film)

    assert (done.state, bought(emulator)) == ("completed", 3)


async def test_luma_s_reason_is_remembered(open_studio: Any) -> None:
    studio = await open_studio()
    film = await studio.wait(await studio.create(OLDER, Shot("a boat [fail: Frame moderation failed]")))
    again = await (await open_studio()).services.films.get(film.id, None)

    assert [shot.reason for shot in (*film.shots, *again.shots)] == ["Frame moderation failed"] * 2


async def test_a_film_that_was_stopped_continues_with_what_was_made(studio: Studio, emulator: Emulator) -> None:
    film = await studio.create(OLDER, Shot("a boat"), Shot("a storm [fail]"), Shot("on it goes", start=CONTINUE))
    stopped = await studio.wait(film)
    assert states(stopped) == ["completed", "failed", "stopped"]
    again = await studio.change(stopped, Shot("a boat"), Shot("a storm"), Shot("on it goes", start=CONTINUE))
    assert (await studio.money())[1] == pytest.approx(0.28)
    done = await studio.wait(again)

    assert (done.state, done.id) == ("completed", film.id)
    assert done.shots[0].generation_id == stopped.shots[0].generation_id
    assert bought(emulator) == 4
    assert await studio.money() == (pytest.approx(0.42), 0)


async def test_the_same_plan_makes_failed_shots_again(studio: Studio, emulator: Emulator) -> None:
    emulator.faults.append(Fault("moderate", method="POST", times=1))
    film = await studio.wait(await studio.create(OLDER, Shot("a boat")))
    assert states(film) == ["failed"]
    done = await studio.wait(await studio.change(film, Shot("a boat")))

    assert (states(done), bought(emulator)) == (["completed"], 2)
    assert await studio.money() == (pytest.approx(0.14), 0)


async def test_a_change_buys_only_what_changed_and_what_depends_on_it(studio: Studio, emulator: Emulator) -> None:
    shots = (Shot("a boat"), Shot("on it goes", start=CONTINUE), Shot("a storm"), Shot("and on", start=CONTINUE))
    film = await studio.wait(await studio.create(OLDER, *shots))
    changed = await studio.change(film, shots[0], shots[1], replace(shots[2], take=2), shots[3])
    assert states(changed) == ["completed", "completed", "planned", "planned"]
    assert (await studio.money())[1] == pytest.approx(0.28)
    done = await studio.wait(changed)

    assert (done.state, bought(emulator)) == ("completed", 6)
    assert [a.generation_id == b.generation_id for a, b in zip(film.shots, done.shots, strict=True)] == [
        True, True, False, False,
    ]  # fmt: skip


async def test_a_changed_order_buys_nothing(studio: Studio, emulator: Emulator) -> None:
    film = await studio.wait(await studio.create(OLDER, Shot("a boat"), Shot("a storm")))
    turned = await studio.wait(await studio.change(film, Shot("a storm"), Shot("a boat"), approved_usd=0))

    assert (turned.state, bought(emulator)) == ("completed", 2)
    assert [shot.generation_id for shot in turned.shots] == [shot.generation_id for shot in film.shots][::-1]


async def test_a_change_that_costs_more_than_was_reported_is_refused(studio: Studio, emulator: Emulator) -> None:
    film = await studio.create(OLDER, Shot("a boat"))
    with pytest.raises(BudgetError, match="costs more than the price that was approved"):
        await studio.change(film, Shot("a boat"), Shot("a storm"), approved_usd=0.1)

    assert len((await studio.services.films.get(film.id, None)).shots) == 1


async def test_a_film_stays_with_its_api(studio: Studio) -> None:
    film = await studio.create(OLDER, Shot("a boat"))
    with pytest.raises(InvalidRequestError, match="stays with the API"):
        await studio.change(film, Shot("a boat"), form=NEWER)


@pytest.mark.parametrize("environment", [{"LUMA_MAX_USD_PER_DAY": "0.41"}, {"LUMA_MIN_CREDIT_USD": "999.59"}])
async def test_nothing_is_bought_if_the_whole_cannot_be_afforded(
    open_studio: Any, emulator: Emulator, environment: dict[str, str]
) -> None:
    studio = await open_studio(**environment)
    with pytest.raises(BudgetError, match=r"\$0\.42"):
        await studio.create(OLDER, *THREE)

    assert bought(emulator) == 0
    assert await studio.money() == (0, 0)
    with pytest.raises(BudgetError, match="cap for one call"):
        (await open_studio(LUMA_MAX_USD_PER_CALL="0.41")).services.films.check(0.42, "$0.42")


async def test_a_film_that_the_account_cannot_pay_is_not_started(studio: Studio, emulator: Emulator) -> None:
    """Half a film would be bought, and then the credit would be used up."""
    emulator.dream_machine.billing.charge("elsewhere", 99_970)
    with pytest.raises(BudgetError, match=r"^This costs \$0\.42, the account has \$0\.30\.$"):
        await studio.create(OLDER, *THREE)
    assert await studio.money() == (0, 0)
    film = await studio.create(OLDER, *THREE[:2])
    with pytest.raises(BudgetError, match=r"less \$0\.28 that was sent since"):
        await studio.change(film, *THREE)
    again = await studio.create(OLDER, *THREE[:2])

    assert again.id == film.id, "what is reserved already is not counted against itself"
    assert (await studio.wait(film)).state == "completed"


async def test_a_balance_that_cannot_be_read_forbids_no_film(studio: Studio, emulator: Emulator) -> None:
    emulator.faults.append(Fault("error", path="*/credits", times=9, status=500))

    assert (await studio.wait(await studio.create(OLDER, *THREE))).state == "completed"


async def test_money_that_luma_gave_back_is_there_for_a_film(open_studio: Any, emulator: Emulator) -> None:
    """What failed since it was last looked at is asked for before a cap refuses."""
    studio = await open_studio(LUMA_MAX_USD_PER_DAY="0.5")
    failing = await studio.create(OLDER, Shot("a boat [fail]"))
    await studio.wait(failing, timeout_seconds=1)
    studio.clock.seconds += 600
    film = await studio.create(OLDER, *THREE)

    assert (await studio.wait(film)).state == "completed"
    assert bought(emulator) == 4


async def test_an_approval_is_needed_for_the_whole(open_studio: Any, emulator: Emulator) -> None:
    studio = await open_studio(LUMA_CONFIRM_ABOVE_USD="0.40")
    with pytest.raises(ConsentNeededError):
        await studio.create(OLDER, *THREE)
    film = await studio.create(OLDER, *THREE, consent="yes")
    with pytest.raises(BudgetError, match="yes has served"):
        await studio.create(OLDER, *THREE, take=2, consent="yes")
    done = await studio.wait(film)

    assert (done.state, bought(emulator)) == ("completed", 3)


async def nobody(_seconds: float, _why: str) -> None:
    """Nobody is told of waits."""


PASSING: dict[str, Fault] = {
    "500": Fault("error", method="GET", status=500, times=3),
    "garbled": Fault("garble", method="GET"),
    "dropped": Fault("drop", method="GET", times=3),
    "404": Fault("error", method="GET", status=404, times=2),
    "403": Fault("error", method="GET", status=403, times=2),
    "limited": Fault("limit", method="GET", seconds=70),
}


@BOTH
@pytest.mark.parametrize("name", PASSING)
async def test_what_passes_by_itself_ends_no_film(
    studio: Studio, emulator: Emulator, form: FilmFormat, name: str
) -> None:
    film = await studio.create(form, Shot("a boat"), Shot("the boat goes on", start=CONTINUE))
    struck: list[int] = []

    async def strike(current: Film, _seconds: float, _problem: str | None) -> None:
        if states(current) == ["completed", "planned"] and not struck:
            struck.append(1)
            emulator.faults.append(replace(PASSING[name]))

    done = await studio.services.films.wait(
        film.id, None, timeout_seconds=3600, sources_of=studio.services.sources.start, on_film=strike
    )

    assert struck
    assert (done.state, bought(emulator)) == ("completed", 2)


@pytest.mark.parametrize("error", [NotFoundError("404"), AuthenticationError("401"), GoneError("410")], ids=str)
async def test_one_refusal_of_luma_s_ends_no_film_and_a_second_does(
    studio: Studio, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, error: LumaError
) -> None:
    real, left = studio.services.purchases.buy, [1]

    async def refuse(order: PurchaseRequest) -> Any:
        left[0] -= 1
        if left[0] >= 0:
            raise error
        return await real(order)

    monkeypatch.setattr(studio.services.purchases, "buy", refuse)
    film = await studio.create(OLDER, Shot("a boat"))
    assert (await studio.wait(film)).state == "completed"

    left[0] = 2
    other = await studio.create(OLDER, Shot("a storm"))
    if isinstance(error, AuthenticationError):
        with pytest.raises(AuthenticationError):
            await studio.wait(other)
    else:
        assert (await studio.wait(other)).state == "stopped"
    assert bought(emulator) == 1


LOST: dict[str, Fault] = {
    "dropped": Fault("drop", method="POST", after=True),
    "502": Fault("error", method="POST", after=True, status=502),
    "not json": Fault("garble", method="POST"),
    "dropped before": Fault("drop", method="POST"),
    "limited": Fault("limit", method="POST", seconds=30),
}


@BOTH
@pytest.mark.parametrize("name", LOST)
async def test_what_goes_wrong_while_it_is_bought_buys_no_shot_twice(
    studio: Studio, emulator: Emulator, form: FilmFormat, name: str
) -> None:
    # Of an account of which the ledger knows nothing, an empty list proves nothing.
    known = studio.services.purchases.quote(ImageRequest(model="photon-1", prompt="known"))
    paid = (
        (await studio.services.purchases.buy(PurchaseRequest(known, nobody, take=1))).price.usd if form is OLDER else 0
    )
    emulator.faults.append(replace(LOST[name], times=2))
    film = await studio.create(form, *THREE)
    done = await studio.wait(film)
    for _ in range(40):
        if done.state in ("completed", "stopped"):
            break
        studio.clock.seconds += 60
        for account in await studio.services.purchases.queue.waiting_accounts():
            await studio.services.purchases.queue.send_waiting(account)
        done = await studio.wait(film)

    if form is OLDER or name == "limited":
        assert (done.state, bought(emulator)) == ("completed", 3 + bool(paid))
        assert await studio.money() == (pytest.approx(film.plan.usd + paid), 0)
    else:
        # The Agents API cannot be asked what was bought: the shots are in doubt, and are not bought again.
        assert done.state == "in doubt"
        assert bought(emulator) <= 3
        assert sum(await studio.money()) == pytest.approx(film.plan.usd)


async def test_a_shot_in_doubt_lets_the_others_continue(studio: Studio, emulator: Emulator) -> None:
    emulator.faults.append(Fault("drop", method="POST", after=True))
    film = await studio.create(NEWER, *THREE, Shot("a bird"))
    done = await studio.wait(film)
    doubtful = [shot for shot in done.shots if shot.state == "in doubt"]

    assert done.state == "in doubt"
    assert len(doubtful) == 1
    assert [shot.state for shot in done.shots if not shot.waits_for].count("completed") >= 2


async def test_what_a_person_settles_continues(studio: Studio, emulator: Emulator) -> None:
    emulator.faults.append(Fault("drop", method="POST", after=False))
    film = await studio.create(NEWER, Shot("a boat"), Shot("on it goes", start=CONTINUE))
    doubtful = await studio.wait(film)
    assert doubtful.state == "in doubt"
    row = doubtful.shots[0].purchase
    assert row is not None
    ledger = studio.services.purchases._ledger
    await ledger.advance(row, "disputed")
    await ledger.advance(row, "absent")
    done = await studio.wait(film)

    assert (done.state, bought(emulator)) == ("completed", 2)
    assert await studio.money() == (film.plan.usd, 0)


async def test_luma_that_cannot_be_reached_stops_nothing(studio: Studio, emulator: Emulator) -> None:
    film = await studio.create(OLDER, *THREE)
    emulator.faults.append(Fault("error", method="GET", status=503, times=30))
    done = await studio.wait(film)

    assert (done.state, bought(emulator)) == ("completed", 3)


async def test_a_purchase_that_cannot_be_looked_for_is_looked_for_later(studio: Studio, emulator: Emulator) -> None:
    emulator.faults.append(Fault("drop", method="POST", after=True))
    emulator.faults.append(Fault("error", method="GET", path="*/generations", status=500, times=40))
    done = await studio.wait(await studio.create(OLDER, *THREE))

    assert (done.state, bought(emulator)) == ("completed", 3)


async def test_a_ledger_that_fails_in_passing_while_it_looks_stops_nothing(
    studio: Studio, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator.faults.append(Fault("drop", method="POST", after=True))
    look, failures = studio.services.purchases.search_for, [LedgerError("The ledger is busy.")]

    async def search_for(row: Any) -> None:
        if failures:
            raise failures.pop()
        await look(row)

    monkeypatch.setattr(studio.services.purchases, "search_for", search_for)
    monkeypatch.setattr("luma_mcp.purchasing.reconcile._PAUSES_BETWEEN_SEARCHES", ())
    done = await studio.wait(await studio.create(OLDER, *THREE))

    assert (done.state, bought(emulator)) == ("completed", 3)
    assert any("The ledger is busy." in line for line in studio.told)


async def test_a_shot_that_was_left_out_meanwhile_is_not_bought(open_studio: Any, emulator: Emulator) -> None:
    """One server begins to buy while another changes the plan."""
    studio, other = await open_studio(), await open_studio()
    film = await studio.create(OLDER, Shot("a boat"), Shot("a storm"))
    await other.change(film, Shot("a boat"))
    row = film.shots[1]
    problems: dict[str, str] = {}
    await studio.services.films._buyer._buy(film, row, studio.services.sources.start("dream_machine"), problems)

    assert problems == {row.planned.key: "Shot 2 was bought or left out elsewhere."}
    assert bought(emulator) == 0


async def test_what_is_wrong_for_the_moment_is_reported(
    studio: Studio, emulator: Emulator, transport: InMemory
) -> None:
    film = await studio.create(OLDER, Shot("a boat"))
    transport.fails_before.extend([httpx.ConnectError("no way")] * 8)
    done = await studio.wait(film)

    assert done.state == "completed"
    assert any("Shot 1: " in line and "Luma" in line for line in studio.told), studio.told


async def test_a_shot_that_was_deleted_at_luma_is_failed(studio: Studio, emulator: Emulator) -> None:
    film = await studio.create(OLDER, Shot("a boat"), Shot("a storm"))
    await studio.wait(film, timeout_seconds=5)
    emulator.dream_machine.generations.clear()
    studio.clock.seconds += 700
    seen = await studio.services.films.get(film.id, None)

    assert states(seen) == ["failed", "failed"]
    assert (await studio.wait(film)).state == "stopped"


async def test_an_unknown_film_is_not_found(studio: Studio) -> None:
    film = await studio.create(OLDER, Shot("a boat"))
    with pytest.raises(NotFoundError, match="No film has the id film-0"):
        await studio.services.films.get("film-0000000000000000", None)
    with pytest.raises(NotFoundError, match="No film has the id"):
        await studio.services.films.get(film.id, "ben")

    assert [film.id for film in await studio.services.films.newest(5, None)] == [film.id]
    assert await studio.services.films.newest(5, "ben") == []


@pytest.mark.medium
async def test_the_end_of_one_shot_is_the_beginning_of_the_next(studio: Studio, emulator: Emulator) -> None:
    film = await studio.create(NEWER, Shot("a boat", end=NEXT), Shot("a storm"))
    assert [shot.waits_for for shot in film.shots] == [(2,), ()]
    done = await studio.wait(film)

    assert (done.state, bought(emulator)) == ("completed", 2)
    first, second = done.shots
    assert first.purchase is not None
    assert first.purchase.made_from == (second.generation_id,)
    assert "frame" in first.purchase.request


async def test_where_no_frame_can_be_put_no_shot_ends_on_the_next(studio: Studio, emulator: Emulator) -> None:
    with pytest.raises(FileError, match="Shot 1: ") as caught:
        await studio.create(OLDER, Shot("a boat", end=NEXT), Shot("a storm"))

    assert "LUMA_UPLOAD" in caught.value.full_text
    assert bought(emulator) == 0


async def test_a_source_is_resolved_and_its_shot_is_named(studio: Studio) -> None:
    with pytest.raises(LumaError, match=r"Shot 2: .*no-such\.png"):
        await studio.create(NEWER, Shot("a boat"), Shot("a storm", start="no-such.png"))


async def test_a_picture_that_exists_is_the_end_of_one_and_the_start_of_the_next(
    open_studio: Any, emulator: Emulator, tmp_path: Path
) -> None:
    studio = await open_studio(LUMA_INPUT_DIRS=str(tmp_path))
    (tmp_path / "harbour.png").write_bytes(picture(size=(640, 360)))
    film = await studio.create(NEWER, Shot("a boat", end=NEXT), Shot("a storm", start="harbour.png"))
    assert [shot.waits_for for shot in film.shots] == [(), ()]
    done = await studio.wait(film)

    assert (done.state, bought(emulator)) == ("completed", 2)
    first, second = (shot.purchase.body["video"] for shot in done.shots if shot.purchase)
    assert first["end_frame"] == second["start_frame"]


async def test_a_picture_that_was_changed_since_is_not_bought_with(
    open_studio: Any, emulator: Emulator, tmp_path: Path
) -> None:
    studio = await open_studio(LUMA_INPUT_DIRS=str(tmp_path))
    (tmp_path / "harbour.png").write_bytes(picture(size=(640, 360)))
    film = await studio.create(NEWER, Shot("a boat", start="harbour.png"), Shot("a storm"))
    (tmp_path / "harbour.png").write_bytes(picture(size=(360, 640)))
    done = await studio.wait(film)

    assert states(done) == ["stopped", "completed"]
    assert "not what it was when the film was planned" in done.shots[0].reason
    assert await studio.money() == (done.plan.shots[1].usd, 0)


async def test_a_shot_that_costs_more_by_now_is_not_bought(
    studio: Studio, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = await studio.create(OLDER, Shot("a boat"))
    quote = studio.services.purchases.quote

    def dearer(*arguments: Any) -> Any:
        made = quote(*arguments)
        return replace(made, price=replace(made.price, amount=made.price.amount + Usd.of(0.01)))

    monkeypatch.setattr(studio.services.purchases, "quote", dearer)
    done = await studio.wait(film)

    assert (states(done), bought(emulator)) == (["stopped"], 0)
    assert "It costs $0.15 now, and $0.14 were allowed." in done.shots[0].reason


async def test_a_film_that_was_left_alone_is_over(studio: Studio, emulator: Emulator, clock: HeldClock) -> None:
    film = await studio.create(OLDER, *THREE)
    await studio.wait(film, timeout_seconds=1)
    clock.seconds += 25 * 3600
    done = await studio.wait(film)

    assert states(done) == ["completed", "stopped", "completed"]
    assert done.shots[1].reason == "The film was left alone for 24 hours, so its reservation ended."
    today = await studio.services.purchases.spending()
    assert (today.spent_usd, today.reserved_usd) == (0, 0), "yesterday's purchases are not today's"
    again = await studio.wait(await studio.change(done, *THREE))
    assert (again.state, bought(emulator)) == ("completed", 3)


async def test_the_same_plan_is_the_same_film(studio: Studio, emulator: Emulator) -> None:
    film = await studio.create(OLDER, *THREE)
    again = await studio.create(OLDER, *THREE)
    assert (again.id, studio.was_new) == (film.id, False)
    other = await studio.create(OLDER, *THREE, take=2)

    assert other.id != film.id
    assert (await studio.money())[1] == pytest.approx(0.84)


@pytest.mark.medium
async def test_where_luma_s_list_lags_no_shot_is_bought_twice(studio: Studio, emulator: Emulator) -> None:
    emulator.habits = Habits(list_lag=90, get_lag=30, echo="partial", dates="missing")
    emulator.faults.append(Fault("drop", method="POST", after=True, times=3))
    film = await studio.create(OLDER, *THREE)
    done = film
    for _ in range(40):
        done = await studio.wait(film)
        if done.state in ("completed", "stopped"):
            break
        studio.clock.seconds += 120

    assert bought(emulator) <= 3
    spent, reserved = await studio.money()
    assert (done.state, spent, reserved) == ("completed", film.plan.usd, 0) or done.state == "in doubt"


async def test_a_server_that_stops_ends_the_wait(studio: Studio) -> None:
    film = await studio.create(OLDER, *THREE)
    answer: list[Film] = []

    async def wait() -> None:
        answer.append(await studio.wait(film))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        while not studio.told:
            await anyio.lowlevel.checkpoint()
        studio.services.poller.end_waits()

    assert answer[0].state == "running"


SIGNED = f"https://pictures.example/a.png?width=9&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature={'5' * 64}"


async def test_a_signed_link_goes_to_luma_and_stays_unreadable_in_the_ledger(
    studio: Studio, open_studio: Any, transport: InMemory, ledger_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(INTERNET, SIGNED, picture())
    film = await studio.create(OLDER, Shot("a boat", start=SIGNED), Shot("a storm", end=SIGNED))
    again = await studio.create(OLDER, Shot("a boat", start=SIGNED.replace("5", "6")), Shot("a storm", end=SIGNED))
    assert (again.id, studio.was_new) == (film.id, False)
    kept = b"".join(path.read_bytes() for path in ledger_path.parent.glob(f"{ledger_path.name}*"))
    assert b"https://pictures.example/a.png?width=9#signed:" in kept
    assert b"X-Amz" not in kept
    assert b"5" * 64 not in kept

    # Another server with the same key, as after a restart.
    await (await open_studio()).wait(film)
    bodies = [json.loads(request.content) for request in transport.requests if request.method == "POST"]
    assert [body["keyframes"] for body in bodies] == [
        {"frame0": {"type": "image", "url": SIGNED}},
        {"frame1": {"type": "image", "url": SIGNED}},
    ]
    changed = await studio.change(film, *(planned.shot for planned in film.plan.shots), Shot("the sun"))
    assert [shot.planned.key for shot in changed.shots[:2]] == [shot.planned.key for shot in film.shots]


async def test_a_signed_link_of_another_key_stops_its_shot_and_the_link_mends_it(
    open_studio: Any, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(INTERNET, SIGNED, picture())
    emulator._dream_machine_api._token = None
    old, new = await open_studio(), await open_studio(LUMA_TOKEN="luma-renewed")
    film = await old.create(OLDER, Shot("a boat", start=SIGNED), Shot("a storm"))
    stopped = await new.wait(film)

    assert [shot.state for shot in stopped.shots] == ["stopped", "completed"]
    assert "with another API key. create_film with this film_id and all shots" in stopped.shots[0].reason
    assert (await new.money())[1] == 0
    mended = await new.wait(await new.change(stopped, Shot("a boat", start=SIGNED), Shot("a storm")))
    assert [shot.state for shot in mended.shots] == ["completed", "completed"]
    assert len(emulator.dream_machine.billing.purchases()) == 2
