"""The pictures of an edited file: the frames of each part, made alike, cut or cross-faded.

Frames go from the decoders to the encoder one by one; at most the frames of one cross-fade are kept.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from luma_mcp.domain.errors import FileError
from luma_mcp.media.edit_plan import Fit, Part, Timeline
from luma_mcp.media.filters import through
from luma_mcp.media.probe import open_clip

if TYPE_CHECKING:
    from fractions import Fraction

    from av.container import InputContainer
    from av.filter.context import FilterContext
    from av.video.frame import VideoFrame

# Of curves that an 8-bit picture cannot have: PQ and HLG, by their numbers in H.273.
_HDR_CURVES = frozenset({16, 18})


def frames_of(timeline: Timeline, fit: Fit) -> Iterator["VideoFrame"]:
    """The frames of an edited file. Raises: FileError, if a clip cannot be read."""
    streams = [_frames_of_part(part, timeline, fit) for part in timeline.parts]
    return _crossfaded(streams, [part.frames for part in timeline.parts], timeline.crossfade_frames)


def _frames_of_part(part: Part, timeline: Timeline, fit: Fit) -> Iterator["VideoFrame"]:
    """The frames of a part, of one size and rate: just as many as it shall have."""
    made, last = 0, None
    with part.path.open("rb") as file, open_clip(file) as clip:
        for frame in _even(_decoded(clip, part), clip, timeline, fit):
            last = frame
            yield frame
            made += 1
            if made == part.frames:
                return
    if last is None:
        raise FileError("A clip has no frames in the part that is named.")
    # The last frame is shown for as long as it lasts.
    for _ in range(part.frames - made):
        yield last


def _decoded(clip: "InputContainer", part: Part) -> Iterator["VideoFrame"]:
    """The frames of a part as the clip has them, with times that begin at the part."""
    stream = clip.streams.video[0]
    stream.thread_type = "AUTO"
    if stream.codec_context.color_trc in _HDR_CURVES:
        raise FileError("An HDR clip cannot be edited without losing its light.", "Join it with equal ones as it is.")
    base = cast("Fraction", stream.time_base)
    if part.begin > 1:
        clip.seek(int(part.begin / base), stream=stream)
    first: VideoFrame | None = None
    for frame in clip.decode(stream):
        if frame.pts is None:  # pragma: no cover - MP4 has a time for each
            continue
        time = float(frame.pts * base) - part.begin
        if time >= part.seconds:
            break
        frame.pts = max(0, round(time / base))
        if time <= 0:
            first = frame  # what is shown at the begin may have come before it
            continue
        if first is not None:
            yield first
            first = None
        yield frame
    if first is not None:
        yield first


def _even(
    frames: Iterator["VideoFrame"], clip: "InputContainer", timeline: Timeline, fit: Fit
) -> Iterator["VideoFrame"]:
    """The frames in one size, rate and format."""
    from av.filter import Graph  # noqa: PLC0415 - see frames

    width, height = timeline.size
    graph = Graph()
    ends: list[FilterContext] = [graph.add_buffer(template=clip.streams.video[0])]
    grow = "increase" if fit == "cover" else "decrease"
    steps = [("scale", f"{width}:{height}:force_original_aspect_ratio={grow}:force_divisible_by=2")]
    steps += [("crop", f"{width}:{height}")] if fit == "cover" else [("pad", f"{width}:{height}:(ow-iw)/2:(oh-ih)/2")]
    rate = timeline.frames_per_second
    steps += [("setsar", "1"), ("fps", f"{rate}:start_time=0"), ("format", "yuv420p"), ("buffersink", "")]
    for name, values in steps:
        ends.append(graph.add(name, values) if values else graph.add(name))
        ends[-2].link_to(ends[-1])
    graph.configure()
    # The graph must live as long as its filters are used, which do not keep it.
    yield from cast("Iterator[VideoFrame]", through(frames, ends[0], ends[-1]))


def _crossfaded(streams: Sequence[Iterator["VideoFrame"]], counts: Sequence[int], fade: int) -> Iterator["VideoFrame"]:
    """The frames of all parts; the last ones of each go over into the first ones of the next."""
    held: list[VideoFrame] = []
    blend = _Blend()
    for number, frames in enumerate(streams):
        ending, held = held, []
        keeps_from = counts[number] - (fade if number < len(streams) - 1 else 0)
        for place, frame in enumerate(frames):
            if place < len(ending):
                yield blend(ending[place], frame, (place + 1) / (fade + 1))
            elif place < keeps_from:
                yield frame
            else:
                held.append(frame)


class _Blend:
    """Lays a frame over another one. A converter for each frame would bring threads of its own, so there are two."""

    def __init__(self) -> None:
        from av.video.reformatter import VideoReformatter  # noqa: PLC0415

        self._to_rgb, self._to_yuv = VideoReformatter(), VideoReformatter()

    def __call__(self, before: "VideoFrame", after: "VideoFrame", share: float) -> "VideoFrame":
        from av import VideoFrame as Frame  # noqa: PLC0415
        from PIL import Image  # noqa: PLC0415 - costs 20 ms, which only looking at images shall pay

        pictures = [cast("Any", self._to_rgb.reformat(frame, format="rgb24")).to_image() for frame in (before, after)]
        blended = cast("VideoFrame", Frame.from_image(Image.blend(pictures[0], pictures[1], share)))
        return self._to_yuv.reformat(blended, format="yuv420p")
