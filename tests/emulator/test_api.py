"""The emulator as an HTTP client sees it, against what Luma documents."""

from typing import Any

import httpx
import pytest

from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.limiter import Limits
from tests.support.agent import BASE_URL, HeldClock

pytestmark = pytest.mark.anyio

VIDEO = {"model": "ray-2", "prompt": "a boat", "resolution": "540p"}


async def create(http: httpx.AsyncClient, path: str = "/generations/video", **body: Any) -> dict[str, Any]:
    answer = await http.post(path, json=body or VIDEO)
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


async def test_a_life_goes_by_the_table(http: httpx.AsyncClient, clock: HeldClock) -> None:
    made = await create(http)
    seen = []
    for _ in range(8):
        result = (await http.get(f"/generations/{made['id']}")).json()
        seen.append((result["state"], result["assets"] and result["assets"]["progress_video"] is not None))
        clock.seconds += 10

    assert seen == [
        ("queued", None), ("dreaming", None), ("dreaming", True), ("dreaming", True), ("dreaming", True),
        ("dreaming", True), ("completed", False), ("completed", False),
    ]  # fmt: skip


async def test_a_generation_has_the_shape_of_a_real_one(http: httpx.AsyncClient, clock: HeldClock) -> None:
    made = await create(http)
    clock.seconds += 100
    result = (await http.get(f"/generations/{made['id']}")).json()

    assert list(result) == [
        "id", "generation_type", "state", "failure_reason", "created_at", "assets", "model", "request",
    ]  # fmt: skip
    assert result["created_at"].endswith("Z")
    assert len(result["created_at"]) == len("2025-05-19T13:51:42.302000Z")
    assert result["request"] == {
        "callback_url": None, "generation_type": "video", "prompt": "a boat", "aspect_ratio": "16:9", "loop": False,
        "keyframes": None, "model": "ray-2", "resolution": "540p", "duration": "5s", "concepts": None,
    }  # fmt: skip


async def test_the_old_name_of_the_endpoint_answers_and_needs_no_model(http: httpx.AsyncClient) -> None:
    assert (await create(http, "/generations", prompt="a boat"))["model"] == "ray-2"


async def test_what_has_ended_ends_once(http: httpx.AsyncClient, emulator: Emulator, clock: HeldClock) -> None:
    made = emulator.dream_machine.get((await create(http, prompt="a boat [fail]", model="ray-2"))["id"])
    clock.seconds += 100
    await emulator.dream_machine.settle()
    await emulator.dream_machine.finish_now(made)

    assert [entry.what for entry in emulator.dream_machine.billing.entries] == ["charge", "refund"]


async def test_unknown_fields_are_ignored(http: httpx.AsyncClient) -> None:
    assert "enhance_prompt" not in (await create(http, **VIDEO, enhance_prompt=True))["request"]


@pytest.mark.parametrize(
    ("path", "body", "detail"),
    [
        ("/generations/video", {**VIDEO, "prompt": "no"}, "Prompt is too short, minimum length is 3 characters"),
        (
            "/generations/video",
            {**VIDEO, "prompt": "x" * 5001},
            "Prompt is too long, maximum length is 5000 characters",
        ),
        ("/generations/video", {"model": "ray-2"}, "Prompt is required"),
        ("/generations/video", {**VIDEO, "keyframes": {}}, "No keyframes provided"),
        ("/generations/video", {**VIDEO, "duration": "7s"}, "400: Duration is not supported in Ray 2 API"),
        ("/generations/video", {**VIDEO, "resolution": "8k"}, "400: Resolution is not supported in Ray 2 API"),
        ("/generations/video", {**VIDEO, "concepts": [{"key": "x"}]}, "400: Concept x is not supported"),
        ("/generations/image", {"model": "photon-1"}, "Prompt is required"),
        (
            "/generations/image",
            {"model": "photon-1", "prompt": "a boat", "image_ref": [{"url": "u"}] * 5},
            "400: A maximum of 4 image references is supported",
        ),
        (
            "/generations/image",
            {"model": "photon-1", "prompt": "a boat", "character_ref": {"identity0": {"images": ["u"] * 5}}},
            "400: A maximum of 4 character images is supported",
        ),
        (
            "/generations/video",
            {**VIDEO, "keyframes": {"frame0": {"type": "generation", "id": "x"}}},
            (
                "400: Extend is currently supported only for generated videos. "
                "Please make sure the generation is in completed state"
            ),
        ),
    ],
)
async def test_a_broken_rule_is_one_sentence(http: httpx.AsyncClient, path: str, body: Any, detail: str) -> None:
    answer = await http.post(path, json=body)

    assert (answer.status_code, answer.json()) == (400, {"detail": detail})


@pytest.mark.parametrize(
    ("path", "body", "where"),
    [
        ("/generations/video", {**VIDEO, "model": "ray-9"}, ["body", "model"]),
        ("/generations/video", {"prompt": "a boat"}, ["body", "model"]),
        ("/generations/video", {**VIDEO, "aspect_ratio": "2:1"}, ["body", "aspect_ratio"]),
        (
            "/generations/video",
            {**VIDEO, "keyframes": {"frame0": {"type": "image"}}},
            ["body", "keyframes", "frame0", "image", "url"],
        ),
        (
            "/generations/video/modify",
            {"model": "ray-2", "media": {"url": "u"}, "mode": "x"},
            ["body", "generation_type"],
        ),
    ],
)
async def test_a_wrong_shape_is_a_list_of_what_is_wrong(
    http: httpx.AsyncClient, path: str, body: Any, where: list[str]
) -> None:
    answer = await http.post(path, json=body)

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == where


async def test_what_is_not_json_is_refused(http: httpx.AsyncClient) -> None:
    assert (await http.post("/generations/video", content=b"{")).status_code == 422


@pytest.mark.parametrize(
    ("headers", "status", "detail"),
    [
        ({"Authorization": "Bearer wrong"}, 401, "Invalid API key is provided"),
        ({"Authorization": ""}, 403, "Not authenticated"),
        ({"Authorization": "Basic eDp5"}, 403, "Not authenticated"),
    ],
)
async def test_nobody_comes_in_without_the_key(
    http: httpx.AsyncClient, headers: dict[str, str], status: int, detail: str
) -> None:
    answer = await http.get("/ping", headers=headers)

    assert (answer.status_code, answer.json()) == (status, {"detail": detail})


async def test_credits_go_down_by_the_price_and_up_on_failure(http: httpx.AsyncClient, clock: HeldClock) -> None:
    async def credit() -> float:
        return (await http.get("/credits")).json()["credit_balance"]

    await create(http)
    assert await credit() == pytest.approx(100_000 - 39.81, abs=0.01)
    failed = await create(http, **{**VIDEO, "prompt": "a boat [fail: Job failed]"})
    assert await credit() == pytest.approx(100_000 - 2 * 39.81, abs=0.02)
    clock.seconds += 100
    assert await credit() == pytest.approx(100_000 - 39.81, abs=0.01)
    assert (await http.get(f"/generations/{failed['id']}")).json()["failure_reason"] == "Job failed"


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [("a [fail] boat", "Job failed"), ("a blacklisted boat", "Contains blacklisted words")],
)
async def test_a_prompt_can_ask_to_fail(http: httpx.AsyncClient, clock: HeldClock, prompt: str, reason: str) -> None:
    made = await create(http, **{**VIDEO, "prompt": prompt})
    clock.seconds += 100
    result = (await http.get(f"/generations/{made['id']}")).json()

    assert (result["state"], result["failure_reason"], result["assets"]) == ("failed", reason, None)


async def test_an_input_that_cannot_be_read_fails_the_generation(http: httpx.AsyncClient, clock: HeldClock) -> None:
    frames = {"frame0": {"type": "image", "url": "https://nowhere.example/a.png"}}
    made = await create(http, **VIDEO, keyframes=frames)
    clock.seconds += 100

    result = (await http.get(f"/generations/{made['id']}")).json()
    assert result["failure_reason"] == "Failed to read user input frames"


async def test_no_credit_is_400_with_luma_s_words(http: httpx.AsyncClient, emulator: Emulator) -> None:
    emulator.dream_machine.billing.credit_cents = 10
    answer = await http.post("/generations/video", json=VIDEO)

    assert (answer.status_code, answer.json()) == (400, {"detail": "Insufficient credits"})


async def test_the_list_pages_newest_first(http: httpx.AsyncClient) -> None:
    ids = [(await create(http))["id"] for _ in range(5)]
    page = (await http.get("/generations", params={"limit": 2, "offset": 1})).json()

    assert [item["id"] for item in page.pop("generations")] == [ids[3], ids[2]]
    assert page == {"has_more": True, "count": 2, "limit": 2, "offset": 1}
    assert (await http.get("/generations")).json()["limit"] == 100
    assert (await http.get("/generations", params={"limit": "many"})).status_code == 422
    assert (await http.get("/generations", params={"offset": -1})).status_code == 422


async def test_deleting_answers_nothing_and_assets_stay(http: httpx.AsyncClient, clock: HeldClock) -> None:
    made = await create(http, "/generations/image", model="photon-1", prompt="a boat")
    clock.seconds += 60
    link = (await http.get(f"/generations/{made['id']}")).json()["assets"]["image"]
    answer = await http.delete(f"/generations/{made['id']}")

    assert (answer.status_code, answer.content) == (204, b"")
    assert (await http.get(f"/generations/{made['id']}")).status_code == 404
    assert (await http.get(link)).status_code == 200


async def test_upscale_needs_a_completed_video(http: httpx.AsyncClient) -> None:
    made = await create(http)
    answer = await http.post(f"/generations/{made['id']}/upscale", json={})

    assert answer.status_code == 400
    assert (await http.post("/generations/none/audio", json={})).status_code == 404


async def test_upscale_and_audio_answer_200_with_a_new_id(http: httpx.AsyncClient, clock: HeldClock) -> None:
    made = await create(http)
    clock.seconds += 100
    for path in ("upscale", "audio"):
        answer = await http.post(f"/generations/{made['id']}/{path}", json={})
        assert answer.status_code == 200
        assert answer.json()["id"] != made["id"]
        assert answer.json()["model"] == "ray-2"


async def test_a_synchronous_image_is_completed_at_once(http: httpx.AsyncClient, emulator: Emulator) -> None:
    result = await create(http, "/generations/image", model="photon-1", prompt="a boat", sync=True, sync_timeout=0)

    assert result["state"] == "completed"
    assert result["assets"]["image"].endswith("/image.jpg")


async def test_there_are_no_assets_before_there_are(http: httpx.AsyncClient, clock: HeldClock) -> None:
    made = await create(http)
    link = f"http://127.0.0.1:9/assets/{made['id']}"
    assert (await http.get(f"{link}/video.mp4")).status_code == 404
    clock.seconds += 100
    assert (await http.get(f"{link}/other.mp4")).status_code == 404
    assert (await http.get("http://127.0.0.1:9/assets/none/video.mp4")).status_code == 404


async def test_unknown_paths_and_methods_are_refused_as_json(http: httpx.AsyncClient) -> None:
    assert (await http.get("/nothing")).json() == {"detail": "Not Found"}
    assert (await http.put("/ping")).status_code == 405


async def test_the_rate_of_creating_is_limited(clock: HeldClock) -> None:
    emulator = Emulator(clock=clock.now, limits={"video": Limits(per_minute=2, at_once=10)})
    transport = httpx.ASGITransport(emulator.app)
    async with httpx.AsyncClient(transport=transport, base_url=BASE_URL, headers={"Authorization": "Bearer x"}) as http:
        await create(http)
        clock.seconds += 10
        await create(http)
        answer = await http.post("/generations/video", json=VIDEO)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "50")
        clock.seconds += 51
        await create(http)


async def test_the_number_at_once_is_limited(clock: HeldClock) -> None:
    emulator = Emulator(clock=clock.now, limits={"video": Limits(per_minute=99, at_once=1)})
    transport = httpx.ASGITransport(emulator.app)
    async with httpx.AsyncClient(transport=transport, base_url=BASE_URL, headers={"Authorization": "Bearer x"}) as http:
        await create(http)
        await create(http, "/generations/image", model="photon-1", prompt="a boat")
        answer = await http.post("/generations/video", json=VIDEO)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
