"""A process that makes films, in children that can be killed at any moment. Started by test_killed.py, never imported.

It imports everything once and forks two children for each attempt, as two replicas that work at the same film. Each
line it reads is an attempt: a film's number, its shots, and for each child the seconds after which it is killed
(nothing: it is left alone). Each line it writes is what the last child that was left alone got to know of the film, or
what went wrong, or nothing.
"""

import json
import os
import select
import signal
import sys
import time
from typing import Any

import anyio
import httpx  # noqa: F401 - so that no child has to
import truststore  # noqa: F401

from luma_mcp.backends import transport
from luma_mcp.cli.demo_server import FastClock
from luma_mcp.composition import build_services, with_runner
from luma_mcp.config.settings import Settings
from luma_mcp.domain.errors import LumaError
from luma_mcp.film.film import Film
from luma_mcp.film.plan import FilmFormat, Shot
from luma_mcp.ledger import purchases as ledger_module
from luma_mcp.ledger import queue
from luma_mcp.purchasing import reconcile, sending

# How many times as fast time goes.
FASTER = int(sys.argv[2])
# A tenth of the real times, in proportion: a lease outlives the youth of a decision, in which its POST may leave,
# and is renewed several times. What was lost is called absent when no POST can be on its way any more.
ledger_module.LEASE_SECONDS = 2.0
sending.RENEW_EVERY_SECONDS = 0.5
transport._YOUNG_SECONDS = 1.5
reconcile.ABSENT_AFTER_SECONDS = 4.0
sending._RATE_LIMIT_SECONDS = 1.5
queue.MINUTE_SECONDS = queue._MAX_BACK_OFF_SECONDS = 6.0
FORM = FilmFormat("ray-flash-2", "16:9", "540p")


async def make(shots: list[dict[str, Any]], take: int) -> dict[str, Any]:
    """Plan a film, or find it, and go on with it; what is known of it then."""
    settings = Settings.from_environment(json.loads(sys.argv[1]))
    # What waits for a slot at Luma is sent by the runner of jobs, as in every server.
    services = with_runner(build_services(settings, clock=FastClock(FASTER)), settings)

    async def on_film(_film: Film, _seconds: float, _problem: str | None) -> None:
        """Nobody listens."""

    async with services.running():
        try:
            films, sources = services.films, services.sources.start
            plan = await films.plan(FORM, [Shot(**shot) for shot in shots], sources)
            film, _ = await films.create(plan, take=take, person="", consent=None)
            film = await films.wait(film.id, None, timeout_seconds=300, sources_of=sources, on_film=on_film)
            if film.state == "stopped":
                # What failed is made anew by the same plan.
                usd = sum(item.micros for item in films.unpaid(film, plan)) / 1e6
                await films.change(film, plan, approved_usd=usd, consent=None)
        except LumaError as error:
            return {"error": f"{type(error).__name__}: {error.full_text}"}
    ids = [shot.generation_id for shot in film.shots]
    return {"film_id": film.id, "state": film.state, "ids": ids, "reasons": [shot.reason for shot in film.shots]}


def begin(shots: list[dict[str, Any]], take: int) -> tuple[int, int]:
    """Start a child; its process id, and where its answer is read."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, json.dumps(anyio.run(make, shots, take)).encode())
        os._exit(0)
    os.close(writing)
    return child, reading


def attempt(shots: list[dict[str, Any]], take: int, lives: list[float | None]) -> str:
    children = [begin(shots, take) for _ in lives]
    began, answer = time.monotonic(), ""
    for (child, reading), seconds in sorted(zip(children, lives, strict=True), key=lambda pair: pair[1] or 1e9):
        left = None if seconds is None else max(0.0, began + seconds - time.monotonic())
        if select.select([reading], [], [], left)[0]:
            answer = os.read(reading, 100_000).decode() or answer
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reading)
    return answer


def main() -> None:
    for line in sys.stdin:
        print(json.dumps(attempt(*json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
