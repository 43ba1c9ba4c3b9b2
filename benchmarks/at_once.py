"""Many purchases at once over stdio: repeats of one call are one purchase, and different ones stay within the cap."""

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import httpx

from benchmarks.calls import Pipe, emulated, piped
from benchmarks.rows import Row
from benchmarks.starting import console_script

CALLS = 200
RESPONSE_SECONDS = 2.0
# A 5 s 720p clip of ray-2 costs this, and so many of them may be bought.
PRICE_USD, ALLOWED = 0.71, 10


def rows() -> list[Row]:
    slow = ("--fault", f"slow,method=POST,after=yes,times={CALLS},seconds={RESPONSE_SECONDS}")
    with ExitStack() as stack:
        base_url = stack.enter_context(emulated(*slow))
        folder = stack.enter_context(tempfile.TemporaryDirectory())

        def server(name: str, **values: str) -> Pipe:
            ledger = str(Path(folder) / f"{name}.sqlite3")
            values = {"LUMA_TOKEN": "x", "LUMA_BASE_URL": base_url, "LUMA_LEDGER": ledger, **values}
            return stack.enter_context(piped([sys.executable, str(console_script())], values))

        seconds, results = server("repeats").call_at_once("create_video", [{"prompt": "a boat"}] * CALLS)
        bought = _bought(base_url)
        ids = {result["structuredContent"]["generation_id"] for result in results}
        assert ids == bought, "each caller hears of the one purchase"
        rows = [
            Row(f"{CALLS} repeats of one call at once: POSTs", str(len(bought)), "1", goal="1"),
            Row(
                f"{CALLS} repeats of one call at once: the last answer; floor: Luma's own answer",
                f"{seconds:.2f} s", f"{RESPONSE_SECONDS:.2f} s", goal="1 s more",
            ),
        ]  # fmt: skip
        capped = server("cap", LUMA_MAX_USD_PER_DAY=str(PRICE_USD * ALLOWED))
        different = [{"prompt": f"boat number {number}"} for number in range(CALLS)]
        seconds, results = capped.call_at_once("create_video", different)
        granted = sum(not result.get("isError") for result in results)
        more = len(_bought(base_url) - bought)
        assert granted == more, "whoever is granted a purchase hears of it"
        rows += [
            Row(f"{CALLS} different calls at once, a cap for {ALLOWED}: bought", str(more), str(ALLOWED), goal="10"),
            Row(
                f"{CALLS} different calls at once: the last answer; floor: Luma's own answer",
                f"{seconds:.2f} s", f"{RESPONSE_SECONDS:.2f} s",
            ),
        ]  # fmt: skip
    return rows


def _bought(base_url: str) -> set[str]:
    """Every generation that the emulator has."""
    response = httpx.get(
        f"{base_url}/generations?limit=100", headers={"Authorization": "Bearer x"}, trust_env=False, timeout=30
    )
    return {generation["id"] for generation in response.json()["generations"]}
