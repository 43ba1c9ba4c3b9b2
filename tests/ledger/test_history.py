"""What the ledger knows of generations, for an API that echoes and lists nothing."""

from dataclasses import replace
from pathlib import Path

import pytest

from luma_mcp.ledger.caps import Budget
from luma_mcp.ledger.history import PurchaseHistory
from luma_mcp.ledger.purchases import Ledger
from luma_mcp.ledger.rows import NewPurchase
from luma_mcp.ledger.sqlite import SqliteStore
from tests.support.agent import Wall
from tests.support.ledgers import CloseLater

pytestmark = pytest.mark.anyio

NEW = NewPurchase("", "signature", '{"prompt":"a boat","made_from":["its source"]}', "video", 300_000, "published")


@pytest.fixture
async def ledger(tmp_path: Path, wall: Wall, close_later: CloseLater) -> Ledger:
    store = SqliteStore(lambda: tmp_path / "purchases.sqlite3", now=wall)
    return close_later(Ledger(store, account="at dream machine", others=["at agents"], owner="this server"))


@pytest.fixture
def history(ledger: Ledger) -> PurchaseHistory:
    return PurchaseHistory(ledger, {"dream_machine": "at dream machine", "agents": "at agents"})


async def bought(ledger: Ledger, name: str, account: str = "at agents", person: str = "") -> None:
    new = replace(NEW, fingerprint=name, account=account, person=person)
    row = (await ledger.decide(new, Budget(), request_id="r")).row
    assert await ledger.advance(row, "accepted", generation_id=name) is not None


async def test_a_purchase_is_known_by_its_generation(ledger: Ledger, history: PurchaseHistory, wall: Wall) -> None:
    await bought(ledger, "clip 1")
    found = await history.of("clip 1")

    assert found is not None
    assert (found.generation_id, found.backend, found.price_usd) == ("clip 1", "agents", 0.3)
    assert found.body == {"prompt": "a boat"}
    assert found.bought_at == wall()
    assert await history.of("clip 2") is None


async def test_lists_are_of_one_api_or_of_one_person_and_begin_with_the_newest(
    ledger: Ledger, history: PurchaseHistory
) -> None:
    await bought(ledger, "clip 1", person="anna")
    await bought(ledger, "clip 2", account="at dream machine", person="anna")
    await bought(ledger, "clip 3")

    assert [item.generation_id async for item in history.newest("agents")] == ["clip 3", "clip 1"]
    assert [(item.generation_id, item.backend) async for item in history.of_person("anna")] == [
        ("clip 2", "dream_machine"),
        ("clip 1", "agents"),
    ]


async def test_a_ledger_that_cannot_be_read_knows_nothing(tmp_path: Path, close_later: CloseLater) -> None:
    folder = tmp_path / "purchases.sqlite3"
    folder.mkdir()
    ledger = close_later(Ledger(SqliteStore(lambda: folder, now=Wall()), account="me", owner="this server"))

    assert await PurchaseHistory(ledger, {"dream_machine": "me"}).of("clip 1") is None
