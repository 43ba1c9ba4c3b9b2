"""Captions as they are read, written and drawn."""

from pathlib import Path

import pytest
from PIL import Image

from luma_mcp.domain.errors import FileError, InvalidRequestError
from luma_mcp.media import caption_drawing, captions
from luma_mcp.media.caption_drawing import drawn
from luma_mcp.media.captions import Caption, as_srt, checked, one_at_a_time, read_captions

SRT = """\ufeff1\r
00:00:01,000 --> 00:00:03,500\r
<i>Hello</i>\r
world\r
\r
2\r
00:01:02,5 --> 01:00:04,25\r
Second\r
"""


def test_an_srt_is_read_with_its_lines_and_without_its_tags() -> None:
    assert read_captions(SRT) == (Caption(1.0, 3.5, "Hello\nworld"), Caption(62.5, 3604.25, "Second"))


def test_a_webvtt_is_read_too_and_is_put_in_order() -> None:
    text = "WEBVTT\n\n00:05.000 --> 00:06.000 align:start\nlater\n\nx\n00:01.000 --> 00:02.000\n\n\n"
    text += "00:00.5 --> 00:01.0\nfirst"

    assert read_captions(text) == (Caption(0.5, 1.0, "first"), Caption(5.0, 6.0, "later"))


def test_what_is_written_is_read_as_the_same() -> None:
    read = read_captions(SRT)

    lines = ["1", "00:00:01,000 --> 00:00:03,500", "Hello", "world", "", "2", "00:01:02,500 --> 01:00:04,250", "Second"]
    assert as_srt(read).splitlines() == lines
    assert read_captions(as_srt(read)) == read


@pytest.mark.parametrize("text", ["", "Hello", "00:00:01,000 --> 00:00:02,000\n\n"])
def test_a_text_without_captions_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="are no SRT"):
        read_captions(text)


def test_a_caption_that_ends_before_it_starts_is_refused_and_so_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidRequestError, match="'late' cannot begin at 3 s and end at 2 s"):
        checked([Caption(3, 2, "late")])
    monkeypatch.setattr(captions, "MAX_CAPTIONS", 1)
    with pytest.raises(InvalidRequestError, match="There are 2 captions; an edit takes 1"):
        checked([Caption(0, 1, "a")] * 2)


def test_captions_that_overlap_become_lines_of_one() -> None:
    overlapping = (Caption(0, 2, "a"), Caption(1, 3, "b"), Caption(5, 6, "c"))

    assert one_at_a_time(overlapping) == (
        Caption(0, 1, "a"), Caption(1, 2, "a\nb"), Caption(2, 3, "b"), Caption(5, 6, "c"),
    )  # fmt: skip


def _box(text: str, size: tuple[int, int] = (640, 360)) -> tuple[int, int, int, int]:
    box = drawn(text, size).getchannel("A").getbbox()
    assert box is not None
    return box


def test_a_caption_lies_at_the_bottom_in_the_middle_and_breaks_into_lines_that_fit() -> None:
    left, top, right, bottom = _box("A short one")
    assert (left + right) / 2 == pytest.approx(320, abs=4)
    assert 360 * 0.85 < top < bottom < 360

    left, taller, right, _ = _box("A sentence with many words that has no room in one line of this picture")
    assert taller < top
    assert left > 0.03 * 640
    assert right < 0.97 * 640


def test_a_word_that_is_wider_than_the_picture_is_broken() -> None:
    left, _, right, _ = _box("a" + "W" * 200)

    assert 0 < left < right < 640


def test_a_picture_that_is_too_narrow_for_a_letter_has_one_letter_a_line() -> None:
    assert _box("Wide", (16, 200))[3] <= 200


def test_letters_that_no_font_has_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"no font")
    monkeypatch.setattr(caption_drawing, "_installed_fonts", lambda: (broken,))
    caption_drawing._path_for.cache_clear()
    try:
        with pytest.raises(FileError, match="has the letters \u3042") as caught:
            drawn("a \u3042", (320, 180))
        assert "burn_captions" in caught.value.hint
    finally:
        caption_drawing._path_for.cache_clear()


def test_an_installed_font_draws_what_the_first_font_lacks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A font without serifs is tried first."""
    fonts = caption_drawing._installed_fonts()
    assert [caption_drawing._preference(path) for path in fonts] == sorted(map(caption_drawing._preference, fonts))
    monkeypatch.setattr(caption_drawing, "_FONT_FOLDERS", {"linux": (str(tmp_path),), "darwin": (), "win32": ()})
    caption_drawing._installed_fonts.cache_clear()
    assert caption_drawing._installed_fonts() == ()
    caption_drawing._installed_fonts.cache_clear()


def test_a_drawn_caption_is_white_with_a_dark_edge() -> None:
    picture = drawn("MMM", (640, 360))
    below = Image.new("RGBA", picture.size, (200, 30, 30, 255))
    below.alpha_composite(picture)
    colours = {colour for _, colour in below.getcolors(100_000) or []}

    assert (255, 255, 255, 255) in colours
    assert any(isinstance(colour, tuple) and max(colour[:3]) < 40 for colour in colours)
