"""Luma's list as evidence, and what each API's strategy says of a deletion."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from luma_mcp.domain.errors import LedgerError, LumaError, NotFoundError, ServerError
from luma_mcp.domain.generation import Generation, Page
from luma_mcp.ledger.caps import Budget
from luma_mcp.ledger.purchases import Ledger
from luma_mcp.ledger.rows import NewPurchase, PurchaseRow
from luma_mcp.ledger.sqlite import SqliteStore
from luma_mcp.mcp.services import Services
from luma_mcp.purchasing.listing import is_unlisted, read_list
from luma_mcp.purchasing.reconcile import ByAccount, ByListing, Unverifiable
from tests.support.agent import HeldClock

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]


class Luma:
    """An API with a list of its own, newest first. What it lists can be read singly, unless a test says otherwise."""

    def __init__(self, listed: list[Generation], *, unreadable: int = 0) -> None:
        self.listed = listed
        self.unreadable = unreadable
        self.failure: LumaError | None = None
        self.reads: list[str] = []
        self.denies_once: set[str] = set()
        self.unlisted: set[str] = set()

    async def list_generations(self, *, limit: int = 20, offset: int = 0) -> Page:
        if self.failure is not None:
            raise self.failure
        page = [entry for entry in self.listed if entry.id not in self.unlisted][offset : offset + limit]
        return Page(tuple(page), has_more=False, unreadable=self.unreadable if not offset else 0)

    async def get_generation(self, generation_id: str) -> Generation:
        self.reads.append(generation_id)
        known = {entry.id: entry for entry in self.listed}
        if generation_id not in known or generation_id in self.denies_once:
            self.denies_once.discard(generation_id)
            raise NotFoundError("404")
        return known[generation_id]


def made(generation_id: str, at: float) -> Generation:
    return Generation(id=generation_id, created_at=datetime.fromtimestamp(at, UTC))


@pytest.fixture
async def ledger(ledger_path: Path, clock: HeldClock) -> AsyncIterator[Ledger]:
    opened = Ledger(SqliteStore(lambda: ledger_path, now=clock.wall), account="me", owner="me")
    yield opened
    await opened.close()


async def purchase(ledger: Ledger, name: str, generation_id: str | None = None) -> PurchaseRow:
    row = (await ledger.decide(NewPurchase(name, name, "{}", "video", 1, "published"), Budget())).row
    await ledger.advance(row, "sending")
    after = await ledger.advance(row, "accepted" if generation_id else "lost", generation_id=generation_id)
    assert after is not None
    return after


@pytest.mark.parametrize(("listed", "is_gone"), [(["older"], True), (["mine", "older"], False), ([], True)])
async def test_a_generation_is_gone_if_the_list_back_to_before_it_does_not_show_it(
    ledger: Ledger, clock: HeldClock, listed: list[str], is_gone: bool
) -> None:
    row = await purchase(ledger, "a", "mine")
    luma = Luma([made(name, clock.wall() - 1000 * (name == "older")) for name in listed])

    assert await is_unlisted(luma, row) is is_gone  # type: ignore[arg-type]
    assert await ByListing(luma, ledger).is_gone(row) is is_gone  # type: ignore[arg-type]
    assert await Unverifiable(ledger).is_gone(row) is False


async def test_a_list_that_is_unreadable_unsorted_or_fails_shows_no_deletion(ledger: Ledger, clock: HeldClock) -> None:
    row = await purchase(ledger, "a", "mine")
    older, newer = made("older", clock.wall() - 9000), made("newer", clock.wall())
    broken = Luma([])
    broken.failure = ServerError("503")
    for luma in (Luma([older], unreadable=1), Luma([older, newer]), broken):
        assert await ByListing(luma, ledger).is_gone(row) is False  # type: ignore[arg-type]


@pytest.mark.parametrize("has_clock", [True, False])
async def test_one_404_of_a_known_generation_does_not_explain_that_the_list_lacks_it(
    ledger: Ledger, clock: HeldClock, has_clock: bool
) -> None:
    await purchase(ledger, "a", "known")
    clock.seconds += 60
    row = await purchase(ledger, "b")
    luma = Luma([made("known", clock.wall() - 60)])
    luma.denies_once, luma.unlisted = {"known"}, {"known"}
    reading = await read_list(luma, ledger, [row], clock if has_clock else None)  # type: ignore[arg-type]

    assert "it may lag" in reading.doubts[row.id]
    assert luma.reads == ["known", "known"]
    assert clock.sleeps == ([1.0] if has_clock else [])


async def test_one_reading_asks_for_at_most_five_known_generations(ledger: Ledger, clock: HeldClock) -> None:
    rows: list[PurchaseRow] = []
    for number in range(8):
        await purchase(ledger, f"known {number}", f"deleted-{number}")
        clock.seconds += 60
        rows.append(await purchase(ledger, f"lost {number}"))
        clock.seconds += 60
    luma = Luma([])
    reading = await read_list(luma, ledger, rows, clock)  # type: ignore[arg-type]

    assert len(luma.reads) == 10, "each twice"
    assert [bool(doubt) for doubt in reading.doubts.values()] == [False] * 5 + [True] * 3


async def test_what_fails_at_one_api_does_not_hold_up_the_other(ledger: Ledger) -> None:
    looked: list[str] = []

    class Failing(Unverifiable):
        async def search(self, row: PurchaseRow) -> None:  # type: ignore[override]
            raise LedgerError("away")

    class Sound(Unverifiable):
        async def search(self, row: PurchaseRow) -> None:  # type: ignore[override]
            looked.append(row.account)

    strategy = ByAccount({"me": Failing(ledger), "other": Sound(ledger), "unused": Sound(ledger)})
    row = await purchase(ledger, "a")
    other = PurchaseRow(**{**vars(row), "account": "other"})
    await strategy.search_all([row, other])

    assert looked == ["other"]
    assert await strategy.is_gone(other) is False


async def test_while_the_ledger_is_away_nobody_knows_whether_a_generation_exists(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_arguments: object) -> None:
        raise LedgerError("away")

    assert not await services.purchases.may_exist("unknown-id")
    assert await services.purchases.api_of("unknown-id") is None
    monkeypatch.setattr(Ledger, "by_generation", fails)
    assert await services.purchases.may_exist("unknown-id")
    assert await services.purchases.api_of("unknown-id") is None
