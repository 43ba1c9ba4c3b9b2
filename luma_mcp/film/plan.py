"""The plan of a film: its shots with their dependencies, prices and keys. Pure.

A shot that continues the one before it waits for that one. A shot that ends on the first picture of the next waits
for the next, unless the next starts with a picture that exists already. Nothing else waits.

A shot's key is a digest of its request with stand-ins for what is not made yet, its take, and the keys of the shots
that it waits for. So a shot keeps its key wherever it moves in the plan, and gets another if anything that it
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
MAX_SHOTS = 100

# Stand-ins for clips and pictures that are not made yet; never sent.
_CLIP_TO_COME = GenerationKeyframe("00000000-0000-4000-8000-000000000000")
_PICTURE_TO_COME = ImageKeyframe("https://film.invalid/the-first-picture-of-the-next-shot")


@dataclass(frozen=True, slots=True)
class Shot:
    """A shot as it is requested.

    Args:
        prompt: the prompt.
        duration: `5s`, the default, `9s` or `10s`.
        start: None for a cut, `continue`, or a source. In a plan a signed link is encrypted (`encrypted_links`).
        end: None for an open end, `next`, or a source, likewise.
        concepts: camera concepts.
        take: 2 and more is a further version of the same shot.
    """

    prompt: str | None = None
    duration: str | None = None
    start: str | None = None
    end: str | None = None
    concepts: tuple[str, ...] = ()
    take: int = 1


@dataclass(frozen=True, slots=True)
class FilmFormat:
    """The model, aspect ratio and resolution of all shots of a film."""

    model: VideoModelName
    aspect_ratio: Any
    resolution: str

    @property
    def backend(self) -> BackendName:
        """The API that sells the model."""
        return VIDEO_MODELS[self.model].backend


@dataclass(frozen=True, slots=True)
class PlannedShot:
    """A shot with its dependencies and its price.

    Args:
        shot: the shot as requested.
        key: names it within the film.
        request_digest: names its request with stand-ins; another digest means that a source has changed since.
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
        """Its length in seconds."""
        return float((self.shot.duration or DEFAULT_DURATION).removesuffix("s"))

    @property
    def needs(self) -> tuple[int, ...]:
        """The indexes of the shots that it waits for."""
        return tuple(index for index in (self.start_of, self.end_on) if index is not None)


@dataclass(frozen=True, slots=True)
class Plan:
    """The shots of a film, in order."""

    form: FilmFormat
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
        """The plan as the ledger stores it."""
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
    """The resolved sources of a shot; None where there is none, or where a shot is named."""

    start: Keyframe | None = None
    end: Keyframe | None = None


def check_order(shots: Sequence[Shot]) -> None:
    """Check that every shot can wait for the shots that it names.

    Raises:
        InvalidRequestError: a shot continues nothing, or two wait for each other.
    """
    if not 1 <= len(shots) <= MAX_SHOTS:
        raise InvalidRequestError(f"A film has 1 to {MAX_SHOTS} shots, not {len(shots)}.")
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


def make_plan(film_format: FilmFormat, shots: Sequence[Shot], frames: Sequence[Frames]) -> Plan:
    """The plan of a film.

    Args:
        film_format: the model, aspect ratio and resolution of all shots.
        shots: the shots.
        frames: the resolved sources of each.

    Raises:
        InvalidRequestError: a shot cannot be made so; the sentence names it.
    """
    check_order(shots)
    planned: list[PlannedShot] = []
    for number, shot in enumerate(shots, start=1):
        request = stand_in_request(film_format, shot, frames[number - 1], _first_picture(shots, frames, number))
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
    return Plan(film_format, _with_keys(planned))


def stand_in_request(
    film_format: FilmFormat, shot: Shot, frames: Frames, first_picture: Keyframe | None
) -> VideoRequest:
    """The request of a shot, with stand-ins for clips and pictures that are not made yet.

    Args:
        film_format: the model, aspect ratio and resolution of all shots.
        shot: the shot.
        frames: its resolved sources.
        first_picture: the picture that the next shot starts with, if it exists already.
    """
    start = _CLIP_TO_COME if shot.start == CONTINUE else frames.start
    end = (first_picture or _PICTURE_TO_COME) if shot.end == NEXT else frames.end
    return VideoRequest(
        model=film_format.model,
        prompt=shot.prompt,
        aspect_ratio=film_format.aspect_ratio,
        resolution=film_format.resolution,
        duration=shot.duration or DEFAULT_DURATION,
        start=start,
        end=end,
        concepts=shot.concepts,
    )


def is_unchanged(request: VideoRequest, planned: PlannedShot) -> bool:
    """Check that a request with stand-ins is the planned one: a local file may have changed since."""
    return _request_digest(request) == planned.request_digest


def _first_picture(shots: Sequence[Shot], frames: Sequence[Frames], number: int) -> Keyframe | None:
    """The picture that the shot after this one starts with, if it is a picture that exists already."""
    if number == len(shots):
        return None
    start = frames[number].start
    return start if isinstance(start, ImageKeyframe) else None


def _with_keys(planned: Sequence[PlannedShot]) -> tuple[PlannedShot, ...]:
    """The shots with their keys. Equal shots get different keys by their order."""
    keys: dict[int, str] = {}
    counts: Counter[str] = Counter()

    def key_of(index: int) -> str:
        if index not in keys:
            shot = planned[index]
            content = [shot.request_digest, shot.shot.take, *(key_of(need) for need in shot.needs)]
            base = _digest(content)
            counts[base] += 1
            keys[index] = base if counts[base] == 1 else _digest([base, counts[base]])
        return keys[index]

    return tuple(replace(shot, key=key_of(index)) for index, shot in enumerate(planned))


def _request_digest(request: VideoRequest) -> str:
    """The digest of a request. The signatures of links are left out of it."""
    return _digest(without_signatures(asdict(request)))


def _digest(value: object) -> str:
    return hashlib.sha256(to_json(value)).hexdigest()[:32]
