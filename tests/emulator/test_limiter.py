"""The limits of both APIs, as they come over the wire."""

import argparse

import httpx
import pytest

from luma_mcp.emulator import __main__ as program
from luma_mcp.emulator import limiter
from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.limiter import Limiter, LimitReachedError, Limits
from tests.support.agent import HeldClock

pytestmark = pytest.mark.anyio
DREAM_MACHINE = ("/dream-machine/v1/generations/video", "any", {"model": "ray-2", "prompt": "a boat"})
AGENTS = ("/v1/generations", "luma-api-any", {"prompt": "a boat"})
BOTH = pytest.mark.parametrize("api", [DREAM_MACHINE, AGENTS], ids=["dream_machine", "agents"])


async def statuses(emulator: Emulator, api: tuple[str, str, dict[str, str]], count: int) -> list[httpx.Response]:
    path, key, body = api
    transport = httpx.ASGITransport(emulator.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://emulator") as http:
        return [await http.post(path, json=body, headers={"Authorization": f"Bearer {key}"}) for _ in range(count)]


def limited(text: str, clock: HeldClock, speed: float = 1) -> Emulator:
    parser = argparse.ArgumentParser()
    program.add_arguments(parser)
    limits = parser.parse_args(["--limits", text]).limits
    return Emulator(limits=limits, clock=clock.now, wall=clock.wall, speed=speed)


@BOTH
async def test_one_more_at_once_than_the_plan_has_is_refused_with_the_plan_s_number(api, clock: HeldClock) -> None:
    *_, accepted, refused = await statuses(limited("30,4", clock), api, 5)

    assert (accepted.status_code, refused.status_code) == (201, 429)
    assert refused.json() == {"detail": "Concurrent generation limit reached (4)"}
    assert int(refused.headers["retry-after"]) >= 1
    assert "x-ratelimit-limit" not in refused.headers


@BOTH
@pytest.mark.parametrize(("speed", "pause"), [(1, "60"), (10, "6")])
async def test_one_more_in_a_minute_waits_until_the_first_is_a_minute_old(
    api, speed: float, pause: str, clock: HeldClock
) -> None:
    emulator = limited("2,9", clock, speed)
    *_, refused = await statuses(emulator, api, 3)
    clock.seconds += 60 / speed
    (again,) = await statuses(emulator, api, 1)

    assert (refused.status_code, refused.json()["detail"]) == (429, "Rate limit exceeded")
    assert (refused.headers["retry-after"], again.status_code) == (pause, 201)


async def test_only_the_agents_api_reports_its_quota(clock: HeldClock) -> None:
    emulator = limited("30,4", clock)
    (video,) = await statuses(emulator, DREAM_MACHINE, 1)
    (image,) = await statuses(emulator, AGENTS, 1)

    assert "x-ratelimit-limit" not in video.headers
    assert (image.headers["x-ratelimit-limit"], image.headers["x-ratelimit-remaining"]) == ("30", "29")
    assert int(image.headers["x-ratelimit-reset"]) == round(clock.wall() + 60)


async def test_a_full_api_does_not_limit_the_other(clock: HeldClock) -> None:
    emulator = limited("30,1", clock)
    *_, refused = await statuses(emulator, AGENTS, 2)
    (video,) = await statuses(emulator, DREAM_MACHINE, 1)

    assert (refused.status_code, video.status_code) == (429, 201)


def test_a_request_that_is_refused_does_not_count() -> None:
    limits = Limiter(Limits(per_minute=1, at_once=1))
    with pytest.raises(LimitReachedError):
        limits.admit(0, running=1)

    assert limits.admit(1, running=0).remaining == 0
    with pytest.raises(LimitReachedError):
        limits.admit(60.9, running=0)
    assert limits.admit(61, running=0).remaining == 0


@pytest.mark.parametrize("text", ["", "30", "30,", ",4", "0,4", "30,0", "-1,4", "30,4,5", "a,b"])
def test_limits_that_are_none_are_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="two whole numbers"):
        limiter.parse(text)
    with pytest.raises(SystemExit):
        program.main([f"--limits={text}"])
    assert "two whole numbers above 0, such as 30,4" in capsys.readouterr().err
