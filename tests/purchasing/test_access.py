"""Who may see a generation: whoever bought it here, and the owner of the server."""

from dataclasses import replace
from pathlib import Path

import pytest

from luma_mcp.domain.errors import LedgerError, NotFoundError
from luma_mcp.domain.person import OWNER, Person
from luma_mcp.ledger.caps import Budget
from luma_mcp.ledger.purchases import Ledger
from luma_mcp.ledger.rows import NewPurchase
from luma_mcp.ledger.sqlite import SqliteStore
from luma_mcp.purchasing.access import Access
from tests.support.agent import Wall

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

NEW = NewPurchase("", "signature", "{}", "video", 300_000, "published")
PERSONS = {"anna": Person("anna"), "ben": Person("ben"), "": OWNER}


@pytest.fixture
async def ledger(tmp_path: Path, wall: Wall):
    """A ledger in which anna, ben and the owner have bought a clip each."""
    made = Ledger(SqliteStore(lambda: tmp_path / "purchases.sqlite3", now=wall), account="me", owner="this server")
    for name in PERSONS:
        row = (await made.decide(replace(NEW, fingerprint=name, person=name), Budget(), request_id="r")).row
        assert await made.advance(row, "accepted", generation_id=f"clip of {name}") is not None
    yield made
    await made.close()


async def test_each_person_sees_what_that_person_bought_and_the_owner_everything(ledger: Ledger) -> None:
    access = Access(ledger, is_shared=False)
    for name, person in PERSONS.items():
        for other in PERSONS:
            if person is OWNER or name == other:
                await access.check(person, [f"clip of {other}"])
            else:
                with pytest.raises(NotFoundError, match=f"No generation has the id clip of {other}."):
                    await access.check(person, [f"clip of {name}", f"clip of {other}"])
    with pytest.raises(NotFoundError):
        await access.check(PERSONS["anna"], ["a clip that nobody bought here"])
    await access.check(OWNER, ["a clip that nobody bought here"])


async def test_persons_who_share_see_everything(ledger: Ledger) -> None:
    for person in PERSONS.values():
        await Access(ledger, is_shared=True).check(person, ["clip of ben", "a clip that nobody bought here"])


async def test_a_ledger_that_cannot_be_read_shows_nobody_anything(tmp_path: Path, wall: Wall) -> None:
    folder = tmp_path / "purchases.sqlite3"
    folder.mkdir()
    access = Access(Ledger(SqliteStore(lambda: folder, now=wall), account="me", owner="o"), is_shared=False)

    with pytest.raises(LedgerError):
        await access.check(PERSONS["anna"], ["clip of anna"])
    await access.check(PERSONS["anna"], [])
