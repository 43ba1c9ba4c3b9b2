"""The ledger with a thousand purchases, and with a hundred thousand or a million: each operation must cost the same.

`python -m benchmarks growth` measures 1e3 and 1e5 rows on SQLite, and on PostgreSQL if LUMA_GROWTH_DATABASE names an
empty one; `--million` adds 1e6. The purchases are spread over a year, oldest first as in a real ledger; a hundred are
of today, and with more than 1e5 a thousandth of them. A row of the table is the median with that many purchases, and
its ratio to that with 1e3.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio

from benchmarks.rows import Row, table
from luma_mcp.ledger.caps import Balance, Budget
from luma_mcp.ledger.postgres import PostgresStore
from luma_mcp.ledger.purchases import Ledger
from luma_mcp.ledger.reservation_groups import ReservationGroups
from luma_mcp.ledger.reservations import NewGroup, NewReservation
from luma_mcp.ledger.rows import NewPurchase
from luma_mcp.ledger.sqlite import SqliteStore
from luma_mcp.ledger.store import Store, Transaction

_BUDGET = Budget(max_usd_per_day=1e6, max_usd_per_person_per_day=1e6, min_credit_usd=1)
_NEW = NewPurchase("bench", "signature", '{"prompt":"a boat","model":"ray-2"}', "video", 400_000, "published")
_SHOTS, _TURNS, _TODAY, _YEAR = 20, 60, 100, 365 * 86_400
_ONE = "('me', ?, ?, 1, ?, 'signature', '{}', 'video', 'ray-2', 400000, 'published', ?, ?, ?, ?)"
_INSERT = (
    "INSERT INTO purchases (account, person, fingerprint, take, is_live, signature, request, kind, model, micros,"
    " basis, state, generation_id, reserved_at, updated_at) VALUES "
)


def fill(transaction: Transaction, first: int, last: int) -> None:
    """Purchases of a year, of two persons; a twentieth failed."""
    now, batch = time.time(), 500
    for start in range(first, last, batch):
        numbers = range(start, min(start + batch, last))
        values: list[object] = []
        for number in numbers:
            is_of_today = number < _TODAY or (number > _TODAY * 1000 and number % 1000 == 0)
            at = now - 60 if is_of_today else now - 86_400 - _YEAR * (1 - number / 1e6)
            failed = number % 20 == 0
            state, live = ("failed", 0) if failed else ("completed", 1)
            values += [f"person {number % 2}", f"fingerprint {number}", live, state, f"generation {number}", at, at]
        transaction.execute(_INSERT + ", ".join([_ONE] * len(numbers)), values)


async def measure(store: Store) -> dict[str, float]:
    """The median seconds of each operation."""
    ledger = Ledger(store, account="me", others=["agents"], owner="benchmark")
    groups, mark = ReservationGroups(ledger), f"{time.time_ns()}"
    shots = tuple(NewReservation(f"shot {number}", 400_000) for number in range(_SHOTS))
    group, _ = await groups.create(NewGroup(f"group {mark}", mark, "a plan", shots), Budget())
    turn = iter(range(10**6))

    async def purchase() -> None:
        new = replace(_NEW, fingerprint=f"{mark} {next(turn)}", person="person 1")
        row = (await ledger.decide(new, _BUDGET, Balance(1e6, time.time()), request_id="r")).row
        await ledger.advance(row, "accepted", generation_id=f"{mark} {row.id}")

    async def join() -> None:
        await ledger.decide(replace(_NEW, fingerprint=f"{mark} 0", person="person 1"), _BUDGET, None)

    async def spending() -> None:
        await ledger.today("person 1")
        await ledger.newest_today(50)
        await ledger.totals(6)

    operations: dict[str, Callable[[], Awaitable[object]]] = {
        "purchase": purchase,
        "join": join,
        "list": lambda: ledger.bought(21, account="me"),
        "list of a person": lambda: ledger.bought(21, person="person 1"),
        "credits": ledger.today,
        "spending": spending,
        "film read": lambda: groups.get(group.id),
        "one page of purchases list": lambda: anext(ledger.pages()),
    }
    medians: dict[str, float] = {}
    for name, operation in operations.items():
        seconds: list[float] = []
        for _ in range(_TURNS):
            started = time.perf_counter()
            await operation()
            seconds.append(time.perf_counter() - started)
        medians[name] = statistics.median(seconds)
    await groups.release(group.id, dict.fromkeys((shot.key for shot in shots), "over"))
    await ledger.close()
    return medians


@contextmanager
def stores() -> Generator[dict[str, Callable[[], Store]]]:
    """The engines that can be measured here."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite3"
        stores: dict[str, Callable[[], Store]] = {"SQLite": lambda: SqliteStore(lambda: path, now=time.time)}
        if database := os.environ.get("LUMA_GROWTH_DATABASE"):
            stores["PostgreSQL"] = lambda: PostgresStore(database)
        yield stores


def rows(*, million: bool = False) -> list[Row]:
    """One row for each engine, operation and size."""
    sizes = (1_000, 100_000, *([1_000_000] if million else []))
    measured: list[Row] = []
    with stores() as engines:
        for engine, make in engines.items():
            first: dict[str, float] = {}
            filled = 0
            for size in sizes:
                store = make()
                for start in range(filled, size, 50_000):
                    store.transaction(partial(fill, first=start, last=min(start + 50_000, size)))
                store.close()
                filled = size
                for name, seconds in anyio.run(measure, make()).items():
                    floor = first.setdefault(name, seconds)
                    measured.append(
                        Row(
                            f"{engine}, {size:,} purchases: {name}",
                            f"{seconds * 1000:.2f} ms",
                            f"{floor * 1000:.2f} ms",
                            f"{seconds / floor:.2f}x",
                            "1.20x",
                        )
                    )
    return measured


def main() -> None:
    print(table(rows(million="--million" in sys.argv)))


if __name__ == "__main__":
    main()
