"""Clips: H.264 in MP4 at 24 frames a second, the index at the front so that players start at once.

A clip is always opened as a file object and as MP4, never by a URL: libav would follow a playlist to anywhere.
"""

import math
import random
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, cast

import av
from av import AudioFrame, VideoFrame
from av.container import InputContainer
from av.error import FFmpegError
from av.filter import Graph
from PIL import Image

from luma_mcp.emulator.dream_machine.catalogue import FRAMES_PER_SECOND
from luma_mcp.emulator.rendering.colours import BT709_TAGS, PQ_TAGS, encoded_frames, pictures_of
from luma_mcp.emulator.rendering.images import Size, UnreadableMediaError

_SAMPLE_RATE = 44_100
_AUDIO_BLOCK = 1024


def write_clip(target: Path, frames: Iterable[Image.Image], size: Size, *, hdr: bool = False) -> None:
    """Encode pictures, all of that size, into a playable file; it appears whole or not at all.

    It states its colours: BT.709. With `hdr` it has 10 bits a channel, in BT.2020 with the PQ curve, and white is 203
    nits.
    """
    unfinished = target.with_suffix(".part")
    with av.open(str(unfinished), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p10le" if hdr else "yuv420p"
        stream.options = {"preset": "veryfast", "crf": "24"}
        codec = stream.codec_context
        codec.color_primaries, codec.color_trc, codec.colorspace, codec.color_range = PQ_TAGS if hdr else BT709_TAGS
        for number, frame in enumerate(encoded_frames(frames, hdr=hdr)):
            frame.pts = number
            frame.time_base = Fraction(1, FRAMES_PER_SECOND)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    unfinished.replace(target)


@contextmanager
def _opened(source: BinaryIO) -> Generator[InputContainer]:
    try:
        with cast("InputContainer", av.open(source, format="mp4")) as container:
            if not container.streams.video:
                raise UnreadableMediaError("no picture track")
            yield container
    except FFmpegError as error:
        raise UnreadableMediaError("not a readable MP4") from error


def frames_of(source: BinaryIO) -> Iterator[Image.Image]:
    """Each frame of a clip, in order; at least one, for libav opens no track without."""
    with _opened(source) as container:
        container.streams.video[0].thread_type = "AUTO"
        yield from pictures_of(container.decode(video=0))


def write_exr(target: Path, picture: Image.Image) -> None:
    """A picture as one OpenEXR file with 16 bits a channel."""
    codec = av.CodecContext.create("exr", "w")
    codec.width, codec.height = picture.size
    codec.pix_fmt = "gbrpf32le"
    codec.time_base = Fraction(1, FRAMES_PER_SECOND)
    codec.options = {"format": "half"}
    frame = cast("VideoFrame", VideoFrame.from_image(picture)).reformat(format="gbrpf32le")
    packets: list[Any] = [*codec.encode(frame), *codec.encode(None)]
    target.write_bytes(b"".join(map(bytes, packets)))


def first_frame(source: BinaryIO) -> Image.Image:
    """The frame a clip begins with."""
    return next(frames_of(source))


def last_frame(source: BinaryIO) -> Image.Image:
    """The frame a clip ends with."""
    (last,) = deque(frames_of(source), maxlen=1)
    return last


def size_and_seconds(source: BinaryIO) -> tuple[Size, float]:
    """Width, height and length of a clip."""
    with _opened(source) as container:
        stream = container.streams.video[0]
        length = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
        return (stream.width, stream.height), length


def add_sound(source: BinaryIO, target: Path, prompt: str) -> None:
    """Copy a clip's picture track as it is and lay a melody that follows from the prompt under it."""
    unfinished = target.with_suffix(".part")
    with (
        _opened(source) as source_container,
        av.open(str(unfinished), "w", format="mp4", options={"movflags": "+faststart"}) as container,
    ):
        picture_track = source_container.streams.video[0]
        seconds = float((picture_track.duration or 0) * (picture_track.time_base or 0))
        copied = container.add_stream_from_template(picture_track)
        sound = container.add_stream("aac", rate=_SAMPLE_RATE, layout="stereo")
        for packet in source_container.demux(picture_track):
            if packet.dts is not None:
                packet.stream = copied
                container.mux(packet)
        for block in _melody(prompt, seconds):
            container.mux(sound.encode(block))
        container.mux(sound.encode())
    unfinished.replace(target)


def _melody(prompt: str, seconds: float) -> Iterator[AudioFrame]:
    """Notes of a pentatonic scale, two a second, chosen by the prompt; libav's own generator makes the samples."""
    chance = random.Random(prompt)  # noqa: S311 - a tune, not a secret
    scale = [220.0 * 2 ** (step / 12) for step in (0, 3, 5, 7, 10, 12)]
    notes = [chance.choice(scale) for _ in range(max(1, math.ceil(seconds * 2)))]
    pitch = "+".join(f"{note:.2f}*between(t,{at / 2},{at / 2 + 0.4999})" for at, note in enumerate(notes))
    fading = "exp(-3*mod(t,0.5))"
    tone = f"0.35*{fading}*sin(2*PI*({pitch})*t)"
    graph = Graph()
    graph.link_nodes(
        graph.add("aevalsrc", f"exprs='{tone}|{tone}':s={_SAMPLE_RATE}:d={seconds}:nb_samples={_AUDIO_BLOCK}"),
        graph.add("aformat", "sample_fmts=fltp:channel_layouts=stereo"),
        graph.add("abuffersink"),
    ).configure()
    while True:
        try:
            block = graph.pull()
        except (EOFError, BlockingIOError):
            return
        yield cast("AudioFrame", block)
