"""Frames through a graph of FFmpeg's filters."""

import gc
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av.filter.context import FilterContext
    from av.filter.graph import Graph

Steps = Sequence[tuple[str, str]]
"""Filters, each by its name and its arguments."""

PICTURE_THREADS = 4
"""The threads of a graph through which whole clips pass."""

# A graph and its filters refer to one another, so that only a collection frees the memory and threads of a former one.
_COLLECTED_THREADS = 16
_threads_since_collection = 0


def new_graph(threads: int = 1) -> "Graph":
    """Return an empty graph that uses so many threads, each of which takes memory for its stack."""
    from av.filter import Graph as NewGraph  # noqa: PLC0415 - see libav.load

    global _threads_since_collection  # noqa: PLW0603 - the child has one thread that makes graphs
    _threads_since_collection += threads
    if _threads_since_collection > _COLLECTED_THREADS:
        gc.collect()
        _threads_since_collection = threads
    graph = NewGraph()
    # Older versions of PyAV have no limit, and free a graph at once.
    with suppress(AttributeError):
        graph.threads = threads
    return graph


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
