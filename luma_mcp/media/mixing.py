"""Sound files under the sound of the clips: placed, looped, faded out, and quieter while others are heard.

All run in step, block by block, so that none waits in memory for another.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from luma_mcp.media.edit_plan import Sound
from luma_mcp.media.filters import chain, new_graph, ready
from luma_mcp.media.sound_blocks import (
    COMMON_FORMAT,
    SAMPLE_RATE,
    common_buffer,
    decoded,
    exactly,
    filtered,
    in_stereo,
    open_sound,
)

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame

# A sound that ducks becomes quieter while the others are louder than this level, soon, and returns slowly.
_DUCKING = "threshold=0.02:ratio=8:attack=50:release=600"


def with_sounds(joined: "Iterator[AudioFrame]", sounds: Sequence[Sound], count: int) -> "Iterator[AudioFrame]":
    """Yield the sound of clips mixed with sound files: so many samples. Raises: FileError, for a file that is none."""
    tracks = [exactly(joined, count), *(_track(sound, count) for sound in sounds)]
    # The graph must live as long as its ends are used.
    graph = new_graph()
    inputs, sink = _mixer(graph, [False, *(sound.is_ducked for sound in sounds)])
    fed = 0
    for blocks in zip(*tracks, strict=True):
        for source, block in zip(inputs, blocks, strict=True):
            block.pts, block.time_base = fed, Fraction(1, SAMPLE_RATE)
            source.push(block)
        fed += blocks[0].samples
        yield from ready(sink)
    for source in inputs:
        source.push(None)
    yield from ready(sink)


def _mixer(graph: Any, ducked: Sequence[bool]) -> tuple[list[Any], Any]:
    """Return the sources of a mixer, and its end. The sources that duck listen to the sum of all others."""
    sources = [common_buffer(graph) for _ in ducked]
    mix = _sum(graph, [source for source, is_ducked in zip(sources, ducked, strict=True) if not is_ducked])
    below = [source for source, is_ducked in zip(sources, ducked, strict=True) if is_ducked]
    if below:
        both = graph.add("asplit", "2")
        mix.link_to(both)
        ducking = graph.add("sidechaincompress", _DUCKING)
        _sum(graph, below).link_to(ducking, 0, 0)
        both.link_to(ducking, 0, 1)
        mix = graph.add("amix", "inputs=2:duration=longest:dropout_transition=0:normalize=0")
        both.link_to(mix, 1, 0)
        ducking.link_to(mix, 0, 1)
    # Two loud sounds at once would be clipped.
    sink = chain(graph, mix, [("alimiter", "limit=0.95:level=0"), ("aformat", COMMON_FORMAT), ("abuffersink", "")])
    graph.configure()
    return sources, sink


def _sum(graph: Any, sources: Sequence[Any]) -> Any:
    mix = graph.add("amix", f"inputs={len(sources)}:duration=longest:dropout_transition=0:normalize=0")
    for pad, source in enumerate(sources):
        source.link_to(mix, 0, pad)
    return mix


def _track(sound: Sound, count: int) -> "Iterator[AudioFrame]":
    """Return exactly so many samples of a sound file at its place."""
    seconds = count / SAMPLE_RATE
    fade = min(sound.fade_seconds, seconds)
    ends_at = f"t=out:st={seconds - fade:.6f}:d={max(fade, 0.001):.6f}"
    return filtered(exactly(_placed(sound, count), count), [("volume", f"{sound.volume:.3f}"), ("afade", ends_at)])


def _placed(sound: Sound, count: int) -> "Iterator[AudioFrame]":
    """Yield silence until a sound starts, and the sound, again and again if it is looped."""
    before = min(round(sound.start * SAMPLE_RATE), count)
    yield from exactly(iter(()), before)
    count -= before
    while True:
        played = 0
        for frame in _played(sound, count):
            played += frame.samples
            yield frame
        if not sound.is_looped or not played:
            return
        count -= played


def _played(sound: Sound, count: int) -> "Iterator[AudioFrame]":
    """Yield a sound file from its first sample, at most about so many samples. Raises: FileError."""
    with sound.path.open("rb") as opened, open_sound(opened) as file:
        stream = file.streams.audio[0]
        graph = new_graph()
        source = graph.add_abuffer(template=stream)
        steps = [*in_stereo(stream), ("asetpts", "PTS-STARTPTS"), ("aresample", f"{SAMPLE_RATE}")]
        sink = chain(graph, source, [*steps, ("aformat", COMMON_FORMAT), ("abuffersink", "")])
        graph.configure()
        for frame in decoded(file, count / SAMPLE_RATE + 1):
            source.push(frame)
            yield from ready(sink)
        source.push(None)
        yield from ready(sink)
