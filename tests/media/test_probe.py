"""Clips that say something else than they are."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from luma_mcp.domain.errors import FileError
from luma_mcp.emulator.rendering.clips import write_clip
from luma_mcp.media.probe import measure, probe

SIZE = (320, 180)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A clip of forty frames, whose headers come first, as in a file for the web."""
    made = tmp_path / "made.mp4"
    write_clip(made, (Image.effect_noise(SIZE, 90).convert("RGB") for _ in range(40)), SIZE)
    web = tmp_path / "web.mp4"
    with (
        av.open(str(made)) as source,
        av.open(str(web), "w", format="mp4", options={"movflags": "faststart"}) as target,
    ):
        track = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = track
                target.mux(packet)
    return web


def test_a_clip_is_measured_by_its_packets(clip: Path) -> None:
    with clip.open("rb") as file:
        info = measure(file)
    with clip.open("rb") as file:
        headers = probe(file)

    assert (info.width, info.height, info.frames) == (320, 180, 40)
    assert info.seconds == pytest.approx(headers.seconds, abs=0.1)
    assert info.frames_per_second == pytest.approx(40 / info.seconds)


def test_a_clip_whose_headers_give_no_length_has_the_length_of_its_frames(clip: Path) -> None:
    """A price is by the second: a header with a zero in it would make any clip free."""
    with clip.open("rb") as file:
        seconds = measure(file).seconds
    data = bytearray(clip.read_bytes())
    for box, offset in ((b"mvhd", 20), (b"mdhd", 20), (b"tkhd", 24)):
        start = data.index(box)
        data[start + offset : start + offset + 4] = bytes(4)
    clip.write_bytes(data)

    with clip.open("rb") as file:
        assert measure(file).seconds == pytest.approx(seconds, abs=0.1)


def test_a_clip_that_is_cut_short_is_refused(clip: Path) -> None:
    data = clip.read_bytes()
    clip.write_bytes(data[: len(data) * 2 // 3])

    with clip.open("rb") as file, pytest.raises(FileError, match=r"cut short: \d+ of 40 frames"):
        measure(file)


def test_a_clip_without_a_frame_is_refused(clip: Path) -> None:
    data = clip.read_bytes()
    clip.write_bytes(data[: data.index(b"mdat") + 4])

    with clip.open("rb") as file, pytest.raises(FileError, match=r"no frames|cut short|not an MP4"):
        measure(file)


def dense_clip(path: Path, frames: int) -> Path:
    """A clip that states a thousand frames in a second."""
    with av.open(str(path), "w", format="mp4") as output:
        video: Any = output.add_stream("libx264", rate=1000)
        video.width, video.height = SIZE
        video.pix_fmt = "yuv420p"
        for number in range(frames):
            frame = av.VideoFrame.from_image(Image.new("RGB", SIZE, (number, 0, 0)))
            frame.pts, frame.time_base = number, Fraction(1, 1000)
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
    return path


def test_frames_that_are_denser_than_a_camera_s_are_counted_at_luma_s_rate(tmp_path: Path) -> None:
    """A price is by the second: time stamps that are close together would make a long clip cheap."""
    with dense_clip(tmp_path / "dense.mp4", 48).open("rb") as file:
        info = measure(file)

    assert (info.frames, info.seconds, info.frames_per_second) == (48, 2.0, 24.0)


def test_a_single_frame_lasts_as_long_as_it_states(tmp_path: Path) -> None:
    with dense_clip(tmp_path / "single.mp4", 1).open("rb") as file:
        info = measure(file)

    assert (info.frames, info.seconds) == (1, pytest.approx(0.001, abs=0.0005))


def test_a_clip_whose_frames_are_never_shown_is_refused(tmp_path: Path) -> None:
    """VP8 has frames that only help to decode others. A decoder returns no picture for them, and no error."""
    path = tmp_path / "hidden.webm"
    with av.open(str(path), "w", format="webm") as output:
        video: Any = output.add_stream("libvpx", rate=24)
        video.width, video.height = SIZE
        video.pix_fmt = "yuv420p"
        frames = [av.VideoFrame.from_image(Image.new("RGB", SIZE, (shade, 0, 0))) for shade in range(8)]
        for packet in [packet for frame in [*frames, None] for packet in video.encode(frame)]:
            data = bytearray(packet)
            data[0] &= ~0x10  # RFC 6386, section 9.1: show_frame
            hidden = av.Packet(bytes(data))
            hidden.stream, hidden.time_base = video, packet.time_base
            hidden.pts, hidden.dts, hidden.is_keyframe = packet.pts, packet.dts, packet.is_keyframe
            output.mux(hidden)

    with path.open("rb") as file, pytest.raises(FileError, match="has no frames"):
        measure(file)
