"""Frames of clips, sheets of frames, and clips that become one."""

from io import BytesIO
from pathlib import Path

import av
import pytest
from PIL import Image

from luma_mcp.domain.errors import FileError
from luma_mcp.emulator.rendering import clips
from luma_mcp.media import frames
from luma_mcp.media import probe as probe_module
from luma_mcp.media.contact_sheet import contact_sheet
from luma_mcp.media.edit import edit
from luma_mcp.media.edit_plan import ClipRange, Edit
from luma_mcp.media.frames import frames_at
from luma_mcp.media.images import MAX_JPEG_BYTES, open_image, small_jpeg
from luma_mcp.media.probe import probe


def clip(
    path: Path, seconds: float = 2, size: tuple[int, int] = (320, 180), sound: str | None = None, shade=None
) -> Path:
    """A clip that grows lighter from frame to frame, or is of one shade."""
    count = round(seconds * 24)
    silent = path.with_suffix(".silent")
    shades = (shade if shade is not None else round(255 * number / (count - 1)) for number in range(count))
    clips.write_clip(silent, (Image.new("RGB", size, (shade, shade, shade)) for shade in shades), size)
    if sound is None:
        return silent.rename(path)
    with silent.open("rb") as file:
        clips.add_sound(file, path, sound)
    return path


def shade_of(picture: Image.Image) -> int:
    return picture.convert("L").resize((1, 1)).getpixel((0, 0))


def test_a_clip_is_measured(tmp_path: Path) -> None:
    with clip(tmp_path / "a.mp4", sound="waves").open("rb") as file:
        form = probe(file)

    assert (form.width, form.height, form.seconds, form.frames_per_second, form.has_sound) == (320, 180, 2, 24, True)


def test_frames_are_those_of_their_moments(tmp_path: Path) -> None:
    _, found = frames_at(clip(tmp_path / "a.mp4"), [0, 1, 99])

    assert [moment for moment, _ in found] == [0, 1, pytest.approx(47 / 24)]
    assert [shade_of(frame) for _, frame in found] == pytest.approx([0, 130, 255], abs=6)


def slideshow(path: Path) -> Path:
    """Ten frames, of which the last one stays for ten seconds."""
    quick = clip(path.with_suffix(".quick"), seconds=10 / 24)
    with av.open(str(quick)) as values, av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream_from_template(values.streams.video[0])
        packets = [packet for packet in values.demux(video=0) if packet.dts is not None]
        packets[-1].duration = round(10 / packets[-1].time_base)
        for packet in packets:
            packet.stream = stream
            container.mux(packet)
    return path


@pytest.mark.parametrize("seek_above_seconds", [30.0, 1.0])
def test_a_frame_that_stays_is_the_frame_of_every_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seek_above_seconds: float
) -> None:
    monkeypatch.setattr(frames, "_SEEK_ABOVE_SECONDS", seek_above_seconds)
    form, found = frames_at(slideshow(tmp_path / "a.mp4"), [0, 6, 9])

    assert form.seconds > 10
    assert [shade_of(frame) for _, frame in found] == pytest.approx([0, 255, 255], abs=6)


def test_a_long_clip_is_not_decoded_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "_SEEK_ABOVE_SECONDS", 1.0)
    _, found = frames_at(clip(tmp_path / "a.mp4", seconds=3), [0.5, 2.5])

    assert [round(moment, 2) for moment, _ in found] == [0.5, 2.5]
    assert [shade_of(frame) for _, frame in found] == pytest.approx([43, 214], abs=6)


def test_moments_of_the_same_frame_have_that_frame_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "_SEEK_ABOVE_SECONDS", 1.0)
    _, found = frames_at(clip(tmp_path / "a.mp4", seconds=3), [0.5, 0.51, 0.5, 2.5])

    assert [round(moment, 2) for moment, _ in found] == [0.5, 0.5, 0.5, 2.5]
    assert [shade_of(frame) for _, frame in found] == pytest.approx([43, 43, 43, 214], abs=6)


@pytest.mark.parametrize(
    "content", [b"", b"#EXTM3U\nhttp://127.0.0.1/x.ts\n", b"\0\0\0\x18ftypmp42" + b"x" * 500, b"ffconcat version 1.0\n"]
)
def test_what_is_no_clip_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(FileError, match="not an MP4 that can be read"):
        frames_at(tmp_path / "a.mp4", [0])


def test_sound_alone_is_no_clip(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=44_100, layout="stereo")
        for block in clips._melody("waves", 1):
            container.mux(stream.encode(block))
        container.mux(stream.encode())
    with pytest.raises(FileError, match="no picture track"):
        frames_at(tmp_path / "a.mp4", [0])


def test_decoding_has_a_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "_DEADLINE_SECONDS", -1.0)
    with pytest.raises(FileError, match="takes too long"):
        frames_at(clip(tmp_path / "a.mp4"), [0, 1])


def test_frames_that_are_too_large_are_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_module, "MAX_PIXELS", 1000)
    with pytest.raises(FileError, match="no picture track that can be shown"):
        frames_at(clip(tmp_path / "a.mp4"), [0])


def test_a_platform_without_libav_is_told_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clip(tmp_path / "a.mp4")
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(FileError, match="package av is not installed"):
        frames_at(path, [0])


def noise(size: tuple[int, int]) -> Image.Image:
    """The worst that a picture can be to a JPEG."""
    return Image.merge("RGB", [Image.effect_noise(size, 120) for _ in range(3)])


@pytest.mark.parametrize("size", [(4096, 2304), (540, 960), (64, 64)])
@pytest.mark.medium
def test_a_small_picture_is_small_whatever_it_shows(size: tuple[int, int]) -> None:
    data = small_jpeg(noise(size), 1024)

    assert len(data) <= MAX_JPEG_BYTES
    assert max(Image.open(BytesIO(data)).size) <= 1024


@pytest.mark.parametrize("count", [4, 5, 6, 7, 8, 9])
@pytest.mark.parametrize("size", [(1280, 720), (720, 1280), (960, 960), (1680, 720), (720, 1680)])
def test_a_sheet_shows_every_frame_with_its_time_and_is_small(count: int, size: tuple[int, int]) -> None:
    shades = [round(40 + 200 * number / count) for number in range(count)]
    sheet = contact_sheet(
        [(f"{number / 2:.2f} s", Image.new("RGB", size, (shade, shade, shade))) for number, shade in enumerate(shades)]
    )

    assert max(sheet.size) <= 1280
    seen = set(sheet.convert("L").resize((sheet.width // 5, sheet.height // 5), Image.Resampling.NEAREST).tobytes())
    assert set(shades) <= seen
    assert len(small_jpeg(sheet, 1280)) <= MAX_JPEG_BYTES


def test_a_transparent_picture_is_seen_on_white() -> None:
    out = BytesIO()
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(out, "PNG")

    assert open_image(out.getvalue()).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("data", [b"", b"text", b"\x89PNG\r\n\x1a\n" + b"x" * 50])
def test_what_is_no_picture_is_said(data: bytes) -> None:
    with pytest.raises(FileError, match="not a picture that can be read"):
        open_image(data)


def test_a_picture_with_too_many_pixels_is_not_unpacked() -> None:
    large = BytesIO()
    Image.new("1", (9_000, 9_000)).save(large, "PNG")

    with pytest.raises(FileError, match="more than 50 million pixels"):
        open_image(large.getvalue())


@pytest.mark.medium
def test_clips_of_equal_form_become_one_without_encoding_them_again(tmp_path: Path) -> None:
    pieces = [clip(tmp_path / f"{n}.mp4", shade=60 * n, sound="waves") for n in range(1, 4)]
    concatenate(pieces, tmp_path / "whole.mp4")

    with (tmp_path / "whole.mp4").open("rb") as file:
        form = probe(file)
    assert form.seconds == pytest.approx(6, abs=0.01)
    assert form.has_sound
    _, found = frames_at(tmp_path / "whole.mp4", [1, 3, 5])
    assert [shade_of(frame) for _, frame in found] == pytest.approx([60, 120, 180], abs=3)
    with av.open(str(tmp_path / "whole.mp4")) as whole:
        assert sum(1 for _ in whole.decode(video=0)) == 3 * 48
        sound = float(whole.streams.audio[0].duration * whole.streams.audio[0].time_base)
    assert sound == pytest.approx(6, abs=0.05)
    packets = [packet_sizes(piece) for piece in pieces]
    assert packet_sizes(tmp_path / "whole.mp4") == [size for piece in packets for size in piece]


def concatenate(clips: list[Path], target: Path) -> None:
    edit(Edit(tuple(map(ClipRange, clips))), target)


def packet_sizes(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        return [packet.size for packet in container.demux(video=0) if packet.size]


def test_the_index_of_a_joined_clip_is_at_its_front(tmp_path: Path) -> None:
    """So that a player starts before it has all of it."""
    concatenate([clip(tmp_path / "1.mp4"), clip(tmp_path / "2.mp4")], tmp_path / "whole.mp4")
    data = (tmp_path / "whole.mp4").read_bytes()

    assert 0 < data.index(b"moov") < data.index(b"mdat")


@pytest.mark.medium
def test_clips_of_other_forms_are_made_alike(tmp_path: Path) -> None:
    pieces = [clip(tmp_path / "1.mp4"), clip(tmp_path / "2.mp4", size=(180, 320), sound="waves")]
    concatenate(pieces, tmp_path / "whole.mp4")

    with (tmp_path / "whole.mp4").open("rb") as file:
        info = probe(file)
    assert (info.width, info.height, info.has_sound) == (320, 180, True)
    assert packet_sizes(tmp_path / "whole.mp4")[:10] != packet_sizes(pieces[0])[:10]
