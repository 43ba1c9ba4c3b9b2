"""Clips that say something else than they are."""

from pathlib import Path

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
