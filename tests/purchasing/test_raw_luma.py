"""Paid once by real processes against a Luma that is not our emulator: impatient clients, dying servers."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from tests.support.http_process import call_over_http, http_server
from tests.support.hurried import hurried
from tests.support.processes import until_elsewhere
from tests.support.raw_luma import RawLuma, Script, raw
from tests.support.stdio_process import Wire, started

pytestmark = [
    pytest.mark.slow,
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX"),
]
ARGUMENTS = {"prompt": "a boat", "resolution": "540p"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def luma() -> AsyncIterator[tuple[RawLuma, str]]:
    made = RawLuma()
    async with made.serving() as base_url:
        yield made, base_url


async def answer_of(wire: Wire) -> dict[str, Any]:
    return (await wire.receive())["result"]


@pytest.mark.parametrize("manner", ["silent", "cancelled"])
async def test_an_impatient_client_over_stdio_pays_once(luma, tmp_path: Path, manner: str) -> None:
    """The client gives up three times before Luma answers: four tries, one purchase."""
    server, base_url = luma
    answers = asyncio.Event()
    server.scripts.append(Script(held=answers, times=99))
    async with started(base_url, tmp_path / "out") as wire:
        await wire.shake_hands()
        for number in range(1, 4):
            await wire.call(number, "create_video", **ARGUMENTS)
            # The server reads in order: the call before was received.
            await wire.send_message(id=100 + number, method="ping")
            assert (await wire.receive())["id"] == 100 + number
            await until_elsewhere(lambda: server.posts)
            if manner == "cancelled":
                await wire.send_message(method="notifications/cancelled", params={"requestId": number})
        await wire.call(4, "create_video", **ARGUMENTS)
        await wire.send_message(id=104, method="ping")
        assert (await wire.receive())["id"] == 104
        answers.set()
        received: dict[int, Any] = {}
        while 4 not in received:
            message = await wire.receive()
            received[message["id"]] = message["result"]["structuredContent"]

    assert [answer["generation_id"] for answer in received.values()] == list(server.accepted) * len(received)
    assert received[4]["recovered"] is True
    assert server.posts == 1
    assert len(server.request_ids[0]) >= 16


async def impatient(url: str, seconds: float, **arguments: Any) -> dict[str, Any] | None:
    """One call of a client that gives up after so long; None if it did."""
    async with httpx.AsyncClient(timeout=seconds, trust_env=False) as client:
        try:
            with anyio.fail_after(seconds):
                return (await call_over_http(client, url, "create_video", arguments))["structuredContent"]
        except (httpx.HTTPError, TimeoutError):
            return None


async def test_an_impatient_client_over_http_pays_once_at_any_replica(luma, tmp_path: Path) -> None:
    server, base_url = luma
    answers = asyncio.Event()
    server.scripts.append(Script(held=answers, times=99))
    async with AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(http_server(base_url, tmp_path / "out")) for _ in range(2)]
        for number in range(4):
            assert await impatient(urls[number % 2], 1, **ARGUMENTS) is None
        answers.set()
        last = await impatient(urls[1], 30, **ARGUMENTS)

    assert last is not None
    assert (last["generation_id"], last["recovered"]) == (next(iter(server.accepted)), True)
    assert server.posts == 1


async def test_a_killed_server_s_purchase_is_another_s(luma, tmp_path: Path) -> None:
    """SIGKILL in mid-POST; the next server has another name and another pid."""
    server, base_url = luma
    server.scripts.append(Script(held=asyncio.Event()))
    async with started(base_url, tmp_path / "out", *hurried()) as wire:
        await wire.shake_hands()
        await wire.call(1, "create_video", **ARGUMENTS)
        await until_elsewhere(lambda: server.accepted)
        wire.process.kill()
        await wire.process.wait()
    patch = "import socket; socket.gethostname = lambda: 'another-host'"
    async with started(base_url, tmp_path / "out", *hurried(patch)) as wire:
        await wire.shake_hands()
        await wire.call(1, "create_video", **ARGUMENTS)
        answer = await answer_of(wire)

    assert answer["structuredContent"]["generation_id"] == next(iter(server.accepted))
    assert answer["structuredContent"]["recovered"] is True
    assert server.posts == 1


STOPS = {
    "after the decision": (
        "post = sending.Sender._post\n"
        "async def stop(self, *order):\n"
        "    os.kill(os.getpid(), signal.SIGSTOP)\n"
        "    return await post(self, *order)\n"
        "sending.Sender._post = stop"
    ),
    "between the row and the wire": (
        "send = transport.Transport._send\n"
        "async def stop(self, http, method, path, **content):\n"
        "    if method == 'POST': os.kill(os.getpid(), signal.SIGSTOP)\n"
        "    return await send(self, http, method, path, **content)\n"
        "transport.Transport._send = stop"
    ),
}


@pytest.mark.parametrize("where", STOPS)
async def test_a_server_that_was_stopped_sends_nothing_when_it_goes_on(luma, tmp_path: Path, where: str) -> None:
    """A lid is closed between the row and the POST; another server settles the row and buys; then the lid opens."""
    server, base_url = luma
    async with (
        started(base_url, tmp_path / "out", *hurried(STOPS[where])) as stopped,
        started(base_url, tmp_path / "out", *hurried()) as other,
    ):
        await stopped.shake_hands()
        await other.shake_hands()
        # An empty list would prove nothing: it may be that of another key.
        await other.call(99, "create_video", **{**ARGUMENTS, "prompt": "a known one"})
        known = await answer_of(other)
        await stopped.call(1, "create_video", **ARGUMENTS)
        await until_elsewhere(lambda: _state_of(stopped.process.pid) == "T")
        number = 0
        with anyio.fail_after(60):
            while True:
                number += 1
                await other.call(number, "create_video", **ARGUMENTS)
                answer = await answer_of(other)
                if not answer["isError"]:
                    break
                await anyio.sleep(1)
        os.kill(stopped.process.pid, signal.SIGCONT)
        late = await answer_of(stopped)

    assert "Nothing was sent" in str(late)
    assert server.posts == 2
    bought = [result["structuredContent"]["generation_id"] for result in (known, answer)]
    assert bought == list(server.accepted)


def _state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


ODD = {
    "a proxy's 403 in HTML": raw(403, "<html>Forbidden</html>"),
    "a proxy's 429 in HTML": raw(429, "<html>Too many</html>"),
    "a 400 that is not Luma's": raw(400, '{"error": "bad gateway"}', "application/json"),
    "a 504": raw(504, ""),
    "a redirect": raw(307, ""),
    "half an answer": raw(201, '{"id": "', "application/json")[:-3],
    "nothing": b"",
}


@pytest.mark.parametrize("what", ODD)
async def test_an_answer_that_is_not_luma_s_own_is_no_refusal(luma, tmp_path: Path, what: str) -> None:
    """Each comes after Luma has accepted; the id is found, and nothing is sent again."""
    server, base_url = luma
    server.scripts.append(Script(answer=ODD[what]))
    async with started(base_url, tmp_path / "out") as wire:
        await wire.shake_hands()
        await wire.call(1, "create_video", **ARGUMENTS)
        answer = await answer_of(wire)

    assert answer["structuredContent"]["generation_id"] == next(iter(server.accepted))
    assert server.posts == 1


async def test_what_luma_accepts_after_its_gateway_gave_up_is_bought_once(luma, tmp_path: Path) -> None:
    """504 at once, accepted after four seconds, repeated at once and again."""
    server, base_url = luma
    server.scripts.append(Script(accept_after=4, answer=raw(504, "")))
    async with started(base_url, tmp_path / "out", *hurried()) as wire:
        await wire.shake_hands()
        for number in range(1, 9):
            await wire.call(number, "create_video", **ARGUMENTS)
            answer = await answer_of(wire)
            if not answer["isError"]:
                break

    assert answer["structuredContent"]["generation_id"] == next(iter(server.accepted))
    assert server.posts == 1
