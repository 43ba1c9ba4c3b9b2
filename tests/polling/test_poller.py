"""One poller for everybody who waits."""

import random
from collections.abc import AsyncIterator

import anyio
import pytest

from luma_mcp.backends.dream_machine.client import DreamMachine
from luma_mcp.composition import RealClock
from luma_mcp.domain.errors import (
    AuthenticationError,
    GoneError,
    InvalidRequestError,
    LumaError,
    NotFoundError,
    RateLimitError,
    ServerError,
    UnexpectedResponseError,
    UnreachableError,
)
from luma_mcp.domain.generation import Generation
from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.dream_machine.bodies import ImageBody, VideoBody
from luma_mcp.emulator.faults import Fault
from luma_mcp.polling import poller as poller_module
from luma_mcp.polling.poller import Poller, Snapshot
from tests.support.agent import HeldClock

pytestmark = pytest.mark.anyio


def videos(emulator: Emulator, count: int) -> list[str]:
    body = VideoBody(model="ray-2", prompt="a boat", resolution="540p")
    emulator.dream_machine.billing.credit_cents = 1e9
    return [emulator.dream_machine.accept(body).id for _ in range(count)]


async def silent(_look: Snapshot) -> None:
    """Nobody listens."""


@pytest.fixture
async def watch(luma: DreamMachine, clock: HeldClock) -> AsyncIterator[Poller]:
    poller = Poller(luma, clock, listing=luma)
    async with poller.running():
        yield poller


async def wait(watch: Poller, ids: list[str], patience: float = 600, until="all") -> Snapshot:
    return await watch.wait(ids, until=until, timeout_seconds=patience, on_snapshot=silent)


async def test_many_who_wait_for_the_same_share_each_look(watch: Poller, emulator: Emulator) -> None:
    (video,) = videos(emulator, 1)
    looks: list[Snapshot] = []

    async def item() -> None:
        looks.append(await wait(watch, [video]))

    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(item)

    assert [look.generations[0].state for look in looks] == ["completed"] * 50
    assert len(emulator.requests) < 25


@pytest.mark.parametrize(("count", "most"), [(4, 8), (20, 2), (100, 1), (300, 0.6)])
async def test_a_handful_and_more_are_looked_at_by_the_list(
    watch: Poller, emulator: Emulator, count: int, most: float
) -> None:
    ids = videos(emulator, count)
    look = await wait(watch, ids)

    assert all(generation.state == "completed" for generation in look.generations)
    assert len(emulator.requests) / count <= most


async def test_what_is_not_on_the_page_is_asked_for_by_itself(watch: Poller, emulator: Emulator) -> None:
    old = videos(emulator, 4)
    for _ in range(60):
        emulator.dream_machine.accept(ImageBody(model="photon-1", prompt="a boat"))
    look = await wait(watch, old)

    assert all(generation.state == "completed" for generation in look.generations)
    assert ("GET", f"/generations/{old[0]}") in emulator.requests


async def test_when_the_list_fails_each_is_asked_for_by_itself(watch: Poller, emulator: Emulator) -> None:
    ids = videos(emulator, 6)
    emulator.faults.append(Fault("error", path="*/generations", times=10_000))
    look = await wait(watch, ids)

    assert all(generation.state == "completed" for generation in look.generations)


async def test_a_clip_is_left_alone_at_first_and_seen_to_end_soon(watch: Poller, emulator: Emulator, clock) -> None:
    (video,) = videos(emulator, 1)
    began = clock.seconds
    await wait(watch, [video])

    assert clock.sleeps[0] > 6
    assert clock.seconds - began < 60 + 5


async def test_a_rate_limit_holds_everybody_back(watch: Poller, emulator: Emulator, clock: HeldClock) -> None:
    ids = videos(emulator, 3)
    emulator.faults.append(Fault("limit", method="GET", times=3, seconds=300))
    at: list[float] = []

    async def item(generation_id: str) -> None:
        await wait(watch, [generation_id], patience=1800)
        at.append(clock.seconds)

    async with anyio.create_task_group() as tasks:
        for generation_id in ids:
            tasks.start_soon(item, generation_id)

    assert min(at) >= 1300
    assert len(emulator.requests) <= 12


async def test_one_who_leaves_does_not_stop_the_others(watch: Poller, emulator: Emulator) -> None:
    (video,) = videos(emulator, 1)
    looks: list[Snapshot] = []
    first = anyio.CancelScope()

    async def leave_early(look: Snapshot) -> None:
        if look.elapsed_seconds > 10:
            first.cancel()

    async def leave() -> None:
        with first:
            await watch.wait([video], until="all", timeout_seconds=600, on_snapshot=leave_early)

    async def stay() -> None:
        looks.append(await wait(watch, [video]))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(leave)
        tasks.start_soon(stay)

    assert first.cancelled_caught
    assert looks[0].generations[0].state == "completed"


async def test_when_nobody_waits_nothing_is_remembered_or_asked(watch: Poller, emulator: Emulator, clock) -> None:
    ids = videos(emulator, 5)
    with anyio.move_on_after(0):
        await wait(watch, ids)
    requested = len(emulator.requests)
    clock.seconds += 1000
    await anyio.lowlevel.checkpoint()

    assert len(emulator.requests) == requested
    assert watch._tracked == {}


async def test_a_newcomer_is_not_made_to_wait_for_the_others_pace(
    watch: Poller, emulator: Emulator, clock: HeldClock
) -> None:
    (video,) = videos(emulator, 1)
    image = emulator.dream_machine.accept(ImageBody(model="photon-1", prompt="a boat")).id
    ended: dict[str, float] = {}

    async def item(generation_id: str) -> None:
        await wait(watch, [generation_id])
        ended[generation_id] = clock.seconds

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(item, video)
        tasks.start_soon(item, image)

    assert ended[image] < ended[video]
    assert ended[image] - 1000 < 20


async def test_an_error_that_stays_ends_the_waits_that_it_concerns(watch: Poller, emulator: Emulator) -> None:
    (video,) = videos(emulator, 1)
    missing = "15b7abb1-3741-4b7e-9615-1f9a16c7442d"
    with pytest.raises(NotFoundError):
        await wait(watch, [missing])
    both = await wait(watch, [video, missing])

    assert [generation.state for generation in both.generations] == ["completed", "not found"]
    assert (await wait(watch, [video])).generations[0].state == "completed"


async def test_one_answer_that_it_is_not_there_does_not_end_a_wait(watch: Poller, emulator: Emulator) -> None:
    """One replica of Luma's may not know it yet."""
    (video,) = videos(emulator, 1)
    emulator.faults.append(Fault("error", method="GET", path=f"*/{video}", status=404, times=1))

    assert (await wait(watch, [video])).generations[0].state == "completed"


async def test_what_was_bought_a_moment_ago_is_never_not_found(
    luma: DreamMachine, emulator: Emulator, clock: HeldClock
) -> None:
    (video,) = videos(emulator, 1)
    emulator.habits.get_lag = 30

    async def always(_generation_id: str) -> bool:
        return True

    watch = Poller(luma, clock, always, listing=luma)
    async with watch.running():
        assert (await wait(watch, [video], patience=10)).generations[0].state == "unknown"
        assert (await wait(watch, [video])).generations[0].state == "completed"


async def test_a_refused_token_ends_every_wait(watch: Poller, emulator: Emulator) -> None:
    ids = videos(emulator, 8)
    emulator._dream_machine_api._token = "another"
    with pytest.raises(AuthenticationError):
        await wait(watch, ids)


async def test_a_generation_that_is_stuck_is_said_to_be(watch: Poller, emulator: Emulator, clock: HeldClock) -> None:
    (video,) = videos(emulator, 1)
    emulator.dream_machine._speed = 0.01
    look = await wait(watch, [video], patience=1800)

    assert look.stalled == (video,)
    assert len(emulator.requests) < 250


async def test_no_patience_is_one_look(watch: Poller, emulator: Emulator) -> None:
    ids = videos(emulator, 2)
    look = await wait(watch, ids, patience=0)

    assert [generation.state for generation in look.generations] == ["queued", "queued"]
    assert len(emulator.requests) == 2


async def test_what_nothing_was_heard_of_stands_as_unknown(watch: Poller, emulator: Emulator) -> None:
    received, unheard = videos(emulator, 2)
    emulator.faults.append(Fault("error", path=f"*/{unheard}", times=10_000))
    look = await wait(watch, [received, unheard], patience=45)

    assert [generation.state for generation in look.generations] == ["dreaming", "unknown"]


async def test_while_the_limit_holds_a_wait_without_patience_ends_with_that(watch: Poller, emulator: Emulator) -> None:
    (video,) = videos(emulator, 1)
    emulator.faults.append(Fault("limit", method="GET", times=1, seconds=300))
    with pytest.raises(LumaError, match="rate limit"):
        await wait(watch, [video], patience=1)


class StoppedClock(HeldClock):
    """Whose sleeps end only when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.asleep = anyio.Event()
        self.woken = anyio.Event()

    async def sleep(self, seconds: float) -> None:
        self.asleep.set()
        await self.woken.wait()
        await super().sleep(seconds)


async def test_a_newcomer_wakes_the_one_who_sleeps(luma: DreamMachine, emulator: Emulator) -> None:
    clock = StoppedClock()
    watch = Poller(luma, clock, listing=luma)
    first, second = videos(emulator, 2)
    looks: list[Snapshot] = []

    async def look_once(look: Snapshot) -> None:
        looks.append(look)

    async with watch.running(), anyio.create_task_group() as tasks:
        tasks.start_soon(wait, watch, [first])
        await clock.asleep.wait()
        with anyio.fail_after(5):
            # Its first look comes at once, though the poller sleeps and its clock stands still.
            await watch.wait([second], until="all", timeout_seconds=0, on_snapshot=look_once)
        tasks.cancel_scope.cancel()

    assert [generation.id for generation in looks[-1].generations] == [second]


async def test_what_is_heard_of_one_whose_waiter_has_left_is_let_go(
    luma: DreamMachine, emulator: Emulator, clock: HeldClock
) -> None:
    left, stays = videos(emulator, 2)
    begun, may_go_on, requested, may_answer = (anyio.Event() for _ in range(4))

    class SlowForOne:
        async def get_generation(self, generation_id: str) -> Generation:
            begun.set()
            await may_go_on.wait()
            if generation_id == left:
                requested.set()
                await may_answer.wait()
            return await luma.get_generation(generation_id)

    watch = Poller(SlowForOne(), clock, listing=None)  # type: ignore[arg-type]
    looks: list[Snapshot] = []

    async def stay() -> None:
        looks.append(await wait(watch, [stays]))

    async with watch.running(), anyio.create_task_group() as tasks:
        tasks.start_soon(stay)
        await begun.wait()
        with anyio.CancelScope() as scope:
            tasks.start_soon(leave_when, requested, scope)
            may_go_on.set()
            await wait(watch, [left])
        may_answer.set()

    assert looks[0].generations[0].state == "completed"


async def leave_when(requested: anyio.Event, scope: anyio.CancelScope) -> None:
    await requested.wait()
    scope.cancel()


async def test_when_a_limit_is_reached_halfway_the_rest_are_not_asked_for(watch: Poller, emulator: Emulator) -> None:
    ids = videos(emulator, 60)
    emulator.faults.append(Fault("error", method="GET", path="*/generations", times=3))
    emulator.faults.append(Fault("limit", method="GET", path="*/generations/*", seconds=90, times=1))
    look = await wait(watch, ids)

    assert all(generation.state == "completed" for generation in look.generations)
    single = [path for _, path in emulator.requests if path != "/generations"]
    assert len(single) < 60


@pytest.mark.medium
async def test_five_hundred_waits_through_faults_all_end_right(
    watch: Poller, emulator: Emulator, clock: HeldClock
) -> None:
    """Ten minutes of Luma's time, a fifth of its answers faulty."""
    chance = random.Random(4)
    ids = videos(emulator, 500)
    doomed = set(chance.sample(ids, 50))
    for generation_id in doomed:
        emulator.dream_machine.get(generation_id).will_fail_with = "Job failed"
    emulator.faults.extend(_bad_weather(chance))
    ended: dict[str, str] = {}

    async def item(generation_id: str) -> None:
        look = await wait(watch, [generation_id], patience=1800)
        ended[generation_id] = look.generations[0].state

    async with anyio.create_task_group() as tasks:
        for generation_id in ids:
            tasks.start_soon(item, generation_id)

    assert {item for item, state in ended.items() if state == "failed"} == doomed
    assert {item for item, state in ended.items() if state == "completed"} == set(ids) - doomed
    assert len(emulator.requests) / len(ids) < 3


class Weather(Fault):
    """Strikes a fifth of the requests, for ever."""

    chance: random.Random

    def strikes(self, method: str, path: str) -> bool:
        return self.chance.random() < 0.2


def _bad_weather(chance: random.Random) -> list[Fault]:
    bad = Weather("error", status=503, times=10**9)
    bad.chance = chance
    return [bad]


async def test_nobody_waits_in_vain_at_a_poller_that_does_not_run(luma: DreamMachine, clock: HeldClock) -> None:
    poller = Poller(luma, clock, listing=luma)

    with pytest.raises(RuntimeError, match=r"enter Poller\.running\(\) first"), poller.track(["a"], until=1):
        pass


async def test_word_that_one_has_changed_has_it_asked_for_at_once(
    luma: DreamMachine, emulator: Emulator, clock: HeldClock
) -> None:
    (video,) = videos(emulator, 1)
    poller = Poller(luma, RealClock(), listing=luma)
    looks: list[Snapshot] = []

    async def look() -> None:
        looks.append(await wait(poller, [video]))

    with anyio.fail_after(5):
        async with poller.running(), anyio.create_task_group() as tasks:
            tasks.start_soon(look)
            await anyio.wait_all_tasks_blocked()
            asked = len(emulator.requests)
            clock.seconds += 1000
            poller.poll_now("15b7abb1-3741-4b7e-9615-1f9a16c7442d")
            poller.poll_now(video)

    assert looks[0].generations[0].state == "completed"
    assert len(emulator.requests) == asked + 1


class Apis:
    """Two APIs behind one backend. Each generation is completed at a fixed time; an API refuses as a test says."""

    def __init__(self, clock: HeldClock) -> None:
        self.clock = clock
        self.failures: dict[str, list[LumaError]] = {}
        self.hangs: set[str] = set()
        self.calls: list[tuple[str, float]] = []

    async def get_generation(self, generation_id: str) -> Generation:
        api = generation_id.partition("-")[0]
        self.calls.append((generation_id, self.clock.seconds))
        if api in self.hangs:
            await anyio.sleep_forever()
        if self.failures.get(api):
            raise self.failures[api].pop(0)
        state = "completed" if self.clock.seconds >= 1030 else "dreaming"
        return Generation(id=generation_id, state=state)

    async def api_of(self, generation_id: str) -> str | None:
        return generation_id.partition("-")[0]


REFUSED = AuthenticationError("Luma refused the token (401).")
TROUBLE: dict[str, list[LumaError]] = {
    "a refused key": [REFUSED] * 99,
    "a limit of 300 s": [RateLimitError("limit", "", 300.0)] * 3,
    "a 503": [ServerError("Luma failed to answer (503).")] * 99,
    "HTML": [UnexpectedResponseError("not Luma's own")] * 99,
    "a 410": [GoneError("Luma has switched this off (410).")] * 99,
    "a 404": [NotFoundError("not there")] * 99,
}


@pytest.mark.parametrize("trouble", TROUBLE)
@pytest.mark.parametrize("is_one_wait", [True, False])
async def test_trouble_of_one_api_neither_ends_nor_delays_waits_for_the_other(
    clock: HeldClock, trouble: str, is_one_wait: bool
) -> None:
    apis = Apis(clock)
    apis.failures["agents"] = list(TROUBLE[trouble])
    poller = Poller(apis, clock, listing=None, api_of=apis.api_of)  # type: ignore[arg-type]
    sound, failing = "dream_machine-1", "agents-1"
    completed_at: list[float] = []
    states: list[str] = []

    async def note(snapshot: Snapshot) -> None:
        if any(generation.id == sound and generation.state == "completed" for generation in snapshot.generations):
            completed_at.append(clock.seconds)

    async def wait_for(ids: list[str]) -> None:
        try:
            ended = await poller.wait(ids, until="all", timeout_seconds=100, on_snapshot=note)
            states.extend(generation.state for generation in ended.generations if generation.id == sound)
        except LumaError as error:
            assert ids == [failing]
            states.append(type(error).__name__)

    async with poller.running(), anyio.create_task_group() as tasks:
        for ids in [[sound, failing]] if is_one_wait else [[sound], [failing]]:
            tasks.start_soon(wait_for, ids)

    assert completed_at[0] < 1045
    assert "completed" in states


async def test_an_api_that_hangs_delays_no_wait_for_the_other(
    clock: HeldClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poller_module, "_POLL_PATIENCE_SECONDS", 0.02)
    apis = Apis(clock)
    apis.hangs.add("agents")
    poller = Poller(apis, clock, listing=None, api_of=apis.api_of)  # type: ignore[arg-type]
    async with poller.running(), anyio.create_task_group() as tasks:
        # Both begin in one turn: with nothing else to wait for, the clock would go on to the end of the first.
        tasks.start_soon(wait, poller, ["agents-1"], 1e9)
        with anyio.fail_after(60):
            ended = await wait(poller, ["dream_machine-1"])
            # And a wait for the one that hangs ends soon after its timeout.
            with pytest.raises(UnreachableError):
                await wait(poller, ["agents-2"], 10)
        tasks.cancel_scope.cancel()

    assert ended.generations[0].state == "completed"


@pytest.mark.parametrize(
    "error",
    [NotFoundError("404"), REFUSED, AuthenticationError("403"), InvalidRequestError("400"), GoneError("410")],
    ids=str,
)
@pytest.mark.parametrize("patience", [0, 600])
async def test_one_refusal_ends_no_wait_and_two_seconds_apart_do(
    clock: HeldClock, error: LumaError, patience: float
) -> None:
    apis = Apis(clock)
    poller = Poller(apis, clock, listing=None, api_of=apis.api_of)  # type: ignore[arg-type]
    async with poller.running():
        apis.failures["agents"] = [error]
        once_refused = await wait(poller, ["agents-1"], patience)
        apis.failures["agents"] = [error, error]
        with pytest.raises(type(error)):
            await wait(poller, ["agents-2"], patience)

    assert once_refused.generations[0].state == ("dreaming" if patience == 0 else "completed")
    (first, second) = [at for generation_id, at in apis.calls if generation_id == "agents-2"]
    assert second - first > 0.8


async def test_two_refusals_of_one_moment_are_one(clock: HeldClock) -> None:
    """A firewall that refuses for a moment refuses all that is asked then."""
    apis = Apis(clock)
    apis.failures["agents"] = [REFUSED] * 4
    poller = Poller(apis, clock, listing=None, api_of=apis.api_of)  # type: ignore[arg-type]
    async with poller.running():
        ended = await wait(poller, [f"agents-{number}" for number in range(4)])

    assert [generation.state for generation in ended.generations] == ["completed"] * 4


async def test_what_may_exist_is_not_called_not_found_however_often_luma_says_so(clock: HeldClock) -> None:
    apis = Apis(clock)
    apis.failures["agents"] = [NotFoundError("404")] * 20
    asked: list[str] = []

    async def may_exist(generation_id: str) -> bool:
        asked.append(generation_id)
        return True

    poller = Poller(apis, clock, may_exist, listing=None, api_of=apis.api_of)  # type: ignore[arg-type]
    async with poller.running():
        unknown = await wait(poller, ["agents-1"], 10)
        ended = await wait(poller, ["agents-1"], 1000)

    assert [unknown.generations[0].state, ended.generations[0].state] == ["unknown", "completed"]
    # Two refusals make a question. The first wait may end between the two, for polls are jittered.
    assert asked in (["agents-1"] * 9, ["agents-1"] * 10)


async def test_a_refused_generation_stands_as_unknown_beside_one_that_ends(clock: HeldClock) -> None:
    apis = Apis(clock)
    apis.failures["agents"] = [REFUSED] * 9
    poller = Poller(apis, clock, listing=None, api_of=apis.api_of)  # type: ignore[arg-type]
    async with poller.running():
        ended = await wait(poller, ["agents-1", "dream_machine-1"])

    assert [generation.state for generation in ended.generations] == ["unknown", "completed"]
    assert ended.problem == str(REFUSED)
