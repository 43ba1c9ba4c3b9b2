"""Texts that only servers with the same key can make."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_mcp.domain.signing import Seal

SEAL = Seal(b"key", "files")


@given(st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=20) | st.none()))
def test_what_was_sealed_is_read_again(content: dict[str, object]) -> None:
    content = {name: value for name, value in content.items() if not isinstance(value, int) or abs(value) < 2**63}

    assert Seal(b"key", "files").open(SEAL.seal(content)) == content


@pytest.mark.parametrize("other", [Seal(b"kez", "files"), Seal(b"key", "uploads"), Seal(b"", "files")])
def test_another_key_or_purpose_opens_nothing(other: Seal) -> None:
    assert other.open(SEAL.seal({"a": 1})) is None


@given(st.integers(min_value=0), st.sampled_from("AZaz09-_.~="))
def test_a_changed_text_is_not_read(place: int, letter: str) -> None:
    text = SEAL.seal({"place": "a/b.png", "until": 5})
    place %= len(text)
    changed = text[:place] + letter + text[place + 1 :]
    content = text.partition(".")[0]
    # The last letter of base64 has bits that mean nothing.
    if _decoded(changed) != _decoded(text):
        assert SEAL.open(changed) is None
    assert SEAL.open(content) is SEAL.open(f"{content}.") is SEAL.open("") is None


def _decoded(text: str) -> list[bytes | None]:
    parts: list[bytes | None] = []
    for part in text.split(".", 1):
        try:
            parts.append(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        except ValueError:
            parts.append(None)
    return parts


@pytest.mark.parametrize("text", ["\u00e9.\u00e9", "a.b.c", "....", "a" * 100_001, "AAAA.AAAA"])
def test_what_is_no_sealed_text_is_none(text: str) -> None:
    assert SEAL.open(text) is None
