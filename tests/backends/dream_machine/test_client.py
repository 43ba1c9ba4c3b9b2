"""What the client does when the way to Luma is bad. Purchases are counted in the emulator's own records."""

import json
from datetime import UTC, datetime
from email.utils import format_datetime

import httpx
import pytest

from luma_mcp.backends.dream_machine.client import DreamMachine
from luma_mcp.backends.dream_machine.encoding import encode
from luma_mcp.backends.transport import Transport
from luma_mcp.domain.clock import suspend_aware_now
from luma_mcp.domain.errors import (
    AmbiguousPurchaseError,
    AuthenticationError,
    InvalidRequestError,
    LumaError,
    NoResponseError,
    RateLimitError,
    ServerError,
    UnexpectedResponseError,
    UnreachableError,
)
from luma_mcp.domain.requests import (
    AddAudioRequest,
    ImageRequest,
    ModifyVideoRequest,
    ReframeImageRequest,
    ReframeVideoRequest,
    UpscaleRequest,
    VideoRequest,
)
from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.faults import Fault
from tests.support.agent import BASE_URL, TOKEN, HeldClock, InMemory
from tests.support.raw_luma import RawLuma

pytestmark = pytest.mark.anyio

VIDEO = VideoRequest(model="ray-2", prompt="a boat")
MEDIA = "https://a.example/a.mp4"


def broken(error: Exception | httpx.Response) -> httpx.MockTransport:
    def handle(_request: httpx.Request) -> httpx.Response:
        if isinstance(error, Exception):
            raise error
        return error

    return httpx.MockTransport(handle)


def client_over(transport: httpx.AsyncBaseTransport, clock: HeldClock) -> DreamMachine:
    return DreamMachine(Transport(TOKEN, base_url=BASE_URL, clock=clock, network=transport))


async def test_every_endpoint_is_asked_as_luma_wants_it(
    luma: DreamMachine, emulator: Emulator, clock: HeldClock
) -> None:
    video = await luma.submit(encode(VIDEO), request_id="r")
    await luma.submit(encode(ImageRequest(model="photon-1", prompt="a boat")), request_id="r")
    await luma.submit(encode(ReframeImageRequest(model="photon-1", media=MEDIA, aspect_ratio="1:1")), request_id="r")
    await luma.submit(encode(ReframeVideoRequest(model="ray-2", media=MEDIA, aspect_ratio="1:1")), request_id="r")
    await luma.submit(encode(ModifyVideoRequest(model="ray-2", media=MEDIA, mode="flex_1")), request_id="r")
    clock.seconds += 100
    await luma.submit(encode(UpscaleRequest(generation_id=video.id, resolution="1080p")), request_id="r")
    await luma.submit(encode(AddAudioRequest(generation_id=video.id, prompt="waves")), request_id="r")
    assert (await luma.get_generation(video.id)).state == "completed"
    assert len((await luma.list_generations(limit=3)).generations) == 3
    await luma.delete_generation(video.id)
    assert await luma.get_credit_usd() < 1000
    await luma.ping()
    assert "orbit_left" in await luma.list_concepts()
    assert "Orbit Left" in await luma.list_camera_motions()

    assert emulator.requests == [
        ("POST", "/generations/video"),
        ("POST", "/generations/image"),
        ("POST", "/generations/image/reframe"),
        ("POST", "/generations/video/reframe"),
        ("POST", "/generations/video/modify"),
        ("POST", f"/generations/{video.id}/upscale"),
        ("POST", f"/generations/{video.id}/audio"),
        ("GET", f"/generations/{video.id}"),
        ("GET", "/generations"),
        ("DELETE", f"/generations/{video.id}"),
        ("GET", "/credits"),
        ("GET", "/ping"),
        ("GET", "/generations/concepts/list"),
        ("GET", "/generations/camera_motion/list"),
    ]


AFTER_SENDING = [
    Fault("drop", method="POST", after=True),
    Fault("error", method="POST", after=True, status=500),
    Fault("error", method="POST", after=True, status=502),
    Fault("error", method="POST", after=True, status=503),
    Fault("error", method="POST", after=True, status=504),
    Fault("garble", method="POST"),
    Fault("cut", method="POST"),
]


@pytest.mark.parametrize("fault", AFTER_SENDING, ids=lambda fault: f"{fault.kind}-{fault.status}")
async def test_a_purchase_whose_answer_is_lost_is_not_sent_again(
    luma: DreamMachine, emulator: Emulator, fault: Fault
) -> None:
    from dataclasses import replace

    emulator.faults.append(replace(fault))
    with pytest.raises(AmbiguousPurchaseError, match="is not known") as caught:
        await luma.submit(encode(VIDEO), request_id="r")

    assert len(emulator.dream_machine.billing.purchases()) == 1
    assert "must not be sent again" in caught.value.hint


async def test_a_purchase_that_is_refused_by_rate_was_not_made(luma: DreamMachine, emulator: Emulator) -> None:
    emulator.faults.append(Fault("limit", method="POST", seconds=9))
    with pytest.raises(RateLimitError) as caught:
        await luma.submit(encode(VIDEO), request_id="r")

    assert caught.value.retry_after == 9
    assert emulator.dream_machine.billing.purchases() == []


async def test_a_date_to_retry_after_and_the_seconds_of_an_exchange_go_by_the_clock(clock: HeldClock) -> None:
    date = format_datetime(datetime.fromtimestamp(int(clock.wall()) + 30, UTC), usegmt=True)
    measured: list[float] = []

    def limited(_request: httpx.Request) -> httpx.Response:
        clock.seconds += 2
        return httpx.Response(429, headers={"retry-after": date}, json={"detail": "too many"})

    to_luma = Transport(
        TOKEN,
        base_url=BASE_URL,
        clock=clock,
        network=httpx.MockTransport(limited),
        on_response=lambda _method, _status, seconds: measured.append(seconds),
    )
    with pytest.raises(RateLimitError) as caught:
        await DreamMachine(to_luma).submit(encode(VIDEO), request_id="r")

    assert caught.value.retry_after == pytest.approx(28, abs=1)
    assert measured == [2]


@pytest.mark.parametrize("error", [httpx.ConnectError("x"), httpx.ConnectTimeout("x"), httpx.PoolTimeout("x")])
async def test_a_purchase_that_never_left_is_known_not_to_be_made(clock: HeldClock, error: Exception) -> None:
    with pytest.raises(UnreachableError, match="cannot be reached") as caught:
        await client_over(broken(error), clock).submit(encode(VIDEO), request_id="r")

    assert not isinstance(caught.value, NoResponseError)
    assert "Nothing was sent" in caught.value.hint


@pytest.mark.parametrize(
    "error", [httpx.ReadTimeout("x"), httpx.ReadError("x"), httpx.WriteError("x"), httpx.RemoteProtocolError("x")]
)
async def test_a_purchase_cut_off_at_any_point_after_that_is_ambiguous(clock: HeldClock, error: Exception) -> None:
    with pytest.raises(AmbiguousPurchaseError):
        await client_over(broken(error), clock).submit(encode(VIDEO), request_id="r")


async def test_a_read_is_tried_three_times_with_growing_pauses(
    luma: DreamMachine, emulator: Emulator, clock: HeldClock
) -> None:
    emulator.faults.append(Fault("error", method="GET", times=10, status=503))
    with pytest.raises(ServerError):
        await luma.get_credit_usd()

    first, second = clock.sleeps
    assert 0.25 <= first <= 0.5 <= second <= 1


async def test_a_read_that_fails_in_passing_succeeds(luma: DreamMachine, emulator: Emulator) -> None:
    emulator.faults.extend([Fault("error", method="GET", status=500), Fault("drop", method="GET")])

    assert await luma.get_credit_usd() == 1000


async def test_a_read_waits_as_long_as_luma_asks(luma: DreamMachine, emulator: Emulator, clock: HeldClock) -> None:
    emulator.faults.append(Fault("limit", method="GET", seconds=7))
    await luma.ping()

    assert clock.sleeps == [7]


async def test_nobody_waits_an_hour_for_one_answer(luma: DreamMachine, emulator: Emulator, clock: HeldClock) -> None:
    emulator.faults.append(Fault("limit", method="GET", seconds=3600))
    with pytest.raises(RateLimitError):
        await luma.ping()

    assert clock.sleeps == []


async def test_what_will_not_pass_is_not_tried_again(luma: DreamMachine, emulator: Emulator) -> None:
    emulator.faults.append(Fault("garble", method="GET", times=10))
    with pytest.raises(UnexpectedResponseError):
        await luma.get_credit_usd()

    assert len(emulator.requests) == 1


async def test_an_endless_answer_is_cut(clock: HeldClock) -> None:
    with pytest.raises(UnexpectedResponseError, match="more than 4 MB"):
        await client_over(broken(httpx.Response(200, content=b" " * 5_000_000)), clock).ping()


async def test_nothing_of_httpx_escapes(clock: HeldClock) -> None:
    for error in (httpx.InvalidURL("x"), httpx.DecodingError("x"), httpx.UnsupportedProtocol("x"), TimeoutError()):
        with pytest.raises(LumaError):
            await client_over(broken(error), clock).ping()


async def test_a_redirect_is_not_followed_with_the_token(clock: HeldClock) -> None:
    answer = httpx.Response(307, headers={"location": "https://elsewhere.example/"})
    with pytest.raises(UnexpectedResponseError, match="status 307"):
        await client_over(broken(answer), clock).ping()


async def test_the_token_goes_to_the_api_and_shows_nowhere_else(luma: DreamMachine, transport: InMemory) -> None:
    await luma.ping()

    (request,) = transport.requests
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.url.host == "127.0.0.1"
    assert TOKEN not in repr(luma) + str(request.url)


async def test_no_token_is_said_before_anything_is_sent(transport: InMemory) -> None:
    client = DreamMachine(
        Transport(None, base_url=BASE_URL, clock=HeldClock(), token_hint="Set it.", network=transport)
    )
    with pytest.raises(AuthenticationError, match=r"No Luma token is set\.") as caught:
        await client.submit(encode(VIDEO), request_id="r")

    assert caught.value.hint == "Set it."
    assert transport.requests == []


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_purchase_that_was_decided_long_ago_is_not_sent() -> None:
    """This process was stopped: another server may have settled the purchase meanwhile."""
    luma = RawLuma()
    async with luma.serving() as base_url:
        client = DreamMachine(Transport(TOKEN, base_url=base_url, clock=HeldClock()))
        with pytest.raises(UnreachableError, match="stopped before the request could be sent"):
            await client.submit(encode(VIDEO), request_id="r", decided_at=suspend_aware_now() - 15.1)
        await client.submit(encode(VIDEO), request_id="r", decided_at=suspend_aware_now() - 10)
        await client.close()

    assert luma.posts == 1


async def test_the_callback_goes_with_a_purchase_and_is_no_part_of_the_request(transport: InMemory) -> None:
    to_luma = Transport(TOKEN, base_url=BASE_URL, clock=HeldClock(), network=transport)
    client = DreamMachine(to_luma, callback_url="https://h.example/secret")
    encoded = encode(VIDEO)
    await client.submit(encoded, request_id="r")

    assert json.loads(transport.requests[0].content) == encoded.body | {"callback_url": "https://h.example/secret"}
    assert "h.example" not in str(encoded)


async def test_an_id_that_is_none_is_said_before_anything_is_sent(luma: DreamMachine, transport: InMemory) -> None:
    with pytest.raises(InvalidRequestError):
        await luma.get_generation("../credits")

    assert transport.requests == []


async def test_a_closed_client_opens_again(luma: DreamMachine) -> None:
    await luma.ping()
    await luma.close()
    await luma.close()
    await luma.ping()
