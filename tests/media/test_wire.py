"""Messages between the server and its media child: what is sent comes back equal, and nothing else is read."""

import json
import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from luma_mcp.media import wire
from luma_mcp.media.captions import Caption
from luma_mcp.media.edit import EditCost
from luma_mcp.media.edit_plan import ClipRange, Edit, Overlay, Sound
from luma_mcp.media.previews import Rendered
from luma_mcp.media.probe import ClipInfo

INFO = ClipInfo(320, 180, 2.0, 24.0, has_sound=True, frames=48)


def message(value: Any, blobs: bytes = b"") -> BytesIO:
    """A message as the other side may write it, whatever its JSON is."""
    text = json.dumps(value).encode()
    return BytesIO(struct.pack(">I", len(text)) + text + blobs)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        7,
        0.1,
        float("inf"),
        "text",
        b"bytes",
        Path("folder") / "clip.mp4",
        [1, [b"a", b"bc"], ()],
        (1, ("two", None)),
        INFO,
        EditCost(1.5, 1000),
        Edit((ClipRange(Path("a.mp4"), 0.5, 1.5), ClipRange(Path("b.mp4"))), sounds=(Sound(Path("a.wav"), 0.5),)),
        Edit(
            (ClipRange(Path("a.mp4"), speed=2.0, is_reversed=True),),
            ratio=(9.0, 16.0),
            captions=(Caption(0.5, 1.0, "text"),),
            overlays=(Overlay(Path("logo.png"), "center", end=2.0),),
        ),
        Rendered(b"a picture", INFO, (0.0, 1.5)),
        Rendered(None, INFO),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_is_read_as_it_was_written(value: object) -> None:
    file = BytesIO()
    wire.write(file, value)
    wire.write(file, "the next message")
    file.seek(0)

    read = wire.read(file)
    assert read == value
    assert type(read) is type(value)
    assert wire.read(file) == "the next message"


@pytest.mark.parametrize("value", [{1, 2}, {"a": 1}, object(), [b"a", 1j]])
def test_a_value_of_another_type_is_not_sent(value: object) -> None:
    file = BytesIO()
    with pytest.raises(TypeError, match="is not sent to or from the media child"):
        wire.write(file, value)

    assert file.getvalue() == b""


@pytest.mark.parametrize(
    "file",
    [
        BytesIO(struct.pack(">I", wire.MAX_JSON_BYTES + 1)),
        message({"bytes": wire.MAX_BYTES + 1}),
        message({"bytes": -1}, b"abc"),
    ],
)
def test_a_message_that_is_too_long_is_not_read(file: BytesIO) -> None:
    with pytest.raises(wire.WireError, match="too long"):
        wire.read(file)


@pytest.mark.parametrize(
    "file",
    [
        BytesIO(struct.pack(">I", 3) + b"{x}"),
        BytesIO(struct.pack(">I", 2) + b'"\xff'),
        message({}),
        message({"tuple": [], "path": "two types"}),
        message({"Popen": ["a class that is not listed"]}),
        message({"float": "many"}),
        message({"path": 1}),
        message({"tuple": None}),
        message({"bytes": "3"}, b"abc"),
        message({"EditCost": [{"float": "1.0"}]}),
        message({"Rendered": [None]}),
    ],
)
def test_a_message_in_no_known_form_is_not_read(file: BytesIO) -> None:
    with pytest.raises(wire.WireError, match="cannot be read"):
        wire.read(file)


@pytest.mark.parametrize(
    "file",
    [
        message({"ClipInfo": ["wide", 180, {"float": "2.0"}, {"float": "24.0"}, True, 48]}),
        message({"Rendered": ["a text", {"ClipInfo": [1, 1, 0, 0, False, 0]}, {"tuple": []}]}),
        message({"Rendered": [None, "320x180", {"tuple": []}]}),
        message({"Rendered": [None, {"ClipInfo": [1, 1, 0, 0, False, 0]}, {"tuple": ["a text"]}]}),
        message({"Rendered": [None, {"ClipInfo": [1, 1, 0, 0, False, 0]}, "a text"]}),
    ],
)
def test_a_value_of_the_wrong_type_is_not_believed(file: BytesIO) -> None:
    with pytest.raises(wire.WireError, match="wrong type"):
        wire.read(file)


@pytest.mark.parametrize("size", [0, 3, 6])
def test_a_message_that_breaks_off_is_the_end(size: int) -> None:
    file = BytesIO()
    wire.write(file, b"content")

    with pytest.raises(EOFError):
        wire.read(BytesIO(file.getvalue()[:size]))
    with pytest.raises(EOFError):
        wire.read(BytesIO(file.getvalue()[:-1]))
