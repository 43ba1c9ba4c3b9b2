"""JSON with comments, changed in place: everything else keeps its comments, order, indentation and line ends.

No library for Python does that. This one only adds members and items, and replaces values.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

_SPACE = re.compile(r"(?:[ \t\r\n\ufeff]+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_WORD = re.compile(r"[^\s,\[\]{}:/\"]+")
_REST_OF_LINE = re.compile(r"[ \t]*(?://[^\r\n]*|/\*(?:(?!\*/)[^\n])*\*/[ \t]*(?=\r?\n))?")
_DEEPEST = 100

Path = tuple[str, ...]


class NotJsonError(ValueError):
    """The text is not JSON, even with comments and commas at ends of lists."""


@dataclass
class Node:
    """A value in the text.

    Args:
        value: the value itself.
        begin, end: where it stands.
        members: its members by name, or its items by number.
        comma: whether a comma follows the last part.
    """

    value: Any
    start: int
    end: int
    members: dict[str, "Node"] = field(default_factory=dict[str, "Node"])
    comma: bool = False


def parse(text: str) -> Node:
    """The value that a text holds. Raises: NotJsonError."""
    node = _value(text, _skip(text, 0), 0)
    if _skip(text, node.end) != len(text):
        raise NotJsonError(f"there is more after the value, in line {_line(text, node.end)}")
    return node


def put(text: str, path: Path, value: Any) -> str:
    """The text with a value at a path of names. What is there is replaced; what is missing on the way is made.

    Raises:
        NotJsonError: the text is not JSON, or something on the way is no object.
    """
    node = parse(text)
    for depth, name in enumerate(path):
        if not isinstance(node.value, dict):
            raise NotJsonError(f"{'.'.join(path[:depth]) or 'the whole'} is no object")
        matched = node.members.get(name)
        if matched is None:
            for missing in reversed(path[depth + 1 :]):
                value = {missing: value}
            return _with_member(text, node, json.dumps(name, ensure_ascii=False) + ": ", value)
        node = matched
    return text[: node.start] + _written(text, value, _indent_at(text, node.start)) + text[node.end :]


def append(text: str, path: Path, item: Any) -> str:
    """The text with one more item in the list at a path. Raises: NotJsonError, if there is no list."""
    node = parse(text)
    for name in path:
        node = node.members[name]
    if not isinstance(node.value, list):
        raise NotJsonError(f"{'.'.join(path)} is no list")
    return _with_member(text, node, "", item)


def _with_member(text: str, node: Node, label: str, value: Any) -> str:
    """The text with another member or item behind those that are there."""
    last = list(node.members.values())[-1] if node.members else None
    closing = node.end - 1
    if "\n" not in text[node.start : node.end] and last is not None:
        # A comma that is there already then follows the new one.
        return f"{text[: last.end]}, {label}{json.dumps(value, ensure_ascii=False)}{text[last.end :]}"
    newline = line_end_of(text)
    outer = _indent_at(text, node.start)
    inner = _indent_at(text, last.start) if last and "\n" in text[node.start : last.start] else outer + _unit(text)
    member = f"{newline}{inner}{label}{_written(text, value, inner)}"
    if last is None:
        before = text[: node.start + 1] + text[node.start + 1 : closing].rstrip()
        return f"{before}{member}{newline}{outer}{text[closing:]}"
    if node.comma:
        comma_end = text.index(",", _skip(text, last.end)) + 1
        at = _end_of(_REST_OF_LINE, text, comma_end)
        return f"{text[:at]}{member},{text[at:]}"
    at = _end_of(_REST_OF_LINE, text, last.end)
    rest = "" if "\n" in text[at:closing] else f"{newline}{outer}"
    return f"{text[: last.end]},{text[last.end : at]}{member}{rest}{text[at:]}"


def _written(text: str, value: Any, indent: str) -> str:
    """A value as it is written in a text, whose first line is indented so."""
    written = json.dumps(value, indent=_unit(text), ensure_ascii=False)
    return written.replace("\n", line_end_of(text) + indent)


def line_end_of(text: str) -> str:
    """The line ending of a text."""
    return "\r\n" if "\r\n" in text else "\n"


def _unit(text: str) -> str:
    """The indentation of one level: that of the first indented line, or two spaces."""
    matched = re.search(r"\n([ \t]+)[^\s/]", text)
    return matched[1] if matched else "  "


def _indent_at(text: str, position: int) -> str:
    """The white space that begins the line of a position."""
    start = text.rfind("\n", 0, position) + 1
    matched = re.match(r"[ \t]*", text[start:position])
    return matched[0] if matched else ""


def _value(text: str, at: int, depth: int) -> Node:
    if depth > _DEEPEST:
        raise NotJsonError("it is nested too deeply")
    opening = text[at : at + 1]
    if opening in ("{", "["):
        return _collection(text, at, depth, closing="}" if opening == "{" else "]")
    matched = _STRING.match(text, at) or _WORD.match(text, at)
    if not matched:
        raise NotJsonError(f"a value is missing in line {_line(text, at)}")
    try:
        return Node(json.loads(matched[0]), at, matched.end())
    except ValueError:
        raise NotJsonError(f"{matched[0][:20]!r} in line {_line(text, at)} is no value") from None


def _collection(text: str, at: int, depth: int, *, closing: str) -> Node:
    """An object or a list."""
    node = Node({} if closing == "}" else [], at, at)
    position = _skip(text, at + 1)
    while text[position : position + 1] != closing:
        if node.members and not node.comma:
            raise NotJsonError(f"a comma is missing in line {_line(text, position)}")
        name = str(len(node.members))
        if closing == "}":
            matched = _STRING.match(text, position)
            colon = _skip(text, matched.end()) if matched else position
            if not matched or text[colon : colon + 1] != ":":
                raise NotJsonError(f"a name is missing in line {_line(text, position)}")
            name = str(json.loads(matched[0]))
            position = _skip(text, colon + 1)
        child = _value(text, position, depth + 1)
        node.members[name] = child
        position = _skip(text, child.end)
        node.comma = text[position : position + 1] == ","
        position = _skip(text, position + 1) if node.comma else position
    node.end = position + 1
    values = {name: child.value for name, child in node.members.items()}
    node.value = values if closing == "}" else list(values.values())
    return node


def _skip(text: str, at: int) -> int:
    """The start of the next token after spaces and comments."""
    return _end_of(_SPACE, text, at)


def _end_of(pattern: re.Pattern[str], text: str, at: int) -> int:
    """The end of the text that matches a pattern."""
    matched = pattern.match(text, at)
    return matched.end() if matched else at


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1
