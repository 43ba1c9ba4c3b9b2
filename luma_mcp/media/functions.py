"""The functions that the media child calls, by name, and the types of what they return."""

from collections.abc import Callable, Mapping
from typing import Any

from luma_mcp.media import edit, frames, images, previews, probe, self_test, track_tags

# The name of each, and the type that it returns.
FUNCTIONS: dict[str, tuple[Callable[..., Any], type | None]] = {
    "measure_file": (probe.measure_file, probe.ClipInfo),
    "still": (frames.still, tuple),
    "sendable": (images.sendable, bytes),
    "of_picture": (previews.of_picture, previews.Rendered),
    "of_layers": (previews.of_layers, previews.Rendered),
    "of_clip": (previews.of_clip, previews.Rendered),
    "of_shots": (previews.of_shots, bytes),
    "edit_cost": (edit.edit_cost, edit.EditCost),
    "edit": (edit.edit, None),
    "describe_file": (track_tags.describe_file, tuple),
    "check_libraries": (self_test.check_libraries, str),
}


def name_of(function: Callable[..., Any], functions: Mapping[str, tuple[Callable[..., Any], type | None]]) -> str:
    """Return the name of a function. Raises: LookupError, if the child does not call it."""
    for name, (known, _) in functions.items():
        if known is function:
            return name
    raise LookupError(f"The media child does not call {function.__name__}.")
