"""Frames through a graph of FFmpeg's filters."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av.filter.context import FilterContext


def through(frames: Iterator[Any], source: "FilterContext", sink: "FilterContext") -> Iterator[Any]:
    """What comes out of filters for what is put into them."""
    for frame in frames:
        source.push(frame)
        yield from ready(sink)
    source.push(None)
    yield from ready(sink)


def ready(sink: "FilterContext") -> Iterator[Any]:
    from av.error import BlockingIOError as NotYetError  # noqa: PLC0415
    from av.error import EOFError as NoMoreError  # noqa: PLC0415

    while True:
        try:
            yield sink.pull()
        except (NotYetError, NoMoreError):
            return
