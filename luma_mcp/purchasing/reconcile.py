"""Purchases whose response was lost: they are settled by evidence, never by a guess.

`ByListing` searches for them in Luma's list, which is read once for all (`listing`). Absence counts from the loss,
needs every newer generation to be `surely not` it, by an echo that has proved faithful, and is checked again later.
`Unverifiable` is for an API without a list.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import anyio

from luma_mcp.backends.base import Listing, Verdict
from luma_mcp.domain.clock import Clock
from luma_mcp.domain.errors import LumaError
from luma_mcp.domain.generation import Generation
from luma_mcp.ledger.purchases import Ledger
from luma_mcp.ledger.rows import PurchaseRow
from luma_mcp.ledger.states import UNDER_WAY
from luma_mcp.purchasing.listing import ListedBackend, Reading, created, is_unlisted, read_list

_log = logging.getLogger(__name__)

# A list may lag, and Luma may accept a request after a gateway has timed out. Absence counts from the loss.
ABSENT_AFTER_SECONDS = 180.0
# After this time without evidence only the user can settle it, and the money counts as spent.
DISPUTED_AFTER_SECONDS = 15 * 60.0
# An absent purchase is searched for again during this time.
ABSENT_FOR_SECONDS = 24 * 3600.0
SEARCH_DEADLINE_SECONDS = 15.0
_PAUSES_BETWEEN_SEARCHES = (1.0, 3.0, 8.0)
# Luma's clock and ours need not agree.
_CLOCK_SKEW_SECONDS = 120.0
# A clock in the wrong time zone, or on the wrong day.
_WRONG_CLOCK_SECONDS = 26 * 3600.0
_UNPROVEN_ECHO = "Other generations are listed, and nothing shows yet that Luma lists requests as they were sent."
# Luma may accept a request this long after the wait for its response ended.
_LATE_SECONDS = 30 * 60.0


@dataclass(frozen=True)
class LookupResult:
    """The result of a search for a purchase.

    Args:
        outcome: `found`: it is this generation. `absent`: it is not at Luma. `cannot say`: evidence is missing.
        generations: the matching one, or the candidates.
        reason: the reason for `cannot say`, as a sentence for the user.
        is_last: whether another search is useless.
    """

    outcome: Literal["found", "absent", "cannot say"]
    generations: tuple[Generation, ...] = ()
    reason: str = ""
    is_last: bool = False


class Reconciliation(Protocol):
    """The strategy of searching for purchases with a lost response at one API."""

    async def search(self, row: PurchaseRow) -> LookupResult:
        """Search once, within a deadline. The result is on disk when it is returned."""
        ...

    async def search_all(self, rows: Sequence[PurchaseRow]) -> None:
        """Search once for all of them, with a bounded number of requests. The results are on disk afterwards."""
        ...

    async def is_gone(self, row: PurchaseRow) -> bool:
        """Whether the generation of a purchase was deleted, after Luma reported twice that it does not know it."""
        ...

    def observe_echo(self, row: PurchaseRow, generation: Generation) -> None:
        """Learn from the response to a purchase whether Luma echoes requests faithfully."""
        ...


class Unverifiable:
    """For an API without a list: a purchase whose response is lost is disputed at once, and a person settles it."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def search(self, row: PurchaseRow) -> LookupResult:
        reason = "This API has no list of generations, so nobody can look for it."
        await self._ledger.advance(row, "disputed", note=reason)
        return LookupResult("cannot say", reason=reason, is_last=True)

    async def search_all(self, rows: Sequence[PurchaseRow]) -> None:
        for row in rows:
            await self.search(row)

    async def is_gone(self, row: PurchaseRow) -> bool:  # noqa: ARG002 - the protocol's argument
        """Never: the API deletes nothing, and no list could confirm it."""
        return False

    def observe_echo(self, row: PurchaseRow, generation: Generation) -> None:
        """Do nothing: there is no echo."""


class ByAccount:
    """Searches for each purchase by the strategy of its API.

    Args:
        strategies: the strategy of each account.
    """

    def __init__(self, strategies: Mapping[str, Reconciliation]) -> None:
        self._strategies = strategies

    async def search(self, row: PurchaseRow) -> LookupResult:
        return await self._strategies[row.account].search(row)

    async def search_all(self, rows: Sequence[PurchaseRow]) -> None:
        """Search at one API after the other. A failure at one is logged, and the search at the others continues."""
        for account, strategy in self._strategies.items():
            account_rows = [row for row in rows if row.account == account]
            if not account_rows:
                continue
            try:
                await strategy.search_all(account_rows)
            except LumaError:
                _log.info("what is in doubt at one API cannot be settled now", exc_info=True)

    async def is_gone(self, row: PurchaseRow) -> bool:
        return await self._strategies[row.account].is_gone(row)

    def observe_echo(self, row: PurchaseRow, generation: Generation) -> None:
        self._strategies[row.account].observe_echo(row, generation)


class ByListing:
    """Searches for purchases in Luma's list of generations.

    Args:
        backend: the API.
        ledger: the ledger.
        clock: waits before a second check; without one it follows at once.
    """

    def __init__(self, backend: ListedBackend, ledger: Ledger, clock: Clock | None = None) -> None:
        self._backend = backend
        self._ledger = ledger
        self._clock = clock
        self._echo_differs = False
        # The operations of which at least one echo agreed in full with the request.
        self._faithful_kinds: set[str] = set()

    def observe_echo(self, row: PurchaseRow, generation: Generation) -> None:
        """Compare the echo of a good response with the request. After a difference nothing is declared absent."""
        verdict = self._backend.compare(row.body, generation)
        if verdict is Verdict.SURELY:
            self._faithful_kinds.add(row.kind)
        elif verdict is Verdict.SURELY_NOT and not self._echo_differs:
            self._echo_differs = True
            _log.warning("Luma's echo of %s differs from the request; no purchase is called absent", generation.id)

    async def search(self, row: PurchaseRow) -> LookupResult:
        """Search once. A certain match is recovered; absence and doubt are recorded."""
        results = await self._search_all([row])
        return results.get(row.id, LookupResult("cannot say", reason="Another server is looking for it right now."))

    async def search_all(self, rows: Sequence[PurchaseRow]) -> None:
        """Search once for all, in one reading of the list."""
        await self._search_all(rows)

    async def _search_all(self, rows: Sequence[PurchaseRow]) -> dict[int, LookupResult]:
        """Search once for the rows that no other server processes; the results by row."""
        claimed: dict[int, PurchaseRow] = {}
        results: dict[int, LookupResult] = {}
        try:
            for row in rows:
                if (claimed_row := await self._ledger.claim(row)) is not None:
                    claimed[row.id] = claimed_row
            if claimed:
                # The time is read before the list: an old list is no evidence about what came later.
                now = await self._ledger.now()
                await self._gather(list(claimed.values()), now, results)
        finally:
            with anyio.CancelScope(shield=True):
                for row_id, claimed_row in claimed.items():
                    note = results[row_id].reason if row_id in results else ""
                    await self._ledger.release(claimed_row, note or None)
        return results

    async def _gather(self, rows: Sequence[PurchaseRow], now: float, results: dict[int, LookupResult]) -> None:
        """Read the list, and judge and record each purchase. `now` is the time when the search started."""
        reading: Reading | None = None
        failure = ""
        try:
            with anyio.fail_after(SEARCH_DEADLINE_SECONDS):
                reading = await read_list(self._backend, self._ledger, rows, self._clock)
        except TimeoutError:
            failure = "Luma's list did not come in time."
        except LumaError as error:
            failure = f"Luma's list could not be read ({type(error).__name__})."
        known: dict[str, PurchaseRow] = {}
        if reading is not None:
            known = await self._ledger.by_generation(reading.generations)
            for generation_id, owner in known.items():
                self.observe_echo(owner, reading.generations[generation_id])
        for row in rows:
            if reading is None:
                result = LookupResult("cannot say", reason=failure)
            else:
                result = await self._judge(row, reading, known)
            age = now - (row.lost_at or row.reserved_at)
            results[row.id] = await self._write_down(row, result, age)
            if reading is not None and results[row.id].outcome == "found":
                known[results[row.id].generations[0].id] = row

    async def _write_down(self, row: PurchaseRow, result: LookupResult, age: float) -> LookupResult:
        """Record the result of a search. `age` is the time from the loss of the response to the start of the search."""
        if result.outcome == "found":
            for generation in result.generations:
                if await self._ledger.advance(
                    row, "accepted", generation_id=generation.id, note="found in Luma's list"
                ):
                    return LookupResult("found", (generation,))
            return LookupResult("cannot say", reason="Another server has just settled it.")
        if row.state == "absent":
            return result
        if result.outcome == "absent":
            if age < ABSENT_AFTER_SECONDS:
                wait = ABSENT_AFTER_SECONDS - age
                reason = f"It is not in Luma's list so far. Absence is certain in {wait:.0f} s at the earliest."
                return LookupResult("cannot say", reason=reason)
            await self._ledger.advance(row, "absent", note="not in Luma's list")
            return result
        if age >= DISPUTED_AFTER_SECONDS:
            await self._ledger.advance(row, "disputed", note=result.reason)
        return result

    async def _judge(self, row: PurchaseRow, reading: Reading, known: Mapping[str, PurchaseRow]) -> LookupResult:
        unknown = [generation for generation in reading.generations.values() if generation.id not in known]
        verdicts = [(generation, _verdict(self._backend, row, generation)) for generation in unknown]
        certain = [generation for generation, verdict in verdicts if verdict is Verdict.SURELY]
        possible = [generation for generation, verdict in verdicts if verdict is Verdict.CANNOT_SAY]
        if certain:
            return await self._assign(row, certain)
        if possible:
            return _ambiguous_result(possible)
        if doubt := reading.doubts.get(row.id):
            return LookupResult("cannot say", reason=doubt)
        if self._echo_differs:
            return LookupResult(
                "cannot say", reason="Luma's echo differs from what is asked, so the list proves nothing."
            )
        if row.kind not in self._faithful_kinds and not all(_is_much_older(row, generation) for generation in unknown):
            return LookupResult("cannot say", reason=_UNPROVEN_ECHO)
        return LookupResult("absent")

    async def _assign(self, row: PurchaseRow, certain: list[Generation]) -> LookupResult:
        """Assign generations to a purchase, if no more match than there are equal purchases that are all in doubt.

        A purchase is equal if the same comparison certainly matches it with one of these generations.
        """
        rows = await self._ledger.in_state("reserved", "sending", "lost", "disputed")
        equal = [
            other
            for other in rows
            if other.id != row.id
            and other.account == row.account
            and any(self._backend.compare(other.body, generation) is Verdict.SURELY for generation in certain)
        ]
        if any(other.state in UNDER_WAY for other in equal):
            return LookupResult(
                "cannot say", reason="An equal purchase is under way, and what is listed may be that one's."
            )
        if row.state == "absent" and len(certain) <= len(equal):
            return LookupResult(
                "cannot say", reason="An equal purchase is in doubt, and what is listed may be that one's."
            )
        if len(certain) > len(equal) + 1 or any(other.fingerprint != row.fingerprint for other in equal):
            return _ambiguous_result(certain)
        return LookupResult("found", tuple(sorted(certain, key=created)))

    async def is_gone(self, row: PurchaseRow) -> bool:
        """Whether Luma's list, read back to before the purchase, does not show its generation."""
        try:
            with anyio.fail_after(SEARCH_DEADLINE_SECONDS):
                return await is_unlisted(self._backend, row)
        except (TimeoutError, LumaError):
            return False


def _ambiguous_result(generations: Sequence[Generation]) -> LookupResult:
    ids = ", ".join(generation.id for generation in generations[:10])
    return LookupResult("cannot say", tuple(generations), f"It may be one of these generations: {ids}.")


class Reconciler:
    """Settles purchases in doubt: that of a caller at once, all others in the background.

    Args:
        strategy: the strategy of the search.
        ledger: the ledger.
        clock: waits between searches.
    """

    def __init__(self, strategy: Reconciliation, ledger: Ledger, clock: Clock) -> None:
        self._strategy = strategy
        self._ledger = ledger
        self._clock = clock

    def observe_echo(self, row: PurchaseRow, generation: Generation) -> None:
        """Learn from the response to a purchase whether Luma echoes requests faithfully."""
        self._strategy.observe_echo(row, generation)

    async def search(self, row: PurchaseRow) -> LookupResult:
        """Search once for a purchase that was lost."""
        return await self._strategy.search(row)

    async def search_repeatedly(self, row: PurchaseRow) -> LookupResult:
        """Search a few times for a purchase whose response was just lost."""
        result = LookupResult("cannot say")
        for pause in _PAUSES_BETWEEN_SEARCHES:
            await self._clock.sleep(pause)
            result = await self._strategy.search(row)
            if result.outcome == "found" or result.generations or result.is_last:
                break
        return result

    async def is_gone(self, row: PurchaseRow) -> bool:
        """Whether the generation of a purchase was deleted, after Luma reported twice that it does not know it."""
        return await self._strategy.is_gone(row)

    async def settle_all(self) -> bool:
        """Search once for all purchases in doubt together; whether any is `lost`."""
        now = await self._ledger.now()
        lost = await self._ledger.in_state("lost")
        absent = await self._ledger.in_state("absent", since=now - ABSENT_FOR_SECONDS)
        if lost or absent:
            await self._strategy.search_all([*lost, *absent])
        return bool(lost)


def _verdict(listing: Listing, row: PurchaseRow, generation: Generation) -> Verdict:
    """The verdict by the echo and the time. An older generation does not match, unless a clock may be wrong."""
    verdict = listing.compare(row.body, generation)
    if verdict is Verdict.SURELY_NOT or generation.created_at is None:
        return verdict
    if _is_much_older(row, generation):
        return Verdict.SURELY_NOT
    before = row.reserved_at - generation.created_at.timestamp()
    late = generation.created_at.timestamp() - (row.lost_at or row.reserved_at)
    return Verdict.CANNOT_SAY if before > _CLOCK_SKEW_SECONDS or late > _LATE_SECONDS else verdict


def _is_much_older(row: PurchaseRow, generation: Generation) -> bool:
    """Whether a generation is older than a purchase by more than a clock may be wrong."""
    created_at = generation.created_at
    return created_at is not None and row.reserved_at - created_at.timestamp() > _WRONG_CLOCK_SECONDS
