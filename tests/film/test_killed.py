"""Films, each made by two replicas at once that are killed at random moments, while Luma answers badly.

Each shot is bought once, every film ends as its plan says, the day's cap holds, and nothing stays reserved.
"""

import json
import random
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.faults import Fault
from luma_mcp.emulator.serving import serving

pytestmark = [
    pytest.mark.slow,
    pytest.mark.anyio,
    pytest.mark.timeout(900),
    pytest.mark.skipif(sys.platform == "win32", reason="processes that fork"),
]

FASTER = 100
LONGEST_LIFE_SECONDS = 3.0
_POST = {"method": "POST", "path": "*/generations/video"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def shots_of(chance: random.Random, number: int) -> list[dict[str, Any]]:
    """Three to eight shots, some of which go on from the one before."""
    shots: list[dict[str, Any]] = []
    for place in range(chance.randint(3, 8)):
        goes_on = place > 0 and chance.random() < 0.5
        shots.append({"prompt": f"film {number} shot {place}", **({"start": "continue"} if goes_on else {})})
    return shots


def fault_of(chance: random.Random) -> Fault:
    return chance.choice(
        [
            Fault("drop", **_POST, after=True), Fault("drop", **_POST), Fault("garble", **_POST),
            Fault("error", **_POST, after=True, status=502), Fault("error", **_POST, status=503),
            Fault("limit", **_POST), Fault("slow", **_POST, seconds=0.3),
            Fault("slow", **_POST, seconds=0.3, after=True),
            Fault("error", method="GET", status=500), Fault("moderate", **_POST),
        ]
    )  # fmt: skip


def money_of(ledger_path: Path) -> tuple[int, int]:
    """How many shots have money reserved, and the micro-dollars that were spent."""
    with closing(sqlite3.connect(ledger_path)) as ledger:
        reserved = ledger.execute(
            "SELECT count(*) FROM reservations LEFT JOIN purchases ON purchases.id = purchase_id"
            " WHERE wanted = 1 OR state IN ('reserved', 'sending', 'lost')"
        ).fetchone()[0]
        spent = ledger.execute("SELECT sum(micros) FROM purchases WHERE state = 'completed'").fetchone()[0]
    return reserved, spent


async def test_films_end_as_planned_and_each_shot_is_bought_once(
    ledger_path: Path, tmp_path: Path, record_property, pytestconfig: pytest.Config
) -> None:
    films: int = pytestconfig.getoption("--films")
    seed = 20261130
    chance = random.Random(seed)
    emulator = Emulator(credit_usd=10_000, limits={}, speed=FASTER)
    planned = {number: shots_of(chance, number) for number in range(films)}
    ended: dict[int, dict[str, Any]] = {}
    kills = attempts = 0
    waiting = list(planned)

    async def work(environment: dict[str, str]) -> None:
        nonlocal kills, attempts
        command = [sys.executable, "-m", "tests.film.maker", json.dumps(environment), str(FASTER)]
        async with await anyio.open_process(command, stderr=None, cwd=Path(__file__).parents[2]) as maker:
            assert maker.stdin is not None
            assert maker.stdout is not None
            answers = BufferedByteReceiveStream(maker.stdout)
            while waiting:
                number = waiting.pop()
                while number not in ended:
                    # Killed a few times, then left alone until the film is over.
                    lives = [chance.uniform(0, LONGEST_LIFE_SECONDS) if chance.random() < 0.8 else None for _ in "ab"]
                    kills += sum(life is not None for life in lives)
                    attempts += 1
                    if chance.random() < 0.7:
                        emulator.faults.append(fault_of(chance))
                    await maker.stdin.send(json.dumps([planned[number], 1, lives]).encode() + b"\n")
                    with anyio.fail_after(120):
                        received = json.loads(await answers.receive_until(b"\n", 100_000))
                    answer = json.loads(received) if received else {}
                    assert attempts < 20 * films, answer
                    if answer.get("state") == "completed":
                        ended[number] = answer
            await maker.stdin.aclose()

    async with serving(emulator) as base_url:
        environment = {
            "LUMA_TOKEN": "luma-killed-films", "LUMA_BASE_URL": base_url, "LUMA_LEDGER": str(ledger_path),
            "LUMA_OUTPUT_DIR": str(tmp_path), "LUMA_MAX_USD_PER_DAY": "1000", "LUMA_SAVE": "none",
        }  # fmt: skip
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(work, environment)

    bought = emulator.dream_machine.billing.purchases()
    made = [generation_id for film in ended.values() for generation_id in film["ids"]]
    wanted = sum(len(shots) for shots in planned.values())
    reserved, spent = money_of(ledger_path)
    refunded = [entry.generation_id for entry in emulator.dream_machine.billing.entries if entry.what == "refund"]
    figures = {
        "films": len(ended), "shots": wanted, "bought": len(bought), "refunded": len(refunded), "kills": kills,
        "attempts": attempts, "reserved": reserved, "seed": seed,
    }  # fmt: skip
    record_property("figures", figures)
    print(figures)
    assert len(ended) == films, figures
    assert len(set(made)) == len(made) == wanted, figures
    assert sorted(bought) == sorted([*made, *refunded]), figures
    assert reserved == 0, figures
    assert spent == wanted * 140_000, figures
