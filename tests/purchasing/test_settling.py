"""How purchases ended is written down by API, in turn, with a bounded number of requests."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from luma_mcp.domain.errors import LumaError, NotFoundError, RateLimitError, ServerError
from luma_mcp.domain.generation import Generation, Page
from luma_mcp.ledger.caps import Budget
from luma_mcp.ledger.purchases import Ledger
from luma_mcp.ledger.rows import NewPurchase
from luma_mcp.ledger.sqlite import SqliteStore
from luma_mcp.purchasing.reconcile import Reconciler, Unverifiable
from luma_mcp.purchasing.settling import MAX_SINGLY, Settler
from tests.support.agent import HeldClock
from tests.support.ledgers import all_rows

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]


class Luma:
    """Every generation has failed and was refunded, unless a test says otherwise."""

    def __init__(self) -> None:
        self.reads: list[str] = []
        self.failures: dict[str, LumaError] = {}
        self.list_failure: LumaError | None = None
        self.state = "failed"

    async def get_generation(self, generation_id: str) -> Generation:
        self.reads.append(generation_id)
        for prefix, failure in self.failures.items():
            if generation_id.startswith(prefix):
                raise failure
        return Generation(id=generation_id, state=self.state)

    async def list_generations(self, *, limit: int = 20, offset: int = 0) -> Page:
        if self.list_failure is not None:
            raise self.list_failure
        return Page((), has_more=False)


@pytest.fixture
async def ledger(ledger_path: Path, clock: HeldClock) -> AsyncIterator[Ledger]:
    store = SqliteStore(lambda: ledger_path, now=clock.wall)
    opened = Ledger(store, account="old", others=["new"], owner="me")
    yield opened
    await opened.close()


async def accept(ledger: Ledger, account: str, count: int) -> None:
    for number in range(count):
        name = f"{account}-{number}"
        row = (
            await ledger.decide(NewPurchase(name, name, "{}", "video", 1, "published", account=account), Budget())
        ).row
        await ledger.advance(row, "sending")
        await ledger.advance(row, "accepted", generation_id=name)


def settler(luma: Luma, ledger: Ledger, clock: HeldClock) -> Settler:
    backend: Any = luma
    return Settler(backend, ledger, clock, Reconciler(Unverifiable(ledger), ledger, clock), {"old": backend})


async def states(ledger: Ledger, account: str) -> set[str]:
    return {row.state for row in await all_rows(ledger) if row.account == account}


@pytest.mark.parametrize("failure", [ServerError("503"), RateLimitError("429"), LumaError("410")], ids=str)
async def test_refunds_of_one_api_are_found_though_the_other_fails(
    ledger: Ledger, clock: HeldClock, failure: LumaError
) -> None:
    luma = Luma()
    luma.list_failure = luma.failures["old"] = failure
    await accept(ledger, "old", 2)
    await accept(ledger, "new", 2)
    await settler(luma, ledger, clock).settle_states()

    assert (await states(ledger, "new"), await states(ledger, "old")) == ({"failed"}, {"accepted"})


async def test_all_refunds_are_found_in_time_by_a_bounded_number_of_requests(ledger: Ledger, clock: HeldClock) -> None:
    """The oldest failed; those that are newer are all still dreaming."""
    luma = Luma()
    luma.state = "dreaming"
    await accept(ledger, "new", 45)
    settling = settler(luma, ledger, clock)
    for passes in range(1, 6):
        await settling.settle_states()
        assert len(luma.reads) == MAX_SINGLY * passes

    assert len(set(luma.reads)) == 45


async def test_what_luma_denies_is_passed_over_and_what_is_new_is_left_alone(ledger: Ledger, clock: HeldClock) -> None:
    luma = Luma()
    luma.failures["new-1"] = NotFoundError("404")
    await accept(ledger, "new", 3)
    settling = settler(luma, ledger, clock)
    await settling.settle_states(min_age_seconds=60)
    assert luma.reads == []

    clock.seconds += 61
    await settling.settle_states(min_age_seconds=60)
    assert luma.reads == ["new-2", "new-1", "new-0"]
    assert await states(ledger, "new") == {"failed", "accepted"}
