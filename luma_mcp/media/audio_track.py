"""The sound of an edited file: the clips' own, one after the other or cross-faded, and a sound file beneath them.

Sound keeps its place: it starts as late as in its clip, a hole in it stays a hole, and each range has exactly as many
samples as its pictures last, so that picture and sound stay together however many clips there are.
"""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate
from typing import TYPE_CHECKING, Any, cast

from luma_mcp.media import libav
from luma_mcp.media.edit_plan import Edit
from luma_mcp.media.filters import Steps, chain, new_graph, ready
from luma_mcp.media.mixing import with_sounds
from luma_mcp.media.probe import open_clip, sound_track
from luma_mcp.media.sound_blocks import (
    BLOCK_SAMPLES,
    COMMON_FORMAT,
    SAMPLE_RATE,
    Samples,
    common_buffer,
    decoded,
    exactly,
    filtered,
    in_stereo,
    silence,
)
from luma_mcp.media.timeline import MeasuredRange, Timeline

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame

# Samples that are this far from their place are put there: silence fills a hole, and what overlaps is left out.
_RESAMPLE_OPTIONS = "async=1:min_hard_comp=0.01:first_pts=0"
# A cut in the middle of a sound would click.
_CUT_FADE_SECONDS = 0.005
# A decoder of sound needs some packets before its output is right.
_SEEK_BACK_SECONDS = 1
# One filter slows sound down to a half at most.
_SLOWEST_STEP = 0.5


def sound_of(plan: Edit, timeline: Timeline) -> "Iterator[AudioFrame] | None":
    """Return the sound of an edited file, as long as its pictures; None if there is none."""
    if not plan.sounds and not any(clip.has_sound for clip in timeline.ranges):
        return None
    count = _samples_in(timeline.frames, timeline.rate)
    joined = exactly(_joined(timeline), count) if timeline.most_frames is not None else _joined(timeline)
    sound = with_sounds(joined, plan.sounds, count) if plan.sounds else joined
    fades = _outer_fades(plan, timeline.seconds)
    return filtered(sound, fades) if fades else sound


def _outer_fades(plan: Edit, seconds: float) -> Steps:
    """Return the filters that fade the whole in from silence, and out."""
    fade_in, fade_out = plan.fade_in_seconds, plan.fade_out_seconds
    start = ("afade", f"t=in:d={fade_in:.6f}:curve=tri")
    end = ("afade", f"t=out:st={max(seconds - fade_out, 0):.6f}:d={fade_out:.6f}:curve=tri")
    return [*([start] if fade_in else []), *([end] if fade_out else [])]


def _joined(timeline: Timeline) -> "Iterator[AudioFrame]":
    """Yield the sound of all ranges; where they cross-fade, the end of one is added to the start of the next."""
    fade = timeline.crossfade_frames
    ends = list(accumulate(clip.frames - fade for clip in timeline.ranges))
    held = Samples()
    for number, clip in enumerate(timeline.ranges):
        start = _samples_in(ends[number] - (clip.frames - fade), timeline.rate)
        overlap_start = _samples_in(ends[number], timeline.rate)
        end = _samples_in(ends[number] + fade, timeline.rate)
        is_last = number == len(timeline.ranges) - 1
        fades = (timeline.crossfade_seconds if number else 0.0, 0.0 if is_last else timeline.crossfade_seconds)
        samples = Samples()
        before, held = held, Samples()
        for frame in _range_sound(clip, end - start, fades):
            samples.add(frame)
            if before.count and samples.count >= before.count:
                length = before.count
                yield from _added(before.cut(length), samples.cut(length))
            if not before.count and samples.count > BLOCK_SAMPLES + end - overlap_start:
                yield samples.cut(samples.count - (end - overlap_start))
        if is_last:
            yield from samples.rest(samples.count)
        else:
            yield from samples.rest(samples.count - (end - overlap_start))
            held = samples


def _samples_in(frames: int, rate: Fraction) -> int:
    return round(frames / rate * SAMPLE_RATE)


def _range_sound(clip: MeasuredRange, count: int, fades: tuple[float, float]) -> "Iterator[AudioFrame]":
    """Yield the own sound of a range, or silence: exactly so many samples.

    Args:
        clip: the range.
        count: the number of samples.
        fades: the seconds of its cross-fades, at its start and at its end.
    """
    samples = Samples()
    if count and clip.is_reversed and clip.has_sound:
        forward = replace(clip, is_reversed=False)
        yield from filtered(_range_sound(forward, count, (fades[1], fades[0])), [("areverse", "")])
        return
    if count and clip.has_sound:
        for frame in _placed_sound(clip, count, fades):
            samples.add(frame)
            length = min(samples.count, count)
            count -= length
            yield samples.cut(length)
            if not count:
                return
    while count:
        yield silence(min(count, BLOCK_SAMPLES))
        count -= min(count, BLOCK_SAMPLES)


def _placed_sound(clip: MeasuredRange, count: int, fades: tuple[float, float]) -> "Iterator[AudioFrame]":
    """Yield the sound of a range as its time stamps place it, from the start of the range; it may end early."""
    origin = clip.clip.start + Fraction(clip.start)
    with clip.path.open("rb") as file, open_clip(file) as container:
        stream = cast("Any", sound_track(container))
        if clip.start > _SEEK_BACK_SECONDS:
            container.seek(int((origin - _SEEK_BACK_SECONDS) * 1_000_000))
        graph = new_graph()
        source = graph.add_abuffer(template=stream)
        # A mono sound plays on both channels, as loud as before.
        steps = [*in_stereo(stream), ("atrim", "start=0"), ("aresample", f"{SAMPLE_RATE}:{_RESAMPLE_OPTIONS}")]
        steps += [*_at_speed(clip.speed), *([("volume", f"{clip.volume:.3f}")] if clip.volume != 1 else [])]
        steps += [*_faded(clip, count / SAMPLE_RATE, fades), ("aformat", COMMON_FORMAT)]
        sink = chain(graph, source, [*steps, ("abuffersink", "")])
        graph.configure()
        for frame in decoded(container, float(origin + Fraction(count, SAMPLE_RATE) * Fraction(clip.speed))):
            source.push(_earlier(frame, origin))
            yield from ready(sink)
        source.push(None)
        yield from ready(sink)


def _at_speed(speed: float) -> Iterator[tuple[str, str]]:
    """Yield the filters that change the speed of a sound, and not its pitch."""
    while speed < _SLOWEST_STEP:
        yield "atempo", f"{_SLOWEST_STEP}"
        speed /= _SLOWEST_STEP
    if speed != 1:
        yield "atempo", f"{speed:.6f}"


def _earlier(frame: "AudioFrame", seconds: Fraction) -> "AudioFrame":
    """Move a frame by some seconds to the start. A frame without a time stamp follows the frame before it."""
    if frame.pts is not None and frame.time_base:
        frame.pts -= round(seconds / libav.exact(frame.time_base))
    return frame


def _faded(clip: MeasuredRange, seconds: float, fades: tuple[float, float]) -> Iterator[tuple[str, str]]:
    """Yield the filters of the fades: cross-fades, or very short ones at cuts in the middle of a sound."""
    is_cut = (clip.start > 0, clip.start + clip.seconds < float(clip.clip.seconds) - 0.001)
    lengths = [fade or (_CUT_FADE_SECONDS if cut else 0.0) for fade, cut in zip(fades, is_cut, strict=True)]
    if lengths[0]:
        yield "afade", f"t=in:d={lengths[0]:.6f}:curve=tri"
    if lengths[1]:
        yield "afade", f"t=out:st={max(seconds - lengths[1], 0):.6f}:d={lengths[1]:.6f}:curve=tri"


def _added(first: "AudioFrame", second: "AudioFrame") -> "Iterator[AudioFrame]":
    """Yield the sum of two sounds of equal length."""
    graph = new_graph()
    sources = [common_buffer(graph) for _ in range(2)]
    mix = graph.add("amix", "inputs=2:duration=longest:dropout_transition=0:normalize=0")
    for pad, source in enumerate(sources):
        source.link_to(mix, 0, pad)
    sink = chain(graph, mix, [("aformat", COMMON_FORMAT), ("abuffersink", "")])
    graph.configure()
    for source, frame in zip(sources, (first, second), strict=True):
        frame.pts, frame.time_base = 0, Fraction(1, SAMPLE_RATE)
        source.push(frame)
        source.push(None)
    yield from ready(sink)
