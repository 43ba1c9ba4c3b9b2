"""Films that continue at several processes, while some of them are killed."""

import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import psycopg
import pytest

from tests.support.agent import TOKEN
from tests.support.http_process import call_over_http
from tests.support.processes import free_port, once_it_listens

pytestmark = [
    pytest.mark.services,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", ["asyncio"]),
]

PERSONS = {"anna": "k3Vw9sLq2xZt8MbR", "ben": "p7Ny4cHd6gQe1UaJ", "cleo": "r5Tz8fBw3mXk2SvG"}
CHEAP = {"model": "ray-flash-2", "resolution": "540p"}


class Site:
    """A Luma with limits, a database, and processes of ours."""

    def __init__(self, stack: ExitStack, folder: Path, database: str, *, limits: str, speed: float) -> None:
        self._stack = stack
        self.folder = folder
        self.database = database
        port = free_port()
        self.luma = f"http://127.0.0.1:{port}/dream-machine/v1"
        self._start("emulator", "--port", str(port), "--limits", limits, "--speed", str(speed))
        self._wait_for(port)

    def _wait_for(self, port: int) -> None:
        with httpx.Client(transport=httpx.HTTPTransport(retries=8)) as client:
            client.get(f"http://127.0.0.1:{port}/")

    def _start(self, *arguments: str, **variables: str) -> "subprocess.Popen[bytes]":
        environment = {
            **os.environ,
            "LUMA_TOKEN": TOKEN,
            "LUMA_BASE_URL": self.luma,
            "LUMA_LEDGER": self.database,
            "LUMA_OUTPUT_DIR": str(self.folder / "files"),
            "LUMA_HTTP_TOKENS": ",".join(f"{name}:{key}" for name, key in PERSONS.items()),
            "LUMA_LOG_LEVEL": "ERROR",
            **variables,
        }
        process = subprocess.Popen([sys.executable, "-m", "luma_mcp", *arguments], env=environment)
        self._stack.callback(_end, process)
        return process

    def replica(self) -> tuple[str, "subprocess.Popen[bytes]"]:
        """A server over HTTP: its address, and its process."""
        port = free_port()
        process = self._start("serve", "--http", "--port", str(port))
        once_it_listens("GET", f"http://127.0.0.1:{port}/healthz")
        return f"http://127.0.0.1:{port}/mcp", process

    def worker(self) -> "subprocess.Popen[bytes]":
        return self._start("work", LUMA_SAVE="films")

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database) as connection:
            return connection.execute(statement.encode()).fetchall()

    def made(self) -> int:
        """How many generations Luma has."""
        found = httpx.get(f"{self.luma}/generations?limit=1000", headers={"Authorization": f"Bearer {TOKEN}"})
        return len(found.json()["generations"])


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()


@contextmanager
def site(folder: Path, database: str, **options: Any) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(stack, folder, database, **options)


async def once(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what other processes do."""
    with anyio.fail_after(240):
        while not await is_so():
            pass


async def test_a_film_is_made_and_saved_though_its_server_and_one_of_two_workers_are_killed(
    tmp_path: Path, database: str
) -> None:
    shots = [{"prompt": "a boat"}, {"prompt": "a storm", "start": "continue"}, {"prompt": "a harbour"}]
    with site(tmp_path, database, limits="30,4", speed=30) as place:
        url, server = place.replica()
        async with httpx.AsyncClient(timeout=60, headers={"Authorization": f"Bearer {PERSONS['anna']}"}) as client:
            film = await call_over_http(client, url, "create_film", {"shots": shots, **CHEAP})
        assert not film.get("isError"), film
        server.kill()
        workers = [place.worker() for _ in range(2)]

        async def are_bought() -> bool:
            """Whether the two shots that wait for nothing are at Luma, and no purchase is on its way there."""
            await anyio.sleep(0.1)
            states = [state for (state,) in place.query("SELECT state FROM purchases")]
            return len(states) == 2 and set(states) <= {"accepted", "completed"}

        async def is_saved() -> bool:
            await anyio.sleep(0.5)
            return list(tmp_path.rglob("*.mp4")) != []

        await once(are_bought)
        workers[0].kill()
        await once(is_saved)
        states = place.query("SELECT state FROM purchases")
        made = place.made()

    assert states == [("completed",)] * 3
    assert made == 3
