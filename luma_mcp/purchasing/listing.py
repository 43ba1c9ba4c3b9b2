"""Luma's list of generations as evidence: its reading, and the conditions of trusting it.

A list is trusted only if it can be: it must reach back to a generation that the ledger knows to be older, its times
must fall, and every entry must be readable. An empty list of an account of which the ledger knows nothing proves
nothing. One reading serves all purchases that are searched for, and costs at most a fixed number of requests.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from luma_mcp.backends.base import Backend, Listing
from luma_mcp.domain.clock import Clock
from luma_mcp.domain.errors import NotFoundError
from luma_mcp.domain.generation import Generation
from luma_mcp.ledger.purchases import Ledger
from luma_mcp.ledger.rows import PurchaseRow

_PAGE, _MAX_PAGES = 50, 12
_KNOWN_IDS = 20
# The maximum number of known generations that may have been deleted since.
_MAX_DELETED = 5
# One 404 proves little: a replica of Luma's may not know a generation.
_SECOND_CHECK_SECONDS = 1.0
# Luma's clock and ours need not agree.
_CLOCK_SKEW_SECONDS = 120.0


class ListedBackend(Backend, Listing, Protocol):
    """An API that lists its generations."""


@dataclass(frozen=True)
class Reading:
    """The part of Luma's list that was read.

    Args:
        generations: by id, in the list's order.
        doubts: the reason not to trust that it contains all newer generations, by row; empty to trust it.
    """

    generations: Mapping[str, Generation]
    doubts: Mapping[int, str]


async def read_list(
    backend: ListedBackend, ledger: Ledger, rows: Sequence[PurchaseRow], clock: Clock | None = None
) -> Reading:
    """Read the list back to the newest generations that the ledger knows to be older than the purchases.

    Where there are none, or the times do not fall, the list is read as far as it goes. Raises: LumaError.
    """
    known: dict[int, list[str]] = {}
    for row in rows:
        earlier = await ledger.known_before(row, _KNOWN_IDS)
        known[row.id] = [purchase.generation_id or "" for purchase in earlier]
    pages = _Pages(backend)
    await pages.read_until(
        lambda: all(any(generation_id in pages.read for generation_id in ids[:1]) for ids in known.values())
    )
    judge = _Judge(pages, clock)
    return Reading(pages.read, {row.id: await judge.reason_for_doubt(known[row.id]) for row in rows})


async def is_unlisted(backend: ListedBackend, row: PurchaseRow) -> bool:
    """Whether the list, read back to before a purchase, certainly does not show its generation. Raises: LumaError."""
    pages = _Pages(backend)
    oldest = row.reserved_at - _CLOCK_SKEW_SECONDS
    await pages.read_until(lambda: row.generation_id in pages.read or pages.last < oldest)
    is_enough = pages.is_whole or pages.last < oldest
    return row.generation_id not in pages.read and is_enough and pages.is_sorted and not pages.unreadable


class _Pages:
    """Pages of the list, the newest first."""

    def __init__(self, backend: ListedBackend) -> None:
        self.backend = backend
        self.read: dict[str, Generation] = {}
        self.last = math.inf
        self.is_sorted, self.is_whole = True, False
        self.unreadable = 0

    async def read_until(self, is_enough: "Predicate") -> None:
        """Read page by page, until it is enough and the times fall, or there is no more."""
        offset = 0
        for _ in range(_MAX_PAGES):
            page = await self.backend.list_generations(limit=_PAGE, offset=offset)
            new = [generation for generation in page.generations if generation.id not in self.read]
            for generation in new:
                at = created(generation)
                self.is_sorted = self.is_sorted and 0 < at <= self.last + 1
                self.last = min(self.last, at)
                self.read[generation.id] = generation
            self.unreadable += page.unreadable
            if self.is_sorted and is_enough():
                return
            if not new:
                # The end, or a server that sends the same page again.
                self.is_whole = not page.generations
                return
            offset += len(page.generations) + page.unreadable


class Predicate(Protocol):
    """Whether enough was read."""

    def __call__(self) -> bool: ...


class _Judge:
    """Decides whether a list can be trusted. It requests known generations that the list lacks, at most a few."""

    def __init__(self, pages: _Pages, clock: Clock | None) -> None:
        self._pages = pages
        self._clock = clock
        self._is_deleted: dict[str, bool] = {}

    async def reason_for_doubt(self, known: Sequence[str]) -> str:
        """The reason why the list may lack generations newer than these; empty if it lacks none. Raises: LumaError."""
        pages = self._pages
        if pages.unreadable:
            return "Luma's list has an entry that cannot be read, and that one may be it."
        if pages.read and not pages.is_sorted:
            return "Luma's list is not sorted by time, so it may not show the newest."
        if not pages.read and not known:
            return "Luma's list is empty, and the ledger knows nothing that it ever showed, so it proves nothing."
        for generation_id in known[:_MAX_DELETED]:
            if generation_id in pages.read:
                return ""
            if not await self._was_deleted(generation_id):
                return "Luma's list does not show the newest generation that is known, so it may lag."
        return "" if pages.is_whole else "Luma's list is too long to be read to its end."

    async def _was_deleted(self, generation_id: str) -> bool:
        """Whether Luma reports twice that it has no such generation, so that the list cannot contain it."""
        if generation_id not in self._is_deleted:
            if len(self._is_deleted) >= _MAX_DELETED:
                return False
            self._is_deleted[generation_id] = await self._is_denied(generation_id)
            if self._is_deleted[generation_id]:
                if self._clock is not None:
                    await self._clock.sleep(_SECOND_CHECK_SECONDS)
                self._is_deleted[generation_id] = await self._is_denied(generation_id)
        return self._is_deleted[generation_id]

    async def _is_denied(self, generation_id: str) -> bool:
        try:
            await self._pages.backend.get_generation(generation_id)
        except NotFoundError:
            return True
        return False


def created(generation: Generation) -> float:
    """The time of creation, in Unix time; 0 if Luma does not state it."""
    return generation.created_at.timestamp() if generation.created_at else 0.0
