"""Links with and without their signatures."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_mcp.backends.dream_machine.encoding import encode
from luma_mcp.domain.requests import ImageKeyframe, VideoRequest
from luma_mcp.domain.url_signatures import canonical_url, unsigned, without_signatures
from luma_mcp.purchasing import fingerprints

S3 = "https://b.s3.amazonaws.com/a.png?X-Amz-Algorithm=AWS4&X-Amz-Date=20261124T1&X-Amz-Signature=abc"


@pytest.mark.parametrize(
    ("link", "bare"),
    [
        (S3, "https://b.s3.amazonaws.com/a.png"),
        ("https://h/a?size=2&X-Goog-Signature=abc&X-Goog-Date=1", "https://h/a?size=2"),
        ("https://h/a?sv=2020&se=2026&sr=b&sp=r&sig=abc%3D", "https://h/a"),
        ("https://h/a?Expires=1&Signature=abc&Key-Pair-Id=K", "https://h/a"),
        ("https://h/a?AWSAccessKeyId=A&Expires=1&Signature=abc", "https://h/a"),
        ("https://h/a?se=1&size=2", "https://h/a?se=1&size=2"),
        ("https://h/a", "https://h/a"),
        ("a prompt? sig=1", "a prompt? sig=1"),
        ("https://[?sig=1", "https://[?sig=1"),
    ],
)
def test_only_a_signature_is_taken_off(link: str, bare: str) -> None:
    assert unsigned(link) == bare


@given(st.text())
def test_any_text_is_taken(text: str) -> None:
    assert unsigned(unsigned(text)) == unsigned(text)


def test_all_links_of_a_request_are_found() -> None:
    assert without_signatures({"a": [{"url": S3, "n": 1}], "b": None}) == {
        "a": [{"url": "https://b.s3.amazonaws.com/a.png", "n": 1}],
        "b": None,
    }


def test_the_same_file_signed_twice_is_the_same_request() -> None:
    """Or a purchase whose answer was lost would be bought again after the file was signed anew."""
    once, again = (
        VideoRequest(model="ray-2", prompt="a boat", start=ImageKeyframe(S3.replace("T1", moment))) for moment in "12"
    )
    other = VideoRequest(model="ray-2", prompt="a boat", start=ImageKeyframe(S3.replace("a.png", "b.png")))

    assert fingerprints.fingerprint(encode(once)) == fingerprints.fingerprint(encode(again))
    assert fingerprints.fingerprint(encode(once)) != fingerprints.fingerprint(encode(other))
    assert "Signature" not in str(fingerprints.unsigned_body(encode(once)))


@pytest.mark.parametrize("text", ["https://[", "https://host:99999/a.png", "https://host:port/a.png"])
def test_a_link_that_is_no_url_keeps_its_spelling(text: str) -> None:
    assert canonical_url(text) == text
