"""What the emulated Agents API takes and refuses, in Luma's words, and what it costs."""

import base64
import uuid
from typing import Any

import httpx
import pytest

from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.faults import Fault
from luma_mcp.emulator.serving import serving
from tests.emulator.agents.conftest import KEY, Api, World, still
from tests.support.agent import until

pytestmark = pytest.mark.anyio

CLIP = {"prompt": "a boat", "model": "ray-3.2", "type": "video"}
DATA = {"data": base64.b64encode(still()).decode(), "media_type": "image/png"}
EDIT = {"prompt": "at night", "type": "image_edit", "source": DATA}
LONG = {"duration": "10s"}
BOTH = {"auto_controls": True, "strength": "flex_1"}
BROKEN = {"data": "%", "media_type": "image/png"}


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ({"prompt": "a", "model": "ray-9"}, 400, "Unknown model: ray-9"),
        ({"prompt": "a", "type": "video"}, 400, "Type 'video' is not supported for model 'uni-1'"),
        (
            {"prompt": "a", "aspect_ratio": "4:3"}, 400,
            "Invalid aspect_ratio '4:3'. Valid: 1:1, 1:2, 1:3, 16:9, 2:1, 2:3, 3:1, 3:2, 9:16",
        ),
        ({"prompt": ""}, 400, "Prompt must be between 1 and 6000 characters"),
        ({"prompt": "x" * 6001}, 400, "Prompt must be between 1 and 6000 characters"),
        ({"type": "layering", "source": DATA, "prompt": "x" * 501}, 400, "Prompt must be at most 500 characters"),
        ({"prompt": "a", "image_ref": [{}]}, 400, "image_ref[0]: provide either 'url' or 'data', not neither"),
        (
            {"prompt": "a", "image_ref": [{"url": "https://a", "file_id": "b"}]}, 400,
            "image_ref[0]: provide either 'url' or 'file_id', not both",
        ),
        ({"prompt": "a", "image_ref": [{"data": "eA=="}]}, 400, "image_ref[0]: 'media_type' is required with 'data'"),
        (
            EDIT | {"image_ref": [DATA] * 9}, 400,
            "image_edit supports up to 8 reference images (source occupies one slot)",
        ),
        ({"prompt": "a", "image_ref": [DATA] * 10}, 400, "image supports up to 9 reference images"),
        ({"prompt": "a", "source": DATA}, 400, "source is only valid for type 'image_edit'"),
        ({"prompt": "a", "type": "image_edit"}, 400, "source is required for type 'image_edit'"),
        (
            {"prompt": "a", "style": "manga", "aspect_ratio": "16:9"}, 422,
            "style 'manga' supports only aspect_ratio 2:3, 9:16, 1:2, 1:3",
        ),
        ({"prompt": "a", "video": {}}, 422, "video cannot be used with a type for stills"),
        (CLIP | {"image_ref": [DATA]}, 422, "image_ref cannot be used with a type for clips"),
        (CLIP | {"aspect_ratio": "9:21"}, 400, "Invalid aspect_ratio '9:21'. Valid: 1:1, 16:9, 21:9, 3:4, 4:3, 9:16"),
        (CLIP | {"video": LONG | {"hdr": True}}, 422, "video.hdr cannot be used with duration '10s'"),
        (CLIP | {"video": LONG | {"loop": True}}, 422, "video.loop cannot be used with duration '10s'"),
        (CLIP | {"video": LONG | {"start_frame": DATA}}, 422, "video.start_frame cannot be used with duration '10s'"),
        (CLIP | {"video": {"loop": True, "end_frame": DATA}}, 422, "video.end_frame cannot be used with video.loop"),
        (
            CLIP | {"video": {"hdr": True, "resolution": "540p"}}, 422,
            "video.resolution below 720p cannot be used with video.hdr",
        ),
        (CLIP | {"video": {"exr_export": True}}, 422, "video.exr_export requires video.hdr"),
        (CLIP | {"video": {"edit": {}}}, 422, "video.edit cannot be used with type 'video'"),
        (
            CLIP | {"video": {"keyframes": [DATA], "keyframe_indexes": [0], "start_frame": DATA}}, 422,
            "video.start_frame cannot be used with video.keyframes",
        ),
        (
            CLIP | {"video": {"keyframes": [DATA], "keyframe_indexes": []}}, 422,
            "video.keyframes and video.keyframe_indexes must have the same length",
        ),
        (
            CLIP | {"video": {"keyframes": [DATA], "keyframe_indexes": [121]}}, 422,
            "video.keyframe_indexes must be unique and between 0 and 120",
        ),
        (
            CLIP | {"video": LONG | {"keyframes": [DATA] * 2, "keyframe_indexes": [5, 5]}}, 422,
            "video.keyframe_indexes must be unique and between 0 and 240",
        ),
        (CLIP | {"video": {"keyframe_indexes": [1]}}, 422, "video.keyframes must have 1 to 64 entries"),
        (
            CLIP | {"type": "video_reframe", "source": DATA}, 422,
            "aspect_ratio is required for type 'video_reframe'",
        ),
        (
            CLIP | {"type": "video_reframe", "source": DATA, "aspect_ratio": "9:16", "video": {"resolution": "1080p"}},
            422, "1080p with aspect_ratio '9:16' is coming soon",
        ),
        (
            CLIP | {"type": "video_edit", "source": DATA, "video": {"edit": BOTH}}, 422,
            "video.edit.strength cannot be used with video.edit.auto_controls",
        ),
        (CLIP | {"type": "video_edit", "source": DATA}, 422, "source: a video is required"),
        ({"prompt": "a", "image_ref": [BROKEN]}, 422, "image_ref[0]: invalid base64 data"),
        (
            {"prompt": "a", "image_ref": [DATA | {"media_type": "text/html"}]}, 422,
            "image_ref[0]: content-type is not an image",
        ),
        (
            {"prompt": "a", "image_ref": [{"data": "eA==", "media_type": "image/png"}]}, 422,
            "image_ref[0]: image cannot be decoded",
        ),
        (
            CLIP | {"type": "video_edit", "source": {"data": "eA==", "media_type": "video/mp4"}}, 422,
            "source: video cannot be decoded",
        ),
        ({"prompt": "a", "image_ref": [{"url": "http://a.example/a"}]}, 422, "image_ref[0]: failed to fetch URL"),
        ({"prompt": "a", "image_ref": [{"url": "https://gone.example/a"}]}, 422, "image_ref[0]: failed to fetch URL"),
        (
            {"prompt": "a", "image_ref": [{"url": "https://a.example/404"}]}, 422,
            "image_ref[0]: failed to fetch URL (HTTP 404)",
        ),
        ({"prompt": "a", "image_ref": [{"file_id": "nothing"}]}, 422, "image_ref[0]: file is not ready"),
        (
            CLIP | {"video": {"start_frame": {"generation_id": str(uuid.uuid4())}}}, 422,
            "video.start_frame: generation not found or not completed",
        ),
    ],
)  # fmt: skip
async def test_what_is_refused(api: Api, world: World, body: dict[str, Any], status: int, detail: str) -> None:
    world.files["https://a.example/404"] = (404, "text/html", b"")
    assert await api.refusal(**body) == (status, detail)


async def test_a_body_of_another_shape_is_answered_with_a_list(api: Api) -> None:
    status, detail = await api.refusal(prompt=1, unknown=True)

    assert status == 422
    assert {problem["loc"][0] for problem in detail} == {"prompt", "unknown"}


async def test_null_is_not_given(api: Api) -> None:
    await api.create(prompt="a boat", model=None, aspect_ratio=None, video=None, image_ref=None)


async def test_what_is_too_large_is_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luma_mcp.emulator.agents.catalogue.MAX_STILL_BYTES", 10)
    monkeypatch.setattr("luma_mcp.emulator.agents.catalogue.MAX_CLIP_BYTES", 10)

    assert await api.refusal(**EDIT) == (413, "source: image exceeds 50 MB limit")
    clip = DATA | {"media_type": "video/mp4"}
    assert await api.refusal(**CLIP | {"type": "video_edit", "source": clip}) == (
        413,
        "source: video exceeds 200 MB limit",
    )


async def test_a_still_with_a_side_that_is_too_long_is_refused(api: Api) -> None:
    data = base64.b64encode(still((8001, 1))).decode()
    status, detail = await api.refusal(**EDIT | {"source": {"data": data, "media_type": "image/png"}})

    assert (status, detail) == (422, "source: image exceeds 8000 pixels a side")


async def test_a_clip_that_is_too_long_is_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luma_mcp.emulator.agents.catalogue.MAX_EDIT_SECONDS", 4)
    clip = await api.completed(**CLIP | {"video": {"resolution": "360p"}})
    body = CLIP | {"type": "video_edit", "source": {"generation_id": clip["id"]}}

    assert await api.refusal(**body) == (422, "source: video exceeds 4 seconds")


@pytest.mark.parametrize(
    ("body", "usd"),
    [
        ({"prompt": "a"}, 0.0404),
        ({"prompt": "a", "image_ref": [DATA]}, 0.0434),
        ({"prompt": "a", "image_ref": [DATA] * 9}, 0.0674),
        ({"prompt": "a", "model": "uni-1-max", "image_ref": [DATA] * 2}, 0.106),
        (EDIT, 0.0434),
        (EDIT | {"model": "uni-1-max", "image_ref": [DATA]}, 0.106),
        (CLIP | {"video": {"resolution": "360p"}}, 0.06),
        (CLIP, 0.30),
        (CLIP | {"video": LONG | {"resolution": "1080p"}}, 3.60),
        (CLIP | {"video": {"hdr": True}}, 0.60),
        (CLIP | {"video": {"hdr": True, "exr_export": True, "resolution": "1080p"}}, 3.60),
    ],
)
async def test_what_it_costs(api: Api, emulator: Emulator, body: dict[str, Any], usd: float) -> None:
    await api.create(**body)

    assert emulator.agents.billing.balance_cents == pytest.approx(10_000 - usd * 100)


async def test_what_work_on_a_clip_costs(api: Api, emulator: Emulator) -> None:
    clip = await api.completed(**CLIP | {"video": LONG | {"resolution": "360p"}})
    source = {"generation_id": clip["id"]}
    before = emulator.agents.billing.balance_cents
    await api.create(**CLIP | {"type": "video_edit", "source": source, "video": {"hdr": True}})
    edited = emulator.agents.billing.balance_cents
    await api.create(**CLIP | {"type": "video_reframe", "source": source, "aspect_ratio": "1:1"})

    assert before - edited == pytest.approx(216 * 2)
    assert edited - emulator.agents.billing.balance_cents == pytest.approx(120)


async def test_too_little_credit_is_402_and_a_failure_is_refunded(http: httpx.AsyncClient, world: World) -> None:
    emulator = Emulator(clock=world.now, wall=world.now, credit_usd=0.5)
    transport = httpx.ASGITransport(emulator.app)
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://emulator", headers=headers) as client:
        api = Api(client, world)
        made = await api.create(**CLIP | {"prompt": "a boat [fail: Output artifacts not found]"})
        assert await api.refusal(**CLIP) == (402, "Insufficient credits. Please add credits to continue.")
        world.seconds += 1_000
        failed = await api.get(made["id"])
        assert (failed["state"], failed["failure_code"], failed["output"]) == ("failed", "generation_failed", [])
        assert failed["failure_reason"] == "Output artifacts not found"
        moderated = await api.create(**CLIP | {"prompt": "blacklisted"})
        world.seconds += 1_000
        assert (await api.get(moderated["id"]))["failure_code"] == "content_moderated"
    assert emulator.agents.billing.balance_cents == 50


async def test_hdr_needs_access(world: World) -> None:
    emulator = Emulator(clock=world.now, wall=world.now)
    emulator.agents._has_hdr = False
    transport = httpx.ASGITransport(emulator.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://emulator") as client:
        client.headers["Authorization"] = f"Bearer {KEY}"
        api = Api(client, world)
        assert (await api.refusal(**CLIP | {"video": {"hdr": True}}))[0] == 400


async def test_the_two_limits_of_creations(api: Api, http: httpx.AsyncClient, world: World) -> None:
    for _ in range(10):
        answer = await http.post("/v1/generations", json={"prompt": "a"})
    assert answer.headers["x-ratelimit-remaining"] == "20"
    assert answer.headers["x-ratelimit-limit"] == "30"
    assert answer.headers["x-ratelimit-reset"] == "1060"
    full = await http.post("/v1/generations", json={"prompt": "a"})
    assert (full.status_code, full.json()["detail"]) == (429, "Concurrent generation limit reached (10)")
    assert full.headers["retry-after"] == "60"
    assert "x-ratelimit-limit" not in full.headers
    for _ in range(2):
        world.seconds += 25
        for _ in range(10):
            await http.post("/v1/generations", json={"prompt": "a"})
    limited = await http.post("/v1/generations", json={"prompt": "a"})
    assert (limited.status_code, limited.json()["detail"]) == (429, "Rate limit exceeded")
    assert limited.headers["retry-after"] == "10"
    assert limited.headers["x-ratelimit-remaining"] == "0"
    world.seconds += 1_000
    await api.create(prompt="a")


async def test_the_key_and_the_headers_of_every_answer(http: httpx.AsyncClient) -> None:
    answer = await http.get("/v1/files", headers={"X-Request-Id": "mine"})
    assert (answer.headers["x-request-id"], answer.headers["x-api-version"]) == ("mine", "2026-04-01")
    assert len((await http.get("/v1/files")).headers["x-request-id"]) == 36
    for authorization in ("", "bearer luma-api-test", "Bearer other"):
        refused = await http.get("/v1/files", headers={"Authorization": authorization})
        assert (refused.status_code, refused.json()["detail"]) == (401, "Missing or invalid API key")
    assert (await http.get("/v1/nothing")).status_code == 404
    assert (await http.get("/v1/generations/nothing")).json() == {"detail": "Generation not found"}


async def test_a_generation_proceeds(api: Api, emulator: Emulator, world: World) -> None:
    made = await api.create(**CLIP | {"video": {"resolution": "1080p"}})
    world.seconds += 10
    assert (await api.get(made["id"]))["state"] == "processing"
    world.seconds += 100
    assert (await api.get(made["id"]))["state"] == "processing", "1080p takes three times as long"
    world.seconds += 200
    assert (await api.get(made["id"]))["state"] == "completed"
    assert emulator.agents_requests[0] == ("POST", "/generations")


async def test_a_fault_moderates_the_next_one(api: Api, emulator: Emulator, world: World) -> None:
    emulator.faults.append(Fault("moderate", path="/v1/generations", reason="Flagged."))
    made = await api.create(prompt="a boat")
    world.seconds += 100
    failed = await api.get(made["id"])

    assert (failed["failure_code"], failed["failure_reason"]) == ("content_moderated", "Flagged.")


async def test_without_limits_there_are_none(world: World) -> None:
    emulator = Emulator(clock=world.now, wall=world.now, limits={})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(emulator.app), base_url="http://emulator") as client:
        client.headers["Authorization"] = f"Bearer {KEY}"
        for _ in range(40):
            answer = await client.post("/v1/generations", json={"prompt": "a"})
            assert answer.status_code == 201
    assert "x-ratelimit-limit" not in answer.headers


async def test_what_is_no_object_is_answered_with_a_list(http: httpx.AsyncClient) -> None:
    assert (await http.post("/v1/generations", json=[1])).status_code == 422
    assert (await http.post("/v1/generations", json={"prompt": "a", "source": 1})).status_code == 422


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.medium
async def test_a_link_is_read_while_the_request_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(Emulator(speed=1000)) as base_url:
        origin = base_url.removesuffix("/dream-machine/v1")
        async with httpx.AsyncClient(base_url=origin, headers={"Authorization": f"Bearer {KEY}"}) as client:
            made = (await client.post("/v1/generations", json={"prompt": "a boat"})).json()
            generation: dict[str, Any] = {}

            async def is_over() -> bool:
                generation.update((await client.get(f"/v1/generations/{made['id']}")).json())
                return generation["state"] == "completed"

            await until(is_over)
            body = {"prompt": "at night", "image_ref": [{"url": generation["output"][0]["url"]}]}
            assert (await client.post("/v1/generations", json=body)).status_code == 201
            unreadable = {"prompt": "a", "image_ref": [{"url": "http://127.0.0.1:9/a.png"}]}
            assert (await client.post("/v1/generations", json=unreadable)).status_code == 422
            monkeypatch.setattr("luma_mcp.emulator.agents.app._MAX_FETCHED_BYTES", 100)
            assert (await client.post("/v1/generations", json=body)).status_code == 422
