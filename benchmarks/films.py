"""Planning a film of a hundred shots: how long it takes, and how many transactions; and its memory."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import anyio
import httpx

from benchmarks.rows import Row, peak_mb, spread
from luma_mcp.composition import build_services
from luma_mcp.config.settings import Settings
from luma_mcp.emulator.app import Emulator
from luma_mcp.film.encrypted_links import SignedLinks
from luma_mcp.film.plan import CONTINUE, MAX_SHOTS, FilmFormat, Shot
from luma_mcp.film.service import FilmService
from luma_mcp.ledger.purchases import Ledger
from luma_mcp.ledger.reservation_groups import ReservationGroups
from luma_mcp.ledger.sqlite import SqliteStore
from luma_mcp.ledger.store import Transaction

_T = TypeVar("_T")
_TURNS = 20
# Behind it is an emulator in this process; nothing listens there.
_EMULATED = "http://127.0.0.1:9/dream-machine/v1"
_FORM = FilmFormat("ray-flash-2", "16:9", "540p")
# What waits is the longest way through a plan: each shot goes on from the one before.
_CHAIN = [Shot("a boat"), *[Shot("it drifts on", start=CONTINUE)] * (MAX_SHOTS - 1)]
_CUTS = [Shot(f"boat number {number}") for number in range(MAX_SHOTS)]


def rows() -> list[Row]:
    """Measured in a process of its own, for the memory of this one is that of all benchmarks."""
    done = subprocess.run([sys.executable, "-m", "benchmarks.films"], capture_output=True, text=True, check=True)
    return [Row(*line.split("\t")) for line in done.stdout.splitlines()]


class _Counted(SqliteStore):
    """A ledger that counts its transactions."""

    def __init__(self, path: Path) -> None:
        super().__init__(lambda: path, now=time.time)
        self.count = 0

    def transaction(self, work: Callable[[Transaction], _T], accounts: Sequence[str] = ()) -> _T:
        self.count += 1
        return super().transaction(work, accounts)


async def _measure(shots: list[Shot]) -> tuple[list[float], list[float], float, float]:
    """The seconds of planning and of allowing, the transactions of a film, and the memory that it took in MB."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite3"
        values = {"LUMA_TOKEN": "luma-benchmark", "LUMA_LEDGER": str(path), "LUMA_BASE_URL": _EMULATED}
        emulator = Emulator(credit_usd=1e6, limits={})
        services = build_services(Settings.from_environment(values), httpx.ASGITransport(emulator.app))
        store = _Counted(path)
        ledger = Ledger(store, account=services.purchases.account_of("dream_machine"), owner="benchmark")
        films = FilmService(
            ReservationGroups(ledger),
            services.purchases,
            services.poller,
            services.clock,
            SignedLinks(b"of a benchmark"),
        )
        before = peak_mb()
        planning: list[float] = []
        allowing: list[float] = []
        for take in range(1, _TURNS + 1):
            started = time.perf_counter()
            plan = await films.plan(_FORM, shots, services.sources.start)
            planned = time.perf_counter()
            await films.create(plan, take=take, person="", consent=None)
            planning.append(planned - started)
            allowing.append(time.perf_counter() - planned)
        transactions = store.count / _TURNS
        await services.close()
        emulator.assets.close()
        await ledger.close()
        return planning, allowing, transactions, peak_mb() - before


def _main() -> None:
    for name, shots in (("cuts", _CUTS), ("in a chain", _CHAIN)):
        planning, allowing, transactions, memory = anyio.run(_measure, shots)
        for row in (
            (f"plan {MAX_SHOTS} shots, {name}: resolved, checked, priced", spread(planning)),
            (f"allow {MAX_SHOTS} shots, {name}: written down and reserved", spread(allowing)),
            (f"transactions of a film of {MAX_SHOTS} shots, {name}", f"{transactions:g}", "1", "-", "1"),
            (f"memory of planning {MAX_SHOTS} shots {_TURNS} times, {name}", f"{memory:.0f} MB"),
        ):
            print("\t".join(row))


if __name__ == "__main__":
    _main()
