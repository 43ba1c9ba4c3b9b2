"""The options of a command that calls a tool, made from the tool's schema; and the tool's arguments, from the options.

====================  ===================================================================
in the schema         at the shell
====================  ===================================================================
choices               the choices, in any spelling that the tool accepts
a list of texts       several values
pictures with a time  `SOURCE@SECONDS`
pictures, weighted    `SOURCE` or `SOURCE@WEIGHT`
clips with a range    `CLIP`, `CLIP@START` or `CLIP@START-END`
pictures over a clip  `PICTURE`, `PICTURE@START` or `PICTURE@START-END`
sounds with a start   `SOUND` or `SOUND@START`
====================  ===================================================================

A file that the person names here is read, whatever LUMA_INPUT_DIRS says: the person named it.
"""

import argparse
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, cast

from luma_mcp.mcp.adapter import definition_of
from luma_mcp.mcp.arguments.values import spelled
from luma_mcp.mcp.spec import ToolSpec

Schema = Mapping[str, Any]

_TEXTS = frozenset({"prompt", "negative_prompt", "concepts"})
_NUMBER = r"\d+(?:\.\d+)?"
_TIMED = re.compile(rf"(?P<source>.+)@(?P<seconds>{_NUMBER})")
_WEIGHTED = re.compile(rf"(?P<source>.+?)(?:@(?P<weight>{_NUMBER}))?")
_STARTED = re.compile(rf"(?P<source>.+?)(?:@(?P<start>{_NUMBER}))?")
_RANGED = re.compile(rf"(?P<source>.+?)(?:@(?P<start>{_NUMBER})(?:-(?P<end>{_NUMBER}))?)?")
# The syntax of an object, by a property that only that object has.
_SYNTAX: Mapping[str, tuple[str, re.Pattern[str]]] = {
    "seconds": ("SOURCE@SECONDS", _TIMED),
    "weight": ("SOURCE[@WEIGHT]", _WEIGHTED),
    "duck": ("SOUND[@START]", _STARTED),
    "corner": ("PICTURE[@START[-END]]", _RANGED),
    "end": ("CLIP[@START[-END]]", _RANGED),
}


def properties_of(spec: ToolSpec) -> dict[str, Schema]:
    """The arguments of a tool, as a client with the keys of both APIs sees them."""
    return definition_of(spec, ("dream_machine", "agents")).input_schema["properties"]


def add_options(parser: argparse.ArgumentParser, spec: ToolSpec, *, leave_out: Collection[str]) -> None:
    """Add an option for each argument of a tool, but for some."""
    properties = properties_of(spec)
    for name, schema in properties.items():
        if name not in leave_out:
            parser.add_argument(_option(name), dest=name, default=None, **_settings(schema, properties))


def add_clips(parser: argparse.ArgumentParser, spec: ToolSpec) -> None:
    """Add the clips that a tool works on, as words."""
    described = "generation ids or paths; @START-END are seconds of it"
    settings: dict[str, Any] = _settings(properties_of(spec)["clips"], {}) | {"help": described}
    parser.add_argument("clips", **settings)


def arguments_of(spec: ToolSpec, options: argparse.Namespace) -> dict[str, Any]:
    """The arguments that were typed. The tool checks them."""
    typed = {name: getattr(options, name, None) for name in properties_of(spec)}
    return {name: value for name, value in typed.items() if value is not None}


def with_files(value: Any, opened: set[Path], name: str = "") -> Any:
    """The arguments with the absolute path of each file that they name; its folder is added to `opened`."""
    if isinstance(value, dict):
        return {key: with_files(item, opened, key) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [with_files(item, opened, name) for item in cast("list[Any]", value)]
    if not isinstance(value, str) or name in _TEXTS:
        return value
    text, mark, frame = value.partition("#")
    try:
        path = Path(text).expanduser()
        if not path.is_file():
            return value
    except (OSError, ValueError, RuntimeError):
        return value
    path = path.resolve()
    opened.add(path.parent)
    return f"{path}{mark}{frame}"


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _settings(schema: Schema, properties: Mapping[str, Schema]) -> dict[str, Any]:
    """The settings of an option: its type, its choices, and its description in words of the shell."""
    described = _in_options(str(schema.get("description", "")), properties)
    if schema["type"] == "boolean":
        return {"action": "store_true", "help": described}
    if schema["type"] == "array":
        return {"nargs": "+", "help": described, **_values(schema["items"])}
    return {"help": described, **_values(schema)}


def _values(schema: Schema) -> dict[str, Any]:
    choices = schema.get("enum")
    if choices:
        return {"type": _speller(choices), "choices": choices}
    if schema["type"] == "object":
        syntax, pattern = next(known for name, known in _SYNTAX.items() if name in schema["properties"])
        return {"type": _reader(syntax, pattern), "metavar": syntax}
    return {"type": {"integer": int, "number": float}.get(schema["type"], str), "metavar": "VALUE"}


def _speller(choices: list[str]) -> Callable[[str], str]:
    def choice(text: str) -> str:
        return str(spelled(text, choices))

    return choice


def _reader(syntax: str, pattern: re.Pattern[str]) -> Callable[[str], dict[str, Any]]:
    def read(text: str) -> dict[str, Any]:
        found = pattern.fullmatch(text)
        if found is None:
            raise argparse.ArgumentTypeError(f"{text!r} is not {syntax}")
        values = {name: value for name, value in found.groupdict().items() if value is not None}
        return {name: value if name == "source" else float(value) for name, value in values.items()}

    return read


def _in_options(description: str, properties: Mapping[str, Schema]) -> str:
    """A description whose names of arguments are options. argparse reads `%`."""
    for name in sorted(properties, key=len, reverse=True):
        if "_" in name:
            description = re.sub(rf"\b{name}\b", _option(name), description)
    return description.replace("%", "%%")
