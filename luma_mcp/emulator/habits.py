"""The responses of the emulated API where Luma's documentation states nothing: habits that a client must handle.

A fault strikes a request and is over; a habit is how the API is. Each field has the documented or observed way as its
default. The others are ways that real APIs have.

===============  =====================================================================================================
`echo`           how `request` is echoed: `faithful`, `missing`, `partial` (only operation, model and prompt), `trimmed`
                 (white space of the prompt), `types` (numbers for quantities), `camel` (camelCase), `string` (JSON in a
                 string), `copies` (links become copies on another host), `rewritten` (the prompt is rewritten),
                 `enhanced` (the prompt of a video is rewritten)
`dates`          `utc`, `missing`, `naive` (no zone), `epoch` (a number)
`order`          of the list: `newest`, `oldest`, `shuffled`
`more`           `has_more`: `true` where there is more, `missing`, `never`
`page`           the most entries of a page, whatever the limit asks for; 0 is as asked
`list_lag`       seconds until a generation is listed
`get_lag`        seconds until a generation is found by its id
`states`         `documented`, `upper` (COMPLETED), `other` (succeeded, processing, pending, error)
`errors`         bodies of refusals: `detail`, or `html` as a proxy answers
`balance_lag`    seconds until a charge shows in the balance
===============  =====================================================================================================
"""

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar, assert_never, cast, get_args

_T = TypeVar("_T")

Echo = Literal[
    "faithful", "missing", "partial", "trimmed", "types", "camel", "string", "copies", "rewritten", "enhanced"
]
Dates = Literal["utc", "missing", "naive", "epoch"]
Order = Literal["newest", "oldest", "shuffled"]
More = Literal["true", "missing", "never"]
States = Literal["documented", "upper", "other"]
Errors = Literal["detail", "html"]

_PARTIAL = ("generation_type", "model", "prompt")
_OTHER_STATES = {"queued": "pending", "dreaming": "processing", "completed": "succeeded", "failed": "error"}
_LINK = re.compile(r"https?://[^/]+/(?!assets/)")


@dataclass
class Habits:
    """The habits of the emulated API. A test changes them at any moment."""

    echo: Echo = "faithful"
    dates: Dates = "utc"
    order: Order = "newest"
    more: More = "true"
    page: int = 0
    list_lag: float = 0.0
    get_lag: float = 0.0
    states: States = "documented"
    errors: Errors = "detail"
    balance_lag: float = 0.0

    def apply(self, response: dict[str, Any], created: float) -> dict[str, Any]:
        """A generation as this API answers it. `created` is its time in Unix seconds."""
        dates = {
            "missing": None,
            "naive": str(response["created_at"]).removesuffix("Z"),
            "epoch": created,
        }
        states = {
            "upper": str(response["state"]).upper(),
            "other": _OTHER_STATES.get(response["state"], response["state"]),
        }
        return {
            **response,
            "created_at": dates.get(self.dates, response["created_at"]),
            "state": states.get(self.states, response["state"]),
            "request": self._echoed(response["request"]),
        }

    def sorted(self, newest_first: Sequence[_T]) -> list[_T]:
        """A list in this API's order. A shuffled one is shuffled alike each time."""
        if self.order == "oldest":
            return list(reversed(newest_first))
        entries = list(newest_first)
        if self.order == "shuffled":
            random.Random(len(entries)).shuffle(entries)  # noqa: S311 - no secret
        return entries

    def _echoed(self, request: dict[str, Any]) -> Any:  # noqa: PLR0911 - one for each habit
        match self.echo:
            case "missing":
                return None
            case "partial":
                return {name: request.get(name) for name in _PARTIAL}
            case "trimmed":
                prompt = request.get("prompt")
                return {**request, "prompt": " ".join(str(prompt).split())} if prompt else request
            case "types":
                return {name: _as_number(value) for name, value in request.items()}
            case "camel":
                return _camel(request)
            case "string":
                return json.dumps(request)
            case "copies":
                return json.loads(_LINK.sub("https://copies.example/", json.dumps(request)))
            case "rewritten":
                return _rewritten(request)
            case "enhanced":
                return _rewritten(request) if request["generation_type"] == "video" else request
            case "faithful":
                return request
            case _ as unreachable:
                assert_never(unreachable)


def parse(text: str) -> tuple[str, Any]:
    """A habit from the command line, as in `echo=missing` or `list_lag=70`.

    Raises:
        ValueError: the text names no such habit or value.
    """
    name, _, value = text.partition("=")
    known = {field.name: field.type for field in fields(Habits)}
    if name not in known:
        raise ValueError(f"{name!r} is no habit; there are {', '.join(known)}")
    kind: Any = known[name]
    if kind in (int, float):
        return name, kind(value)
    if value not in get_args(kind):
        raise ValueError(f"{name} is one of {', '.join(get_args(kind))}")
    return name, value


def _rewritten(request: dict[str, Any]) -> dict[str, Any]:
    return {**request, "prompt": f"Cinematic: {len(str(request.get('prompt')))} words of light"}


def _as_number(value: Any) -> Any:
    """`5s` is 5, `720p` is 720, a boolean is 0 or 1."""
    if isinstance(value, bool):
        return int(value)
    number = re.fullmatch(r"(\d+)[sp]", value) if isinstance(value, str) else None
    return int(number[1]) if number else value


def _camel(value: Any) -> Any:
    if isinstance(value, dict):
        names = cast("dict[str, Any]", value)
        return {re.sub(r"_([a-z])", lambda match: match[1].upper(), name): _camel(names[name]) for name in names}
    if isinstance(value, list):
        return [_camel(item) for item in cast("list[Any]", value)]
    return value
