"""What answers mean, however odd they are."""

import contextlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_mcp.backends import errors
from luma_mcp.backends.dream_machine import decoding
from luma_mcp.domain.errors import (
    LumaError,
    ServerError,
    UnexpectedResponseError,
)
from luma_mcp.domain.generation import Generation
from luma_mcp.domain.text import cleaned
from tests.support.json_values import JSON_VALUES, TEXTS

ID = "15b7abb1-3741-4b7e-9615-1f9a16c7442d"


def generation(**fields: Any) -> Generation:
    return decoding.read_generation(json.dumps({"id": ID, **fields}).encode())


def test_a_completed_video_is_read() -> None:
    """The shape of an answer of the real API, May 2025."""
    read = generation(
        generation_type="video",
        state="completed",
        failure_reason=None,
        created_at="2025-05-19T13:51:42.302000Z",
        assets={"video": "https://a.example/v.mp4", "image": "https://a.example/t.jpg", "progress_video": None},
        model="ray-flash-2",
        request={"generation_type": "video", "prompt": "an old lady", "resolution": "720p", "keyframes": None},
    )

    assert read.is_final
    assert read.kind == "video"
    assert not read.makes_image
    assert read.created_at == datetime(2025, 5, 19, 13, 51, 42, 302000, tzinfo=UTC)
    assert read.url("video") == "https://a.example/v.mp4"


def test_an_old_image_answer_is_read() -> None:
    """Before 2025 the keys were named `type`."""
    read = generation(type="image", state="completed", request={"type": "image", "model": "photon-1"})

    assert read.kind == "image"
    assert read.makes_image


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"state": None, "assets": [], "request": "?", "created_at": "yesterday", "model": 7, "generation_type": {}},
        {"state": 12, "assets": {"video": 5, "image": None, "more": {}}, "extra": [1]},
        {"state": "", "failure_reason": ["?"], "request": []},
    ],
)
def test_what_cannot_be_read_in_a_generation_is_as_good_as_absent(odd: dict[str, Any]) -> None:
    read = generation(**odd)

    assert read.id == ID
    assert read.state == "unknown"
    assert not read.is_final
    assert (read.request, read.prompt, read.echo) == (None, None, {})


def test_a_state_nobody_knows_survives_and_is_not_final() -> None:
    assert generation(state="paused").state == "paused"
    assert not generation(state="paused").is_final


@pytest.mark.parametrize(
    "data",
    [
        b"", b"   ", b"<html></html>", b"\xff\xfe", b"[]", b"null", b"NaN", b'{"id": NaN}', b'{"id": "a"',
        b'{"id": null}', b'{"id": "../x"}', b'{"id": 5.5}', b"[" * 200_000, b'{"id": ""}',
    ],
)  # fmt: skip
def test_what_is_no_generation_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(UnexpectedResponseError) as caught:
        decoding.read_generation(data)

    assert str(caught.value).startswith("Luma answered")


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_our_errors(data: bytes) -> None:
    for read in (decoding.read_generation, decoding.read_page, decoding.read_credit_usd, decoding.read_words):
        with contextlib.suppress(LumaError):
            read(data)
    assert isinstance(errors.error_of(500, data, {}, 0), ServerError)


_FIELDS = st.sampled_from(["state", "assets", "model", "request", "created_at", "failure_reason", "generation_type"])


@pytest.mark.medium
@given(st.dictionaries(_FIELDS, JSON_VALUES))
def test_no_generation_with_an_id_is_lost(fields: dict[str, Any]) -> None:
    assert generation(**fields).id == ID
    assert isinstance(generation(**fields).kind, str)


def test_a_page_keeps_what_has_an_id() -> None:
    data = {"has_more": True, "count": 3, "generations": [{"id": ID}, {"id": None}, "?", {"state": "queued"}]}
    page = decoding.read_page(json.dumps(data).encode())

    assert [generation.id for generation in page.generations] == [ID]
    assert page.has_more is True


@pytest.mark.parametrize("data", [b"{}", b'{"generations": null}', b"[]"])
def test_a_list_without_generations_is_no_list(data: bytes) -> None:
    with pytest.raises(UnexpectedResponseError):
        decoding.read_page(data)


@pytest.mark.parametrize("half", [rb'"\ud83d"', rb'"a boat \udea4"', b'"\xed\xa0\xbd"', b'"\xff"'])
def test_half_an_emoji_in_one_prompt_does_not_hide_the_list(half: bytes) -> None:
    page = decoding.read_page(
        b'{"has_more": false, "generations": [{"id": "a", "request": {"prompt": ' + half + b'}}, {"id": "b"}]}'
    )

    assert [generation.id for generation in page.generations] == ["a", "b"]
    assert (page.generations[0].prompt or "").encode()


def test_cents_become_dollars() -> None:
    assert decoding.read_credit_usd(b'{"credit_balance": 150000.0}') == 1500


@pytest.mark.parametrize("data", [b"{}", b'{"credit_balance": "1"}', b'{"credit_balance": true}'])
def test_a_balance_that_is_no_number_is_said(data: bytes) -> None:
    with pytest.raises(UnexpectedResponseError, match="not a number"):
        decoding.read_credit_usd(data)


@pytest.mark.parametrize("data", [b"{}", b"[1]", b'["a", null]'])
def test_words_are_words(data: bytes) -> None:
    with pytest.raises(UnexpectedResponseError, match="list of words"):
        decoding.read_words(data)


@given(TEXTS)
def test_what_is_quoted_can_be_shown(text: str) -> None:
    shown = cleaned(text, 50)

    assert len(shown) <= 50
    assert shown.encode().decode() == shown
    assert not any(character < " " or "\u202a" <= character <= "\u202e" for character in shown)
