"""The plan of a film: its shots, what each waits for, what each costs at most, and what names each. Pure.

A shot that continues the one before it waits for that one. A shot that ends on the first picture of the next waits
for the next, unless the next begins with a picture that exists already. Nothing else waits.

A shot's key names what it shows: its request with stand-ins for what is not made yet, its take, and the keys of the
shots that it waits for. So a shot keeps its key wherever it moves in the plan, and gets another if anything that it
depends on changes.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import pairwise
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import to_json

from luma_mcp.domain import validation
from luma_mcp.domain.apis import BackendName
from luma_mcp.domain.catalogue import DEFAULT_DURATION, VIDEO_MODELS, VideoModelName
from luma_mcp.domain.errors import InvalidRequestError
from luma_mcp.domain.pricing import Basis, Price, price_of
from luma_mcp.domain.requests import GenerationKeyframe, ImageKeyframe, Keyframe, VideoRequest
from luma_mcp.domain.url_signatures import without_signatures

CONTINUE = "continue"
"""The start of a shot that continues the one before it."""
NEXT = "next"
"""The end of a shot that ends on the first picture of the next one."""
MOST_SHOTS = 100

# Stand for what is not made yet; never sent.
_CLIP_TO_COME = GenerationKeyframe("00000000-0000-4000-8000-000000000000")
_PICTURE_TO_COME = ImageKeyframe("https://film.invalid/the-first-picture-of-the-next-shot")


@dataclass(frozen=True, slots=True)
class Shot:
    """A shot as somebody asks for it.

    Args:
        prompt: what it shows.
        duration: `5s`, the default, `9s` or `10s`.
        start: None for a cut, `continue`, or a source. In a plan a signed link is encrypted (`signed_links`).
        end: None for an open end, `next`, or a source, likewise.
        concepts: camera concepts.
        take: 2 and more is another one of the same.
    """

    prompt: str | None = None
    duration: str | None = None
    start: str | None = None
    end: str | None = None
    concepts: tuple[str, ...] = ()
    take: int = 1


@dataclass(frozen=True, slots=True)
class Form:
    """What all shots of a film have in common."""

    model: VideoModelName
    aspect_ratio: Any
    resolution: str

    @property
    def backend(self) -> BackendName:
        """The API that sells the model."""
        return VIDEO_MODELS[self.model].backend


@dataclass(frozen=True, slots=True)
class PlannedShot:
    """A shot with what it waits for and what it costs.

    Args:
        shot: as it was asked for.
        key: names it within the film.
        request_digest: names its request with stand-ins; another one means that a source has changed since.
        usd: the most that it can cost in US dollars.
        basis: whether that price is published.
        start_of: the index of the shot that it continues.
        end_on: the index of the shot on whose first picture it ends.
    """

    shot: Shot
    key: str
    request_digest: str
    usd: float
    basis: Basis
    start_of: int | None = None
    end_on: int | None = None

    @property
    def seconds(self) -> float:
        """How long it is."""
        return float((self.shot.duration or DEFAULT_DURATION).removesuffix("s"))

    @property
    def needs(self) -> tuple[int, ...]:
        """The places of the shots that it waits for."""
        return tuple(place for place in (self.start_of, self.end_on) if place is not None)


@dataclass(frozen=True, slots=True)
class Plan:
    """The shots of a film, in order."""

    form: Form
    shots: tuple[PlannedShot, ...]

    @property
    def usd(self) -> float:
        """The most that all shots together can cost."""
        return round(sum(shot.usd for shot in self.shots), 6)

    @property
    def price(self) -> Price:
        """The same as a price; assumed if that of any shot is."""
        is_published = all(shot.basis == "published" for shot in self.shots)
        return Price.of(self.usd, "published" if is_published else "assumed")

    @property
    def fingerprint(self) -> str:
        """The same for the same plan, in every process."""
        return _digest([shot.key for shot in self.shots])

    def to_json(self) -> str:
        """The plan as the ledger keeps it."""
        return to_json(self).decode()

    @staticmethod
    def from_json(text: str) -> "Plan":
        """The plan that `to_json` wrote."""
        return _adapter().validate_json(text)


@cache
def _adapter() -> TypeAdapter[Plan]:
    return TypeAdapter(Plan)


@dataclass(frozen=True, slots=True)
class Frames:
    """What the sources of a shot were resolved to; None where there is none, or where a shot is named."""

    start: Keyframe | None = None
    end: Keyframe | None = None


def check_order(shots: Sequence[Shot]) -> None:
    """Return if every shot can wait for what it names.

    Raises:
        InvalidRequestError: a shot continues nothing, or two wait for each other.
    """
    if not 1 <= len(shots) <= MOST_SHOTS:
        raise InvalidRequestError(f"A film has 1 to {MOST_SHOTS} shots, not {len(shots)}.")
    if shots[0].start == CONTINUE:
        raise InvalidRequestError("Shot 1 has no shot before it to continue.", "Leave out its start.")
    if shots[-1].end == NEXT:
        raise InvalidRequestError(
            f"Shot {len(shots)} is the last, so there is no next one to end on.", "Leave out its end."
        )
    for number, (shot, following) in enumerate(pairwise(shots), start=1):
        if shot.end == NEXT and following.start == CONTINUE:
            raise InvalidRequestError(
                f"Shot {number} ends on the first picture of shot {number + 1}, which continues shot {number}.",
                "Each would wait for the other. Leave out one of them.",
            )


def make_plan(form: Form, shots: Sequence[Shot], frames: Sequence[Frames]) -> Plan:
    """The plan of a film.

    Args:
        form: what all shots have in common.
        shots: the shots.
        frames: what the sources of each were resolved to.

    Raises:
        InvalidRequestError: a shot cannot be made so; the sentence names it.
    """
    check_order(shots)
    planned: list[PlannedShot] = []
    for number, shot in enumerate(shots, start=1):
        request = stand_in_request(form, shot, frames[number - 1], _first_picture(shots, frames, number))
        try:
            validation.check(request)
            price = price_of(request)
        except InvalidRequestError as error:
            raise InvalidRequestError(f"Shot {number}: {error}", error.hint) from None
        planned.append(
            PlannedShot(
                shot=shot,
                key="",
                request_digest=_request_digest(request),
                usd=price.usd,
                basis=price.basis,
                start_of=number - 2 if shot.start == CONTINUE else None,
                end_on=number if request.end is _PICTURE_TO_COME else None,
            )
        )
    return Plan(form, _with_keys(planned))


def stand_in_request(form: Form, shot: Shot, frames: Frames, first_picture: Keyframe | None) -> VideoRequest:
    """The request of a shot, with stand-ins for what is not made yet.

    Args:
        form: what all shots have in common.
        shot: the shot.
        frames: what its sources were resolved to.
        first_picture: the picture that the next shot begins with, if it exists already.
    """
    start = _CLIP_TO_COME if shot.start == CONTINUE else frames.start
    end = (first_picture or _PICTURE_TO_COME) if shot.end == NEXT else frames.end
    return VideoRequest(
        model=form.model,
        prompt=shot.prompt,
        aspect_ratio=form.aspect_ratio,
        resolution=form.resolution,
        duration=shot.duration or DEFAULT_DURATION,
        start=start,
        end=end,
        concepts=shot.concepts,
    )


def is_unchanged(request: VideoRequest, planned: PlannedShot) -> bool:
    """Whether a request with stand-ins is that which was planned: a local file may have changed since."""
    return _request_digest(request) == planned.request_digest


def _first_picture(shots: Sequence[Shot], frames: Sequence[Frames], number: int) -> Keyframe | None:
    """The picture that the shot after this one begins with, if it is a picture that exists already."""
    if number == len(shots):
        return None
    start = frames[number].start
    return start if isinstance(start, ImageKeyframe) else None


def _with_keys(planned: Sequence[PlannedShot]) -> tuple[PlannedShot, ...]:
    """The shots with their keys. Equal shots get different keys by their order."""
    keys: dict[int, str] = {}
    seen: Counter[str] = Counter()

    def key_of(place: int) -> str:
        if place not in keys:
            shot = planned[place]
            parts = [shot.request_digest, shot.shot.take, *(key_of(need) for need in shot.needs)]
            base = _digest(parts)
            seen[base] += 1
            keys[place] = base if seen[base] == 1 else _digest([base, seen[base]])
        return keys[place]

    return tuple(replace(shot, key=key_of(place)) for place, shot in enumerate(planned))


def _request_digest(request: VideoRequest) -> str:
    """How links are signed is no part of what a request asks for."""
    return _digest(without_signatures(asdict(request)))


def _digest(value: object) -> str:
    return hashlib.sha256(to_json(value)).hexdigest()[:32]
