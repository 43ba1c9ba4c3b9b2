"""What answers mean, however odd they are."""

import contextlib
import json
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_mcp.backends.dream_machine import wire
from luma_mcp.domain.errors import (
    AuthenticationError,
    InsufficientCreditsError,
    InvalidRequestError,
    LumaError,
    NotFoundError,
    RateLimitError,
    ServerError,
    UnexpectedResponseError,
)
from luma_mcp.domain.generation import Generation
from luma_mcp.domain.requests import AddAudioRequest, ReframeVideoRequest, UpscaleRequest, VideoRequest
from luma_mcp.domain.text import cleaned

ID = "15b7abb1-3741-4b7e-9615-1f9a16c7442d"


def generation(**fields: Any) -> Generation:
    return wire.read_generation(json.dumps({"id": ID, **fields}).encode())


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
    assert read.request == {}


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
        wire.read_generation(data)

    assert str(caught.value).startswith("Luma answered")


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_our_errors(data: bytes) -> None:
    for read in (wire.read_generation, wire.read_page, wire.read_credit_usd, wire.read_words):
        with contextlib.suppress(LumaError):
            read(data)
    assert isinstance(wire.error_of(500, data, {}, 0), ServerError)


# Halves of characters too: Luma's server writes them as any other.
_TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
_JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
_FIELDS = st.sampled_from(["state", "assets", "model", "request", "created_at", "failure_reason", "generation_type"])


@given(st.dictionaries(_FIELDS, _JSON))
def test_no_generation_with_an_id_is_lost(fields: dict[str, Any]) -> None:
    assert generation(**fields).id == ID
    assert isinstance(generation(**fields).kind, str)


@given(st.integers(min_value=300, max_value=599), _JSON)
def test_no_error_answer_is_beyond_words(status: int, message: Any) -> None:
    error = wire.error_of(status, json.dumps({"detail": message}).encode(), {}, 0)

    assert 0 < len(str(error)) < 800
    assert str(error).isprintable()


@pytest.mark.parametrize(
    ("status", "detail", "kind", "words"),
    [
        (400, "Insufficient credits", InsufficientCreditsError, "insufficient credits"),
        (400, "400: Ray 2 with extend is not available yet", InvalidRequestError, "'Ray 2 with extend is not"),
        (401, "Invalid API key is provided", AuthenticationError, "Luma refused the token (401)"),
        (403, "Not authenticated", AuthenticationError, "(403)"),
        (404, "Generation not found", NotFoundError, "(404)"),
        (409, "busy", UnexpectedResponseError, "409"),
        (413, "too large", InvalidRequestError, "(413)"),
        (422, [{"loc": ["body", "model"], "msg": "Input should be 'ray-2'"}], InvalidRequestError, "model: Input"),
        (422, ["odd", {"loc": "x"}, {"msg": 5}], InvalidRequestError, "odd; ; 5"),
        (429, "slow down", RateLimitError, "rate limit"),
        (500, "oops", ServerError, "(500)"),
        (503, {"not": "a string"}, ServerError, "(503)."),
        (302, "", UnexpectedResponseError, "status 302"),
    ],
)
def test_an_error_answer_is_understood(status: int, detail: Any, kind: type[LumaError], words: str) -> None:
    error = wire.error_of(status, json.dumps({"detail": detail}).encode(), {}, 0)

    assert type(error) is kind
    assert words in str(error)


def test_an_html_error_page_is_understood_and_not_repeated() -> None:
    error = wire.error_of(502, b"<html><script>alert(1)</script></html>", {}, 0)

    assert str(error) == "Luma failed to answer (502)."


NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("7", 7), ("1.5", 1.5), ("0", 0), ("-1", None), ("nan", None), ("inf", None), ("soon", None), ("", None),
        ("999999999", None), (format_datetime(datetime.fromtimestamp(NOW + 30, UTC), usegmt=True), 30),
        (format_datetime(datetime.fromtimestamp(NOW - 30, UTC), usegmt=True), None),
        ("Mon, 99 Foo 2026 00:00:00 GMT", None),
    ],
)  # fmt: skip
def test_retry_after_is_read_in_both_its_forms(message: str, seconds: float | None) -> None:
    assert wire.retry_after({"retry-after": message}, NOW) == seconds


def test_a_rate_limit_says_how_long() -> None:
    error = wire.error_of(429, b"", {"retry-after": "12"}, NOW)

    assert isinstance(error, RateLimitError)
    assert error.retry_after == 12
    assert error.hint == "Nothing was bought. Call again in 12 s."


def test_a_page_keeps_what_has_an_id() -> None:
    data = {"has_more": True, "count": 3, "generations": [{"id": ID}, {"id": None}, "?", {"state": "queued"}]}
    page = wire.read_page(json.dumps(data).encode())

    assert [generation.id for generation in page.generations] == [ID]
    assert page.has_more is True


@pytest.mark.parametrize("data", [b"{}", b'{"generations": null}', b"[]"])
def test_a_list_without_generations_is_no_list(data: bytes) -> None:
    with pytest.raises(UnexpectedResponseError):
        wire.read_page(data)


@pytest.mark.parametrize("half", [rb'"\ud83d"', rb'"a boat \udea4"', b'"\xed\xa0\xbd"', b'"\xff"'])
def test_half_an_emoji_in_one_prompt_does_not_hide_the_list(half: bytes) -> None:
    page = wire.read_page(
        b'{"has_more": false, "generations": [{"id": "a", "request": {"prompt": ' + half + b'}}, {"id": "b"}]}'
    )

    assert [generation.id for generation in page.generations] == ["a", "b"]
    assert page.generations[0].request["prompt"].encode()


def test_cents_become_dollars() -> None:
    assert wire.read_credit_usd(b'{"credit_balance": 150000.0}') == 1500


@pytest.mark.parametrize("data", [b"{}", b'{"credit_balance": "1"}', b'{"credit_balance": true}'])
def test_a_balance_that_is_no_number_is_said(data: bytes) -> None:
    with pytest.raises(UnexpectedResponseError, match="not a number"):
        wire.read_credit_usd(data)


@pytest.mark.parametrize("data", [b"{}", b"[1]", b'["a", null]'])
def test_words_are_words(data: bytes) -> None:
    with pytest.raises(UnexpectedResponseError, match="list of words"):
        wire.read_words(data)


@pytest.mark.parametrize("generation_id", ["", "../credits", "a b", "-x", "a/b", "é", "a" * 101, "a\n"])
def test_what_could_name_another_path_is_no_id(generation_id: str) -> None:
    with pytest.raises(InvalidRequestError, match="is not a generation id"):
        wire.generation_path(generation_id)


@given(st.text(max_size=40))
def test_no_text_leaves_the_path_of_generations(text: str) -> None:
    try:
        path = wire.generation_path(text)
    except InvalidRequestError:
        return
    assert path == f"/generations/{text}"
    assert "/" not in text
    assert "." not in text


def test_a_body_holds_only_what_was_said() -> None:
    assert wire.encode(VideoRequest(model="ray-2", prompt="a boat")).body == {
        "generation_type": "video",
        "model": "ray-2",
        "prompt": "a boat",
    }
    assert wire.encode(UpscaleRequest(generation_id=ID)).body == {"generation_type": "upscale_video"}
    assert wire.encode(AddAudioRequest(generation_id=ID, prompt="")).body == {
        "generation_type": "add_audio",
        "prompt": "",
    }
    reframe = ReframeVideoRequest(model="ray-2", media="https://a.example/a.mp4", aspect_ratio="1:1")
    assert "x_start" not in wire.encode(reframe).body


@given(_TEXT)
def test_what_is_quoted_can_be_shown(text: str) -> None:
    shown = cleaned(text, 50)

    assert len(shown) <= 50
    assert shown.encode().decode() == shown
    assert not any(character < " " or "\u202a" <= character <= "\u202e" for character in shown)
