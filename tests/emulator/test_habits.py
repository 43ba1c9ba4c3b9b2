"""How the emulated API answers where Luma's documentation does not say."""

from typing import Any

import httpx
import pytest

from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.habits import Habits, parse
from tests.support.agent import HeldClock

pytestmark = pytest.mark.anyio

VIDEO = {
    "model": "ray-2", "prompt": "a  boat", "resolution": "540p", "duration": "5s", "loop": True,
    "keyframes": {"frame0": {"type": "image", "url": "https://pictures.example/a.jpg"}},
}  # fmt: skip


async def created(http: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    return (await http.post("/generations/video", json={**VIDEO, **changes})).json()


@pytest.mark.parametrize(
    ("echo", "prompt"),
    [
        ("faithful", "a  boat"), ("trimmed", "a boat"), ("types", "a  boat"), ("copies", "a  boat"),
        ("partial", "a  boat"), ("camel", "a  boat"), ("rewritten", "Cinematic: 7 words of light"),
        ("enhanced", "Cinematic: 7 words of light"),
    ],
)  # fmt: skip
async def test_a_request_is_echoed_in_each_way(
    http: httpx.AsyncClient, emulator: Emulator, echo: Any, prompt: str
) -> None:
    emulator.habits.echo = echo
    request = (await created(http))["request"]

    assert request["prompt"] == prompt
    if echo == "types":
        assert (request["duration"], request["resolution"], request["loop"]) == (5, 540, 1)
    if echo == "copies":
        assert request["keyframes"]["frame0"]["url"] == "https://copies.example/a.jpg"
    if echo == "partial":
        assert set(request) == {"generation_type", "model", "prompt"}
    if echo == "camel":
        assert request["generationType"] == "video"


async def test_a_request_is_echoed_in_a_string_or_not_at_all(http: httpx.AsyncClient, emulator: Emulator) -> None:
    emulator.habits.echo = "string"
    assert '"prompt": "a  boat"' in (await created(http))["request"]
    emulator.habits.echo = "missing"
    assert (await created(http))["request"] is None


@pytest.mark.parametrize(("dates", "kind"), [("utc", str), ("naive", str), ("missing", type(None)), ("epoch", float)])
async def test_dates_come_in_each_form(http: httpx.AsyncClient, emulator: Emulator, dates: Any, kind: type) -> None:
    emulator.habits.dates = dates
    date = (await created(http))["created_at"]

    assert isinstance(date, kind)
    assert str(date).endswith("Z") is (dates == "utc")


async def test_the_list_has_the_order_and_the_pages_that_are_asked_of_it(
    http: httpx.AsyncClient, emulator: Emulator
) -> None:
    ids = [(await created(http))["id"] for _ in range(5)]

    async def listed(**habits: Any) -> tuple[list[str], Any]:
        emulator.habits = Habits(**habits)
        page = (await http.get("/generations", params={"limit": 4, "offset": 0})).json()
        return [entry["id"] for entry in page["generations"]], page.get("has_more")

    assert await listed() == (ids[:0:-1], True)
    assert await listed(order="oldest", more="never") == (ids[:4], False)
    assert await listed(page=2, more="missing") == (ids[:2:-1], None)
    assert await listed(order="shuffled") == await listed(order="shuffled")
    assert await listed(list_lag=10) == ([], False)


async def test_what_is_new_shows_late(http: httpx.AsyncClient, emulator: Emulator, clock: HeldClock) -> None:
    emulator.habits = Habits(get_lag=5, balance_lag=60)
    # A frame that cannot be fetched would fail it, and refund it.
    generation_id = (await created(http, keyframes=None))["id"]

    assert (await http.get(f"/generations/{generation_id}")).status_code == 404
    assert (await http.get("/credits")).json()["credit_balance"] == 100_000
    clock.seconds += 5
    assert (await http.get(f"/generations/{generation_id}")).status_code == 200
    clock.seconds += 60
    assert (await http.get("/credits")).json()["credit_balance"] < 100_000


@pytest.mark.parametrize(("states", "word"), [("documented", "queued"), ("upper", "QUEUED"), ("other", "pending")])
async def test_states_have_other_words(http: httpx.AsyncClient, emulator: Emulator, states: Any, word: str) -> None:
    emulator.habits.states = states

    assert (await created(http))["state"] == word


async def test_refusals_are_pages_as_a_proxy_answers_them(http: httpx.AsyncClient, emulator: Emulator) -> None:
    emulator.habits.errors = "html"
    answer = await http.post("/generations/video", json={"model": "no-such-model"})

    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    ("text", "habit"),
    [("echo=missing", ("echo", "missing")), ("list_lag=70", ("list_lag", 70.0)), ("page=3", ("page", 3))],
)
def test_a_habit_is_read_from_the_command_line(text: str, habit: tuple[str, object]) -> None:
    assert parse(text) == habit


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("mood=bad", "is no habit; there are echo, dates"),
        ("echo=loud", "echo is one of faithful, missing"),
        ("page=x", "invalid"),
    ],
)
def test_a_habit_that_there_is_not_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse(text)
