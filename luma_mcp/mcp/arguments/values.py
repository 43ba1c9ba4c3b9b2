"""The values of arguments as clients and models write them, brought to the form that the schemas show.

Only values with exactly the same meaning are changed: case, separators, a bare number for a text with its unit, a
link where an object with one link is asked for. Everything else is left to the check against the schema.
"""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Literal, cast, get_args, get_origin

from pydantic import BeforeValidator
from pydantic_core import from_json

from luma_mcp.domain.catalogue import CONCEPTS, Signal
from luma_mcp.domain.errors import InvalidRequestError
from luma_mcp.domain.sources import parse_generation_id
from luma_mcp.domain.text import alphanumeric, quoted
from luma_mcp.film.film import FILM_ID

# Other spellings of values that several arguments have, in their plain form.
_ALIASES = {
    "5": "5s", "9": "9s", "10": "10s", "5sec": "5s", "5seconds": "5s", "10sec": "10s", "10seconds": "10s",
    "360": "360p", "540": "540p", "720": "720p", "1080": "1080p", "2160": "4k", "2160p": "4k", "jpeg": "jpg",
    "1024": "1k", "2048": "2k", "imagepng": "png", "imagejpeg": "jpg", "processing": "dreaming", "running": "dreaming",
}  # fmt: skip
_SHOT_SYNONYMS = {
    "start_frame": "start", "end_frame": "end", "image": "start", "image_url": "start", "text": "prompt",
    "description": "prompt", "seconds": "duration", "length": "duration", "camera": "concepts", "concept": "concepts",
}  # fmt: skip
_FENCE = re.compile(r"\A\s*```\w*\s*(.*?)\s*```\s*\Z", re.DOTALL)
_SOURCE_SYNONYMS = ("url", "image_url", "image", "path", "uri", "id", "generation_id", "file")


def parsed_json(value: Any) -> Any:
    """Read a list or an object that comes as JSON in a string, as Claude Desktop sends them, or in a Markdown fence."""
    if not _looks_like_json(value):
        return value
    try:
        return from_json(_FENCE.sub(r"\1", value))
    except ValueError:
        return value


def _looks_like_json(value: Any) -> bool:
    return isinstance(value, str) and value.lstrip().startswith(("[", "{", "```"))


def _split(value: Any, separator: str) -> Any:
    """The items of a text that means a list; text that was meant to be JSON stays as it is, and is refused."""
    if not isinstance(value, str) or _looks_like_json(value):
        return value
    return [item for item in re.split(separator, value) if item.strip()]


def spelled(value: Any, choices: Sequence[str]) -> Any:
    """The choice that a value is another spelling of; otherwise the value as it is."""
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value in choices:
        return value
    text = f"{value:g}" if isinstance(value, float) else str(value)
    plain = alphanumeric(re.sub(r"(?<=\d)\s*[x\u00d7]\s*(?=\d)", ":", text))
    choices_by_form = {alphanumeric(choice): choice for choice in choices}
    return choices_by_form.get(alphanumeric(_ALIASES.get(plain, plain)), value)


def choices_of(annotation: Any) -> tuple[str, ...]:
    """The texts that an annotation allows; empty if it is not a `Literal` of texts."""
    if get_origin(annotation) is Literal:
        return tuple(choice for choice in get_args(annotation) if isinstance(choice, str))
    return tuple(choice for item in get_args(annotation) for choice in choices_of(item))


def _object(value: Any) -> dict[str, Any] | None:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _list(value: Any) -> list[Any] | None:
    return cast("list[Any]", value) if isinstance(value, list) else None


def _as_reference(value: Any) -> Any:
    """A reference that comes as a link alone, or with the link under another name."""
    value = parsed_json(value)
    if isinstance(value, str):
        return {"source": value}
    entries = _object(value)
    if entries is None or "source" in entries:
        return value
    named = [name for name in _SOURCE_SYNONYMS if name in entries]
    if len(named) != 1:
        return value
    rest = {name: entry for name, entry in entries.items() if name not in ("type", named[0])}
    return {"source": entries[named[0]], **rest}


def _only(value: Any) -> Any:
    """The entry of a list of one."""
    items = _list(parsed_json(value))
    return items[0] if items is not None and len(items) == 1 else value


def _as_source(value: Any) -> Any:
    """A source that comes in a list of one, or as an object with the link in it."""
    value = _only(value)
    entries = _object(_as_reference(value))
    return entries["source"] if entries is not None and list(entries) == ["source"] else value


def _as_timed_picture(value: Any) -> Any:
    """A timed picture whose link or second comes under another name."""
    value = _as_reference(value)
    entries = _object(value)
    named = [name for name in ("time", "at", "second", "timestamp") if name in (entries or {})]
    if entries is None or "seconds" in entries or len(named) != 1:
        return value
    return {("seconds" if name == named[0] else name): entry for name, entry in entries.items()}


def _as_list(make: Callable[[Any], Any]) -> BeforeValidator:
    """A list whose entries are converted; a value that is not in a list means a list of one."""

    def validate(value: Any) -> Any:
        value = parsed_json(value)
        entries = _object(value)
        if (isinstance(value, str) and not _looks_like_json(value)) or (
            entries is not None and not _has_frames(entries)
        ):
            value = [value]
        items = _list(value)
        return value if items is None else [make(item) for item in items]

    return BeforeValidator(validate)


def _has_frames(entries: dict[str, Any]) -> bool:
    """Whether it is Dream Machine's own object for the first and the last frame."""
    return any(str(name).startswith("frame") for name in entries)


def _checked_frames(value: Any) -> Any:
    entries = _object(value)
    if entries is not None and _has_frames(entries):
        raise ValueError("frame0 is start_frame of create_video, and frame1 is end_frame")
    return value


def _id(value: Any) -> Any:
    value = _only(value)
    if not isinstance(value, str):
        return value
    try:
        return parse_generation_id(value)
    except InvalidRequestError as error:
        raise ValueError(error.full_text.rstrip(".")) from None


def _ids(value: Any) -> Any:
    value = parsed_json(value)
    if isinstance(value, str):
        with suppress(InvalidRequestError):
            return [parse_generation_id(value)]
    items = _list(_split(value, r"[\s,;]+"))
    return value if items is None else [_id(item) for item in items]


def _film_id(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    film_id = value.strip().strip("`'\"").lower()
    if not FILM_ID.fullmatch(film_id):
        raise ValueError(f"{quoted(value, 60)} is no film id; create_film answers it, such as film-0123456789abcdef")
    return film_id


def _as_change(value: Any) -> Any:
    """A change of a film, whose new shot may be an object of its own or a prompt."""
    entries = _object(parsed_json(value))
    if entries is None or "shot" not in entries:
        return value if entries is None else _as_shot(entries)
    shot = _object(_as_shot(entries["shot"]))
    if shot is None:
        raise ValueError("shot of a change is an object with a prompt")
    return {name: entry for name, entry in entries.items() if name != "shot" and entry is not None} | shot


def _as_shot(value: Any) -> Any:
    """A shot that comes as its prompt alone. For the argument names of create_video the error states those of a shot.

    Text that was meant to be JSON is never a prompt: it would be bought.
    """
    value = parsed_json(value)
    if isinstance(value, str) and not _looks_like_json(value):
        return {"prompt": value}
    entries = _object(value)
    if entries is None:
        return value
    for name, meant in _SHOT_SYNONYMS.items():
        if name in entries:
            raise ValueError(f"{name} of a shot is called {meant}")
    shot = {name: entry for name, entry in entries.items() if entry is not None and entry != ""}
    for name, choice in (("start", "continue"), ("end", "next")):
        if name in shot:
            shot[name] = choice if alphanumeric(str(shot[name])) == choice else _as_source(shot[name])
    return shot


def _fractions(value: Any) -> Any:
    value = parsed_json(value)
    entries, names = _object(value), ("left", "top", "width", "height")
    return value if entries is None or set(entries) != set(names) else [entries[name] for name in names]


def _concepts(value: Any) -> Any:
    value = _split(parsed_json(value), ",")
    items = _list(value)
    if items is None:
        return value
    # Luma's API has them as objects with a key.
    choices = [entries.get("key") if (entries := _object(item)) else item for item in items]
    return [spelled(choice, CONCEPTS) for choice in choices]


def _signals(value: Any) -> Any:
    """Signals as a list, as a text with commas, or as Luma's own object, where each may be switched off."""
    value = parsed_json(value)
    entries = _object(value)
    if entries is not None:
        switches = {name: _switch(entry) for name, entry in entries.items()}
        if any(switch is None for switch in switches.values()):
            raise ValueError("the names of what stays are a list, such as ['face', 'pose']; there are no degrees of it")
        value = [name for name, switch in switches.items() if switch]
    items = _list(_split(value, r"[\s,;]+"))
    return value if items is None else [spelled(item, get_args(Signal)) for item in items]


def _switch(value: Any) -> bool | None:
    """Whether Luma's object switches a signal on; None if it has more than a switch, which would be lost."""
    entries = _object(value)
    enabled = entries.get("enabled") if entries is not None and list(entries) == ["enabled"] else value
    return enabled if isinstance(enabled, bool) else None


AsReference = BeforeValidator(_as_reference)
AsReferences = _as_list(_as_reference)
AsTimedPictures = _as_list(_as_timed_picture)
NoFrames = BeforeValidator(_checked_frames)
AsSource = BeforeValidator(_as_source)
AsSources = _as_list(_as_source)
AsId = BeforeValidator(_id)
AsIds = BeforeValidator(_ids)
AsFilmId = BeforeValidator(_film_id)
AsShots = _as_list(_as_shot)
AsChanges = _as_list(_as_change)
AsFractions = BeforeValidator(_fractions)
AsConcepts = BeforeValidator(_concepts)
AsSignals = BeforeValidator(_signals)
