"""Dream Machine's own spelling of the first and the last frame, `keyframes: {frame0: ..., frame1: ...}`.

It is accepted where nothing of it is lost: each frame is a link or the id of an earlier generation.
"""

from collections.abc import Mapping
from typing import Any, cast

from luma_mcp.domain.errors import InvalidRequestError
from luma_mcp.mcp.arguments.values import parsed_json

_ARGUMENTS = {"frame0": "start_frame", "frame1": "end_frame"}
# The field of a frame with its source, by the frame's type.
_FIELDS = {"image": "url", "generation": "id"}
_FORM = 'A frame is {"type": "image", "url": ...} or {"type": "generation", "id": ...}. Nothing was done.'


def with_frames(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with `start_frame` and `end_frame` in place of frames in `keyframes`.

    Raises:
        InvalidRequestError: part of the frames has no argument here, or both spellings name the same frame.
    """
    rest = dict(arguments)
    frames = parsed_json(rest.get("keyframes"))
    if not isinstance(frames, dict) or not any(str(name) in _ARGUMENTS for name in cast("dict[Any, Any]", frames)):
        return rest
    del rest["keyframes"]
    for name, frame in cast("dict[Any, Any]", frames).items():
        if frame is None:
            continue
        argument = _ARGUMENTS.get(str(name))
        if argument is None:
            raise InvalidRequestError(f"keyframes has no {str(name)[:40]!r} beside frame0 and frame1.", _FORM)
        if argument in rest:
            raise InvalidRequestError(f"{name} of keyframes is {argument}, and both are there.", "Give one of them.")
        source = _source_of(frame)
        if source is None:
            raise InvalidRequestError(f"{name} of keyframes cannot be read.", _FORM)
        rest[argument] = source
    return rest


def _source_of(frame: Any) -> str | None:
    """The source of a frame; None if the frame has another form, or more than a source."""
    if isinstance(frame, str):
        return frame or None
    if not isinstance(frame, dict):
        return None
    entries = {str(name): value for name, value in cast("dict[Any, Any]", frame).items() if value is not None}
    kind = entries.pop("type", None)
    fields = [field for name, field in _FIELDS.items() if kind in (None, name)]
    (name, source), *others = entries.items() or [("", None)]
    return source if not others and name in fields and isinstance(source, str) and source else None
