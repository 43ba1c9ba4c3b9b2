"""Changes of a film by the numbers of its shots, and the reasons why shots are bought again. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from luma_mcp.domain.errors import InvalidRequestError
from luma_mcp.film.film import Film
from luma_mcp.film.plan import Plan, Shot

CUT, OPEN = "cut", "open"
"""The start and the end of a shot that take away what it had."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one shot.

    Args:
        number: the number of the shot that is changed or removed, from 1, in the film as it is.
        after: the number of the shot that a new one follows; 0 for a new first one.
        is_removal: whether the shot is removed.
        fields: the fields of the shot that are named.
    """

    number: int | None
    after: int | None
    is_removal: bool
    fields: Mapping[str, Any]


def changed_shots(shots: Sequence[Shot], changes: Sequence[Change]) -> list[Shot]:
    """The shots of a film after some changes. All numbers are those before the changes.

    Raises:
        InvalidRequestError: a change names no shot, or a shot is changed twice.
    """
    kept: list[Shot | None] = list(shots)
    added: dict[int, list[Shot]] = {}
    changed: set[int] = set()
    for change in changes:
        if (change.number is None) == (change.after is None):
            raise InvalidRequestError(
                "A change has either number, the shot that it changes, or after, the shot that a new one follows.",
                "Numbers begin at 1; after=0 puts a shot first.",
            )
        if change.after is not None:
            _check_number(change.after, 0, len(shots))
            added.setdefault(change.after, []).append(Shot(**_without_marks(change.fields)))
            continue
        number = change.number or 0
        _check_number(number, 1, len(shots))
        if number in changed:
            raise InvalidRequestError(f"Shot {number} is changed twice.", "Put its changes into one entry.")
        changed.add(number)
        kept[number - 1] = None if change.is_removal else replace(shots[number - 1], **_without_marks(change.fields))
    result = list(added.get(0, ()))
    for number, shot in enumerate(kept, start=1):
        result += [] if shot is None else [shot]
        result += added.get(number, ())
    return result


def _check_number(number: int, first: int, last: int) -> None:
    if not first <= number <= last:
        raise InvalidRequestError(f"The film has no shot {number}.", f"It has shots 1 to {last}.")


def _without_marks(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with the marks for "no start" and "no end" replaced."""
    return {name: None if (name, value) in (("start", CUT), ("end", OPEN)) else value for name, value in fields.items()}


def reasons_to_buy(film: Film, plan: Plan, unpaid: Sequence[str]) -> dict[int, str]:
    """Why each shot of a new plan is bought, by its number; shots that the film has or has paid for are left out.

    Args:
        film: the film before the change.
        plan: the new plan.
        unpaid: the keys of the shots that are not paid for.
    """
    keys, known = frozenset(unpaid), {shot.planned.key for shot in film.shots}
    earlier = [shot.planned.shot for shot in film.shots]
    reasons: dict[int, str] = {}
    for number, planned in enumerate(plan.shots, start=1):
        if planned.key not in keys:
            continue
        needs = [need + 1 for need in planned.needs if plan.shots[need].key in keys]
        if planned.key in known:
            reasons[number] = "it was not made"
        elif planned.shot in earlier and needs:
            verb = "continues" if planned.start_of == needs[0] - 1 else "ends on"
            reasons[number] = f"it {verb} shot {needs[0]}"
        elif planned.shot in earlier:
            reasons[number] = "a file or a shot beside it has changed"
        else:
            reasons[number] = "it is changed" if _replaces(film, plan, number) else "it is new"
    return reasons


def _replaces(film: Film, plan: Plan, number: int) -> bool:
    """Whether a shot stands where the film had another one that the plan lacks."""
    if number > len(film.shots):
        return False
    return film.shots[number - 1].planned.shot not in [planned.shot for planned in plan.shots]
