"""The tools over the Agents API: what they buy, make, refuse and cost, with a key of that API and nothing else."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from mcp import Client
from mcp.client import advertise
from PIL import Image

from luma_mcp.domain.errors import LedgerError
from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.dream_machine.bodies import VideoBody
from luma_mcp.emulator.faults import Fault
from luma_mcp.media.probe import measure
from tests.support.agent import BASE_URL, TOKEN, Agent, HeldClock, InMemory, emulator_of_both, fields_of
from tests.support.made_clips import make_clip, patches

pytestmark = pytest.mark.anyio

AGENTS_URL = BASE_URL.replace("/dream-machine", "")
KEY = f"luma-api-{TOKEN}"
APPS = advertise("io.modelcontextprotocol/ui", {"mimeTypes": ["text/html;profile=mcp-app"]})
PICTURE = "https://pictures.example/a.png"


def picture(colour: str = "red", size: tuple[int, int] = (640, 360)) -> bytes:
    out = BytesIO()
    Image.new("RGB", size, colour).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def emulator(clock: HeldClock) -> Emulator:
    return emulator_of_both(clock, KEY, {PICTURE: picture()})


@pytest.fixture
async def agent(serve) -> AsyncIterator[Agent]:
    async with Client(serve(LUMA_TOKEN=KEY)) as client:
        yield Agent(client)


@pytest.fixture
async def both(serve) -> AsyncIterator[Agent]:
    async with Client(serve(LUMA_AGENTS_API_KEY=KEY)) as client:
        yield Agent(client)


@pytest.fixture
async def agent_of_dream_machine(serve) -> AsyncIterator[Agent]:
    async with Client(serve()) as client:
        yield Agent(client)


def sent(transport: InMemory) -> list[dict[str, Any]]:
    """The bodies of the purchases."""
    return [
        json.loads(request.content)
        for request in transport.requests
        if request.method == "POST" and request.url.path == "/v1/generations"
    ]


def bought(emulator: Emulator) -> list[str]:
    return emulator.agents.billing.purchases()


async def test_what_is_offered_is_what_the_api_can_do(agent: Agent, both: Agent) -> None:
    only = {tool.name for tool in (await agent.client.list_tools()).tools}
    all_of_them = {tool.name for tool in (await both.client.list_tools()).tools}

    assert all_of_them - only == {
        "upscale_video", "add_audio", "reframe_image", "list_concepts",
    }  # fmt: skip
    assert "ray-2" not in (agent.client.instructions or "")


@pytest.mark.parametrize(
    ("tool", "arguments", "body"),
    [
        (
            "create_video", {"prompt": "a boat"},
            {
                "type": "video", "model": "ray-3.2", "prompt": "a boat",
                "video": {"resolution": "720p", "duration": "5s"},
            },
        ),
        (
            "create_video",
            {"prompt": "a boat", "aspect_ratio": "9:16", "resolution": "1080p", "hdr": True, "start_frame": PICTURE},
            {
                "type": "video", "model": "ray-3.2", "prompt": "a boat", "aspect_ratio": "9:16",
                "video": {
                    "resolution": "1080p", "duration": "5s", "hdr": True, "keyframes": [{"url": PICTURE}],
                    "keyframe_indexes": [0],
                },
            },
        ),
        (
            "create_video",
            {
                "prompt": "a boat", "duration": "10s",
                "keyframes": [{"source": PICTURE, "seconds": 0}, {"image_url": PICTURE, "time": 7.5}],
            },
            {
                "type": "video", "model": "ray-3.2", "prompt": "a boat",
                "video": {
                    "resolution": "720p", "duration": "10s", "keyframes": [{"url": PICTURE}, {"url": PICTURE}],
                    "keyframe_indexes": [0, 180],
                },
            },
        ),
        (
            "create_video",
            {"prompt": "a boat", "duration": "10s", "keyframes": {"frame0": {"type": "image", "url": PICTURE}}},
            {
                "type": "video", "model": "ray-3.2", "prompt": "a boat",
                "video": {
                    "resolution": "720p", "duration": "10s", "keyframes": [{"url": PICTURE}], "keyframe_indexes": [0],
                },
            },
        ),
        (
            "create_video", {"prompt": "a boat", "loop": True, "end_frame": None},
            {
                "type": "video", "model": "ray-3.2", "prompt": "a boat",
                "video": {"resolution": "720p", "duration": "5s", "loop": True},
            },
        ),
        (
            "create_image", {"prompt": "a boat", "image_refs": [{"source": PICTURE}], "web_search": True},
            {
                "type": "image", "model": "uni-1", "prompt": "a boat", "image_ref": [{"url": PICTURE}],
                "web_search": True,
            },
        ),
        (
            "create_image",
            {"prompt": "at night", "modify_image": {"source": PICTURE}, "format": "jpg", "model": "uni-1-max"},
            {
                "type": "image_edit", "model": "uni-1-max", "prompt": "at night", "source": {"url": PICTURE},
                "output_format": "jpeg",
            },
        ),
        (
            "create_image", {"modify_image": {"source": PICTURE}, "layers": "2k"},
            {"type": "layering", "model": "uni-1", "source": {"url": PICTURE}, "layering": {"resolution": "2k"}},
        ),
        (
            "create_video", {"prompt": "a boat", "hdr": True, "exr": True},
            {
                "type": "video", "model": "ray-3.2", "prompt": "a boat",
                "video": {"resolution": "720p", "duration": "5s", "hdr": True, "exr_export": True},
            },
        ),
        (
            "create_image", {"prompt": "a boat", "style": "manga", "aspect_ratio": "2:3"},
            {"type": "image", "model": "uni-1", "prompt": "a boat", "style": "manga", "aspect_ratio": "2:3"},
        ),
    ],
)  # fmt: skip
async def test_each_call_is_sent_as_the_api_has_it(
    agent: Agent, transport: InMemory, tool: str, arguments: dict[str, Any], body: dict[str, Any]
) -> None:
    quote = await agent.call(tool, dry_run=True, **arguments)
    made = await agent.call(tool, **arguments)

    assert sent(transport) == [body]
    assert made["price_usd"] == quote["price_usd"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_clip_of_ten_seconds_starts_and_ends_on_pictures(agent: Agent, emulator: Emulator) -> None:
    call = {"prompt": "a boat", "duration": "10s", "resolution": "360p"}
    quote = await agent.call("create_video", dry_run=True, start_frame=PICTURE, end_frame=PICTURE, **call)
    clip = await agent.make("create_video", start_frame=PICTURE, end_frame=PICTURE, **call)
    same = [{"source": PICTURE, "seconds": 10}, {"source": PICTURE, "seconds": 0}]
    joined = await agent.call("create_video", keyframes=same, **call)

    assert quote["price_usd"] == 0.18
    assert (joined["generation_id"], joined["recovered"]) == (clip, True), "both spellings are the same purchase"
    assert [entry.cents for entry in emulator.agents.billing.entries] == [18]


@pytest.mark.slow
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_change_keeps_signals_and_meets_pictures_at_their_frames(
    agent: Agent, transport: InMemory, emulator: Emulator
) -> None:
    clip = await agent.make("create_video", prompt="a boat", resolution="360p")
    call = {
        "source": clip, "prompt": "at night", "first_frame": PICTURE, "resolution": "360p", "hdr": True,
        "keyframes": [{"source": PICTURE, "seconds": 2.5}, {"source": PICTURE, "seconds": 5}],
    }  # fmt: skip
    quote = await agent.call("modify_video", dry_run=True, keep=["pose", "face"], **call)
    night = await agent.make("modify_video", keep=["pose", "face"], **call)
    again = await agent.call("modify_video", keep="face, pose", **call)

    assert again["generation_id"] == night
    assert sent(transport)[1] == {
        "type": "video_edit", "model": "ray-3.2", "prompt": "at night", "source": {"generation_id": clip},
        "video": {
            "resolution": "360p", "hdr": True,
            "edit": {
                "controls": {"pose": {"enabled": True}, "face": {"enabled": True}},
                "keyframes": [{"url": PICTURE}] * 3, "keyframe_indexes": [0, 60, 119],
            },
        },
    }  # fmt: skip
    assert (quote["price_usd"], emulator.agents.billing.entries[-1].cents) == (1.08, 108)


@pytest.mark.medium
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_keyframe_of_a_local_clip_is_counted_in_its_own_frames(
    serve, transport: InMemory, output: Path, emulator: Emulator
) -> None:
    output.mkdir()
    make_clip(output / "phone.mp4", patches((320, 180)), frames=60, rate=30)
    async with Client(serve(LUMA_TOKEN=KEY)) as client:
        agent = Agent(client)
        call = {"source": "phone.mp4", "prompt": "at night"}
        late = await agent.refusal("modify_video", keyframes=[{"source": PICTURE, "seconds": 3}], **call)
        await agent.call("modify_video", keyframes=[{"source": PICTURE, "seconds": 1}], **call)

    assert "The clip is 2.00 s long, and a keyframe is at 3 s" in late
    assert sent(transport)[-1]["video"]["edit"]["keyframe_indexes"] == [30]


async def test_a_keyframe_of_a_clip_of_unknown_length_is_within_the_longest(agent: Agent, transport: InMemory) -> None:
    call = {"source": "https://a.example/a.mp4", "prompt": "at night", "dry_run": True}

    late = await agent.refusal("modify_video", keyframes=[{"source": PICTURE, "seconds": 19}], **call)
    quote = await agent.call("modify_video", keyframes=[{"source": PICTURE, "seconds": 17}], **call)
    assert "The clip is 18.00 s long" in late
    assert '"keyframe_indexes":[408]' in quote["request"]


@pytest.mark.parametrize(
    ("keep", "controls"),
    [
        ({"face": {"enabled": True}, "pose": {"enabled": False}}, '{"face":{"enabled":true}}'),
        ({"face": True}, '{"face":{"enabled":true}}'),
        ("Face", '{"face":{"enabled":true}}'),
    ],
)
async def test_signals_come_in_luma_s_own_spelling_too(agent: Agent, keep: Any, controls: str) -> None:
    quote = await agent.call("modify_video", source="https://a.example/a.mp4", prompt="a", keep=keep, dry_run=True)

    assert f'"controls":{controls}' in quote["request"]


@pytest.mark.parametrize("keep", [{"pose": {"enabled": True, "strength": "coarse"}}, {"pose": 1}, ["legs"], 5])
async def test_signals_with_a_degree_or_another_name_are_refused(agent: Agent, keep: Any) -> None:
    message = await agent.refusal("modify_video", source="https://a.example/a.mp4", prompt="a", keep=keep)

    assert "keep" in message


async def test_a_prompt_is_required_where_luma_always_wants_one(agent: Agent, both: Agent) -> None:
    tools = {tool.name: tool.input_schema for tool in (await agent.client.list_tools()).tools}
    of_both = {tool.name: tool.input_schema for tool in (await both.client.list_tools()).tools}
    requiring = {name for name, schema in tools.items() if "prompt" in schema.get("required", ())}

    assert requiring == {"create_video", "extend_video", "modify_video", "reframe_video"}
    assert not [name for name, schema in of_both.items() if "prompt" in schema.get("required", ())]


@pytest.mark.slow
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_local_picture_is_animated_extended_reframed_and_saved(serve, output: Path, emulator: Emulator) -> None:
    """With a key and nothing else: no bucket, no other setting."""
    output.mkdir()
    (output / "hero.png").write_bytes(picture())
    async with Client(serve(LUMA_TOKEN=KEY)) as client:
        agent = Agent(client)
        clip = await agent.make("create_video", prompt="it moves", start_frame="hero.png", resolution="360p")
        longer = await agent.make("extend_video", generation_id=clip, prompt="on it goes")
        tall = await agent.make(
            "reframe_video", source=longer, aspect_ratio="9:16", prompt="more sky", resolution="360p"
        )
        night = await agent.make("modify_video", source=tall, prompt="at night", mode="flex_1", resolution="360p")
        still = await agent.make("create_image", prompt="a poster of it", image_refs=[{"source": f"{tall}#last"}])
        await agent.make("create_video", prompt="it moves", start_frame=still, resolution="360p")
        saved = await agent.call("download_generation", generation_ids=[tall, still])
        seen = await agent.result("view_generation", generation_id=night)
        listed = await agent.call("list_generations", limit=3)

    info = measure(BytesIO(Path(saved["files"][0]["path"]).read_bytes()))
    assert (info.width, info.height, round(info.seconds)) == (360, 640, 5)
    assert not any("Amz" in path.read_text() for path in output.glob("*.json"))
    assert [block.type for block in seen.content] == ["text", "image"]
    assert [entry["prompt"] for entry in listed["generations"]] == ["it moves", "a poster of it", "at night"]
    assert listed["generations"][2]["price_usd"] == 0.54
    assert listed["next_offset"] == 3
    assert len(emulator.agents.files.files) == 2


async def test_layers_are_saved_and_seen_one_by_one(serve, output: Path, emulator: Emulator, clock: HeldClock) -> None:
    output.mkdir()
    (output / "hero.png").write_bytes(picture())
    async with Client(serve(LUMA_TOKEN=KEY), extensions=[APPS]) as client:
        agent = Agent(client)
        layered = await agent.make("create_image", modify_image={"source": "hero.png"}, layers="1k")
        saved = await agent.call("download_generation", generation_ids=[layered])
        again = await agent.call("download_generation", generation_ids=[layered])
        seen = await agent.result("view_generation", generation_id=layered)
        shown = await agent.result("get_generation", generation_id=layered)
        refusal = await agent.refusal("create_video", prompt="it moves", start_frame=layered)
        await agent.make("create_video", prompt="it moves", start_frame=saved["files"][0]["path"], resolution="360p")

    charged = emulator.agents.billing.entries[0].cents
    files = [Path(file["path"]) for file in saved["files"]]
    assert 2 <= len(files) <= 10
    assert [file.name.split("-layer-")[1][0] for file in files] == [str(n + 1) for n in range(len(files))]
    assert files[-1].stem.endswith("-background")
    assert {Image.open(BytesIO(file.read_bytes())).mode for file in files} == {"RGBA"}
    assert again == saved
    assert [block.type for block in seen.content] == ["text", "image"]
    assert fields_of(seen)["layers"] == len(files)
    facts = shown.structured_content
    assert facts["kind"] == "image"
    assert [facts["image_url"], *facts["more_urls"]] == [file["url"] for file in saved["files"]]
    assert facts["price_usd"] * 100 >= charged
    assert "layers" in refusal


@pytest.mark.slow
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_exr_frames_are_saved_beside_their_clip(agent: Agent, emulator: Emulator) -> None:
    clip = await agent.make("create_video", prompt="a boat", hdr=True, exr=True)
    saved = await agent.call("download_generation", generation_ids=[clip])

    assert [file["media_type"] for file in saved["files"]] == ["video/mp4", "image/x-exr"]
    assert saved["files"][1]["path"].endswith("-exr.exr")
    assert emulator.agents.billing.entries[-1].cents == 90


async def test_the_same_file_is_uploaded_once_and_not_for_a_dry_run(
    agent: Agent, output: Path, emulator: Emulator
) -> None:
    output.mkdir()
    for name in ("a.png", "b.png"):
        (output / name).write_bytes(picture())
    await agent.call("create_video", prompt="a boat", start_frame="a.png", dry_run=True)
    assert not emulator.agents.files.files
    first = await agent.call("create_video", prompt="a boat", start_frame="a.png")
    again = await agent.call("create_video", prompt="a boat", start_frame="b.png")
    await agent.call("create_video", prompt="a ship", start_frame="b.png")

    (file,) = emulator.agents.files.files.values()
    assert file.body.expires_at is not None
    assert again["generation_id"] == first["generation_id"]
    assert again["recovered"] is True
    assert len(bought(emulator)) == 2


async def test_nothing_is_uploaded_beyond_a_cap(serve, output: Path, emulator: Emulator) -> None:
    output.mkdir()
    (output / "a.png").write_bytes(picture())
    async with Client(serve(LUMA_TOKEN=KEY, LUMA_MAX_USD_PER_DAY="0.20")) as client:
        message = await Agent(client).refusal("create_video", prompt="a boat", start_frame="a.png")

    assert "LUMA_MAX_USD_PER_DAY" in message
    assert not emulator.agents.files.files


@pytest.mark.parametrize(
    ("tool", "arguments", "sentence"),
    [
        ("create_video", {"start_frame": PICTURE}, "Prompt is required"),
        ("create_video", {"prompt": "x" * 6001}, "Prompt is too long"),
        ("create_video", {"prompt": "a", "duration": "9s"}, "ray-3.2 has no duration 9s. It has 5s, 10s."),
        ("create_video", {"prompt": "a", "resolution": "4k"}, "ray-3.2 has no resolution 4k"),
        ("create_video", {"prompt": "a", "aspect_ratio": "9:21"}, "ray-3.2 has no aspect_ratio 9:21"),
        ("create_video", {"prompt": "a", "duration": "10s", "loop": True}, "a duration of 10s together with loop"),
        ("create_video", {"prompt": "a", "duration": "10s", "hdr": True}, "a duration of 10s together with hdr"),
        ("create_video", {"prompt": "a", "loop": True, "end_frame": PICTURE}, "loop together with an end frame"),
        ("create_video", {"prompt": "a", "hdr": True, "resolution": "540p"}, "hdr together with 360p or 540p"),
        (
            "create_video",
            {"prompt": "a", "start_frame": PICTURE, "keyframes": [{"source": PICTURE, "seconds": 0}]},
            "Two keyframes are for the same frame",
        ),
        ("create_video", {"prompt": "a", "keyframes": [{"source": PICTURE, "seconds": 6}]}, "between 0 and 5"),
        (
            "create_video",
            {"prompt": "a", "keyframes": [{"source": PICTURE, "seconds": 1}, {"source": PICTURE, "seconds": 1.01}]},
            "Two keyframes are for the same frame",
        ),
        (
            "create_video",
            {"prompt": "a", "keyframes": [{"source": PICTURE, "seconds": 1 + n / 24} for n in range(65)]},
            "At most 64 keyframes",
        ),
        ("create_video", {"prompt": "a", "concepts": ["orbit_left"]}, "ray-3.2 has no concepts"),
        ("create_video", {"prompt": "a", "model": "ray-2"}, "Dream Machine's, and this server has no key for it"),
        ("create_video", {"prompt": "a", "exr": True}, "Only HDR clips have EXR frames"),
        ("create_image", {"layers": "1k"}, "Layers are made of a picture"),
        ("create_image", {"prompt": "a", "image_refs": [{"source": PICTURE, "weight": 1}]}, "uni-1 has no weights"),
        ("create_image", {"prompt": "a", "style_refs": [{"source": PICTURE}]}, "uni-1 has no style_references"),
        ("create_image", {"prompt": "a", "aspect_ratio": "4:3"}, "uni-1 has no aspect_ratio 4:3"),
        (
            "create_image", {"prompt": "a", "style": "manga", "aspect_ratio": "16:9"}, "manga has no aspect_ratio 16:9",
        ),
        (
            "create_image", {"prompt": "a", "modify_image": {"source": PICTURE}, "aspect_ratio": "1:1"},
            "An edited picture keeps its ratio",
        ),
        (
            "create_image",
            {"prompt": "a", "modify_image": {"source": PICTURE}, "image_refs": [{"source": PICTURE}] * 9},
            "At most 8 image references",
        ),
        (
            "reframe_video",
            {"prompt": "a", "source": "https://a.example/a.mp4", "aspect_ratio": "9:16", "resolution": "1080p"},
            "does not reframe to 9:16 at 1080p",
        ),
        (
            "reframe_video",
            {"prompt": "a", "source": "https://a.example/a.mp4", "aspect_ratio": "9:16", "first_frame": PICTURE},
            "ray-3.2 has no first_frame",
        ),
    ],
)  # fmt: skip
async def test_what_cannot_be_made_is_refused_before_money(
    agent: Agent, transport: InMemory, tool: str, arguments: dict[str, Any], sentence: str
) -> None:
    assert sentence in await agent.refusal(tool, **arguments)
    assert sentence in await agent.refusal(tool, dry_run=True, **arguments)
    assert sent(transport) == []


@pytest.mark.parametrize(
    "fault",
    [
        Fault("drop", method="POST", path="/v1/generations", after=True),
        Fault("cut", method="POST", path="/v1/generations"),
        Fault("garble", method="POST", path="/v1/generations"),
        Fault("error", method="POST", path="/v1/generations", after=True, status=504),
        Fault("error", method="POST", path="/v1/generations", after=True, status=403),
    ],
    ids=["drop", "cut", "garble", "504", "a proxy's 403"],
)
async def test_a_lost_response_is_disputed_at_once_reported_and_counted(
    agent: Agent, emulator: Emulator, clock: HeldClock, fault: Fault
) -> None:
    """Nothing finds such a purchase, so a person settles it; the same call does not buy it again."""
    emulator.faults.append(replace(fault))
    slept = sum(clock.sleeps)
    message = await agent.refusal("create_video", prompt="a boat")
    again = await agent.refusal("create_video", prompt="a boat")

    assert "nobody can say whether it was bought" in message
    assert "X-Request-Id" in message
    assert "dream-machine-mcp purchases settle 1" in message
    assert "For another one say take=2." in message
    assert again == message
    assert sum(clock.sleeps) - slept < 5
    assert len(bought(emulator)) == 1
    assert (await agent.call("get_credits"))["spent_today_usd"] == 0.30
    await agent.call("create_video", prompt="a boat", take=2)
    assert len(bought(emulator)) == 2


async def test_an_account_without_credit_is_refused(agent: Agent, emulator: Emulator) -> None:
    emulator.agents.billing.credit_cents = 0

    assert "insufficient credits" in await agent.refusal("create_video", prompt="a boat")
    assert (await agent.call("get_credits"))["spent_today_usd"] == 0
    assert bought(emulator) == []


async def test_a_response_that_comes_late_is_waited_for_and_a_repeat_joins(agent: Agent, emulator: Emulator) -> None:
    made: list[dict[str, Any]] = []

    async def buy() -> None:
        made.append(await agent.call("create_video", prompt="a boat"))

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(buy)

    assert len({answer["generation_id"] for answer in made}) == 1
    assert len(bought(emulator)) == 1


async def test_a_floor_of_credit_cannot_be_kept(serve) -> None:
    async with Client(serve(LUMA_TOKEN=KEY, LUMA_MIN_CREDIT_USD="1")) as client:
        message = await Agent(client).refusal("create_video", prompt="a boat")

    assert "LUMA_MIN_CREDIT_USD is set, and the Luma Agents API tells no balance" in message


async def test_a_failure_is_refunded_and_reported(agent: Agent, emulator: Emulator) -> None:
    made = await agent.call("create_video", prompt="a boat [fail: Output artifacts not found]")
    waited = await agent.call("wait_for_generation", generation_ids=[made["generation_id"]], timeout_seconds=900)

    assert waited["generations"][0]["failure_reason"] == "Output artifacts not found (generation_failed)"
    assert waited["next"] == "Luma failed, not the request: ask for the same again. It is refunded."
    assert (await agent.call("get_credits"))["spent_today_usd"] == 0
    again = await agent.call("create_video", prompt="a boat [fail: Output artifacts not found]")
    assert again["generation_id"] != made["generation_id"]


async def test_caps_count_both_apis(serve, emulator: Emulator) -> None:
    environment = {"LUMA_AGENTS_API_KEY": KEY, "LUMA_MAX_USD_PER_DAY": "1.10"}
    async with Client(serve(**environment)) as client:
        agent = Agent(client)
        await agent.call("create_video", prompt="a boat", model="ray-2")
        await agent.call("create_video", prompt="a boat")
        assert "LUMA_MAX_USD_PER_DAY" in await agent.refusal("create_video", prompt="a boat", take=2)
        credit = await agent.call("get_credits")

    assert credit["spent_today_usd"] == pytest.approx(1.01)
    assert credit["credit_usd"] == pytest.approx(1000 - 0.71, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_with_both_keys_each_id_goes_to_the_api_that_made_it(
    both: Agent, emulator: Emulator, clock: HeldClock
) -> None:
    old = await both.make("create_video", prompt="an old boat", model="ray-2", resolution="540p")
    clock.seconds += 60
    new = await both.make("create_video", prompt="a new boat", resolution="360p")
    clock.seconds += 60
    image = await both.make("create_image", prompt="a picture", model="photon-1")
    listed = await both.call("list_generations")

    assert [entry["generation_id"] for entry in listed["generations"]] == [image, new, old]
    assert [entry["model"] for entry in listed["generations"]] == ["photon-1", "ray-3.2", "ray-2"]
    assert "was made by Dream Machine (ray-2), and the Luma Agents API" in await both.refusal(
        "create_video", prompt="on", start_frame=old
    )
    edited = await both.make("modify_video", prompt="at night", source=old, resolution="360p")
    assert (await both.call("get_generation", generation_id=edited))["kind"] == "modify_video"
    assert (await both.call("delete_generation", generation_id=old))["deleted"] is True
    assert "cannot delete" in await both.refusal("delete_generation", generation_id=new)
    assert "No generation" in await both.refusal("get_generation", generation_id="0" * 8 + old[8:])
    for tool in ("upscale_video", "add_audio"):
        assert "was made by the Luma Agents API" in await both.refusal(tool, generation_id=new)


async def test_what_another_program_made_is_found_at_either_api(
    both: Agent, emulator: Emulator, transport: InMemory
) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(emulator.app), headers=headers) as client:
        made = (await client.post(f"{AGENTS_URL}/generations", json={"prompt": "a boat"})).json()

    assert (await both.call("get_generation", generation_id=made["id"]))["model"] == "uni-1"
    assert "cannot delete" in await both.refusal("delete_generation", generation_id=made["id"])
    old = emulator.dream_machine.accept(VideoBody(model="ray-2", prompt="a boat"))
    assert (await both.call("get_generation", generation_id=old.id))["model"] == "ray-2"
    assert (await both.call("delete_generation", generation_id=old.id))["deleted"] is True


async def test_an_api_that_cannot_be_asked_hides_nothing_of_the_other(both: Agent, emulator: Emulator) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(emulator.app), headers=headers) as client:
        new = (await client.post(f"{AGENTS_URL}/generations", json={"prompt": "a boat"})).json()["id"]
    old = emulator.dream_machine.accept(VideoBody(model="ray-2", prompt="a boat")).id
    unknown = "0" * 8 + old[8:]

    emulator.faults.append(Fault("error", status=503, method="GET", path="/v1/*", times=1000))
    assert (await both.call("get_generation", generation_id=old))["model"] == "ray-2"
    for generation_id in (new, unknown):
        assert "503" in await both.refusal("get_generation", generation_id=generation_id)
        assert "503" in await both.refusal("delete_generation", generation_id=generation_id)
    assert (await both.call("delete_generation", generation_id=old))["deleted"] is True

    emulator.faults[:] = [Fault("error", status=503, method="GET", path="/dream-machine/*", times=1000)]
    assert (await both.call("get_generation", generation_id=new))["model"] == "uni-1"
    assert "503" in await both.refusal("get_generation", generation_id=unknown)


async def test_ping_and_the_key_goes_nowhere_else(agent: Agent, transport: InMemory, output: Path) -> None:
    output.mkdir()
    (output / "a.png").write_bytes(picture())
    assert (await agent.call("ping"))["base_url"] == AGENTS_URL
    await agent.call("create_video", prompt="a boat", start_frame="a.png")

    keyed = {request.url.path.split("/")[1] for request in transport.requests if "authorization" in request.headers}
    bare = {request.url.path.split("/")[1] for request in transport.requests if "authorization" not in request.headers}
    assert (keyed, bare) == ({"v1"}, {"uploads"})


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_upscaled_clip_is_as_long_as_its_source(agent_of_dream_machine: Agent) -> None:
    """Luma's echo of an upscale does not say how long it is; the ledger knows what it was made from."""
    agent = agent_of_dream_machine
    clip = await agent.make("create_video", prompt="a boat", resolution="540p", aspect_ratio="1:1")
    larger = await agent.make("upscale_video", generation_id=clip)
    with_sound = await agent.make("add_audio", generation_id=larger)
    quote = await agent.call("add_audio", generation_id=with_sound, prompt="waves", dry_run=True)

    assert quote["price_usd"] == 0.50
    again = await agent.call("upscale_video", generation_id=with_sound, resolution="4k", dry_run=True)
    direct = await agent.call("upscale_video", generation_id=clip, resolution="4k", dry_run=True)
    assert again["price_usd"] == direct["price_usd"]


async def test_the_ledger_that_fails_hides_no_generation(
    agent: Agent, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await agent.call("create_video", prompt="a boat")

    async def fails(*_arguments: object) -> None:
        raise LedgerError("The ledger cannot be read.", "")

    monkeypatch.setattr("luma_mcp.ledger.purchases.Ledger.by_generation", fails)
    assert (await agent.call("get_generation", generation_id=made["generation_id"]))["state"] == "queued"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_player_offers_what_the_api_can_do(serve, clock: HeldClock, output: Path) -> None:
    output.mkdir()
    (output / "a.png").write_bytes(picture())
    async with Client(serve(LUMA_TOKEN=KEY), extensions=[APPS]) as client:
        agent = Agent(client)
        clip = await agent.make("create_video", prompt="a boat", hdr=True, resolution="720p")
        moved = await agent.make("create_video", prompt="a boat", start_frame="a.png")
        image = await agent.make("create_image", prompt="a boat", style="manga")
        waited = await agent.result("wait_for_generation", generation_ids=[clip, moved, image])
    offered = {
        (action["generation_id"], action["action"]): action for action in waited.meta["dream-machine-mcp/offers"]
    }

    assert set(offered) == {
        (clip, "extend"), (clip, "variation"), (moved, "extend"), (image, "animate"), (image, "variation"),
    }  # fmt: skip
    assert offered[clip, "variation"]["price_usd"] == 0.60
    assert offered[clip, "variation"]["arguments"]["hdr"] is True
    assert offered[image, "animate"]["prompt"] == "required"
    assert offered[image, "variation"]["arguments"]["style"] == "manga"
