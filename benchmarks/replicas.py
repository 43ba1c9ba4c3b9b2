"""Servers that share one PostgreSQL, each with an account of its own: none waits for another account's lock.

`LUMA_GROWTH_DATABASE=postgresql://... python -m benchmarks.replicas` buys at one, two and four servers at once, and
meanwhile counts the connections that wait for a lock. Of four servers with one account some do wait.
"""

import os
import statistics
import subprocess
import sys
import threading
import time

import anyio
import psycopg

from benchmarks.rows import Row, table
from luma_mcp.ledger.caps import Budget
from luma_mcp.ledger.postgres import PostgresStore
from luma_mcp.ledger.purchases import Ledger
from luma_mcp.ledger.rows import NewPurchase

_PURCHASES = 300
_SAMPLE_SECONDS = 0.002
_WAITING = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()"
)


async def _buy(database: str, account: str) -> None:
    """Buy at one server, once the others are ready too; the milliseconds of each purchase, on stdout."""
    ledger = Ledger(PostgresStore(database), account=account, owner=f"{os.getpid()}")
    await ledger.today()
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(_PURCHASES):
        started = time.perf_counter()
        new = NewPurchase(f"{os.getpid()} {number}", "signature", "{}", "video", 1, "published")
        row = (await ledger.decide(new, Budget(max_usd_per_day=1e6), request_id="r")).row
        await ledger.advance(row, "accepted", generation_id=f"{os.getpid()} {number}")
        print((time.perf_counter() - started) * 1000)
    await ledger.close()


def _measure(database: str, accounts: list[str]) -> tuple[float, float, int, int]:
    """Purchases a second; the median milliseconds of one; samples with a connection that waits, and all samples."""
    command = [sys.executable, "-m", "benchmarks.replicas", database]
    servers = [
        subprocess.Popen([*command, account], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for account in accounts
    ]
    for server in servers:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
    is_over = threading.Event()
    samples: list[int] = []

    def sample() -> None:
        with psycopg.connect(database, autocommit=True) as connection:
            while not is_over.wait(_SAMPLE_SECONDS):
                samples.append(int((connection.execute(_WAITING).fetchone() or [0])[0]))

    sampler = threading.Thread(target=sample)
    sampler.start()
    started = time.perf_counter()
    milliseconds: list[float] = []
    for server in servers:
        assert server.stdin is not None
        server.stdin.write("go\n")
        server.stdin.flush()
    for server in servers:
        output, _ = server.communicate()
        milliseconds += map(float, output.split())
    seconds = time.perf_counter() - started
    is_over.set()
    sampler.join()
    assert len(milliseconds) == _PURCHASES * len(accounts)
    return len(milliseconds) / seconds, statistics.median(milliseconds), sum(map(bool, samples)), len(samples)


def rows() -> list[Row]:
    """None without a database."""
    database = os.environ.get("LUMA_GROWTH_DATABASE")
    if not database:
        return []
    mark = f"{time.time_ns()}"
    floor, one, *_ = _measure(database, [f"{mark} a"])
    measured: list[Row] = []
    for count in (1, 2, 4):
        speed, median, waiting, samples = _measure(database, [f"{mark} {number}" for number in range(count)])
        measured += [
            Row(
                f"{count} servers with an account each, PostgreSQL: purchases a second; floor: one server",
                f"{speed:,.0f}",
                f"{floor:,.0f}",
                f"{speed / floor:.2f}x",
            ),
            Row(
                f"{count} servers with an account each: a purchase; floor: one server",
                f"{median:.1f} ms",
                f"{one:.1f} ms",
                f"{median / one:.2f}x",
            ),
            Row(
                f"{count} servers with an account each: samples in which a connection waits for a lock",
                f"{waiting} of {samples:,}",
                goal="0",
            ),
        ]
    speed, _, waiting, samples = _measure(database, [mark] * 4)
    measured.append(
        Row(
            "4 servers with one account: samples in which a connection waits for a lock; purchases a second",
            f"{waiting} of {samples:,}",
            f"{speed:,.0f}",
        )
    )
    return measured


if __name__ == "__main__":
    if len(sys.argv) > 2:
        anyio.run(_buy, sys.argv[1], sys.argv[2])
    else:
        print(table(rows()))
