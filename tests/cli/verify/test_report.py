"""The report of a verification."""

import json

from luma_mcp.cli.verify import facts, report
from luma_mcp.cli.verify.facts import Fact


def test_without_a_difference_no_option_is_named() -> None:
    text = report.markdown({"Dream Machine": [Fact("ping", "200", "200", "--habit no=thing")]}, on_day="2026-12-01")

    assert "1 facts observed, 0 otherwise than assumed" in text
    assert "No option of the emulator is needed" in text


def test_each_option_stands_once() -> None:
    twice = [Fact("one", "a", "b", "--habit errors=html"), Fact("two", "a", "c", "--habit errors=html")]

    assert report.options(twice) == ["--habit errors=html"]
    assert json.loads(report.as_json({"x": twice}, on_day="2026-12-01"))["options"] == ["--habit errors=html"]


def test_a_text_of_the_api_cannot_break_the_table() -> None:
    text = report.markdown({"x": [Fact("a", "b", "c | d\ne")]}, on_day="2026-12-01")

    assert "c \\| d e" in text


def test_links_ids_and_keys_are_left_out_of_a_text() -> None:
    text = (
        "see https://a.example/b?c=d for 0a1b2c3d-0000-4000-8000-0123456789ab of luma-api-abc "
        "and QWxhZGRpbjpvcGVuIHNlc2FtZQ"
    )

    assert facts.without_secrets(text) == "see ... for ... of ... and ..."


def test_what_was_not_seen_differs_from_nothing() -> None:
    assert not Fact("a", "b", facts.UNOBSERVED).differs
    assert not Fact("a", "", "anything").differs
    assert facts.seconds(None) == facts.UNOBSERVED
