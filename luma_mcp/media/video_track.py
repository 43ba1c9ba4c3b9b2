"""The pictures of an edited file: the frames of each range, of one size and rate, cut or cross-faded.

Frames go from the decoders to the encoder one by one; at most the frames of one cross-fade are held, or those of a
piece that runs backwards.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from luma_mcp.domain.errors import FileError
from luma_mcp.media import libav
from luma_mcp.media.edit_plan import Edit
from luma_mcp.media.filters import chain, new_graph, ready
from luma_mcp.media.layers import with_layers
from luma_mcp.media.picture import Bars, PictureFilter
from luma_mcp.media.probe import ClipDetails, open_clip
from luma_mcp.media.stills import StillCodec, still_frame
from luma_mcp.media.timeline import MeasuredRange, Timeline

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame

# A range starts at the frame that is there, or at the next one if that is less than this part of a frame away.
_NEXT_FRAME = Fraction(1, 4)
# Seeking goes further back than this, because files index the times of decoding, which are earlier.
_SEEK_BACK_SECONDS = 1


def frames_of(timeline: Timeline, plan: Edit) -> Iterator["VideoFrame"]:
    """Yield the frames of an edited file. Raises: FileError, if a clip or a picture cannot be read."""
    bars = Bars(plan.fit, plan.bar_colour)
    streams = [_directed(clip, timeline, bars) for clip in timeline.ranges]
    joined = _crossfaded(streams, [clip.frames for clip in timeline.ranges], timeline.crossfade_frames)
    cut = joined if timeline.most_frames is None else islice(joined, timeline.frames)
    frames = with_layers(cut, timeline, plan)
    if not (plan.fade_in_seconds or plan.fade_out_seconds):
        return frames
    return _from_black(frames, timeline, plan)


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


def _directed(clip: MeasuredRange, timeline: Timeline, bars: Bars) -> Iterator["VideoFrame"]:
    """Yield the frames of a range, from its end if it runs backwards: then piece by piece, the last one first."""
    if not clip.is_reversed:
        yield from _frames_of_range(clip, timeline, bars)
        return
    length = timeline.held_frames
    for first in reversed(range(0, clip.frames, length)):
        start = float(Fraction(clip.start) + first * Fraction(clip.speed) / timeline.rate)
        piece = replace(clip, start=start, frames=min(length, clip.frames - first))
        yield from reversed(list(_frames_of_range(piece, timeline, bars)))


def _frames_of_range(clip: MeasuredRange, timeline: Timeline, bars: Bars) -> Iterator["VideoFrame"]:
    """Yield the frames of a range: exactly as many as it has in the new file.

    Each is the one that the clip shows at its time, so that a frame may come twice, or not at all.
    """
    current: VideoFrame | None = None
    count = 0
    for picture, time in _pictures(clip, timeline, bars):
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


def _pictures(clip: MeasuredRange, timeline: Timeline, bars: Bars) -> "Iterator[tuple[VideoFrame, Fraction]]":
    """Yield the pictures of a range, each with its time from the start of the range. The first may be earlier."""
    if clip.clip.is_still:
        make = PictureFilter(StillCodec(), timeline.size, timeline.colours, timeline.pixel_format, bars)
        yield make(still_frame(clip.path)), Fraction()
        return
    start, speed = Fraction(clip.start), Fraction(clip.speed)
    first_time = _NEXT_FRAME / timeline.rate
    earlier: tuple[VideoFrame, Fraction] | None = None
    with clip.path.open("rb") as file, open_clip(file) as container:
        codec = container.streams.video[0].codec_context
        make = PictureFilter(codec, timeline.size, timeline.colours, timeline.pixel_format, bars)
        for frame in decoded_from(container, clip.clip, start):
            time = (time_of(frame) - clip.clip.start - start) / speed
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


def _from_black(frames: Iterator["VideoFrame"], timeline: Timeline, plan: Edit) -> Iterator["VideoFrame"]:
    """Yield frames that come from black at the start and go to black at the end."""
    black = _black(timeline)
    fade_in, fade_out = (round(seconds * timeline.rate) for seconds in (plan.fade_in_seconds, plan.fade_out_seconds))
    for number, frame in enumerate(frames):
        # The first and the last frame are black themselves.
        shares = [1.0]
        if number < fade_in:
            shares.append(number / fade_in)
        if timeline.frames - 1 - number < fade_out:
            shares.append((timeline.frames - 1 - number) / fade_out)
        share = min(shares)
        yield frame if share == 1 else _blended(black, frame, share)


def _black(timeline: Timeline) -> "VideoFrame":
    graph = new_graph()
    width, height = timeline.size
    source = graph.add("color", f"c=black:s={width}x{height}:r=1:d=1")
    sink = chain(graph, source, [("format", timeline.pixel_format), ("buffersink", "")])
    graph.configure()
    return cast("VideoFrame", sink.pull())


def _blended(before: "VideoFrame", after: "VideoFrame", share: float) -> "VideoFrame":
    """Return a mix of two pictures of the same format, in that format, so that no colour is converted."""
    graph = new_graph()
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
