"""Values between the server and its media child, as JSON and bytes.

Both sides build the listed types only. Nothing is unpickled, so a child that a hostile file controls can send wrong
values and no code.

A message is the length of its JSON, the JSON, and the bytes that the JSON refers to by their lengths.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from luma_mcp.media.captions import Caption
from luma_mcp.media.edit import EditCost
from luma_mcp.media.edit_plan import ClipRange, Edit, Overlay, Sound
from luma_mcp.media.previews import Rendered
from luma_mcp.media.probe import ClipInfo

MAX_JSON_BYTES = 4 * 1024**2
MAX_BYTES = 256 * 1024**2
_HEAD = struct.Struct(">I")
_DATACLASSES: Mapping[str, type[Any]] = {
    kind.__name__: kind for kind in (Edit, ClipRange, Sound, Overlay, Caption, ClipInfo, EditCost)
}
_RENDERED = Rendered.__name__
_SIMPLE: Mapping[Any, Any] = {int: int, float: (int, float), bool: bool, str: str}


class WireError(Exception):
    """A message is not one that the other side may send."""


def write(file: BinaryIO, value: object) -> None:
    """Write a value. Raises: TypeError, if its type is not listed; OSError."""
    blobs: list[bytes] = []
    text = json.dumps(_plain(value, blobs)).encode()
    file.write(b"".join((_HEAD.pack(len(text)), text, *blobs)))
    file.flush()


def read(file: BinaryIO) -> Any:
    """Read a value. Raises: EOFError, if the other side has ended; WireError; OSError."""
    (length,) = _HEAD.unpack(_exactly(file, _HEAD.size))
    if length > MAX_JSON_BYTES:
        raise WireError("The message is too long.")
    text = _exactly(file, length)
    try:
        return _value(json.loads(text), file)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise WireError("The message cannot be read.") from error


def _exactly(file: BinaryIO, length: int) -> bytes:
    data = file.read(length)
    if len(data) < length:
        raise EOFError
    return data


def _plain(value: object, blobs: list[bytes]) -> Any:
    """Return a value as JSON has it. Every object of JSON has one key, which names its type."""
    if value is None or isinstance(value, (bool, int, float, str)):
        # JSON has no infinity.
        return {"float": repr(value)} if isinstance(value, float) else value
    if isinstance(value, bytes):
        blobs.append(value)
        return {"bytes": len(value)}
    if isinstance(value, Path):
        return {"path": str(value)}
    if isinstance(value, Rendered):
        return {_RENDERED: [_plain(item, blobs) for item in value]}
    if isinstance(value, tuple):
        return {"tuple": [_plain(item, blobs) for item in cast("tuple[object, ...]", value)]}
    if isinstance(value, list):
        return [_plain(item, blobs) for item in cast("list[object]", value)]
    if is_dataclass(value) and _DATACLASSES.get(type(value).__name__) is type(value):
        return {type(value).__name__: [_plain(getattr(value, field.name), blobs) for field in fields(value)]}
    raise TypeError(f"{type(value).__name__} is not sent to or from the media child.")


def _value(plain: Any, file: BinaryIO) -> Any:
    if isinstance(plain, list):
        return [_value(item, file) for item in cast("Sequence[Any]", plain)]
    if not isinstance(plain, dict):
        return plain
    ((kind, content),) = cast("dict[str, Any]", plain).items()
    if kind == "bytes":
        if not 0 <= content <= MAX_BYTES:
            raise WireError("The message is too long.")
        return _exactly(file, content)
    if kind == "path":
        return Path(content)
    if kind == "float":
        return float(content)
    items = [_value(item, file) for item in content]
    if kind == "tuple":
        return tuple(items)
    return _rendered(items) if kind == _RENDERED else _made(_DATACLASSES[kind], items)


def _made(kind: type[Any], items: list[Any]) -> Any:
    """Return an object of a dataclass. Raises: WireError, if a number or a text of it is none."""
    for field, item in zip(fields(kind), items, strict=True):
        if field.type in _SIMPLE and not isinstance(item, _SIMPLE[field.type]):
            raise WireError("The message has a value of the wrong type.")
    return kind(*items)


def _rendered(items: list[Any]) -> Rendered:
    jpeg, info, moments = items
    are_times = isinstance(moments, tuple) and all(
        isinstance(moment, float) for moment in cast("Sequence[Any]", moments)
    )
    if not (isinstance(jpeg, bytes | None) and isinstance(info, ClipInfo) and are_times):
        raise WireError("The message has a value of the wrong type.")
    return Rendered(jpeg, info, cast("tuple[float, ...]", moments))
