"""This server added to the text of a host's configuration, with everything else kept as it is written there.

Editors that keep comments, order, quotes and anchors do the work: tomlkit, ruamel.yaml, and `jsonc`.
"""

import io
from collections.abc import Mapping
from typing import Any, assert_never, cast

from luma_mcp.cli import jsonc
from luma_mcp.cli.hosts import KEY, PACKAGE, FileFormat, Json


class CannotMergeError(Exception):
    """The file cannot be changed without risk. The text states why and what to do."""


def merged(file_format: FileFormat, before: str, ours: Json) -> str:
    """The configuration with this server in it. It is the same text if the server is there already.

    Args:
        file_format: what kind of file it is.
        before: the text of the file.
        ours: the configuration with this server in it and nothing else.

    Raises:
        CannotMergeError: it is not of that form, or has another server of our name.
    """
    try:
        match file_format:
            case "json":
                return _in_json(before, ours)
            case "toml":
                return _in_toml(before, ours)
            case "yaml":
                return _in_yaml(before, ours)
            case _ as unreachable:
                assert_never(unreachable)
    except jsonc.NotJsonError as error:
        raise CannotMergeError(f"it cannot be read as JSON: {error}") from error


def _in_json(before: str, ours: Json) -> str:
    text = before
    for path, value, is_item in _changes(_value_of(before), ours):
        text = jsonc.append(text, path, value) if is_item else jsonc.put(text, path, value)
    return text


def _value_of(text: str) -> Json:
    value = jsonc.parse(text).value
    if not isinstance(value, dict):
        raise CannotMergeError("it is no object")
    return cast("Json", value)


Change = tuple[tuple[str, ...], Any, bool]
"""A path, a value, and whether it is an item for the list there."""


def _changes(existing: Mapping[str, Any], ours: Json, at: tuple[str, ...] = ()) -> list[Change]:
    """The changes of a merge. A server of our name is brought up to date if it is this server, and else left unchanged.

    Raises:
        CannotMergeError: what is there is of another kind.
    """
    changes: list[Change] = []
    for name, value in ours.items():
        path, old = (*at, name), existing.get(name)
        if old is None:
            changes.append((path, value, False))
        elif isinstance(value, dict):
            if not isinstance(old, Mapping):
                raise CannotMergeError(f"{'.'.join(path)} is there, but is no object")
            entries, wanted = cast("Mapping[str, Any]", old), cast("Json", value)
            if name != KEY:
                changes += _changes(entries, wanted, path)
            elif PACKAGE in str(dict(entries)) or "luma_mcp" in str(dict(entries)):
                changes += _update(entries, wanted, path)
            else:
                raise CannotMergeError(f"there is another server {KEY} already; rename or remove that first")
        elif isinstance(value, list):
            if not isinstance(old, list):
                raise CannotMergeError(f"{'.'.join(path)} is there, but is no list")
            known = cast("list[Any]", old)
            changes += [(path, item, True) for item in cast("list[Any]", value) if not _is_in(item, known)]
    return changes


def _is_in(item: Any, known: list[Any]) -> bool:
    """Return whether a list has an item, or an item with the same name or id."""
    for name in ("id", "name"):
        wanted = cast("Json", item).get(name) if isinstance(item, dict) else None
        names = [cast("Json", old).get(name) for old in known if isinstance(old, Mapping)]
        if wanted is not None and wanted in names:
            return True
    return item in known


def _update(existing: Mapping[str, Any], ours: Json, at: tuple[str, ...]) -> list[Change]:
    """Bring the start command of this server up to date; the person's own variables and options stay."""
    changes: list[Change] = []
    for name, value in ours.items():
        old = existing.get(name)
        if isinstance(value, dict) and isinstance(old, Mapping):
            entries, wanted = cast("Mapping[str, Any]", old), cast("Json", value)
            changes += [((*at, name, key), item, False) for key, item in wanted.items() if key not in entries]
        elif old is None or (name in ("command", "args", "cmd", "type") and old != value):
            changes.append(((*at, name), cast("Any", value), False))
    return changes


def _in_toml(before: str, ours: Json) -> str:
    import tomlkit  # noqa: PLC0415 - only this command pays for it
    from tomlkit.exceptions import TOMLKitError  # noqa: PLC0415

    try:
        document = tomlkit.parse(before)
        _apply(document, _changes(document.unwrap(), ours))
        text = tomlkit.dumps(document)
        again = tomlkit.parse(text).unwrap()
    except TOMLKitError as error:
        raise CannotMergeError(f"it cannot be read as TOML: {error}") from error
    if _changes(again, ours):  # pragma: no cover - tomlkit writes what it was given
        raise CannotMergeError("it is of a form that this server cannot be added to")
    return _with_line_ends_of(before, text)


def _in_yaml(before: str, ours: Json) -> str:
    import ruamel.yaml.util as guess  # noqa: PLC0415 - only this command pays for it
    from ruamel.yaml import YAML  # noqa: PLC0415 - only this command pays for it
    from ruamel.yaml.error import YAMLError  # noqa: PLC0415

    try:
        found: tuple[Any, int | None, int | None] = cast("Any", guess).load_yaml_guess_indent(before)
        _, indent, block_indent = found
        editor = YAML()
        editor.preserve_quotes = True
        editor.width = 100_000
        editor.indent(mapping=indent or 2, sequence=(block_indent or 0) + 2, offset=block_indent or 0)
        document = cast("Any", editor).load(before)
        if not isinstance(document, dict):
            raise CannotMergeError("it is no mapping")
        _apply(document, _changes(cast("Json", document), ours))
        out = io.StringIO()
        editor.dump(document, out)
    except YAMLError as error:
        raise CannotMergeError(f"it cannot be read as YAML: {str(error).splitlines()[0]}") from error
    text = out.getvalue()
    if not _has_every_line(before, text):  # pragma: no cover - what ruamel.yaml may do to a form not thought of
        raise CannotMergeError("it is written in a way that would not survive")
    return _with_line_ends_of(before, text)


def _apply(document: Any, changes: list[Change]) -> None:
    """Make the changes in a document that keeps how it is written."""
    for path, value, is_item in changes:
        node = document
        for name in path[:-1]:
            node = node[name]
        if is_item:
            node[path[-1]].append(value)
        else:
            node[path[-1]] = value


def _with_line_ends_of(before: str, text: str) -> str:
    return text.replace("\r\n", "\n").replace("\n", jsonc.line_end_of(before))


def _has_every_line(before: str, after: str) -> bool:
    """Return whether every line is still there, in its order."""
    lines = iter(line.rstrip() for line in after.splitlines())
    return all(any(line.rstrip() == other for other in lines) for line in before.splitlines() if line.strip())
