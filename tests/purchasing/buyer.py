"""A process that buys, and can be killed at any moment. Started by test_killed.py.

It imports everything once and forks a child for each attempt, so that hundreds of kills take seconds. Each line it
reads is an attempt: a prompt, and the seconds after which the child is killed (nothing: it is left alone). Each line it
writes is what the child's caller got to hear: the id, or what went wrong, or nothing.
"""

import json
import os
import select
import signal
import sys
import time
from pathlib import Path

import anyio
import httpx  # noqa: F401 - so that no child has to
import truststore  # noqa: F401

from luma_mcp.backends.dream_machine.client import DreamMachine
from luma_mcp.backends.transport import Transport
from luma_mcp.composition import RealClock
from luma_mcp.domain.errors import LumaError
from luma_mcp.domain.requests import VideoRequest
from luma_mcp.ledger import purchases as ledger_module
from luma_mcp.ledger.caps import Budget
from luma_mcp.ledger.purchases import Ledger
from luma_mcp.ledger.sqlite import SqliteStore
from luma_mcp.purchasing import reconcile
from luma_mcp.purchasing.orders import PurchaseRequest
from luma_mcp.purchasing.reconcile import ByListing, Reconciler
from luma_mcp.purchasing.service import PurchaseService

# A hundredth of the real times, and more.
ledger_module.LEASE_SECONDS = 0.4
reconcile.ABSENT_AFTER_SECONDS = 0.3


class Hasty(RealClock):
    """Waits a hundredth of the time between looks."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds / 100)


async def buy(prompt: str) -> str:
    clock = Hasty()
    backend = DreamMachine(Transport("token", base_url=sys.argv[1], clock=RealClock()))
    store = SqliteStore(lambda: Path(sys.argv[2]), now=time.time)
    ledger = Ledger(store, account="me", owner=f"{os.getpid()} {time.time_ns()}")
    reconciler = Reconciler(ByListing(backend, ledger), ledger, clock)
    purchases = PurchaseService(backend, ledger, clock, reconciler, budget=Budget())

    async def on_wait(_waited: float, _message: str) -> None:
        """Nobody listens."""

    try:
        quote = purchases.quote(VideoRequest(model="ray-2", prompt=prompt, resolution="540p"))
        return (await purchases.buy(PurchaseRequest(quote, on_wait, take=1))).generation.id
    except LumaError as error:
        return f"{type(error).__name__}: {error}"


def attempt(prompt: str, seconds: float | None) -> str:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, anyio.run(buy, prompt).encode())
        os._exit(0)
    os.close(writing)
    received = b""
    if select.select([reading], [], [], seconds)[0]:
        received = os.read(reading, 1000)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reading)
    return received.decode()


def main() -> None:
    for line in sys.stdin:
        prompt, seconds = json.loads(line)
        print(json.dumps(attempt(prompt, seconds)), flush=True)


if __name__ == "__main__":
    main()
