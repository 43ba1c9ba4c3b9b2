"""`create_film` and `wait_for_film` as a model calls them, and films as tasks, resources and subscriptions."""

import json
import shutil
from io import BytesIO
from pathlib import Path
from typing import Any

import anyio
import av
import pytest
from mcp import Client, MCPError
from mcp.client import advertise
from mcp.types import ElicitResult, ResourceTemplateReference
from PIL import Image

from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.faults import Fault
from luma_mcp.files.atomic_file import PartFile
from luma_mcp.files.saved_file import SavedFile
from luma_mcp.film.plan import FilmFormat, Shot
from luma_mcp.film.saving import SavedFilm
from luma_mcp.mcp.adapter import ACTIONS_META
from luma_mcp.mcp.services import Services
from luma_mcp.mcp.subscriptions import Subscriptions
from luma_mcp.mcp.tasks import IDENTIFIER
from tests.mcp.test_subscriptions import Ear
from tests.mcp.test_tasks import raw
from tests.support.agent import Agent, HeldClock, once, text

pytestmark = pytest.mark.anyio

FORM = {"resolution": "540p", "model": "ray-flash-2"}
THREE = [{"prompt": "a boat at dawn"}, {"prompt": "it drifts off", "start": "continue"}, {"prompt": "a storm comes"}]
APPS = advertise("io.modelcontextprotocol/ui", {"mimeTypes": ["text/html;profile=mcp-app"]})
ON_ONE_LOOP = pytest.mark.parametrize("anyio_backend", ["asyncio"])
WAIT = {"timeout_seconds": 1800}


async def made(agent: Agent, shots: list[Any] | None = None, **more: Any) -> dict[str, Any]:
    """A film, waited for to its end."""
    film = await agent.call("create_film", shots=shots or THREE, **{**FORM, **more})
    return await agent.call("wait_for_film", film_id=film["film_id"], **WAIT)


def bought(emulator: Emulator) -> int:
    return len(emulator.dream_machine.billing.purchases())


@once
@pytest.mark.medium
async def test_a_film_is_planned_bought_and_saved(
    agent: Agent, emulator: Emulator, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quoted = await agent.call("create_film", shots=THREE, **FORM, dry_run=True)
    assert (quoted["state"], quoted["price_usd"], quoted["dry_run"]) == ("planned", 0.42, True)
    assert [shot["price_usd"] for shot in quoted["shots"]] == [0.14] * 3
    assert quoted["shots"][1]["waits_for"] == [1]
    film = await agent.call("create_film", shots=THREE, **FORM)
    assert (film["state"], film["done"], bought(emulator)) == ("running", False, 0)
    assert film["next"] == f'wait_for_film(film_id="{film["film_id"]}"); it buys what has become ready.'
    money = await agent.call("get_credits")
    assert (money["spent_today_usd"], money["reserved_usd"]) == (0, 0.42)
    result = await agent.result("wait_for_film", film_id=film["film_id"], **WAIT)
    done = result.structured_content
    assert done is not None
    path, sheet = Path(done["path"]), Path(done["sheet_path"])

    assert (done["state"], done["done"], done["spent_usd"], bought(emulator)) == ("completed", True, 0.42, 3)
    assert path == output / f"a-boat-at-dawn-{film['film_id']}.mp4"
    with av.open(str(path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 3 * 120
    with Image.open(sheet) as drawn:
        assert (drawn.format, drawn.width > 600) == ("JPEG", True)
    shown = next(part for part in result.content if part.type == "image")
    assert shown.mime_type == "image/jpeg"
    facts = json.loads((output / f"{path.name}.json").read_text())
    assert (facts["film_id"], facts["price_usd"]) == (film["film_id"], 0.42)
    assert [shot["generation_id"] for shot in facts["shots"]] == [shot["generation_id"] for shot in done["shots"]]
    assert facts["shots"][1]["made_from"] == [done["shots"][0]["generation_id"]]
    written = path.stat().st_mtime_ns
    sheet.unlink()
    again = await agent.call("wait_for_film", film_id=film["film_id"])
    assert (again["path"], path.stat().st_mtime_ns, bought(emulator)) == (done["path"], written, 3)
    assert sheet.exists(), "a sheet that was thrown away is drawn anew"
    assert len(list(output.glob("*.mp4"))) == 1
    third = await agent.result("wait_for_film", film_id=film["film_id"])
    assert next(part for part in third.content if part.type == "image").data

    # A film that somebody changed is not taken for this one.
    path.write_bytes(b"something else")
    other = await agent.call("wait_for_film", film_id=film["film_id"])
    assert other["path"] != done["path"]
    saved = Path(other["path"])

    # A sidecar that holds nothing of use proves nothing: the film is made again, and is the same file.
    for spoilt in ("", '{"file": {"sha256": "x"}, "film_id": 3, "parts": 5}'):
        (output / f"{saved.name}.json").write_text(spoilt)
        anew = Path((await agent.call("wait_for_film", film_id=film["film_id"]))["path"])
        assert anew.read_bytes() == saved.read_bytes()
    shutil.rmtree(output)

    async def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(PartFile, "write", full)
    unsaved = await agent.call("wait_for_film", film_id=film["film_id"])
    assert (unsaved["state"], unsaved["done"], "path" in unsaved) == ("completed", True, False)
    assert unsaved["problem"].startswith("The film is not saved. ")
    assert unsaved["next"].endswith("saves it.")


@once
@pytest.mark.medium
async def test_equal_clips_are_joined_as_they_are_and_unequal_ones_are_made_alike(
    agent: Agent, clock: HeldClock
) -> None:
    done = await made(agent, [{"prompt": "a boat", "duration": "9s"}, {"prompt": "a storm"}])

    with av.open(done["path"]) as container:
        assert sum(1 for _ in container.decode(video=0)) == (9 + 5) * 24


@pytest.mark.parametrize(
    "shots",
    [
        ["a boat at dawn", {"prompt": "it drifts off", "start": "continue"}, "a storm comes"],
        json.dumps(THREE),
        [{**THREE[0], "end": None, "start": ""}, {**THREE[1], "start": " Continue"}, THREE[2]],
        [{**THREE[0], "take": 1, "concepts": []}, *THREE[1:]],
        [json.dumps(shot) for shot in THREE],
        f"```json\n{json.dumps(THREE)}\n```",
    ],
)
async def test_harmless_variants_are_the_same_film(agent: Agent, shots: Any) -> None:
    film = await agent.call("create_film", shots=THREE, **FORM)
    again = await agent.call("create_film", shots=shots, **FORM)

    assert (again["film_id"], again["recovered"]) == (film["film_id"], True)


@pytest.mark.parametrize("written", ["`{}`", " {} ", "'{}'"])
async def test_a_film_id_is_read_however_it_is_quoted(agent: Agent, written: str) -> None:
    film = await agent.call("create_film", shots=THREE, **FORM)
    waited = await agent.call("wait_for_film", film_id=written.format(film["film_id"].upper()), timeout_seconds=0)

    assert waited["film_id"] == film["film_id"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shots": []}, "shots"),
        ({"shots": [5]}, "shots.0 must be an object."),
        ({"shots": ['{"prompt": "a boat"', "a storm"]}, "shots.0 must be an object."),
        ({"shots": '[{"prompt": "a boat"}, {"prompt": "a st'}, "shots cannot be"),
        ({"shots": '```json\n[{"prompt": "a b'}, "shots cannot be"),
        ({"scenes": THREE}, "It is called shots here."),
        (
            {"shots": THREE, "duration": "5s"},
            "Each of the shots has its own prompt, duration, start, end and concepts.",
        ),
        ({"shots": THREE, "image_url": "a.png"}, "Each of the shots has its own prompt"),
        ({"shots": [{"prompt": "a boat", "start_frame": "a.png"}]}, "start_frame of a shot is called start"),
        ({"shots": [{"prompt": "a boat", "start": "continue"}]}, "Shot 1 has no shot before it"),
        ({"shots": [{"prompt": "a boat", "end": "next"}]}, "Shot 1 is the last"),
        ({"shots": [{"prompt": "a boat"}, {"prompt": "x"}]}, "Shot 2: Prompt is too short"),
        ({"shots": [{"prompt": "a boat", "concepts": ["spin_wildly"]}]}, "Shot 1: "),
        ({"shots": [{"prompt": "a boat", "colour": "red"}]}, "colour is not an argument"),
        ({"shots": THREE, "film_id": "film-0000000000000000"}, "No film has the id film-0000000000000000."),
        ({"shots": THREE, "film_id": "../secrets"}, "is no film id; create_film answers it"),
        ({"shots": [{"prompt": "a boat", "duration": "10s"}]}, "Shot 1: ray-flash-2 has no duration 10s."),
        ({"shots": [{"prompt": "a boat", "start": "15b7abb1-3741-4b7e-9615-1f9a16c7442d"}]}, "Shot 1: No generation"),
        ({"shots": [{"prompt": "a boat"}] * 101}, "shots"),
    ],
)
async def test_what_cannot_be_made_is_refused_before_anything_is_bought(
    agent: Agent, emulator: Emulator, arguments: dict[str, Any], message: str
) -> None:
    for dry_run in (True, False):
        assert message in await agent.refusal("create_film", **FORM, **arguments, dry_run=dry_run)

    assert bought(emulator) == 0
    assert (await agent.call("get_credits"))["reserved_usd"] == 0


async def test_an_unknown_film_is_not_found(agent: Agent) -> None:
    assert "No film has the id" in await agent.refusal("wait_for_film", film_id="film-0123456789abcdef")


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"LUMA_MAX_USD_PER_CALL": "0.41"}, "LUMA_MAX_USD_PER_CALL"),
        ({"LUMA_MAX_USD_PER_DAY": "0.41"}, "LUMA_MAX_USD_PER_DAY"),
        ({"LUMA_MIN_CREDIT_USD": "999.59"}, "LUMA_MIN_CREDIT_USD"),
    ],
)
async def test_a_cap_is_for_the_whole_film(
    serve: Any, emulator: Emulator, environment: dict[str, str], message: str
) -> None:
    async with Client(serve(**environment)) as client:
        assert message in await Agent(client).refusal("create_film", shots=THREE, **FORM)
        assert (await Agent(client).call("create_film", shots=THREE, **FORM, dry_run=True))["price_usd"] == 0.42

    assert bought(emulator) == 0


class Person:
    """Somebody who is asked."""

    def __init__(self, *, buys: bool) -> None:
        self.answer = ElicitResult(action="accept", content={"buy": buys})
        self.questions: list[str] = []

    async def __call__(self, _context: Any, params: Any) -> ElicitResult:
        self.questions.append(params.message)
        return self.answer


@pytest.mark.parametrize("buys", [True, False])
async def test_the_person_is_asked_once_for_all_shots(serve: Any, era: str, emulator: Emulator, buys: bool) -> None:
    person = Person(buys=buys)
    shots = [*THREE, {"prompt": "a bird", "duration": "9s", "start": "https://a.example/a.png"}]
    async with Client(serve(LUMA_CONFIRM_ABOVE_USD="0.10"), mode=era, elicitation_callback=person) as client:
        agent = Agent(client)
        if not buys:
            refused = await agent.refusal("create_film", shots=shots, **FORM)
            assert "did not want this film" in refused
        else:
            film = await agent.call("create_film", shots=shots, **FORM, take=2)
            await agent.call("wait_for_film", film_id=film["film_id"], timeout_seconds=5)

    assert bought(emulator) == (3 if buys else 0)
    assert person.questions == [
        (
            "Buy a film of 4 shots at Luma with ray-flash-2 for $0.67? " + ("Take 2 of it. " if buys else "") +
            "16:9, 540p. Shot 1 (5s): 'a boat at dawn'. Shot 2 (5s, start: continue): 'it drifts off'. "
            "Shot 3 (5s): 'a storm comes'. Shot 4 (9s, start: https://a.example/a.png): 'a bird'."
        )
    ]  # fmt: skip


async def test_a_change_is_asked_for_what_it_costs(serve: Any, emulator: Emulator) -> None:
    person = Person(buys=True)
    async with Client(serve(LUMA_CONFIRM_ABOVE_USD="0.20"), elicitation_callback=person) as client:
        agent = Agent(client)
        film = await agent.call("create_film", shots=THREE, **FORM)
        change = {"film_id": film["film_id"], "shots": [*THREE, "a bird"]}
        quoted = await agent.call("create_film", **change, dry_run=True)
        changed = await agent.call("create_film", **change)
        await agent.call("create_film", film_id=film["film_id"], shots=[*THREE, "a bird", "a lamp", "a rope"])

    assert quoted["price_usd"] == 0.14, "what it costs beyond what is reserved"
    assert (changed["film_id"], changed["price_usd"]) == (film["film_id"], 0.56)
    assert [question[:50] for question in person.questions] == [
        "Buy a film of 3 shots at Luma with ray-flash-2 for", "Buy 2 of the 6 shots of a film at Luma with ray-fl",
    ]  # fmt: skip
    assert "for $0.28?" in person.questions[1]


async def test_a_film_keeps_its_form_when_it_is_changed(agent: Agent) -> None:
    film = await agent.call("create_film", shots=["a boat"], aspect_ratio="9:16", **FORM)
    changed = await agent.call("create_film", film_id=film["film_id"], shots=["a boat", "a storm"])

    assert [shot["price_usd"] for shot in changed["shots"]] == [0.14, 0.14]
    assert changed["price_usd"] == 0.28


async def test_a_quote_is_an_approval_for_just_this_film(serve: Any, emulator: Emulator) -> None:
    quoting = {"LUMA_CONFIRM_ABOVE_USD": "0.10", "LUMA_CONFIRM_BY": "quote"}
    async with Client(serve(**quoting)) as client:
        agent = Agent(client)
        assert "dry_run=true" in await agent.refusal("create_film", shots=THREE, **FORM)
        quoted = await agent.call("create_film", shots=THREE, **FORM, dry_run=True)
        assert "tell the person the price" in quoted["next"]
        other = await agent.refusal("create_film", shots=THREE[:2], **FORM, quote_id=quoted["quote_id"])
        film = await agent.call("create_film", shots=THREE, **FORM, quote_id=quoted["quote_id"])
        await agent.call("wait_for_film", film_id=film["film_id"], timeout_seconds=5)

    assert "not for this request" in other
    assert bought(emulator) == 2


async def test_a_shot_that_failed_is_reported_with_the_way_on(agent: Agent, emulator: Emulator) -> None:
    result = await made(agent, ["a boat [fail]", {"prompt": "it drifts off", "start": "continue"}])

    assert (result["done"], result["state"]) == (True, "stopped")
    assert [shot["state"] for shot in result["shots"]] == ["failed", "stopped"]
    assert result["shots"][1]["reason"] == "It waits for shot 1, which was not made."
    assert result["next"].startswith(f'shots 1, 2 were not made. create_film(film_id="{result["film_id"]}", changes=')
    assert "path" not in result
    assert (await agent.call("get_credits"))["spent_today_usd"] == 0


async def test_what_is_in_doubt_is_reported_with_the_way_to_settle_it(serve: Any, emulator: Emulator) -> None:
    emulator.faults.append(Fault("drop", method="POST", after=True, times=9))
    emulator.faults.append(Fault("error", method="GET", path="*/generations", times=10**6))
    async with Client(serve()) as client:
        agent = Agent(client)
        film = await agent.call("create_film", shots=["a boat"], **FORM)
        waited = await agent.call("wait_for_film", film_id=film["film_id"], timeout_seconds=30)

    assert (waited["state"], waited["done"], bought(emulator)) == ("in doubt", False, 1)
    assert "dream-machine-mcp purchases settle 1 --bought ID" in waited["next"]


async def test_progress_is_reported_by_shot(agent: Agent) -> None:
    heard: list[str] = []

    async def hear(_progress: float, _total: float | None, message: str | None) -> None:
        heard.append(message or "")

    film = await agent.call("create_film", shots=THREE, **FORM)
    await agent.client.call_tool(
        "wait_for_film", {"film_id": film["film_id"], "timeout_seconds": 40}, progress_callback=hear
    )

    assert any("shot 1 queued, shot 2 planned, shot 3 queued" in line for line in heard), heard


async def test_the_text_states_what_the_fields_state(agent: Agent) -> None:
    film = await agent.call("create_film", shots=THREE, **FORM)
    said = text(await agent.result("wait_for_film", film_id=film["film_id"], timeout_seconds=0))
    dry = text(await agent.result("create_film", shots=THREE, **FORM, dry_run=True, take=2))

    assert f"{film['film_id']} is running. Price of all shots: $0.42, spent: $0.28." in said
    assert "Shot 2: planned, $0.14, waits for shot 1." in said
    assert dry.startswith("Dry run, nothing was bought. Price of all shots: $0.42 (published).")


@ON_ONE_LOOP
@pytest.mark.medium
async def test_the_player_offers_another_take_of_each_shot(serve: Any, emulator: Emulator) -> None:
    async with Client(serve(), extensions=[APPS]) as client:
        agent = Agent(client)
        film = await agent.call("create_film", shots=THREE, **FORM)
        result = await agent.result("wait_for_film", film_id=film["film_id"], **WAIT)
        actions = (result.meta or {})[ACTIONS_META]
        first = actions[0]
        changed = await agent.call(first["tool"], **first["arguments"])
        done = await agent.call("wait_for_film", film_id=film["film_id"], **WAIT)

    assert [action["generation_id"] for action in actions] == [f"{film['film_id']}#{number}" for number in (1, 2, 3)]
    assert [action["price_usd"] for action in actions] == [0.28, 0.14, 0.14], "with what depends on it"
    assert {action["action"] for action in actions} == {"re-take"}
    assert changed["film_id"] == film["film_id"]
    assert (done["state"], bought(emulator)) == ("completed", 5)


async def test_the_player_offers_what_failed_again(serve: Any) -> None:
    async with Client(serve(), extensions=[APPS]) as client:
        agent = Agent(client)
        film = await agent.call(
            "create_film", shots=["a boat [fail]", {"prompt": "on it goes", "start": "continue"}, "a storm"], **FORM
        )
        result = await agent.result("wait_for_film", film_id=film["film_id"], **WAIT)
        actions = (result.meta or {})[ACTIONS_META]

    assert [action["price_usd"] for action in actions] == [0.28, 0.28, 0.42]
    assert "take" not in actions[0]["arguments"]["shots"][0]
    assert actions[2]["arguments"]["shots"][2]["take"] == 2


async def test_films_are_resources(agent: Agent) -> None:
    film = await agent.call("create_film", shots=THREE, **FORM)
    uri = f"luma://films/{film['film_id']}"
    read = json.loads((await agent.client.read_resource(uri)).contents[0].text)
    listed = json.loads((await agent.client.read_resource("luma://films")).contents[0].text)
    reference = ResourceTemplateReference(uri="luma://films/{film_id}")
    completed = await agent.client.complete(reference, {"name": "film_id", "value": "film-"})

    assert (read["film_id"], read["state"]) == (film["film_id"], "running")
    assert [entry["film_id"] for entry in listed["films"]] == [film["film_id"]]
    assert completed.completion.values == [film["film_id"]]
    with pytest.raises(MCPError, match="No film has the id"):
        await agent.client.read_resource("luma://films/film-0000000000000000")


@pytest.mark.filterwarnings("ignore::mcp.MCPDeprecationWarning")
@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_film_can_be_subscribed_to_and_watching_buys_nothing(serve: Any, emulator: Emulator, mode: str) -> None:
    ear = Ear(1)
    received: list[str] = []
    async with Client(serve(), mode=mode, message_handler=ear) as client:
        agent = Agent(client)
        film = await agent.call("create_film", shots=["a boat"], **FORM)
        uri = f"luma://films/{film['film_id']}"

        async def listen() -> None:
            if mode == "legacy":
                await client.subscribe_resource(uri)
                await ear.satisfied.wait()
                received.extend(ear.received)
            else:
                async with client.listen(resource_subscriptions=[uri]) as events:
                    async for event in events:
                        received.append(event.uri)  # type: ignore[union-attr]
                        break

        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(listen)
                for _ in range(200):
                    await anyio.lowlevel.checkpoint()
                assert bought(emulator) == 0
                await agent.call("wait_for_film", film_id=film["film_id"], timeout_seconds=5)

    assert received[0] == uri


async def test_watching_a_film_continues_until_it_is_over_or_gone(
    services: Services, clock: HeldClock, ledger_path: Path
) -> None:
    plan = await services.films.plan(
        FilmFormat("ray-flash-2", "16:9", "540p"), [Shot("a boat")], services.sources.start
    )
    film, _ = await services.films.create(plan, take=1, person="", consent=None)
    subscriptions = Subscriptions(services.poller, services.access, services.films, services.clock)
    told: list[str] = []

    async def tell(uri: str) -> None:
        told.append(uri)

    began = clock.seconds
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(subscriptions._watch, f"luma://films/{film.id}", tell)
        await clock.slept(3)
        await services.films._groups.release(film.id, {plan.shots[0].key: "No."})
    await subscriptions._watch("luma://films/film-0123456789abcdef", tell)

    assert told == [f"luma://films/{film.id}"]
    assert clock.seconds - began >= 15, "it is looked at every five seconds"


@pytest.mark.filterwarnings("ignore::mcp.MCPDeprecationWarning")
async def test_a_film_that_is_not_there_cannot_be_subscribed_to(serve: Any) -> None:
    async with Client(serve(), mode="legacy") as client:
        with pytest.raises(MCPError, match="No film has the id"):
            await client.subscribe_resource("luma://films/film-0000000000000000")


@ON_ONE_LOOP
@pytest.mark.medium
async def test_a_wait_for_a_film_becomes_a_task_that_buys_as_it_is_asked_for(
    serve: Any, emulator: Emulator, clock: HeldClock
) -> None:
    async with Client(serve(), extensions=[advertise(IDENTIFIER, {})]) as client:
        film = await Agent(client).call("create_film", shots=THREE[:2], **FORM)
        task = await raw(client, "tools/call", name="wait_for_film", arguments={"film_id": film["film_id"]})
        assert (task["resultType"], task["status"]) == ("task", "working")
        assert bought(emulator) == 1
        clock.seconds += 300
        going = await raw(client, "tasks/get", taskId=task["taskId"])
        assert (going["status"], bought(emulator)) == ("working", 2)
        assert going["statusMessage"] == "shot 1 completed, shot 2 queued"
        clock.seconds += 300
        # Its save goes on in the background, for as long as this machine needs.
        with anyio.fail_after(120):
            while (done := await raw(client, "tasks/get", taskId=task["taskId"]))["status"] == "working":
                assert done["statusMessage"] == "shot 1 completed, shot 2 completed"

    assert done["status"] == "completed"
    assert Path(done["result"]["structuredContent"]["path"]).exists()


async def test_a_film_that_is_over_is_no_task(serve: Any, clock: HeldClock) -> None:
    async with Client(serve(), extensions=[advertise(IDENTIFIER, {})]) as client:
        film = await Agent(client).call("create_film", shots=["a boat [fail]"], **FORM)
        await raw(client, "tools/call", name="wait_for_film", arguments={"film_id": film["film_id"]})
        clock.seconds += 300
        over = await raw(client, "tools/call", name="wait_for_film", arguments={"film_id": film["film_id"]})

    assert over["structuredContent"]["state"] == "stopped"


async def test_a_task_of_a_film_that_is_gone_is_reported(serve: Any, emulator: Emulator, ledger_path: Path) -> None:
    async with Client(serve(), extensions=[advertise(IDENTIFIER, {})]) as client:
        film = await Agent(client).call("create_film", shots=THREE, **FORM)
        task = await raw(client, "tools/call", name="wait_for_film", arguments={"film_id": film["film_id"]})
        ledger_path.unlink()
        with pytest.raises(MCPError, match="No film has the id"):
            await raw(client, "tasks/get", taskId=task["taskId"])


async def test_a_task_of_another_server_buys_nothing_where_nothing_may_be_bought(
    serve: Any, emulator: Emulator, clock: HeldClock
) -> None:
    extensions = [advertise(IDENTIFIER, {})]
    async with Client(serve(), extensions=extensions) as client:
        film = await Agent(client).call("create_film", shots=THREE[:2], **FORM)
        task = await raw(client, "tools/call", name="wait_for_film", arguments={"film_id": film["film_id"]})
    clock.seconds += 300
    for settings in ({"LUMA_READ_ONLY": "1"}, {"LUMA_TOOLSETS": "generations,video"}):
        async with Client(serve(**settings), extensions=extensions) as client:
            with pytest.raises(MCPError, match="You may not continue films here"):
                await raw(client, "tasks/get", taskId=task["taskId"])

    assert bought(emulator) == 1


async def test_read_only_servers_make_no_films(serve: Any) -> None:
    async with Client(serve(LUMA_READ_ONLY="1")) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}

    assert not {"create_film", "wait_for_film"} & names


@once
@pytest.mark.medium
async def test_a_contact_sheet_has_a_picture_of_each_shot(agent: Agent) -> None:
    done = await made(agent, [f"boat number {number}" for number in range(5)])
    sheet = Image.open(BytesIO(Path(done["sheet_path"]).read_bytes()))

    assert sheet.format == "JPEG"
    assert sheet.width > sheet.height


async def test_a_film_that_takes_long_to_save_is_joined_by_the_next_call(
    agent: Agent, output: Path, clock: HeldClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end = 0, anyio.Event()
    file = SavedFile("g", output / "a.mp4", 1, "0" * 64, "video/mp4")

    async def save(*_: Any) -> SavedFilm:
        nonlocal begun
        begun += 1
        await may_end.wait()
        return SavedFilm(file, output / "a-sheet.jpg", b"")

    monkeypatch.setattr("luma_mcp.mcp.tools.film_results.save_film", save)
    monkeypatch.setattr("luma_mcp.mcp.tools.film_results._MIN_SAVE_SECONDS", 0.05)
    film = await agent.call("create_film", shots=["a boat"], **FORM)
    await agent.call("wait_for_film", film_id=film["film_id"], timeout_seconds=0)
    clock.seconds += 300
    for _ in range(2):
        waiting = await agent.call("wait_for_film", film_id=film["film_id"], timeout_seconds=0)
        assert (waiting["state"], waiting["done"]) == ("completed", False)
        assert waiting["next"].endswith("the film is complete and is being saved.")
    assert begun == 1
    may_end.set()
    done = await agent.call("wait_for_film", film_id=film["film_id"], **WAIT)

    assert (done["done"], done["path"]) == (True, str(output / "a.mp4"))
