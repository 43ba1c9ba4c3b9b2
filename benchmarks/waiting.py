"""`python -m benchmarks.waiting SIDE COUNT`: one measurement of waiting, as JSON. `python -m benchmarks` runs them all.

Time is simulated (trio's clock jumps when everybody sleeps), so an hour of waiting takes seconds, and both sides see
the same one. The other side is what such servers usually do: a loop for each generation that looks every 3 s.
"""

import json
import random
import statistics
import subprocess
import sys
import time

import httpx
import trio
import trio.testing

from benchmarks.rows import Row, peak_mb
from luma_mcp.backends.dream_machine.client import DreamMachine
from luma_mcp.backends.transport import Transport
from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.dream_machine.app import PREFIX
from luma_mcp.emulator.dream_machine.bodies import VideoBody
from luma_mcp.emulator.dream_machine.operations import OPERATIONS
from luma_mcp.polling.poller import Poller, Snapshot

STARTED_WITHIN_SECONDS = 60.0
PEER_INTERVAL_SECONDS = 3.0


class SimulatedClock:
    """trio's own clock, as the poller wants one."""

    def now(self) -> float:
        return trio.current_time()

    def wall(self) -> float:
        return trio.current_time()

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)


async def silent(_check: Snapshot) -> None:
    """Nobody listens."""


async def measure(side: str, count: int) -> dict[str, float]:
    chance = random.Random(1)
    clock = SimulatedClock()
    emulator = Emulator(credit_usd=1e9, limits={}, clock=clock.now)
    network = httpx.ASGITransport(emulator.app)
    to_luma = Transport("x", base_url=f"http://127.0.0.1:9{PREFIX}", clock=clock, network=network)
    luma = DreamMachine(to_luma)
    watch = Poller(luma, clock, listing=luma)
    delays: list[float] = []

    async def ours(generation_id: str) -> None:
        await watch.wait([generation_id], until="all", timeout_seconds=1800, on_snapshot=silent)

    async def peers(generation_id: str) -> None:
        while not (await luma.get_generation(generation_id)).is_final:
            await clock.sleep(PEER_INTERVAL_SECONDS)

    async def item() -> None:
        await clock.sleep(chance.uniform(0, STARTED_WITHIN_SECONDS))
        generation = emulator.dream_machine.accept(VideoBody(model="ray-2", prompt="a boat"))
        # Nobody begins to wait in the very moment of buying.
        await clock.sleep(chance.uniform(0, PEER_INTERVAL_SECONDS))
        await (ours if side == "ours" else peers)(generation.id)
        delays.append(clock.now() - generation.began_at - OPERATIONS["video"].lifecycle.total)

    started = time.process_time()
    async with watch.running(), trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(item)
    return {
        "requests": len(emulator.requests) / count,
        "cpu_seconds": time.process_time() - started,
        "memory_mb": peak_mb(),
        "delay_seconds": statistics.median(delays),
        "longest_delay_seconds": max(delays),
    }


def main() -> None:
    side, count = sys.argv[1], int(sys.argv[2])
    print(json.dumps(trio.run(measure, side, count, clock=trio.testing.MockClock(autojump_threshold=0))))


def rows() -> list[Row]:
    """Waiting for many at once, against one loop for each that looks every 3 s; both in the same simulated time."""
    return [row for count in (1, 10, 100, 1000) for row in _compared(count)]


def _compared(count: int) -> list[Row]:
    ours, floor = (
        json.loads(
            subprocess.run(
                [sys.executable, "-m", "benchmarks.waiting", side, str(count)], capture_output=True, check=True
            ).stdout
        )
        for side in ("ours", "peers")
    )

    def row(what: str, field: str, unit: str, goal: str) -> Row:
        ratio = f"{ours[field] / floor[field]:.2f}x" if floor[field] > 0.005 else "-"
        mine, theirs = (f"{side[field]:.2f} {unit}".strip() for side in (ours, floor))
        return Row(f"{count:,} waited for: {what}", mine, theirs, ratio, goal)

    return [
        row("requests to Luma for each", "requests", "", "<= 0.05x at 100" if count == 100 else ""),
        row("CPU", "cpu_seconds", "s", ""),
        row("memory", "memory_mb", "MB", "< 150 MB" if count == 1000 else ""),
        row("end seen after, median", "delay_seconds", "s", "one interval"),
        row("end seen after, longest", "longest_delay_seconds", "s", ""),
    ]


if __name__ == "__main__":
    main()
