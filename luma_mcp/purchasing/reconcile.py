"""What became of purchases whose answer was lost: they are looked for in Luma's own list, and recovered."""

import os
import socket
import sys
from dataclasses import dataclass
from typing import Literal
from uuid import uuid4

from pydantic_core import from_json

from luma_mcp.backends.base import FullBackend
from luma_mcp.domain.clock import Clock
from luma_mcp.domain.errors import LumaError
from luma_mcp.domain.generation import Generation
from luma_mcp.purchasing import matching
from luma_mcp.purchasing.ledger import Ledger, Row

# After this a row that is still `sending` was left by a process that is gone: one request takes 70 s at the most.
_LONGEST_SENDING_SECONDS = 180.0
# Luma's list knows a generation at once; when a look finds nothing so long after sending, there is nothing.
_SURELY_LISTED_SECONDS = 60.0
# A question that only a person can answer is asked for so long, then the money counts as spent.
_DISPUTED_AFTER_SECONDS = 15 * 60.0
_PAUSES_BETWEEN_LOOKS = (1.0, 3.0, 8.0)
# Five hundred generations. Beyond that nobody can say that a purchase is not there.
_PAGE, _MOST_PAGES = 20, 25
_MOST_ASKED_SINGLY = 10


@dataclass(frozen=True)
class Finding:
    """What a look found. `recovered` comes with the generation, `several` with all that look like it.

    `buried` means that so much was made since that the list could not be read back to the time of sending.
    """

    what: Literal["recovered", "several", "none", "buried", "not yet"]
    generations: tuple[Generation, ...] = ()


class Reconciler:
    """Looks for purchases of one account."""

    def __init__(
        self,
        backend: FullBackend,
        ledger: Ledger,
        clock: Clock,
        *,
        surely_listed_seconds: float = _SURELY_LISTED_SECONDS,
    ) -> None:
        self._backend = backend
        self._ledger = ledger
        self._clock = clock
        self._surely_listed_seconds = surely_listed_seconds

    async def find(self, row: Row) -> Finding:
        """Look a few times for a purchase that was just sent."""
        finding = Finding("not yet")
        for pause in _PAUSES_BETWEEN_LOOKS:
            await self._clock.sleep(pause)
            finding = await self.look(row)
            if finding.what in ("recovered", "several", "buried"):
                break
        return finding

    async def settle_leftovers(self, own: frozenset[int]) -> None:
        """Look for everything that processes left behind which are gone, and for what could not be found before.

        Args:
            own: rows that this process is sending right now.
        """
        for row in await self._ledger.in_state("sending"):
            if self._is_left(row, own):
                await self._ledger.record(row, "unknown")
        for row in await self._ledger.in_state("unknown"):
            if self._is_left(row, own):
                await self._settle(row)

    def _is_left(self, row: Row, own: frozenset[int]) -> bool:
        """Whether nobody is at it any more. Of its own rows a process knows which it is at."""
        return row.id not in own and (row.process == this_process() or self._is_abandoned(row))

    async def _settle(self, row: Row) -> None:
        finding = await self.look(row)
        age = self._ledger.age_seconds(row)
        if finding.what == "none" and age >= self._surely_listed_seconds:
            await self._ledger.record(row, "absent")
        if finding.what in ("several", "buried") and age >= _DISPUTED_AFTER_SECONDS:
            await self._ledger.record(row, "disputed")

    async def look(self, row: Row) -> Finding:
        """Look once. What can only be this purchase is recovered; what could be another's is not."""
        sending = [one for one in await self._ledger.in_state("sending") if _is_indistinguishable(one, row)]
        if any(not self._is_abandoned(one) for one in sending):
            return Finding("not yet")
        try:
            listed, is_all = await self._listed_since(row.sent_at)
        except LumaError:
            return Finding("not yet")
        said = from_json(row.request)
        alike = await self._unclaimed(matching.candidates(said, row.sent_at, listed))
        if not alike:
            # Where the clocks disagree by hours the times mean nothing; then a person must look.
            doubtful = await self._unclaimed(matching.doubtful(said, row.sent_at, listed))
            if doubtful:
                return Finding("several", tuple(doubtful))
            return Finding("none" if is_all else "buried")
        rivals = [one for one in await self._ledger.in_state("sending", "unknown") if one.signature == row.signature]
        if len(alike) > len(rivals) or any(rival.fingerprint != row.fingerprint for rival in rivals):
            return Finding("several", tuple(alike))
        for generation in alike:
            if await self._ledger.record(row, "accepted", generation.id):
                return Finding("recovered", (generation,))
        return Finding("not yet")

    async def settle_states(self) -> None:
        """Bring accepted purchases up to their final states; Luma refunds what failed. What cannot be asked stays."""
        rows = await self._ledger.in_state("accepted")
        if not rows:
            return
        try:
            listed = {one.id: one for one in (await self._backend.list_generations(limit=_PAGE)).generations}
        except LumaError:
            return
        asked_singly = 0
        for row in reversed(rows):
            generation = listed.get(row.generation_id or "")
            if generation is None and asked_singly < _MOST_ASKED_SINGLY:
                asked_singly += 1
                generation = await self.asked(row.generation_id or "")
            if generation is not None and generation.is_final:
                await self.note_end(row, generation)

    async def note_end(self, row: Row, generation: Generation) -> None:
        """Write down how a purchase ended."""
        await self._ledger.record(row, "failed" if generation.state == "failed" else "completed")

    async def asked(self, generation_id: str) -> Generation | None:
        """How a generation stands; None if Luma does not answer, or knows it no more."""
        try:
            return await self._backend.get_generation(generation_id)
        except LumaError:
            return None

    async def _listed_since(self, sent_at: float) -> tuple[list[Generation], bool]:
        """The newest generations, and whether they reach back to the time of sending."""
        listed: list[Generation] = []
        for number in range(_MOST_PAGES):
            page = await self._backend.list_generations(limit=_PAGE, offset=number * _PAGE)
            listed += page.generations
            if not page.has_more or not all(matching.is_since(one, sent_at) for one in page.generations):
                return listed, True
        return listed, False

    async def _unclaimed(self, generations: list[Generation]) -> list[Generation]:
        claimed = await self._ledger.claimed([one.id for one in generations])
        return [one for one in generations if one.id not in claimed]

    def _is_abandoned(self, row: Row) -> bool:
        return self._ledger.age_seconds(row) > _LONGEST_SENDING_SECONDS or not may_be_alive(row.process)


def _is_indistinguishable(one: Row, row: Row) -> bool:
    """Whether Luma's list could take one for the other."""
    return one.id != row.id and one.signature == row.signature


_LIFE = uuid4().hex[:8]


def this_process() -> str:
    """How this process signs its rows. Asked for anew each time, for a process may fork."""
    return f"{socket.gethostname()}:{os.getpid()}:{_LIFE}"


def may_be_alive(process: str) -> bool:
    """Whether the process that signed so may still run. One on another machine may."""
    if process == this_process():
        return True
    host, _, rest = process.partition(":")
    pid = rest.partition(":")[0]
    if host != socket.gethostname() or sys.platform == "win32" or not pid.isdecimal():
        return True
    if int(pid) == os.getpid():
        return False  # the number was ours to reuse
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
