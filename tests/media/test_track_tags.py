"""The tags of files as they are, for who compares Luma's files with what is assumed of them."""

from pathlib import Path

import pytest
from PIL import Image

from luma_mcp.domain.errors import FileError
from luma_mcp.media.track_tags import describe_file
from tests.support.made_clips import make_clip, patches


def test_a_clip_is_described_by_its_codec_size_rate_length_colours_and_sound(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    make_clip(path, patches((64, 48)))

    kind, size, rate, seconds, colours, sound, origin = describe_file(path)

    assert kind == "mp4 h264"
    assert "x" in size
    assert rate.endswith("frames a second")
    assert seconds.endswith(" s")
    assert colours.startswith("colour tags ")
    assert (sound, origin) == ("silent", "without C2PA")


@pytest.mark.parametrize("kind", ["png", "jpg", "webp"])
def test_a_picture_is_described_by_its_kind_size_and_mode(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"picture.{kind}"
    Image.new("RGB", (30, 20)).save(path)

    assert describe_file(path) == (kind, "30x20", "RGB", "without C2PA")


@pytest.mark.parametrize("padding", [0, 1024**2 - 3])
def test_a_mark_of_c2pa_is_found_wherever_it_lies(padding: int, tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    Image.new("RGB", (30, 20)).save(path)
    path.write_bytes(path.read_bytes() + bytes(padding) + b"jumbc2pa")

    assert describe_file(path)[-1] == "with C2PA"


def test_a_file_that_is_neither_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("neither")

    with pytest.raises(FileError, match="an unknown format"):
        describe_file(path)
