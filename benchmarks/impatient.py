"""`python -m benchmarks.impatient`: clients that give up before the answer, at three replicas, against a raw Luma.

Each wish is called again, at any replica, until its answer comes. Luma answers after 0 to 70 seconds, loses one answer
in twenty, and shares no code with the servers. The clients give up after 1 to 30 seconds. `--scale 0.1` makes all of
these times a tenth as long. What counts: as many bought as wished, and every id told. Nothing finds a purchase at the
Agents API whose answer is lost: such a wish ends as in doubt, is bought once, and its X-Request-Id is told.
"""

import argparse
import random
import re
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import httpx

from benchmarks.apis import APIS, Api
from benchmarks.rows import grid, into_page
from tests.support.http_process import call_over_http, http_server
from tests.support.raw_luma import RawLuma, Script

MAX_RESPONSE_SECONDS, PATIENCE_SECONDS = 70.0, (1.0, 30.0)
LOST_RESPONSES = 0.05
AT_ONCE = 60
_DOUBT = re.compile(r"nobody can say whether it was bought.*?X-Request-Id (\S+?)[,.;)]* ", re.DOTALL)


@dataclass
class Outcome:
    """The outcomes that the clients saw. `in_doubt` are the request ids of wishes whose outcome is not known."""

    ids: list[str] = field(default_factory=list[str])
    in_doubt: list[str] = field(default_factory=list[str])
    calls: int = 0
    given_up: int = 0
    refusals: int = 0


async def run(api: Api, wishes: int, scale: float, seed: int) -> tuple[Outcome, RawLuma, float]:
    """Make the wishes; what the clients saw, what Luma sold, and the seconds that it took."""
    chance = random.Random(seed)
    luma, outcome = RawLuma(), Outcome()
    luma.scripts = [
        Script(
            answer_after=chance.uniform(0, MAX_RESPONSE_SECONDS * scale),
            answer=b"" if chance.random() < LOST_RESPONSES else None,
        )
        for _ in range(wishes * 2)
    ]
    places = anyio.Semaphore(AT_ONCE)
    started = time.monotonic()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        base_url = await stack.enter_async_context(luma.serving())
        urls = [
            await stack.enter_async_context(
                http_server(base_url, folder / "out", LUMA_LOG_LEVEL="ERROR", LUMA_TOKEN=api.token)
            )
            for _ in range(3)
        ]

        async def wish(number: int) -> None:
            arguments = {"prompt": f"wish number {number}", "resolution": "540p"}
            async with places, httpx.AsyncClient(timeout=120, trust_env=False) as client:
                while True:
                    outcome.calls += 1
                    try:
                        with anyio.fail_after(chance.uniform(*PATIENCE_SECONDS) * scale):
                            result = await call_over_http(client, chance.choice(urls), "create_video", arguments)
                    except (TimeoutError, httpx.HTTPError):
                        outcome.given_up += 1
                        continue
                    if not result.get("isError"):
                        outcome.ids.append(result["structuredContent"]["generation_id"])
                        return
                    outcome.refusals += 1
                    if doubt := _DOUBT.search(result["content"][0]["text"]):
                        outcome.in_doubt.append(doubt[1])
                        return
                    await anyio.sleep(1)

        async with anyio.create_task_group() as tasks:
            for number in range(wishes):
                tasks.start_soon(wish, number)
    return outcome, luma, time.monotonic() - started


def main() -> int:
    """Print the table; the exit code is 1 if anything was bought beyond what was wished, or an id was not told."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wishes", type=int, default=500)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="put the outcome into docs/speed.md")
    options = parser.parse_args()
    return max([_report(api, options) for api in APIS])


def _report(api: Api, options: argparse.Namespace) -> int:
    outcome, luma, seconds = anyio.run(run, api, options.wishes, options.scale, options.seed)
    told, doubted = set(outcome.ids), set(outcome.in_doubt) & set(luma.request_ids)
    untold = len(set(luma.accepted) - told) - len(doubted)
    response = grid(
        [
            ("what", "how often"),
            ("wished", f"{options.wishes}"),
            ("calls", f"{outcome.calls:,}"),
            ("given up by the client", f"{outcome.given_up:,}"),
            ("answered with an error that says what to do", f"{outcome.refusals:,}"),
            ("POSTs", f"{luma.posts}"),
            ("bought", f"{len(luma.accepted)}"),
            ("bought beyond what was wished", f"{len(luma.accepted) - options.wishes}"),
            ("told as in doubt, with the request id", f"{len(doubted)}"),
            ("neither the id nor the doubt told", f"{untold}"),
        ]
    )
    print(api.name, response, f"{seconds:.0f} s, scale {options.scale:g}, seed {options.seed}", sep="\n")
    if options.write:
        into_page(f"{api.prefix}impatient", response)
    return 0 if untold == 0 and told <= set(luma.accepted) and len(luma.accepted) == options.wishes else 1


if __name__ == "__main__":
    sys.exit(main())
