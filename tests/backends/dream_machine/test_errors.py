"""What an answer means that is no success."""

import json
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_mcp.backends import errors, responses
from luma_mcp.domain.errors import (
    AuthenticationError,
    GoneError,
    InsufficientCreditsError,
    InvalidRequestError,
    LumaError,
    NotFoundError,
    RateLimitError,
    ServerError,
    UnexpectedResponseError,
)
from tests.support.json_values import JSON_VALUES

NOW = 1_800_000_000.0


@given(st.integers(min_value=300, max_value=599), JSON_VALUES)
def test_no_error_answer_is_beyond_words(status: int, message: Any) -> None:
    error = errors.error_of(status, json.dumps({"detail": message}).encode(), {}, 0)

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
        (422, ["odd", {"loc": "x"}, {"msg": 5}], InvalidRequestError, "'odd'"),
        (429, "slow down", RateLimitError, "rate limit"),
        (500, "oops", ServerError, "(500)"),
        (503, {"not": "a string"}, ServerError, "(503)."),
        (302, "", UnexpectedResponseError, "status 302"),
    ],
)
def test_an_error_answer_is_understood(status: int, detail: Any, kind: type[LumaError], words: str) -> None:
    error = errors.error_of(status, json.dumps({"detail": detail}).encode(), {}, 0)

    assert type(error) is kind
    assert words in str(error)


@pytest.mark.parametrize(
    "body", [b"<html>Access denied</html>", b"", b"[]", b'{"message": "no Route matched"}', b"[" * 9999]
)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_an_error_that_is_not_luma_s_own_says_nothing_of_the_token_or_the_generation(status: int, body: bytes) -> None:
    error = errors.error_of(status, body, {}, 0)

    assert type(error) is UnexpectedResponseError
    assert error.is_transient
    assert f"status {status}, and it is not Luma's own" in str(error)


def test_an_api_that_was_switched_off_is_gone_and_refuses_purchases() -> None:
    # No firewall sends a 410, so whatever body it has means that the API was switched off.
    assert isinstance(errors.error_of(410, b"<html>", {}, 0), GoneError)
    error = errors.error_of(410, b'{"detail": "Retired"}', {}, 0)

    assert (type(error), error.is_transient) == (GoneError, False)
    assert "Luma's other API" in error.hint
    assert errors.is_refusal(410, b'{"detail": "Retired"}', {})
    assert not errors.is_refusal(410, b"<html>", {})


def test_an_html_error_page_is_understood_and_not_repeated() -> None:
    error = errors.error_of(502, b"<html><script>alert(1)</script></html>", {}, 0)

    assert str(error) == "Luma failed to answer (502)."


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
    assert responses.retry_after({"retry-after": message}, NOW) == seconds


def test_a_rate_limit_says_how_long() -> None:
    error = errors.error_of(429, b"", {"retry-after": "12"}, NOW)

    assert isinstance(error, RateLimitError)
    assert error.retry_after == 12
    assert error.hint == "Nothing was bought. Call again in 12 s."


@pytest.mark.parametrize(
    ("status", "body", "is_luma_s"),
    [
        (400, b'{"detail": "400: Prompt is too long"}', True), (422, b'{"detail": [{"msg": "x"}]}', True),
        (429, b'{"message": "slow down"}', True), (429, b"<html>slow down</html>", False),
        (403, b"<html>blocked</html>", False), (400, b"[]", False), (400, b"{}", False), (400, b"", False),
        (405, b'{"detail": "Method Not Allowed"}', False), (500, b'{"detail": "oops"}', False),
        (408, b'{"detail": "timeout"}', False), (400, b'{"detail": 5}', False),
    ],
)  # fmt: skip
def test_only_luma_s_own_refusal_proves_that_nothing_was_bought(status: int, body: bytes, is_luma_s: bool) -> None:
    assert errors.is_refusal(status, body, {}) is is_luma_s


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"message": "Prompt is too long"}, "Prompt is too long"),
        ({"error": "Prompt is too long"}, "Prompt is too long"),
        ({"error": {"message": "Prompt is too long", "code": 400}}, "Prompt is too long"),
        ({"errors": [{"message": "Prompt is too long"}, {"title": "Too wide"}]}, "Prompt is too long; Too wide"),
        ({"detail": {"msg": "Prompt is too long"}}, "Prompt is too long"),
        ({"detail": {"error": {"reason": "Prompt is too long"}}}, "Prompt is too long"),
        ([{"message": "Prompt is too long"}], "Prompt is too long"),
        ({"title": "Bad Request", "status": 400, "detail": "Prompt is too long"}, "Prompt is too long"),
        ({"error": "invalid_request", "error_description": "Prompt is too long"}, "invalid_request"),
        ({"detail": [{"loc": ["body", "image", 0], "msg": "Too wide"}, "No"]}, "image.0: Too wide; No"),
        ({"detail": None, "message": 5, "error": {}}, ""),
        ({"error": {"error": {"error": {"error": {"error": "too deep"}}}}}, ""),
        ("just a text", ""),
    ],
)
@pytest.mark.parametrize("status", [400, 429, 500])
def test_the_words_of_an_error_are_shown_in_whatever_shape_they_come(body: Any, sentence: str, status: int) -> None:
    message = str(errors.error_of(status, json.dumps(body).encode(), {}, 0))

    assert (f"says: {sentence!r}." in message) if sentence else ("says" not in message)


def test_the_words_of_an_error_are_cleaned_and_cut() -> None:
    body = json.dumps({"error": {"message": "a\x1b[2J" + "b" * 5000}}).encode()

    assert "\x1b" not in str(errors.error_of(400, body, {}, 0))
    assert len(str(errors.error_of(400, body, {}, 0))) < 1500
