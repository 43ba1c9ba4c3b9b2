"""Frames through a graph of FFmpeg's filters."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av.filter.context import FilterContext
    from av.filter.graph import Graph

Steps = Sequence[tuple[str, str]]
"""Filters, each by its name and its arguments."""


def chain(graph: "Graph", source: "FilterContext", steps: Steps) -> "FilterContext":
    """Link filters one behind the other, each by its name and its arguments, and return the last."""
    for name, arguments in steps:
        step = graph.add(name, arguments) if arguments else graph.add(name)
        source.link_to(step)
        source = step
    return source


def through(frames: Iterator[Any], source: "FilterContext", sink: "FilterContext") -> Iterator[Any]:
    """Yield the frames that come out of filters for those that are put into them."""
    for frame in frames:
        source.push(frame)
        yield from ready(sink)
    source.push(None)
    yield from ready(sink)


def ready(sink: "FilterContext") -> Iterator[Any]:
    """Yield the frames that a filter has ready."""
    from av.error import BlockingIOError as NotYetError  # noqa: PLC0415 - see libav.load
    from av.error import EOFError as NoMoreError  # noqa: PLC0415 - see libav.load

    while True:
        try:
            yield sink.pull()
        except (NotYetError, NoMoreError):
            return
