"""Joining clips of equal form, packet by packet: nothing is encoded again, so nothing is lost. This blocks."""

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luma_mcp.domain.errors import FileError
from luma_mcp.media.probe import open_clip

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.stream import Stream


def concatenate(clips: Sequence[Path], target: Path) -> None:
    """Write the clips one after the other into one MP4.

    Raises:
        FileError: a file is not a clip, or not of the form of the first.
        OSError: a file cannot be read or written.
    """
    import av  # noqa: PLC0415 - see frames

    with ExitStack() as stack:
        containers = [stack.enter_context(open_clip(stack.enter_context(clip.open("rb")))) for clip in clips]
        for number, clip in enumerate(containers[1:], start=2):
            _check_like(containers[0], clip, number)
        output = stack.enter_context(av.open(str(target), "w", format="mp4", options={"movflags": "+faststart"}))
        tracks = {stream.type: output.add_stream_from_template(stream) for stream in _tracks(containers[0])}
        begins, reached = 0.0, dict.fromkeys(tracks, -(2**62))
        for clip in containers:
            begins = _append(clip, output, tracks, begins, reached)


def can_concatenate(clips: Sequence[Path]) -> bool:
    """Whether clips are of equal form. Raises: FileError, if one is no clip; OSError."""
    with ExitStack() as stack:
        described = [_described(stack.enter_context(open_clip(stack.enter_context(clip.open("rb"))))) for clip in clips]
    return all(form == described[0] for form in described)


def _append(
    clip: "InputContainer", output: "OutputContainer", tracks: dict[str, Any], begins: float, reached: dict[str, int]
) -> float:
    """Put a clip's packets behind those that are there; where the next clip begins, in seconds.

    A clip's sound may be longer than its picture by part of a packet. What would overlap is left out, so that picture
    and sound stay together however many clips there are.
    """
    ends = begins
    for packet in clip.demux(_tracks(clip)):
        if packet.dts is None or packet.pts is None:
            continue
        later, kind = round(begins / packet.time_base), packet.stream.type
        if packet.dts + later <= reached[kind]:
            continue
        packet.pts += later
        packet.dts += later
        reached[kind] = packet.dts
        if kind == "video":
            ends = max(ends, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        packet.stream = tracks[kind]
        output.mux(packet)
    return ends


def _tracks(clip: "InputContainer") -> list["Stream"]:
    return [*clip.streams.video[:1], *clip.streams.audio[:1]]


def _check_like(first: "InputContainer", other: "InputContainer", number: int) -> None:
    expected, actual = _described(first), _described(other)
    differing = [name for name in expected if expected[name] != actual[name]]
    if differing:
        name = differing[0]
        raise FileError(
            f"Clip {number} cannot be joined to the first: its {name} is {actual[name]}, not {expected[name]}.",
            "Only clips of equal form are joined. Download them singly, or make them alike (upscale_video, add_audio).",
        )


def _described(clip: "InputContainer") -> dict[str, str]:
    """What must be equal, the most telling difference first."""
    video, audio = clip.streams.video[0], clip.streams.audio
    sound = f"{audio[0].codec_context.name}, {audio[0].rate} Hz, {audio[0].layout.name}" if audio else "none"
    return {
        "size": f"{video.width}x{video.height}",
        "sound": sound,
        "encoding": f"{video.codec_context.name} {video.codec_context.pix_fmt}",
        "time base": str(video.time_base),
        "stream header": _fingerprint(video) + (_fingerprint(audio[0]) if audio else ""),
    }


def _fingerprint(stream: Any) -> str:
    return hashlib.sha256(stream.codec_context.extradata or b"").hexdigest()[:8]
