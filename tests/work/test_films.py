"""Films and generations that continue, and are saved, with no client that waits."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client

from luma_mcp.composition import build_server, build_services, with_runner
from luma_mcp.config.settings import Settings
from luma_mcp.domain.errors import AuthenticationError, FileError, NotFoundError, TransientFileError
from luma_mcp.emulator.app import Emulator
from luma_mcp.ledger.outbox import Outbox
from luma_mcp.mcp.services import Services
from luma_mcp.work.in_process import InProcessRunner
from luma_mcp.work.output import Output
from luma_mcp.work.saves import SaveJob
from tests.support.agent import Agent, HeldClock, InMemory, until

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

SHOTS = [{"prompt": "a boat"}, {"prompt": "a storm", "start": "continue"}, {"prompt": "a harbour"}]
CHEAP = {"model": "ray-flash-2", "resolution": "540p"}


@asynccontextmanager
async def server(
    settings: Settings, transport: InMemory, clock: HeldClock, *, with_jobs: bool = True
) -> AsyncIterator[tuple[Agent, Services]]:
    made = build_server(settings, transport=transport, clock=clock, with_jobs=with_jobs)
    async with Client(made) as client:
        yield Agent(client), made.services


def ended(services: Services, kind: str) -> Callable[[], Awaitable[bool]]:
    """Whether nothing is left to be done."""
    outbox = Outbox(services.purchases.ledger)

    async def is_empty() -> bool:
        await anyio.sleep(0.01)
        return await outbox.open(kind) == []

    return is_empty


async def film_of(agent: Agent, film_id: str) -> dict[str, Any]:
    contents = (await agent.client.read_resource(f"luma://films/{film_id}")).contents[0]
    return json.loads(getattr(contents, "text", ""))


def saved(output: Path) -> list[str]:
    return sorted(path.suffix for path in output.rglob("*") if path.suffix in (".mp4", ".jpg"))


@pytest.mark.slow
@pytest.mark.parametrize(("save", "files"), [("films", [".jpg", ".mp4"]), ("none", [])])
async def test_a_film_that_is_allowed_continues_and_is_saved_though_nobody_waits(
    settings: Settings, emulator: Emulator, transport: InMemory, clock: HeldClock, output: Path, save: Any,
    files: list[str],
) -> None:  # fmt: skip
    settings = settings.model_copy(update={"save": save})
    async with server(settings, transport, clock) as (agent, services):
        film_id = (await agent.call("create_film", shots=SHOTS, **CHEAP))["film_id"]
        with anyio.fail_after(120):
            await until(ended(services, "group"))
        film = await film_of(agent, film_id)

    assert film["state"] == "completed"
    assert len(emulator.dream_machine.billing.purchases()) == 3
    assert saved(output) == files


@pytest.mark.slow
async def test_a_film_continues_after_a_restart(
    settings: Settings, emulator: Emulator, transport: InMemory, clock: HeldClock, output: Path
) -> None:
    async with server(settings, transport, clock, with_jobs=False) as (agent, _):
        film_id = (await agent.call("create_film", shots=SHOTS, **CHEAP))["film_id"]
    assert emulator.dream_machine.billing.purchases() == []
    async with server(settings, transport, clock) as (agent, services):
        with anyio.fail_after(120):
            await until(ended(services, "group"))
        film = await film_of(agent, film_id)

    assert film["state"] == "completed"
    assert saved(output) == [".jpg", ".mp4"]
    assert len(emulator.dream_machine.billing.purchases()) == 3


@pytest.mark.slow
async def test_everything_that_is_bought_is_saved_as_it_ends_where_that_is_set(
    settings: Settings, transport: InMemory, clock: HeldClock, output: Path
) -> None:
    settings = settings.model_copy(update={"save": "all"})
    async with server(settings, transport, clock) as (agent, services):
        await agent.call("create_image", prompt="a harbour")
        await agent.call("create_video", prompt="a boat", **CHEAP)
        with anyio.fail_after(120):
            await until(ended(services, "save"))

    assert saved(output) == [".jpg", ".mp4"]


@pytest.fixture
async def working(settings: Settings, transport: InMemory, clock: HeldClock) -> AsyncIterator[Services]:
    """Services whose jobs a test runs by itself."""
    made = build_services(settings.model_copy(update={"save": "all"}), transport, clock)
    async with made.running():
        yield with_runner(made, settings.model_copy(update={"save": "all"}))


def job(services: Services, name: str) -> Any:
    assert isinstance(services.runner, InProcessRunner)
    return services.runner._jobs.kind(name)


async def test_a_film_or_a_purchase_that_does_not_exist_is_done(working: Services) -> None:
    outbox = Outbox(working.purchases.ledger)
    await outbox.add("group", "film-0123456789abcdef")
    await outbox.add("save", "99")

    assert await job(working, "film").find() == ["film-0123456789abcdef"]
    assert await job(working, "save").find() == ["99"]
    assert await job(working, "film").run("film-0123456789abcdef") is None
    assert await job(working, "save").run("99") is None
    assert await outbox.open("group") == await outbox.open("save") == []


async def test_a_film_of_an_account_that_cannot_buy_is_tried_rarely(
    working: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_arguments: Any, **_named: Any) -> None:
        raise AuthenticationError("The token is refused.")

    monkeypatch.setattr(working.films, "get", refuse)
    assert await job(working, "film").run("film-0123456789abcdef") == 600


@pytest.mark.parametrize(("is_lost", "pause"), [(True, 5), (False, 600)])
async def test_a_film_in_doubt_is_tried_rarely_once_only_the_user_can_settle_it(
    working: Services, monkeypatch: pytest.MonkeyPatch, is_lost: bool, pause: float
) -> None:
    class Film:
        is_over, state, lost = False, "in doubt", ("shot",) if is_lost else ()

        class group:  # noqa: N801
            person = ""

    async def found(*_arguments: Any, **_named: Any) -> Film:
        return Film()

    monkeypatch.setattr(working.films, "get", found)
    monkeypatch.setattr(working.films, "wait", found)
    assert await job(working, "film").run("film-0123456789abcdef") == pause
    await job(working, "doubt").run("all")
    assert await job(working, "doubt").find() == []


@pytest.mark.parametrize("error", [FileError("no space"), TransientFileError("busy"), None])
async def test_a_film_that_cannot_be_saved_is_saved_later_only_if_that_passes(
    working: Services, monkeypatch: pytest.MonkeyPatch, error: FileError | None
) -> None:
    class Film:
        id, is_over, state, shots = "film-0123456789abcdef", True, "completed", ()

        class group:  # noqa: N801
            person, document = "", ""

    class Save:
        async def wait(self, *_arguments: Any) -> None:
            """Without an error: the server stops meanwhile."""
            if error is not None:
                raise error

    async def found(*_arguments: Any, **_named: Any) -> Film:
        return Film()

    monkeypatch.setattr(working.films, "get", found)
    monkeypatch.setattr(working.films, "wait", found)
    monkeypatch.setattr(working.film_saves, "start", lambda *_arguments: Save())
    outbox = Outbox(working.purchases.ledger)
    await outbox.add("group", Film.id)
    if error is not None and error.is_transient:
        with pytest.raises(TransientFileError):
            await job(working, "film").run(Film.id)
    else:
        assert await job(working, "film").run(Film.id) == (None if error else 5)
    assert (await outbox.open("group") == [Film.id]) is (error is None or error.is_transient)


async def test_a_saved_file_is_copied_to_the_bucket_if_there_is_one(working: Services, tmp_path: Path) -> None:
    copied: list[object] = []

    async def copy(file: object) -> None:
        copied.append(file)

    file: Any = tmp_path / "a.mp4"
    await Output(working.downloads, working.access, copy).share(file)
    await Output(working.downloads, working.access, None).share(file)
    assert copied == [file]


@pytest.mark.parametrize("error", [FileError("no space"), TransientFileError("busy")])
async def test_a_generation_that_cannot_be_saved_stays_to_be_saved_only_if_that_passes(
    working: Services, monkeypatch: pytest.MonkeyPatch, clock: HeldClock, error: FileError
) -> None:
    saves = SaveJob(working.purchases, Outbox(working.purchases.ledger), _Failing(error))  # type: ignore[arg-type]
    bought = await _buy(working)
    assert await saves.run("1") == 8.0
    clock.seconds += 900
    if error.is_transient:
        with pytest.raises(TransientFileError):
            await saves.run("1")
    else:
        assert await saves.run("1") is None
    assert (await saves.kind.find() == ["1"]) is error.is_transient
    assert bought


async def test_a_generation_that_was_deleted_or_failed_is_not_saved(
    working: Services, emulator: Emulator, clock: HeldClock
) -> None:
    bought = await _buy(working)
    clock.seconds += 900
    await working.backend.delete_generation(bought)
    assert await job(working, "save").run("1") is None
    assert await job(working, "save").find() == []
    with pytest.raises(NotFoundError):
        await working.backend.get_generation("15b7abb1-3741-4b7e-9615-1f9a16c7442d")


class _Failing:
    """An output that cannot be written."""

    def __init__(self, error: FileError) -> None:
        self._error = error

    def downloads_of(self, _person: object) -> "_Failing":
        return self

    def folder_of(self, _person: object) -> str:
        return ""

    async def save(self, *_arguments: Any, **_named: Any) -> None:
        raise self._error


async def _buy(services: Services) -> str:
    from luma_mcp.domain.requests import VideoRequest
    from luma_mcp.purchasing.orders import PurchaseRequest

    async def nobody(_seconds: float, _why: str) -> None:
        """Nobody is told of waits."""

    quote = services.purchases.quote(VideoRequest(model="ray-flash-2", prompt="a boat", resolution="540p"))
    return (await services.purchases.buy(PurchaseRequest(quote, nobody, take=1))).generation.id
