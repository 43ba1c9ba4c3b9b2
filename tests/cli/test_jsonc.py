"""JSON with comments, changed in place."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from luma_mcp.cli.jsonc import NotJsonError, append, parse, put

NAMES = st.sampled_from(["a", "b", "mcpServers", "luma", "ä", 'q"uote', ""])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
COMMENTS = st.sampled_from(["", " ", "\n", "\r\n", "\t", "// note\n", "/* note */", " // a, b: {\n  "])


@st.composite
def written(draw: st.DrawFn, value: Any) -> str:
    """A value as somebody might have written it."""
    space = draw(COMMENTS)
    if isinstance(value, dict):
        members = [
            f"{draw(COMMENTS)}{json.dumps(name)}{draw(COMMENTS)}:{draw(written(item))}" for name, item in value.items()
        ]
        comma = draw(st.sampled_from(["", ","])) if members else ""
        return f"{space}{{{','.join(members)}{comma}{draw(COMMENTS)}}}{draw(COMMENTS)}"
    if isinstance(value, list):
        items = [draw(written(item)) for item in value]
        comma = draw(st.sampled_from(["", ","])) if items else ""
        return f"{space}[{','.join(items)}{comma}{draw(COMMENTS)}]{draw(COMMENTS)}"
    return f"{space}{json.dumps(value, ensure_ascii=draw(st.booleans()))}{draw(COMMENTS)}"


def notes(text: str) -> int:
    """How many comments say "note": not counted are texts and names that do."""
    return text.count("note") - json.dumps(parse(text).value).count("note")


@given(VALUES.flatmap(lambda value: st.tuples(st.just(value), written(value))))
def test_it_is_read_with_comments_and_commas(case: tuple[Any, str]) -> None:
    value, text = case

    assert parse(text).value == value


@given(
    st.dictionaries(NAMES, VALUES, max_size=4).flatmap(lambda value: st.tuples(st.just(value), written(value))),
    st.lists(NAMES, min_size=1, max_size=3),
    VALUES,
)
@example(({}, "{}"), ["a"], "note")
@pytest.mark.medium
def test_what_is_put_is_there_and_the_rest_stays(case: tuple[Any, str], path: list[str], new: Any) -> None:
    value, text = case
    expected = json.loads(json.dumps(value))
    place = expected
    for name in path[:-1]:
        place = place.setdefault(name, {})
        if not isinstance(place, dict):
            with pytest.raises(NotJsonError):
                put(text, tuple(path), new)
            return
    place[path[-1]] = new
    after = put(text, tuple(path), new)

    assert parse(after).value == expected
    if path[0] not in value:
        assert notes(after) == notes(text), "no comment is lost"


@given(st.lists(VALUES, max_size=4).flatmap(lambda value: st.tuples(st.just(value), written({"a": value}))), VALUES)
@example(([1, 2], '{"a": [1,\n2/* note */]/* note */\n}'), 3)
@pytest.mark.medium
def test_what_is_appended_is_the_last(case: tuple[list[Any], str], item: Any) -> None:
    value, text = case
    after = append(text, ("a",), item)

    assert parse(after).value == {"a": [*value, item]}
    assert notes(after) == notes(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1 2]",
        '{"a" 1}',
        "{a: 1}",
        '{"a": 1}}',
        "{'a': 1}",
        "nul",
        '{"a": 1,, "b": 2}',
        "[,]",
        "/* open",
        "[" * 500,
    ],
)
def test_what_is_no_json_is_said(text: str) -> None:
    with pytest.raises(NotJsonError):
        parse(text)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            '{\n    "a": 1 // one\n}\n',
            '{\n    "a": 1, // one\n    "new": {\n        "x": []\n    }\n}\n',
        ),
        ('{\r\n\t"a": 1,\r\n}', '{\r\n\t"a": 1,\r\n\t"new": {\r\n\t\t"x": []\r\n\t},\r\n}'),
        ("{}", '{\n  "new": {\n    "x": []\n  }\n}'),
        ("{\n  // nothing yet\n}", '{\n  // nothing yet\n  "new": {\n    "x": []\n  }\n}'),
        ('{"a": 1}', '{"a": 1, "new": {"x": []}}'),
    ],
)
def test_it_is_written_as_the_rest_is(before: str, after: str) -> None:
    assert put(before, ("new",), {"x": []}) == after


def test_nothing_is_appended_to_what_is_no_list() -> None:
    with pytest.raises(NotJsonError, match="a is no list"):
        append('{"a": {}}', ("a",), 1)


def test_nothing_is_put_into_what_is_no_object() -> None:
    with pytest.raises(NotJsonError, match="a is no object"):
        put('{"a": 1}', ("a", "b"), 2)
    with pytest.raises(NotJsonError, match="the whole is no object"):
        put("[]", ("a",), 2)
