"""Tables of an MP4 that promise more than the file can hold, and other clips that are made to do harm."""

import struct
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from luma_mcp.domain.errors import FileError
from luma_mcp.emulator.rendering.clips import write_clip
from luma_mcp.media.boxes import check_tables
from luma_mcp.media.formats import is_whole
from luma_mcp.media.frames import frames_at, still
from luma_mcp.media.probe import measure, open_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    write_clip(path, (Image.new("RGB", (64, 36), (n * 9, 0, 255 - n * 9)) for n in range(24)), (64, 36))
    return path.read_bytes()


def changed(clip: bytes, kind: bytes, offset: int, value: int) -> bytes:
    """The clip with another number in the table of that kind."""
    at = clip.index(kind) + 4 + offset
    return clip[:at] + struct.pack(">I", value) + clip[at + 4 :]


def test_a_whole_clip_is_plausible(clip: bytes) -> None:
    file = BytesIO(clip)
    check_tables(file)

    assert file.tell() == 0
    assert measure(file).frames == 24


@pytest.mark.parametrize(
    ("kind", "offset", "value"),
    [
        (b"stsz", 8, 2**31),
        (b"stsz", 8, 25),
        (b"stts", 4, 2**28),
        (b"stts", 8, 2**31),
        (b"stsc", 4, 2**28),
        (b"stco", 4, 2**28),
        (b"stss", 4, 2**28),
    ],
)
def test_a_table_that_promises_too_much_is_refused(clip: bytes, kind: bytes, offset: int, value: int) -> None:
    with pytest.raises(FileError, match="promise more than it can hold"):
        measure(BytesIO(changed(clip, kind, offset, value)))


def test_a_table_of_equal_samples_may_be_small_but_not_endless() -> None:
    def of(count: int) -> BytesIO:
        content = struct.pack(">III", 0, 1, count)
        box = struct.pack(">I4s", 8 + len(content), b"stsz") + content
        for kind in (b"stbl", b"minf", b"mdia", b"trak", b"moov"):
            box = struct.pack(">I4s", 8 + len(box), kind) + box
        return BytesIO(box)

    check_tables(of(1000))
    with pytest.raises(FileError):
        check_tables(of(2**30))


@given(st.binary(max_size=200))
def test_no_bytes_break_the_check(data: bytes) -> None:
    for content in (data, struct.pack(">I4s", 8 + len(data), b"moov") + data):
        with suppress(FileError):
            check_tables(BytesIO(content))


@given(damages=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8))
def test_no_damage_breaks_the_check(clip: bytes, damages: list[tuple[int, int]]) -> None:
    damaged = bytearray(clip)
    for at, value in damages:
        damaged[at % len(clip)] = value
    with suppress(FileError):
        check_tables(BytesIO(bytes(damaged)))


def test_a_codec_that_nobody_needs_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "old.mov"
    with av.open(str(path), "w", format="mov") as output:
        stream = output.add_stream("qtrle", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 36, "rgb24"
        for _ in range(3):
            frame = av.VideoFrame.from_image(Image.new("RGB", (64, 36), "red"))
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))

    with path.open("rb") as file, pytest.raises(FileError, match="is encoded as qtrle") as caught, open_clip(file):
        pass
    assert caught.value.hint == "Convert it to H.264."


def test_a_title_in_another_encoding_is_no_obstacle(tmp_path: Path, clip: bytes) -> None:
    path = tmp_path / "titled.mov"
    with av.open(BytesIO(clip)) as source, av.open(str(path), "w", format="mov") as output:
        output.metadata["title"] = "Mowe am Meer 0123"
        stream = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                output.mux(packet)
    path.write_bytes(path.read_bytes().replace(b"Mowe am Meer", b"M\xf6we am Meer"))

    with path.open("rb") as file:
        assert measure(file).frames == 24


def test_the_last_frame_is_the_last_packet_s_whatever_the_header_says(tmp_path: Path, clip: bytes) -> None:
    path = tmp_path / "lying.mp4"
    lying = clip
    for kind, offset in ((b"mvhd", 16), (b"tkhd", 20), (b"mdhd", 16)):
        lying = changed(lying, kind, offset, 0)
    path.write_bytes(lying)
    info, found = frames_at(path, [float("inf")])

    assert info.seconds == pytest.approx(1, abs=0.05)
    assert found[0][1].getpixel((30, 18))[0] > 150, "the last frame is red"


def test_a_clip_that_is_cut_short_is_not_looked_at(tmp_path: Path, clip: bytes) -> None:
    path = tmp_path / "half.mp4"
    with av.open(BytesIO(clip)) as source, av.open(str(path), "w", options={"movflags": "faststart"}) as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                output.mux(packet)
    path.write_bytes(path.read_bytes()[:-300])

    with pytest.raises(FileError):
        frames_at(path, [0])


def test_a_frame_whose_png_is_too_large_becomes_a_jpeg(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_clip(path, (Image.effect_noise((320, 180), 90).convert("RGB") for _ in range(12)), (320, 180))
    large, small = still(path, "first", "a", 10**7), still(path, "first", "a", 20_000)

    assert (large[0], small[0]) == ("png", "jpg")
    with Image.open(BytesIO(small[1])) as picture:
        assert (picture.format, picture.size) == ("JPEG", (320, 180))
    with pytest.raises(FileError, match="is beyond the end of the clip"):
        still(path, "7s", "a", 10**7)


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


@pytest.mark.parametrize("kind", [b"stsz", b"stts", b"stco"])
def test_a_table_without_a_count_is_refused(kind: bytes) -> None:
    with pytest.raises(FileError):
        check_tables(BytesIO(box(b"moov", box(kind, b"\0\0\0"))))


def test_times_that_are_counted_together_are_too_many() -> None:
    entries = struct.pack(">II", 600_000, 1) * 2

    with pytest.raises(FileError):
        check_tables(BytesIO(box(b"moov", box(b"stts", struct.pack(">II", 0, 2) + entries))))


def test_a_box_may_be_large_or_go_to_the_end() -> None:
    large = struct.pack(">I4sQ", 1, b"mdat", 16 + 100) + b"x" * 100
    open_end = struct.pack(">I4s", 0, b"mdat") + b"x" * 50
    file = BytesIO(large + open_end)
    check_tables(file)

    assert file.tell() == 0
    check_tables(BytesIO(struct.pack(">I4s", 3, b"mdat") + b"x" * 50))


def test_more_boxes_than_a_clip_has_are_refused() -> None:
    with pytest.raises(FileError):
        check_tables(BytesIO(box(b"free", b"") * 10_002))


@pytest.mark.parametrize(
    ("tail", "whole"),
    [
        (b"", True),
        (struct.pack(">I4s", 8, b"free"), True),
        (struct.pack(">I4sQ", 1, b"mdat", 20) + bytes(4), True),
        (struct.pack(">I4s", 0, b"mdat") + bytes(9), True),
        (struct.pack(">I4s", 20, b"mdat"), False),
        (struct.pack(">I4s", 7, b"mdat") + bytes(9), False),
        (struct.pack(">I4sQ", 1, b"mdat", 0) + bytes(9), False),
        (b"\0\0\0", False),
    ],
)
def test_a_file_is_whole_if_its_boxes_fill_it(tmp_path: Path, tail: bytes, whole: bool) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(struct.pack(">I4s8s", 16, b"ftyp", b"isom") + tail)

    assert is_whole(path, "mp4") is whole
