"""Lines of stdin: which are messages, and which response the others get."""

import json
from typing import Any

import pytest

from luma_mcp.mcp.stdio.messages import read_line


def line_of(**fields: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **fields}).encode() + b"\n"


@pytest.mark.parametrize(
    ("line", "method"),
    [
        (line_of(id=1, method="ping"), "ping"),
        (line_of(id="a", method="ping", params={}), "ping"),
        (line_of(id=10**30, method="ping"), "ping"),
        (line_of(method="notifications/initialized"), None),
        (line_of(id=1, result={}), None),
        (line_of(id=None, error={"code": 1, "message": "m"}), None),
        (b"\xef\xbb\xbf" + line_of(id=1, method="ping"), "ping"),
        (b"  " + line_of(id=1, method="ping") + b"\r\n", "ping"),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"\xe9"}}', "ping"),
    ],
)
def test_a_message_is_passed_on(line: bytes, method: str | None) -> None:
    read = read_line(line)

    assert (read.refusal, read.method) == (None, method)
    assert json.loads(read.text or "")["jsonrpc"] == "2.0"


def test_a_whole_number_may_be_spelled_with_a_point() -> None:
    read = read_line(b'{"jsonrpc":"2.0","id":2.0,"method":"ping","params":{"x":"\\ud83d"}}')

    assert json.loads(read.text or "") == {"jsonrpc": "2.0", "id": 2, "method": "ping", "params": {"x": "?"}}


def test_half_a_character_is_replaced() -> None:
    read = read_line(b'{"jsonrpc":"2.0","id":2,"method":"ping","params":{"x":"a \\uD83D b"}}')

    assert json.loads(read.text or "")["params"] == {"x": "a ? b"}


@pytest.mark.parametrize(
    ("line", "code", "number", "sentence"),
    [
        (b"not json", -32700, None, "not JSON in UTF-8"),
        (b"{", -32700, None, "not JSON in UTF-8"),
        (b"[" * 100_000, -32700, None, "not JSON in UTF-8"),
        (b'{"prompt": "\\ud83d', -32700, None, "not JSON in UTF-8"),
        (line_of(id=1, method="ping").decode().encode("utf-16"), -32700, None, "not JSON in UTF-8"),
        (b"[" + line_of(id=1, method="ping").strip() + b"]", -32600, None, "no batches"),
        (b"[]", -32600, None, "no batches"),
        (b"5", -32600, None, "no batches"),
        (line_of(id=1.5, method="ping"), -32600, None, "text or a whole number"),
        (line_of(id=True, method="ping"), -32600, None, "text or a whole number"),
        (line_of(id=None, method="ping"), -32600, None, "text or a whole number"),
        (line_of(id=[1], method="ping"), -32600, None, "text or a whole number"),
        (b'{"id":1,"method":"ping"}', -32600, 1, '"jsonrpc": "2.0"'),
        (b'{"jsonrpc":2.0,"id":1,"method":"ping"}', -32600, 1, '"jsonrpc": "2.0"'),
        (line_of(id=1), -32600, 1, "has a method"),
        (line_of(id="a", method=5), -32600, "a", "has a method"),
        (line_of(), -32600, None, "has a method"),
        (line_of(id=1, method="ping", params=[1]), -32600, 1, "are an object"),
    ],
)
def test_what_is_no_message_gets_an_error(line: bytes, code: int, number: object, sentence: str) -> None:
    read = read_line(line)
    assert read.text is None
    response = json.loads(read.refusal or "")

    assert (response["id"], response["error"]["code"]) == (number, code)
    assert sentence in response["error"]["message"]
    assert (read.refusal or "").count("\n") == 1


@pytest.mark.parametrize("line", [b"", b"\n", b"  \r\n", b"\xef\xbb\xbf\n"])
def test_an_empty_line_is_nothing(line: bytes) -> None:
    read = read_line(line)
    assert (read.text, read.refusal, read.method) == (None, None, None)
