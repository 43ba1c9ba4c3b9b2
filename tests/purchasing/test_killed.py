"""SIGKILL at random moments of a purchase, hundreds of times: nothing is lost and nothing is bought twice."""

import json
import random
import sys
from pathlib import Path

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.serving import serving

pytestmark = [
    pytest.mark.slow,
    pytest.mark.anyio,
    pytest.mark.timeout(900),
    pytest.mark.skipif(sys.platform == "win32", reason="processes that fork"),
]

KILLS = 200
LONGEST_SECONDS = 0.25
MAX_ATTEMPTS = 200


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_two_hundred_kills_lose_nothing_and_buy_nothing_twice(ledger_path: Path, record_property) -> None:
    chance = random.Random(20261124)
    emulator = Emulator(credit_usd=10_000, limits={})
    ids: dict[str, str] = {}
    kills = unheard_of = 0
    async with serving(emulator) as base_url:
        command = [sys.executable, str(Path(__file__).with_name("buyer.py")), base_url, str(ledger_path)]
        async with await anyio.open_process(command, stderr=None) as buyer:
            assert buyer.stdin is not None
            assert buyer.stdout is not None
            answers = BufferedByteReceiveStream(buyer.stdout)

            async def attempt(prompt: str, seconds: float | None) -> str:
                await buyer.stdin.send(json.dumps([prompt, seconds]).encode() + b"\n")
                with anyio.fail_after(60):
                    return json.loads(await answers.receive_until(b"\n", 10_000))

            # An empty list would prove nothing about a purchase that was killed on its way.
            ids["the first boat"] = await attempt("the first boat", None)
            number = 0
            while kills < KILLS:
                prompt = f"boat number {number}"
                number += 1
                received = ""
                attempts = 0
                # Killed once or more, then left alone until its caller has the id.
                while not received or "Error" in received:
                    attempts += 1
                    assert attempts < MAX_ATTEMPTS, received
                    lets_live = kills >= KILLS or chance.random() < 0.3
                    received = await attempt(prompt, None if lets_live else chance.uniform(0, LONGEST_SECONDS))
                    kills += not received
                    if "Error" in received:
                        unheard_of += 1
                        assert received.startswith("AmbiguousPurchaseError"), received
                        await anyio.sleep(0.35)
                ids[prompt] = received
            await buyer.stdin.aclose()

    bought = emulator.dream_machine.billing.purchases()
    figures = {"wanted": len(ids), "booked": len(bought), "kills": kills, "looked for": unheard_of}
    record_property("figures", figures)
    assert kills >= KILLS
    assert sorted(ids.values()) == sorted(bought), figures
