"""Ledgers for tests: fixtures over both engines, and access to the rows behind the product's back."""

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from luma_mcp.ledger.postgres import PostgresStore
from luma_mcp.ledger.purchases import Ledger
from luma_mcp.ledger.rows import PurchaseRow
from luma_mcp.ledger.sqlite import SqliteStore
from luma_mcp.ledger.store import Store
from tests.support.agent import Wall

CloseLater = Callable[[Ledger], Ledger]


@contextmanager
def open_rows(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to a ledger file: committed if nothing goes wrong, and closed in any case."""
    with closing(sqlite3.connect(path)) as connection, connection:
        yield connection


async def all_rows(ledger: Ledger) -> list[PurchaseRow]:
    """Every purchase, oldest first."""
    return [row async for page in ledger.pages() for row in page]


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture(params=["file", pytest.param("database", marks=pytest.mark.services)])
def engine(request: pytest.FixtureRequest, ledger_path: Path, wall: Wall) -> Callable[[], Store]:
    """Makes another connection to the same ledger, as another process has."""
    if request.param == "file":
        return lambda: SqliteStore(lambda: ledger_path, now=wall)
    address = request.getfixturevalue("database")

    class Shifted(PostgresStore):
        """A database whose clock the test sets."""

        def transaction(self, work, accounts=()):
            return super().transaction(self._with_clock(work), accounts)

        def read(self, work):
            return super().read(self._with_clock(work))

        @staticmethod
        def _with_clock(work):
            def with_clock(transaction):
                transaction.now = wall
                return work(transaction)

            return with_clock

    return lambda: Shifted(address)


@pytest.fixture
async def close_later() -> AsyncIterator[CloseLater]:
    """Close a ledger of the test's own at its end."""
    made: list[Ledger] = []

    def register(ledger: Ledger) -> Ledger:
        made.append(ledger)
        return ledger

    yield register
    for ledger in made:
        await ledger.close()


@pytest.fixture
async def ledger(engine, close_later: CloseLater) -> Ledger:
    return close_later(Ledger(engine(), account="me", owner="this server"))


@pytest.fixture
async def other(engine, close_later: CloseLater) -> Ledger:
    """The ledger as another server has it."""
    return close_later(Ledger(engine(), account="me", owner="another server"))
