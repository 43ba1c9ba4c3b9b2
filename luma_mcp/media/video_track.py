"""The pictures of an edited file: the frames of each range, of one size and rate, cut or cross-faded.

Frames go from the decoders to the encoder one by one; at most the frames of one cross-fade are held.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

from luma_mcp.domain.errors import FileError
from luma_mcp.media import libav
from luma_mcp.media.edit_plan import MeasuredRange, Timeline
from luma_mcp.media.filters import chain, ready
from luma_mcp.media.picture import Fit, PictureFilter
from luma_mcp.media.probe import ClipDetails, open_clip
from luma_mcp.media.stills import StillCodec, still_frame

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame

# A range starts at the frame that is there, or at the next one if that is less than this part of a frame away.
_NEXT_FRAME = Fraction(1, 4)
# Seeking goes further back than this, because files index the times of decoding, which are earlier.
_SEEK_BACK_SECONDS = 1


def frames_of(timeline: Timeline, fit: Fit) -> Iterator["VideoFrame"]:
    """Yield the frames of an edited file. Raises: FileError, if a clip cannot be read."""
    streams = [_frames_of_range(clip, timeline, fit) for clip in timeline.ranges]
    return _crossfaded(streams, [clip.frames for clip in timeline.ranges], timeline.crossfade_frames)


def decoded_from(clip: "InputContainer", details: ClipDetails, second: Fraction) -> "Iterator[VideoFrame]":
    """Yield the frames of a clip, some that are shown before a second included.

    Args:
        clip: the open clip.
        details: its measures.
        second: the second, from the start of the clip.
    """
    stream = clip.streams.video[0]
    if not stream.codec_context.is_open:
        stream.thread_type = "AUTO"
    time = details.start + second
    if second > _SEEK_BACK_SECONDS and clip.format.name != "gif":
        clip.seek(int((time - _SEEK_BACK_SECONDS) * 1_000_000))
        frames = clip.decode(stream)
        first = next(frames, None)
        if first is not None and time_of(first) <= time:
            yield first
            yield from frames
            return
    clip.seek(0)
    yield from clip.decode(stream)


def time_of(frame: "VideoFrame") -> Fraction:
    """Return the time of a frame, by the clip's own time stamps."""
    return (frame.pts or 0) * libav.exact(frame.time_base)


def _frames_of_range(clip: MeasuredRange, timeline: Timeline, fit: Fit) -> Iterator["VideoFrame"]:
    """Yield the frames of a range: exactly as many as it has in the new file.

    Each is the one that the clip shows at its time, so that a frame may come twice, or not at all.
    """
    current: VideoFrame | None = None
    count = 0
    for picture, time in _pictures(clip, timeline, fit):
        while current is not None and count < clip.frames and (count + _NEXT_FRAME) / timeline.rate < time:
            yield current
            count += 1
        if count == clip.frames:
            return
        current = picture
    if current is None:
        raise FileError("A clip has no frames in the part that is named.")
    # The last frame is shown until the end.
    for _ in range(clip.frames - count):
        yield current


def _pictures(clip: MeasuredRange, timeline: Timeline, fit: Fit) -> "Iterator[tuple[VideoFrame, Fraction]]":
    """Yield the pictures of a range, each with its time from the start of the range. The first may be earlier."""
    if clip.clip.is_still:
        make = PictureFilter(StillCodec(), timeline.size, timeline.colours, timeline.pixel_format, fit)
        yield make(still_frame(clip.path)), Fraction()
        return
    start = Fraction(clip.start)
    first_time = _NEXT_FRAME / timeline.rate
    earlier: tuple[VideoFrame, Fraction] | None = None
    with clip.path.open("rb") as file, open_clip(file) as container:
        codec = container.streams.video[0].codec_context
        make = PictureFilter(codec, timeline.size, timeline.colours, timeline.pixel_format, fit)
        for frame in decoded_from(container, clip.clip, start):
            time = time_of(frame) - clip.clip.start - start
            if time <= first_time:
                earlier = frame, time  # The last of these is shown at the start.
                continue
            if earlier is not None:
                yield make(earlier[0]), earlier[1]
                earlier = None
            yield make(frame), time
        if earlier is not None:
            yield make(earlier[0]), earlier[1]


def _crossfaded(streams: Sequence[Iterator["VideoFrame"]], counts: Sequence[int], fade: int) -> Iterator["VideoFrame"]:
    """Yield the frames of all ranges; the last ones of each are blended with the first ones of the next."""
    held: list[VideoFrame] = []
    for number, frames in enumerate(streams):
        ending, held = held, []
        holds_from = counts[number] - (fade if number < len(streams) - 1 else 0)
        for index, frame in enumerate(frames):
            if index < len(ending):
                yield _blended(ending[index], frame, (index + 1) / (fade + 1))
            elif index < holds_from:
                yield frame
            else:
                held.append(frame)


def _blended(before: "VideoFrame", after: "VideoFrame", share: float) -> "VideoFrame":
    """Return a mix of two pictures of the same format, in that format, so that no colour is converted."""
    from av.filter import Graph  # noqa: PLC0415 - see libav.load

    graph = Graph()
    sources = [
        graph.add_buffer(
            width=frame.width, height=frame.height, format=cast("Any", frame.format), time_base=Fraction(1, 1000)
        )
        for frame in (before, after)
    ]
    mix = graph.add("mix", f"inputs=2:weights='{1 - share:.6f} {share:.6f}'")
    for pad, source in enumerate(sources):
        source.link_to(mix, 0, pad)
    sink = chain(graph, mix, [("buffersink", "")])
    graph.configure()
    for source, frame in zip(sources, (before, after), strict=True):
        frame.pts, frame.time_base = 0, Fraction(1, 1000)
        source.push(frame)
        source.push(None)
    return cast("VideoFrame", next(ready(sink)))
