"""Arguments as models and clients really send them: brought to our form, or refused with what to do."""

import json
from typing import Any

import pytest
from mcp import Client

from luma_mcp.backends.concepts import CameraVocabulary, Words
from luma_mcp.domain import catalogue
from luma_mcp.emulator.app import Emulator
from luma_mcp.mcp.arguments.names import CLIENT_EXTRAS
from tests.support.agent import TOKEN, Agent

pytestmark = pytest.mark.anyio

URL = "https://a.example/a.png"
PROMPT = {"prompt": "a boat"}


def posts(emulator: Emulator) -> list[str]:
    return [path for method, path in emulator.requests if method == "POST"]


async def request_of(agent: Agent, tool: str, **arguments: Any) -> str:
    """The request that would be sent."""
    return (await agent.call(tool, dry_run=True, **arguments))["request"]


@pytest.mark.parametrize("value", [None, ""])
async def test_null_and_an_empty_text_mean_absent(agent: Agent, value: str | None) -> None:
    optional = ("start_frame", "end_frame", "model", "aspect_ratio", "resolution", "duration", "loop", "concepts")
    empty = dict.fromkeys((*optional, "take", "no_argument_at_all"), value)

    assert await request_of(agent, "create_video", **PROMPT, **empty) == await request_of(
        agent, "create_video", **PROMPT
    )


@pytest.mark.parametrize("value", [None, ""])
async def test_an_argument_that_is_needed_is_named_where_it_is_empty(agent: Agent, value: str | None) -> None:
    assert await agent.refusal("get_generation", generation_id=value) == (
        "get_generation needs the argument generation_id."
    )


async def test_what_clients_add_to_every_call_is_left_out(agent: Agent) -> None:
    added = dict.fromkeys(CLIENT_EXTRAS, "x")

    assert "ok" in await agent.call("ping", **added)
    assert await request_of(agent, "create_video", **PROMPT, **added) == await request_of(
        agent, "create_video", **PROMPT
    )


@pytest.mark.parametrize(
    ("tool", "name", "sentence"),
    [
        ("create_video", "last_frame", "It is called end_frame here."),
        ("create_video", "tail_image", "It is called end_frame here."),
        ("create_video", "frame0", "It is called start_frame here."),
        ("create_video", "first_frame", "It is called start_frame here."),
        ("create_video", "image_url", "It is called start_frame here."),
        ("create_video", "imageUrl", "It is called start_frame here."),
        ("create_video", "ratio", "It is called aspect_ratio here."),
        ("create_video", "seconds", "It is called duration here."),
        ("create_video", "camera_motion", "It is called concepts here."),
        ("create_video", "seed", "Luma has no seed."),
        ("create_video", "negative_prompt", "Luma has no negative_prompt."),
        ("create_video", "n", "It is called count here."),
        ("create_video", "generate_audio", "add_audio makes a copy of a clip with sound"),
        ("create_video", "webhook_url", "Only the person can set LUMA_CALLBACK_URL"),
        ("create_image", "num_images", "It is called count here."),
        ("reframe_video", "num_videos", "Call once for each, with take=1, 2, 3"),
        ("create_image", "reference_images", "It is called image_refs here."),
        ("create_image", "source_image", "It is called modify_image here."),
        ("create_image", "size", "It is called aspect_ratio here."),
        ("modify_video", "video_url", "It is called source here."),
        ("modify_video", "strength", "It is called mode here."),
        ("extend_video", "id", "It is called generation_id here."),
        ("reframe_video", "x_start", "It is called placement here. It is [left, top, width, height]"),
        ("wait_for_generation", "patience_seconds", "It is called timeout_seconds here."),
        ("get_generation", "task_id", "It is called generation_id here."),
        ("download_generation", "output_dir", "It is called directory here."),
    ],
)
async def test_the_names_of_other_apis_are_refused_with_ours(
    agent: Agent, emulator: Emulator, tool: str, name: str, sentence: str
) -> None:
    message = await agent.refusal(tool, **{name: "x"})

    assert sentence in message
    assert message.endswith("Nothing was done.")
    assert "Did you mean" not in message
    assert posts(emulator) == []


@pytest.mark.parametrize(
    ("token", "model", "choices"),
    [
        ("luma-api-x", "ray-3", "Input should be 'ray-3.2'."),
        (TOKEN, "sora", "Input should be 'ray-2' or 'ray-flash-2'."),
    ],
)
async def test_an_unknown_name_is_refused_with_those_of_this_server_s_apis(
    serve: Any, token: str, model: str, choices: str
) -> None:
    async with Client(serve(LUMA_TOKEN=token)) as client:
        message = await Agent(client).refusal("create_video", **PROMPT, model=model)

    assert message == f"create_video: model cannot be {model!r}: {choices}"


async def test_no_name_is_guessed_where_it_costs_money(agent: Agent) -> None:
    spending = await agent.refusal("create_video", prompt="a boat", start_fram="x")
    reading = await agent.refusal("wait_for_generation", generation_idz="x")

    assert "It takes take, dry_run, count, prompt, start_frame" in spending
    assert "keyframes" not in spending, "only the other API has them"
    assert "Did you mean generation_ids?" in reading


@pytest.mark.parametrize(
    "spelled",
    [
        {"aspectRatio": "16x9", "resolution": "1080P", "duration": 5, "model": "RAY 2"},
        {"aspect-ratio": "16/9", "resolution": 1080, "duration": "5 s", "model": "ray2"},
        {"ASPECT_RATIO": "16 : 9", "resolution": "1080", "duration": 5.0, "model": "Ray-2"},
    ],
)
async def test_another_spelling_of_the_same_is_the_same(agent: Agent, spelled: dict[str, Any]) -> None:
    ours = {"aspect_ratio": "16:9", "resolution": "1080p", "duration": "5s", "model": "ray-2"}

    assert await request_of(agent, "create_video", **PROMPT, **spelled) == await request_of(
        agent, "create_video", **PROMPT, **ours
    )


@pytest.mark.parametrize(("layers", "size"), [("1K", "1k"), (1024, "1k"), ("2048", "2k")])
async def test_the_size_of_layers_may_be_in_pixels(serve: Any, layers: Any, size: str) -> None:
    async with Client(serve(LUMA_TOKEN="luma-api-x")) as client:
        request = await request_of(Agent(client), "create_image", layers=layers, modify_image=URL)

    assert f'"{size}"' in request


@pytest.mark.parametrize(
    "extra", [{"aspectRatio": "1:1", "aspect_ratio": "16:9"}, {"duration": "7s"}, {"loop": "maybe"}]
)
async def test_what_is_not_the_same_is_refused(agent: Agent, extra: dict[str, Any]) -> None:
    assert await agent.refusal("create_video", **PROMPT, **extra)


async def test_more_references_than_any_model_accepts_are_refused(agent: Agent, emulator: Emulator) -> None:
    most = max(model.max_references for model in catalogue.IMAGE_MODELS.values())
    refusal = await agent.refusal("create_image", **PROMPT, image_refs=[URL] * (most + 1))

    assert "image_refs" in refusal
    assert "at most" in refusal
    assert emulator.dream_machine.billing.purchases() == []


@pytest.mark.parametrize(
    ("arguments", "same"),
    [
        ({"image_refs": [URL]}, {"image_refs": [{"source": URL}]}),
        ({"image_refs": URL}, {"image_refs": [{"source": URL}]}),
        ({"image_refs": {"url": URL, "weight": 0.5}}, {"image_refs": [{"source": URL, "weight": 0.5}]}),
        ({"image_refs": [{"type": "image", "url": URL}]}, {"image_refs": [{"source": URL}]}),
        ({"image_refs": f'[{{"source": "{URL}"}}]'}, {"image_refs": [{"source": URL}]}),
        ({"modify_image": URL}, {"modify_image": {"source": URL}}),
        ({"modify_image": {"image_url": URL, "weight": 1}}, {"modify_image": {"source": URL, "weight": 1}}),
        ({"character_images": URL}, {"character_images": [URL]}),
        ({"character_images": [{"source": URL}]}, {"character_images": [URL]}),
        ({"format": "JPEG"}, {"format": "jpg"}),
    ],
)
async def test_a_reference_may_be_a_link_alone(agent: Agent, arguments: dict[str, Any], same: dict[str, Any]) -> None:
    assert await request_of(agent, "create_image", **PROMPT, **arguments) == await request_of(
        agent, "create_image", **PROMPT, **same
    )


@pytest.mark.parametrize(
    "source",
    [
        {"url": URL}, {"type": "image", "url": URL}, {"source": URL}, [URL], [{"image_url": URL}],
        f'{{"type": "image", "url": "{URL}"}}', f'["{URL}"]',
    ],
)  # fmt: skip
async def test_a_source_may_be_an_object_or_a_list_of_one(agent: Agent, source: Any) -> None:
    async def both(tool: str, name: str, **others: Any) -> tuple[str, str]:
        named = [await request_of(agent, tool, **others, **{name: value}) for value in (source, URL)]
        return named[0], named[1]

    for tool, name, others in (
        ("create_video", "start_frame", PROMPT),
        ("create_video", "end_frame", PROMPT),
        ("modify_video", "source", PROMPT | {"mode": "flex_1"}),
        ("modify_video", "first_frame", PROMPT | {"mode": "flex_1", "source": URL}),
        ("reframe_video", "source", {"aspect_ratio": "9:16"}),
        ("reframe_video", "first_frame", {"aspect_ratio": "9:16", "source": URL}),
        ("reframe_image", "source", {"aspect_ratio": "9:16"}),
    ):
        ours, plain = await both(tool, name, **others)
        assert ours == plain, (tool, name)
    films = [{"prompt": "a boat", "start": value, "end": value} for value in (source, URL)]
    results = [await agent.call("create_film", shots=[shot], dry_run=True) for shot in films]
    assert results[0] == results[1]


@pytest.mark.parametrize("source", [[URL, URL], [], {}, {"url": URL, "weight": 1}, {"url": URL, "path": "a.png"}, 7])
async def test_what_is_not_one_source_is_refused(agent: Agent, source: Any) -> None:
    assert "start_frame cannot be" in await agent.refusal("create_video", **PROMPT, start_frame=source)


async def test_an_id_may_be_a_list_of_one(agent: Agent) -> None:
    video = await agent.make("create_image", prompt="a boat")
    plain = await agent.call("get_generation", generation_id=video)

    for sent in ([video], f'["{video}"]', [f" {video} "]):
        assert await agent.call("get_generation", generation_id=sent) == plain
    assert "cannot be" in await agent.refusal("get_generation", generation_id=[video, video])


@pytest.mark.parametrize(
    ("inside", "sentence"),
    [
        (PROMPT | {"dry_run": True}, "Give prompt, dry_run themselves, not inside it. Nothing was done."),
        (PROMPT | {"size": 1}, "It takes take, dry_run, count, prompt"),
        ({}, "It takes take, dry_run, count, prompt"),
        ("prompt", "It takes take, dry_run, count, prompt"),
    ],
)
async def test_arguments_inside_another_one_are_refused_with_a_hint(
    agent: Agent, emulator: Emulator, inside: Any, sentence: str
) -> None:
    message = await agent.refusal("create_video", arguments=inside)

    assert sentence in message
    assert posts(emulator) == []


@pytest.mark.parametrize("source", ["sandbox:/mnt/data/a.png", "attachment://a.png", "blob:https://a.example/1"])
async def test_what_is_inside_the_chat_cannot_be_read(agent: Agent, source: str) -> None:
    message = await agent.refusal("create_video", **PROMPT, start_frame=source)

    assert "is a file inside the chat, which this server cannot read. Save it in a folder" in message


@pytest.mark.parametrize(
    "concepts", [["Orbit Left", "ZOOM-IN"], "orbit_left, Zoom in", [{"key": "orbit_left"}, "zoomIn"]]
)
async def test_concepts_are_known_by_their_letters(agent: Agent, concepts: Any) -> None:
    plain = await request_of(agent, "create_video", **PROMPT, concepts=["orbit_left", "zoom_in"])

    assert await request_of(agent, "create_video", **PROMPT, concepts=concepts) == plain


async def test_a_concept_that_luma_does_not_have_is_refused_also_in_a_dry_run(agent: Agent, emulator: Emulator) -> None:
    for dry_run in (True, False):
        message = await agent.refusal("create_video", **PROMPT, concepts=["barrel_roll"], dry_run=dry_run)
        assert message == "Luma has no concept 'barrel_roll'. list_concepts shows them all."
    assert posts(emulator) == []


@pytest.mark.parametrize(
    "wrapped",
    [
        " {0} ", "{0}\n", "{0}\u200b", "\ufeff{0}", "`{0}`", '"{0}"', "'{0}'", "<{0}>", "\u201c{0}\u201d", "({0})",
        "{0}.", "id: {0}", "generation_id={0}", "Generation {0}", "luma://generations/{0}",
    ],
)  # fmt: skip
async def test_what_copying_puts_around_an_id_is_taken_off(agent: Agent, wrapped: str) -> None:
    made = await agent.make("create_image", prompt="a boat")
    wrapped = wrapped.format(made)

    assert (await agent.call("get_generation", generation_id=wrapped))["generation_id"] == made
    assert (await agent.call("wait_for_generation", generation_ids=[wrapped.upper()]))["done"] is True
    assert (await agent.call("wait_for_generation", generation_ids=wrapped))["done"] is True
    assert (await agent.call("create_video", start_frame=wrapped, dry_run=True))["price_usd"] > 0


async def test_ids_may_come_in_one_text(agent: Agent) -> None:
    made = [await agent.make("create_image", prompt=f"boat {number}") for number in range(2)]
    waited = await agent.call("wait_for_generation", generation_ids=", ".join(made))

    assert [one["generation_id"] for one in waited["generations"]] == made


async def test_what_cannot_be_seen_in_an_id_is_shown(agent: Agent) -> None:
    message = await agent.refusal("get_generation", generation_id="15b7abb1\u20113741 x")

    assert r"'15b7abb1\u20113741 x' is not a generation id." in message


@pytest.mark.parametrize(
    "prompt",
    ["   ", "\u200b\u200b", "\u2800\u3164", "{{ $json.prompt }}", "${prompt}", "undefined", "[object Object]", "null"],
)
@pytest.mark.parametrize("dry_run", [True, False])
async def test_a_prompt_that_is_empty_buys_nothing(
    agent: Agent, emulator: Emulator, prompt: str, dry_run: bool
) -> None:
    message = await agent.refusal("create_video", prompt=prompt, start_frame=URL, dry_run=dry_run)

    assert "The prompt is" in message
    assert posts(emulator) == []


@pytest.mark.parametrize(
    ("frames", "ours"),
    [
        ({"frame0": {"type": "image", "url": URL}}, {"start_frame": URL}),
        ({"frame1": {"url": URL}, "frame0": None}, {"end_frame": URL}),
        ({"frame0": URL, "frame1": {"type": "image", "url": URL, "id": None}}, {"start_frame": URL, "end_frame": URL}),
        (json.dumps({"frame0": {"type": "image", "url": URL}}), {"start_frame": URL}),
    ],
)
async def test_the_frames_of_luma_s_own_api_are_start_and_end_frame(
    agent: Agent, frames: Any, ours: dict[str, str]
) -> None:
    assert await request_of(agent, "create_video", **PROMPT, keyframes=frames) == await request_of(
        agent, "create_video", **PROMPT, **ours
    )


@pytest.mark.medium
async def test_a_clip_in_the_frames_of_luma_s_own_api_is_continued(agent: Agent) -> None:
    clip = await agent.make("create_video", **PROMPT, resolution="540p")
    frames = {"frame0": {"type": "generation", "id": clip}}

    assert await request_of(agent, "create_video", **PROMPT, keyframes=frames) == await request_of(
        agent, "create_video", **PROMPT, start_frame=clip
    )


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        ({"keyframes": {"frame0": {"type": "image", "url": URL, "weight": 1}}}, "frame0 of keyframes cannot be read"),
        ({"keyframes": {"frame0": {"type": "generation", "url": URL}}}, "frame0 of keyframes cannot be read"),
        ({"keyframes": {"frame0": {"type": "sketch", "url": URL}}}, "frame0 of keyframes cannot be read"),
        ({"keyframes": {"frame0": {}}}, "frame0 of keyframes cannot be read"),
        ({"keyframes": {"frame0": 5}}, "frame0 of keyframes cannot be read"),
        ({"keyframes": {"frame0": ""}}, "frame0 of keyframes cannot be read"),
        ({"keyframes": {"frame0": URL, "frame2": URL}}, "keyframes has no 'frame2' beside frame0 and frame1"),
        ({"keyframes": {"frame0": URL}, "start_frame": URL}, "frame0 of keyframes is start_frame, and both are there"),
        ({"keyframes": {"frame7": URL}}, "frame0 is start_frame of create_video"),
    ],
)
async def test_frames_that_would_lose_something_are_refused(
    agent: Agent, emulator: Emulator, call: dict[str, Any], sentence: str
) -> None:
    assert sentence in await agent.refusal("create_video", **PROMPT, **call)
    assert posts(emulator) == []


@pytest.mark.parametrize(
    ("tool", "name", "sentence"),
    [
        ("reframe_video", "keyframes", "create_video has start_frame, end_frame and keyframes"),
        ("create_video", "callback_url", "Only the person can set LUMA_CALLBACK_URL"),
        ("create_video", "generation_type", "Each operation is a tool of its own"),
        ("modify_video", "auto_controls", "Without mode and keep, Luma chooses"),
    ],
)
async def test_what_luma_has_is_never_said_to_be_missing_there(
    agent: Agent, tool: str, name: str, sentence: str
) -> None:
    message = await agent.refusal(tool, **{name: "x"})

    assert sentence in message
    assert "Luma has no" not in message


async def test_a_placement_may_be_an_object(agent: Agent) -> None:
    call = {"source": "https://a.example/a.mp4", "aspect_ratio": "9:16"}
    ours = await request_of(agent, "reframe_video", **call, placement=[0, 0.25, 1, 0.5])
    named = {"left": 0, "top": 0.25, "width": 1, "height": 0.5}

    assert await request_of(agent, "reframe_video", **call, placement=named) == ours


async def test_a_word_of_an_argument_that_this_tool_does_not_have_is_not_reported_as_it(agent: Agent) -> None:
    message = await agent.refusal("ping", last_frame="x")

    assert message == "ping has no argument 'last_frame'. It takes no arguments. Nothing was done."


async def test_a_concept_that_only_luma_s_own_list_has_is_taken(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    async def listed(_vocabulary: CameraVocabulary) -> Words:
        return Words(("orbit_left", "new_move"), from_luma=True)

    monkeypatch.setattr(CameraVocabulary, "concepts", listed)

    assert "new_move" in await request_of(agent, "create_video", **PROMPT, concepts=["orbit_left", "new_move"])
