"""Facts about an API: the assumption, the observation, and the option that makes the emulator behave alike."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

from luma_mcp.backends.exchange import Exchange
from luma_mcp.domain.text import cleaned

UNOBSERVED = "not observed"
_MAX_TEXT = 160
_SECRETS = re.compile(
    r"https?://\S+|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|luma-\S+|[A-Za-z0-9_\-]{24,}", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact about an API.

    Args:
        name: the fact.
        assumed: what this project assumes, and what the emulator does; empty where it assumes nothing.
        observed: what the API did.
        option: the emulator's option that makes it do the same; empty if there is none, or none is needed.
    """

    name: str
    assumed: str
    observed: str
    option: str = ""

    @property
    def differs(self) -> bool:
        """Whether the API does something else than this project assumes."""
        return bool(self.assumed) and self.observed not in (self.assumed, UNOBSERVED)


def without_secrets(text: str) -> str:
    """Return a text of an API without links, ids and keys, for a report that others read."""
    return cleaned(_SECRETS.sub("...", text), _MAX_TEXT)


def json_of(exchange: Exchange | None) -> Any:
    """Return the JSON of a response; None if there is none."""
    if exchange is None:
        return None
    try:
        return json.loads(exchange.body)
    except (ValueError, RecursionError):
        return None


def object_of(exchange: Exchange | None) -> Mapping[str, Any]:
    """Return the JSON object of a response; an empty one if it is no object."""
    content = json_of(exchange)
    return cast("Mapping[str, Any]", content) if isinstance(content, dict) else {}


def refusal(exchange: Exchange | None) -> str:
    """Describe a refusal: its status, its form, and its text."""
    if exchange is None:
        return UNOBSERVED
    detail = object_of(exchange).get("detail")
    if isinstance(detail, str):
        return f"{exchange.status}, {without_secrets(detail)!r}"
    if isinstance(detail, list):
        return f"{exchange.status}, a list of errors"
    if exchange.body.lstrip()[:1] == b"<":
        return f"{exchange.status}, HTML"
    return f"{exchange.status}, {'JSON of another form' if json_of(exchange) is not None else 'text'}"


def is_html(exchange: Exchange | None) -> bool:
    """Return whether a response is a page."""
    return exchange is not None and exchange.body.lstrip()[:1] == b"<"


def date_form(value: object) -> str:
    """Classify a date as the emulator's habit `dates` does."""
    if value is None:
        return "missing"
    if isinstance(value, int | float):
        return "epoch"
    return "utc" if re.search(r"(Z|[+-]\d\d:?\d\d)$", str(value)) else "naive"


def state_names(states: Iterable[object], documented: frozenset[str]) -> str:
    """Classify names of states as the emulator's habit `states` does."""
    names = [str(state) for state in states]
    if all(name in documented for name in names):
        return "documented"
    return "upper" if all(name.lower() in documented for name in names) else "other"


def link_form(url: object) -> str:
    """Describe a link by its host and its lifetime, without its path."""
    parts = urlsplit(str(url))
    query = {name.lower(): values for name, values in parse_qs(parts.query).items()}
    lifetime = query.get("x-amz-expires", [""])[0]
    if lifetime.isdecimal():
        return f"{parts.hostname}, signed for {lifetime} s"
    return f"{parts.hostname}, {'with a query' if parts.query else 'unsigned'}"


def field_names(fields: Mapping[str, Any]) -> str:
    """Return the names of the fields of an object, in one order for all."""
    return ", ".join(sorted(without_secrets(name) for name in fields))


def seconds(value: float | None) -> str:
    """Return a time as a text: "at once" below two seconds."""
    if value is None:
        return UNOBSERVED
    return "at once" if value < 2 else f"after {value:.0f} s"
