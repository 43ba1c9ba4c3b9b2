"""What a person names as a source."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from luma_mcp.domain.errors import InvalidRequestError
from luma_mcp.domain.sources import FileSource, GenerationSource, UrlSource, parse_source

ID = "15b7abb1-3741-4b7e-9615-1f9a16c7442d"
LOCAL = urlsplit("http://127.0.0.1:8085/dream-machine/v1")


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("https://a.example/b.png", UrlSource("https://a.example/b.png")),
        ("http://127.0.0.1:8085/assets/x/image.jpg", UrlSource("http://127.0.0.1:8085/assets/x/image.jpg")),
        (ID, GenerationSource(ID, None)),
        (f" {ID}#last ", GenerationSource(ID, "last")),
        (f"{ID}#2.5s", GenerationSource(ID, "2.5s")),
    ],
)
def test_each_form_is_read(text: str, source: object) -> None:
    assert parse_source(text, local_api=LOCAL) == source


def test_a_path_is_a_file() -> None:
    assert isinstance(parse_source(str(Path("pictures/hero.png"))), FileSource)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("http://[::1", "is not a URL that can be read"),
        ("http://127.0.0.1:8086/x.png", "http://127.0.0.1:8086/x.png"),
        ("https://me@a.example/b.png", "holds a name or a password"),
        ("ftp://a.example/b.png", "ftp"),
        (f"https://{'ü' * 70}.example/b.png", "names a host that cannot be"),
        ("  ", "names nothing"),
        ("{{ $json.image }}", "names nothing"),
    ],
)
def test_another_address_is_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_source(text, local_api=LOCAL)

    assert reason in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\u2028", "\x85"])
@pytest.mark.parametrize("second", ["https://cdn.example/b.png", "and another one"])
def test_two_lines_are_not_made_into_one_link(line_break: str, second: str) -> None:
    with pytest.raises(InvalidRequestError, match="more than one line"):
        parse_source(f"https://cdn.example/a.png{line_break}{second}")


@pytest.mark.parametrize("frame", ["end", "0", "", "2.5", "-1s", "first last"])
def test_a_frame_that_is_none_is_told_with_those_that_are(frame: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_source(f"15b7abb1-3741-4b7e-9615-1f9a16c7442d#{frame}")

    assert "names no frame. A frame of a clip is ID#first, ID#last, or its second" in caught.value.full_text
