"""Joining clips of equal form: their pictures are copied packet by packet, so that nothing is lost. This blocks.

Sound is encoded at the joints: packets of AAC are longer than the rest of a picture, and would drift.
"""

import hashlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

from luma_mcp.media import libav
from luma_mcp.media.audio_track import sound_of
from luma_mcp.media.edit_plan import Edit
from luma_mcp.media.encoder import AudioStream
from luma_mcp.media.formats import sniff
from luma_mcp.media.probe import ClipDetails, open_clip
from luma_mcp.media.timeline import MeasuredRange, Timeline

# Sound that is copied ends with the picture; the rates of both are exact at this one.
_SOUND_RATE = Fraction(48_000)


def can_copy_pictures(paths: Sequence[Path], clips: Sequence[ClipDetails]) -> bool:
    """Return whether the pictures of whole clips can be copied one behind the other. Raises: FileError, OSError."""
    if any(clip.is_still or clip.is_edited or clip.start != clip.picture_start for clip in clips):
        return False
    if len({(clip.turned, clip.aspect, clip.colours, clip.info.width, clip.info.height) for clip in clips}) > 1:
        return False
    described = {_described(path) for path in dict.fromkeys(paths)}
    return len(described) == 1 and None not in described


def copy_pictures(paths: Sequence[Path], clips: Sequence[ClipDetails], plan: Edit, target: Path) -> None:
    """Write the clips one after the other into one MP4, with their own sound and the sound files of a plan.

    Raises:
        FileError: a file is not a clip that can be read.
        OSError: a file cannot be read or written.
    """
    import av  # noqa: PLC0415 - see libav.load

    # One frame of this timeline is one sample, so that the sound ends with the picture of each clip.
    ends = [
        round(sum((clip.seconds for clip in clips[: number + 1]), Fraction()) * _SOUND_RATE)
        for number in range(len(clips))
    ]
    ranges = tuple(
        MeasuredRange(path, clip, 0.0, float(clip.seconds), end - before, volume=clip_range.volume)
        for path, clip, clip_range, end, before in zip(paths, clips, plan.ranges, ends, [0, *ends], strict=False)
    )
    timeline = Timeline(ranges, _SOUND_RATE, (clips[0].info.width, clips[0].info.height))
    with av.open(str(target), "w", format="mp4", options={"movflags": "+faststart"}) as output:
        with paths[0].open("rb") as file, open_clip(file) as first:
            video: Any = output.add_stream_from_template(first.streams.video[0])
        frames = sound_of(plan, timeline)
        audio = AudioStream(output, "mp4", frames) if frames is not None else None
        start = Fraction()
        for path, clip in zip(paths, clips, strict=True):
            for packet in _placed(path, clip, start):
                packet.stream = video
                seconds = float((packet.dts or 0) * packet.time_base)
                output.mux(packet)
                if audio is not None:
                    audio.write_past(seconds)
            start += clip.seconds
        if audio is not None:
            audio.write_past(float("inf"))
            audio.end()


def _placed(path: Path, clip: ClipDetails, start: Fraction) -> Iterator[Any]:
    """Yield the picture packets of a clip, with times from a second on."""
    with path.open("rb") as file, open_clip(file) as container:
        for packet in container.demux(container.streams.video[0]):
            if packet.pts is None or packet.dts is None or not packet.size:
                continue
            later = round((start - clip.start) / libav.exact(packet.time_base))
            packet.pts += later
            packet.dts += later
            yield packet


def _described(path: Path) -> tuple[Any, ...] | None:
    """Return the properties of a clip that must be equal for copying; None if it cannot be copied at all."""
    with path.open("rb") as file:
        kind = sniff(file.read(16))
        file.seek(0)
        if kind not in ("mp4", "mov"):
            return None
        with open_clip(file) as container:
            video: Any = container.streams.video[0]
            codec: Any = video.codec_context
            demuxed = cast("Iterator[Any]", container.demux(video))
            packets: list[Any] = [packet for packet in demuxed if packet.pts is not None and packet.dts is not None]
            delay: int = min(packet.pts for packet in packets) - packets[0].dts
            is_open = not packets[0].is_keyframe
            extradata = hashlib.sha256(codec.extradata or b"").hexdigest()
            properties = (video.width, video.height, codec.name, codec.pix_fmt, codec.codec_tag, extradata)
            return None if is_open else (*properties, video.time_base, delay)
