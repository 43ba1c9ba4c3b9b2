"""A film as it is now: the state of each shot, the shots that it waits for, and the next steps. Pure.

==========  =========================================================================================
state       meaning
==========  =========================================================================================
`planned`   It is allowed and not bought: it waits for another shot, or for a free slot at Luma.
`buying`    It is being bought.
`waiting`   Luma has no slot for it yet; it is sent when one is free.
`in doubt`  The response to its purchase was lost. It is checked later, or the user settles it.
`queued`    Luma has accepted it.
`dreaming`  Luma is making it. Other states of Luma's are passed on.
`completed` Its clip is there.
`failed`    Luma failed to make it and refunded it, or its clip was deleted.
`refused`   It was refused before it was bought; the reason is stated.
`stopped`   It is not made: a shot that it waits for was not made, or nobody continued the film for a day.
==========  =========================================================================================

The last four are final. A final shot changes only by a new plan of the film.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from luma_mcp.domain.failures import step_after
from luma_mcp.domain.generation import NOT_FOUND, Generation
from luma_mcp.film.plan import Plan, PlannedShot
from luma_mcp.ledger.reservations import EXPIRED, REMOVED, Reservation, ReservationGroup
from luma_mcp.ledger.rows import PurchaseRow
from luma_mcp.ledger.states import UNBOUGHT

FINAL = frozenset({"completed", "failed", "refused", "stopped"})
_UNMADE = FINAL - {"completed"}
_DELETED = "Its clip was deleted at Luma. Another take of the shot makes it anew."
ABANDONED = "The film was left alone for 24 hours, so its reservation ended."
CANCELLED = "The film was cancelled."
_NOTES = {EXPIRED: ABANDONED, REMOVED: "The plan has no such shot any more."}
FILM_ID = re.compile(r"film-[0-9a-f]{16}")
"""The pattern of a film's id."""

FilmState = Literal["running", "in doubt", "completed", "stopped"]


def new_film_id() -> str:
    """A random id that cannot be guessed."""
    return f"film-{secrets.token_hex(8)}"


@dataclass(frozen=True, slots=True)
class FilmShot:
    """A shot of a film as it is now.

    Args:
        planned: the shot in the plan.
        number: its number in the film, from 1.
        state: see the table above.
        waits_for: the numbers of the shots that it still waits for.
        purchase: its purchase, if there is one.
        generation: its generation as of the last poll.
        reason: why it failed, was refused or stopped; for the person.
    """

    planned: PlannedShot
    number: int
    state: str
    waits_for: tuple[int, ...] = ()
    purchase: PurchaseRow | None = None
    generation: Generation | None = None
    reason: str = ""

    @property
    def generation_id(self) -> str | None:
        """The id of its generation, once it is bought."""
        return self.purchase.generation_id if self.purchase and self.purchase.is_live else None

    @property
    def poll_id(self) -> str | None:
        """The id that it is waited for by: that of its generation, or of its purchase that waits for a slot."""
        is_waiting = self.purchase is not None and self.state == "waiting"
        return self.purchase.queue_id if self.purchase and is_waiting else self.generation_id

    @property
    def is_final(self) -> bool:
        """Whether its state is final under this plan."""
        return self.state in FINAL

    @property
    def is_running(self) -> bool:
        """Whether Luma is making it."""
        return self.generation_id is not None and not self.is_final

    @property
    def spent_usd(self) -> float:
        """Its cost in US dollars; 0 if it was refunded or not bought."""
        return self.purchase.usd if self.purchase and self.purchase.is_live else 0.0


@dataclass(frozen=True, slots=True)
class Film:
    """A film as it is now."""

    group: ReservationGroup
    plan: Plan
    shots: tuple[FilmShot, ...]

    @property
    def id(self) -> str:
        """The id of its reservation group."""
        return self.group.id

    @property
    def state(self) -> FilmState:
        """`in doubt` if nothing can continue before the user, or a later check, settles a purchase."""
        if all(shot.state == "completed" for shot in self.shots):
            return "completed"
        if self.is_over:
            return "stopped"
        is_in_progress = any(shot.is_running or shot.state == "buying" for shot in self.shots)
        is_doubtful = any(shot.state == "in doubt" for shot in self.shots)
        return "in doubt" if is_doubtful and not is_in_progress and not self.ready else "running"

    @property
    def is_over(self) -> bool:
        """Whether every shot is final under this plan."""
        return all(shot.is_final for shot in self.shots)

    @property
    def ready(self) -> tuple[FilmShot, ...]:
        """The shots that can be bought now."""
        return tuple(shot for shot in self.shots if shot.state == "planned" and not shot.waits_for)

    @property
    def blocked(self) -> dict[str, str]:
        """The shots that cannot be made, for one that they wait for was not; the reasons by key."""
        notes: dict[str, str] = {}
        for shot in self.shots:
            unmade = [need + 1 for need in shot.planned.needs if self.shots[need].state in _UNMADE]
            if shot.state == "planned" and unmade:
                notes[shot.planned.key] = f"It waits for shot {unmade[0]}, which was not made."
        return notes

    @property
    def running(self) -> tuple[FilmShot, ...]:
        """The shots that Luma is making."""
        return tuple(shot for shot in self.shots if shot.is_running)

    @property
    def lost(self) -> tuple[FilmShot, ...]:
        """The shots whose purchases can still be checked, without those that only the user can settle."""
        return tuple(shot for shot in self.shots if shot.purchase is not None and shot.purchase.state == "lost")

    @property
    def spent_usd(self) -> float:
        """The cost of its shots so far, in US dollars."""
        return round(sum(shot.spent_usd for shot in self.shots), 6)

    @property
    def reserved_usd(self) -> float:
        """The money that is reserved for shots that are not bought, in US dollars."""
        return round(sum(shot.planned.usd for shot in self.shots if shot.state == "planned"), 6)


def film_of(group: ReservationGroup, generations: Mapping[str, Generation]) -> Film:
    """A film by its reservations, and by its generations as they were polled last."""
    plan = Plan.from_json(group.document)
    states = [_state_of(group.reservations.get(planned.key), generations) for planned in plan.shots]
    shots: list[FilmShot] = []
    for index, planned in enumerate(plan.shots):
        state, reason = states[index]
        reservation = group.reservations.get(planned.key)
        purchase = reservation.purchase if reservation else None
        generation = generations.get(purchase.generation_id or "") if purchase else None
        waits_for = tuple(need + 1 for need in planned.needs if states[need][0] != "completed")
        shots.append(
            FilmShot(
                planned,
                index + 1,
                state,
                waits_for=() if state in FINAL else waits_for,
                purchase=purchase,
                generation=generation,
                reason=reason,
            )
        )
    return Film(group, plan, tuple(shots))


def _state_of(reservation: Reservation | None, generations: Mapping[str, Generation]) -> tuple[str, str]:
    """The state of a shot, and the reason for it."""
    if reservation is None:
        return "stopped", ""
    purchase = reservation.purchase
    if purchase is None or purchase.state in UNBOUGHT:
        if reservation.is_wanted:
            return "planned", ""
        return ("stopped" if purchase is None else "refused"), _NOTES.get(reservation.note, reservation.note)
    return _state_of_purchase(purchase, generations.get(purchase.generation_id or ""))


def _state_of_purchase(purchase: PurchaseRow, generation: Generation | None) -> tuple[str, str]:
    match purchase.state:
        case "reserved" | "sending":
            return "buying", ""
        case "waiting":
            return "waiting", ""
        case "lost" | "disputed":
            return "in doubt", purchase.note
        case "failed":
            if generation is not None and generation.failure_reason:
                return "failed", f"{generation.failure_reason.rstrip('.')}. {step_after(generation)}"
            return "failed", purchase.note or "no reason was given"
        case _ if not purchase.is_live or (generation and generation.state == NOT_FOUND):
            return "failed", _DELETED
        case "completed":
            return "completed", ""
        case _:
            return (generation.state if generation else "queued"), ""
