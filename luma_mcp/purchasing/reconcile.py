"""Purchases whose answer was lost: evidence is gathered, and never a guess.

`ByListing` looks for them in Luma's list. A list is trusted only if it can be: it must reach back to a generation that
the ledger knows to be older, and its times must fall. Absence counts from the loss, needs every newer generation to be
`surely not` it, by an echo that has proved faithful, and is looked at again later. Where an API has no list,
`Unverifiable` says so.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import anyio

from luma_mcp.backends.base import FullBackend
from luma_mcp.domain.clock import Clock
from luma_mcp.domain.errors import LumaError, NotFoundError
from luma_mcp.domain.generation import Generation
from luma_mcp.ledger.purchases import Ledger
from luma_mcp.ledger.rows import PurchaseRow
from luma_mcp.ledger.states import UNDER_WAY
from luma_mcp.purchasing.matching import Verdict, compare

_log = logging.getLogger(__name__)

# A list may lag, and Luma may accept a request after a gateway has given up on it. Absence counts from the loss.
ABSENT_AFTER_SECONDS = 180.0
# A question that only a person can answer is asked for so long; then the money counts as spent.
DISPUTED_AFTER_SECONDS = 15 * 60.0
# An absent purchase is looked for again for so long.
ABSENT_FOR_SECONDS = 24 * 3600.0
LOOK_DEADLINE_SECONDS = 15.0
_PAUSES_BETWEEN_LOOKS = (1.0, 3.0, 8.0)
# Luma's clock and ours need not agree.
_CLOCK_SKEW_SECONDS = 120.0
# A clock in the wrong time zone, or on the wrong day.
_WRONG_CLOCK_SECONDS = 26 * 3600.0
_PAGE, _MAX_PAGES = 50, 12
_KNOWN_IDS = 20
# So many known generations may have been deleted since.
_MAX_DELETED = 5
_UNPROVEN_ECHO = "Other generations are listed, and nothing shows yet that Luma lists requests as they were sent."
# Luma may accept a request so long after its answer was given up.
_LATE_SECONDS = 30 * 60.0


@dataclass(frozen=True)
class Finding:
    """What a look found.

    Args:
        outcome: `found`: it is this generation. `absent`: it is not at Luma. `cannot say`: evidence is missing.
        generations: the one that was found, or those that may be it.
        reason: why nothing can be said, as a sentence for the person.
        is_last: whether looking again cannot help.
    """

    outcome: Literal["found", "absent", "cannot say"]
    generations: tuple[Generation, ...] = ()
    reason: str = ""
    is_last: bool = False


class Reconciliation(Protocol):
    """How purchases with a lost answer are looked for at one API."""

    async def look(self, row: PurchaseRow) -> Finding:
        """Look once, within a deadline. The finding is on disk when it is returned."""
        ...

    def observe_echo(self, row: PurchaseRow, generation: Generation) -> None:
        """Learn from the answer to a purchase whether Luma echoes requests faithfully."""
        ...


class Unverifiable:
    """For an API without a list: a purchase whose answer is lost is disputed at once, and a person settles it."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def look(self, row: PurchaseRow) -> Finding:
        reason = "This API has no list of generations, so nobody can look for it."
        await self._ledger.advance(row, "disputed", note=reason)
        return Finding("cannot say", reason=reason, is_last=True)

    def observe_echo(self, row: PurchaseRow, generation: Generation) -> None:
        """There is no echo to learn from."""


class ByAccount:
    """Looks for each purchase in the way of the API that it was made at.

    Args:
        ways: the way of each account.
    """

    def __init__(self, ways: Mapping[str, Reconciliation]) -> None:
        self._ways = ways

    async def look(self, row: PurchaseRow) -> Finding:
        return await self._ways[row.account].look(row)

    def observe_echo(self, row: PurchaseRow, generation: Generation) -> None:
        self._ways[row.account].observe_echo(row, generation)


class ByListing:
    """Looks for purchases in Luma's list of generations."""

    def __init__(self, backend: FullBackend, ledger: Ledger) -> None:
        self._backend = backend
        self._ledger = ledger
        self._echo_differs = False
        # The operations of which at least one echo agreed in full with what was asked.
        self._faithful_kinds: set[str] = set()

    def observe_echo(self, row: PurchaseRow, generation: Generation) -> None:
        """Where the echo of a good answer does not match what was asked, absence is off for this process."""
        verdict = compare(row.body, generation)
        if verdict is Verdict.SURELY:
            self._faithful_kinds.add(row.kind)
        elif verdict is Verdict.SURELY_NOT and not self._echo_differs:
            self._echo_differs = True
            _log.warning("Luma's echo of %s differs from the request; no purchase is called absent", generation.id)

    async def look(self, row: PurchaseRow) -> Finding:
        """Look once. What is surely this purchase is recovered; absence and doubt are written down."""
        claimed = await self._ledger.claim(row)
        if claimed is None:
            return Finding("cannot say", reason="Another server is looking for it right now.")
        note: str | None = None
        try:
            # Before the list is asked for: a list that is old by the time it is judged says nothing of later.
            age = await self._ledger.now() - (claimed.lost_at or claimed.reserved_at)
            finding = await self._write_down(claimed, await self._gather(claimed), age)
            note = finding.reason or None
            return finding
        finally:
            with anyio.CancelScope(shield=True):
                await self._ledger.release(claimed, note)

    async def _write_down(self, row: PurchaseRow, finding: Finding, age: float) -> Finding:
        """Write down what a look found. `age` is how long ago the answer had been lost when the look began."""
        if finding.outcome == "found":
            for generation in finding.generations:
                if await self._ledger.advance(
                    row, "accepted", generation_id=generation.id, note="found in Luma's list"
                ):
                    return Finding("found", (generation,))
            return Finding("cannot say", reason="Another server has just settled it.")
        if row.state == "absent":
            return finding
        if finding.outcome == "absent":
            if age < ABSENT_AFTER_SECONDS:
                wait = ABSENT_AFTER_SECONDS - age
                reason = f"It is not in Luma's list so far. Absence is certain in {wait:.0f} s at the earliest."
                return Finding("cannot say", reason=reason)
            await self._ledger.advance(row, "absent", note="not in Luma's list")
            return finding
        if age >= DISPUTED_AFTER_SECONDS:
            await self._ledger.advance(row, "disputed", note=finding.reason)
        return finding

    async def _gather(self, row: PurchaseRow) -> Finding:
        try:
            with anyio.fail_after(LOOK_DEADLINE_SECONDS):
                return await self._evidence(row)
        except TimeoutError:
            return Finding("cannot say", reason="Luma's list did not come in time.")
        except LumaError as error:
            return Finding("cannot say", reason=f"Luma's list could not be read ({type(error).__name__}).")

    async def _evidence(self, row: PurchaseRow) -> Finding:
        listed = await self._read_list(row)
        owned = await self._ledger.by_generation(generation.id for generation in listed.generations)
        for generation in listed.generations:
            if generation.id in owned:
                self.observe_echo(owned[generation.id], generation)
        strangers = [generation for generation in listed.generations if generation.id not in owned]
        verdicts = [(generation, _verdict(row, generation)) for generation in strangers]
        surely = [generation for generation, verdict in verdicts if verdict is Verdict.SURELY]
        maybe = [generation for generation, verdict in verdicts if verdict is Verdict.CANNOT_SAY]
        if surely:
            return await self._assign(row, surely)
        if maybe:
            return _ambiguous_finding(maybe)
        if listed.doubt:
            return Finding("cannot say", reason=listed.doubt)
        if self._echo_differs:
            return Finding("cannot say", reason="Luma's echo differs from what is asked, so the list proves nothing.")
        if row.kind not in self._faithful_kinds and not all(_is_much_older(row, stranger) for stranger in strangers):
            return Finding("cannot say", reason=_UNPROVEN_ECHO)
        return Finding("absent")

    async def _assign(self, row: PurchaseRow, surely: list[Generation]) -> Finding:
        """Whose they are: purchases that look alike and are all in doubt may share as many generations, no more."""
        rows = await self._ledger.in_state("reserved", "sending", "lost", "disputed")
        alike = [other for other in rows if other.signature == row.signature and other.id != row.id]
        if any(other.state in UNDER_WAY for other in alike):
            return Finding("cannot say", reason="An equal purchase is under way, and what is listed may be that one's.")
        if len(surely) > len(alike) + 1 or any(other.fingerprint != row.fingerprint for other in alike):
            return _ambiguous_finding(surely)
        return Finding("found", tuple(sorted(surely, key=_created)))

    async def _read_list(self, row: PurchaseRow) -> "_List":
        """Read the list back to the newest generation that the ledger knows to be older than a purchase.

        Where there is none, or the times do not fall, the list is read as far as it goes.
        """
        known = [earlier.generation_id or "" for earlier in await self._ledger.known_before(row, _KNOWN_IDS)]
        read: dict[str, Generation] = {}
        offset, last, is_sorted, is_whole = 0, math.inf, True, False
        for _ in range(_MAX_PAGES):
            page = await self._backend.list_generations(limit=_PAGE, offset=offset)
            fresh = [generation for generation in page.generations if generation.id not in read]
            for generation in fresh:
                created = _created(generation)
                is_sorted = is_sorted and 0 < created <= last + 1
                last = min(last, created)
                read[generation.id] = generation
            if is_sorted and any(generation_id in read for generation_id in known[:1]):
                break
            if not fresh:
                # The end, or a server that answers the same page again.
                is_whole = not page.generations
                break
            offset += len(page.generations)
        doubt = await self._doubt(known, read, is_sorted=is_sorted, is_whole=is_whole)
        return _List(tuple(read.values()), doubt)

    async def _doubt(self, known: list[str], read: Mapping[str, Generation], *, is_sorted: bool, is_whole: bool) -> str:
        """Why the list cannot be trusted to show everything that is newer; empty if it can."""
        if read and not is_sorted:
            return "Luma's list is not sorted by time, so it may not show the newest."
        for generation_id in known[:_MAX_DELETED]:
            if generation_id in read:
                return ""
            try:
                await self._backend.get_generation(generation_id)
            except NotFoundError:
                continue  # deleted, so the list cannot show it
            return "Luma's list does not show the newest generation that is known, so it may lag."
        return "" if is_whole else "Luma's list is too long to be read to its end."


@dataclass(frozen=True)
class _List:
    """The part of Luma's list that was read, and why it cannot be trusted; empty if it can."""

    generations: tuple[Generation, ...]
    doubt: str


def _ambiguous_finding(generations: Sequence[Generation]) -> Finding:
    ids = ", ".join(generation.id for generation in generations[:10])
    return Finding("cannot say", tuple(generations), f"It may be one of these generations: {ids}.")


class Reconciler:
    """Settles what is in doubt: a caller's own purchase at once, everything else in the background.

    Args:
        how: how the API is asked.
        ledger: the ledger.
        clock: waits between looks.
    """

    def __init__(self, how: Reconciliation, ledger: Ledger, clock: Clock) -> None:
        self._how = how
        self._ledger = ledger
        self._clock = clock

    def observe_echo(self, row: PurchaseRow, generation: Generation) -> None:
        """Learn from the answer to a purchase whether Luma echoes requests faithfully."""
        self._how.observe_echo(row, generation)

    async def look(self, row: PurchaseRow) -> Finding:
        """Look once for a purchase that was lost."""
        return await self._how.look(row)

    async def find(self, row: PurchaseRow) -> Finding:
        """Look a few times for a purchase whose answer was just lost."""
        finding = Finding("cannot say")
        for pause in _PAUSES_BETWEEN_LOOKS:
            await self._clock.sleep(pause)
            finding = await self._how.look(row)
            if finding.outcome == "found" or finding.generations or finding.is_last:
                break
        return finding

    async def settle_all(self) -> None:
        """Look once for everything that is in doubt."""
        now = await self._ledger.now()
        rows = [
            *await self._ledger.in_state("lost"),
            *await self._ledger.in_state("absent", since=now - ABSENT_FOR_SECONDS),
        ]
        for row in rows:
            await self._how.look(row)


def _verdict(row: PurchaseRow, generation: Generation) -> Verdict:
    """By the echo and the time. A generation from before the purchase is not it, unless a clock may be wrong."""
    verdict = compare(row.body, generation)
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


def _created(generation: Generation) -> float:
    return generation.created_at.timestamp() if generation.created_at else 0.0
