"""Texts that only servers with the same key can make."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_mcp.domain.signing import Signer

SIGNER = Signer(b"key", "files")


@given(st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=20) | st.none()))
def test_what_was_signed_is_read_again(content: dict[str, object]) -> None:
    content = {name: value for name, value in content.items() if not isinstance(value, int) or abs(value) < 2**63}

    assert Signer(b"key", "files").read(SIGNER.sign(content)) == content


@pytest.mark.parametrize("other", [Signer(b"kez", "files"), Signer(b"key", "uploads"), Signer(b"", "files")])
def test_another_key_or_purpose_opens_nothing(other: Signer) -> None:
    assert other.read(SIGNER.sign({"a": 1})) is None


@given(st.integers(min_value=0), st.sampled_from("AZaz09-_.~="))
def test_a_changed_text_is_not_read(place: int, letter: str) -> None:
    text = SIGNER.sign({"place": "a/b.png", "until": 5})
    place %= len(text)
    changed = text[:place] + letter + text[place + 1 :]
    # The last letter of base64 has bits that mean nothing.
    if _decoded(changed) != _decoded(text):
        assert SIGNER.read(changed) is None
    assert SIGNER.read(text[:40]) is SIGNER.read("") is None


def _decoded(text: str) -> bytes | None:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return None


def test_a_text_ends() -> None:
    text = SIGNER.sign({"a": 1}, now=1000.0)

    assert SIGNER.read(text, now=1060.0, seconds=60) == {"a": 1}
    assert SIGNER.read(text, now=1061.0, seconds=60) is None
    assert SIGNER.read(text) == {"a": 1}


def test_the_content_cannot_be_read_without_the_key() -> None:
    text = SIGNER.sign({"place": "persons/anna/boat.png"})

    assert b"anna" not in (_decoded(text) or b"")


@pytest.mark.parametrize("text", ["\u00e9.\u00e9", "a.b.c", "....", "a" * 100_001, "AAAA.AAAA"])
def test_what_is_no_signed_text_is_none(text: str) -> None:
    assert SIGNER.read(text) is None
