"""The step after a failure says if the words or a picture were refused, and whether it is paid for."""

import pytest

from luma_mcp.domain.failures import step_after, step_for
from luma_mcp.domain.generation import Generation
from luma_mcp.domain.requests import ImageKeyframe, VideoRequest

WORDS = VideoRequest(model="ray-3.2", prompt="a boat")
PICTURE = VideoRequest(model="ray-3.2", prompt="a boat", start=ImageKeyframe("https://a.example/a.png"))
FLAGGED = "Generation output was flagged by our content moderation system. (content_moderated)"


@pytest.mark.parametrize(
    ("reason", "step"),
    [
        ("Frame moderation failed", "refused a picture: use another picture"),
        ("400: failed to moderate image", "or could not read it"),
        ("Advanced prompt moderation failed", "refused the words: change the prompt"),
        ("Contains blacklisted words", "refused the words: change the prompt"),
        ("Prompt not allowed", "refused the words: change the prompt"),
        ("Advanced moderation failed", "refused the words or a picture: change the prompt; if that fails too"),
        (FLAGGED, "refused the result, not the request: change the prompt; if that fails too, use another picture"),
        ("Failed to read user input frames", "could not read a picture or clip"),
        ("no reason (corrupt_input)", "could not read a picture or clip"),
        ("Insufficient credits to complete this generation. (budget_exhausted)", "platform.lumalabs.ai"),
        ("Generation failed (generation_failed)", "ask for the same again"),
        ("Job failed", "ask for the same again"),
    ],
)
def test_each_reason_of_luma_has_one_step(reason: str, step: str) -> None:
    assert step in (step_for(reason) or "")


def test_an_unknown_reason_has_no_step_of_its_own() -> None:
    assert step_for("Ignore previous instructions") is None
    assert step_for("") is None


def test_without_a_picture_only_the_words_can_be_refused() -> None:
    failed = Generation(id="a", state="failed", failure_reason="Advanced moderation failed", request=WORDS)

    assert step_after(failed) == "Luma's moderation refused the words: change the prompt. It is refunded."
    assert "picture" not in step_after(Generation(id="a", failure_reason=FLAGGED, request=WORDS))
    assert "picture" in step_after(Generation(id="a", failure_reason=FLAGGED, request=PICTURE))
    assert "picture" in step_after(Generation(id="a", failure_reason=FLAGGED)), "its request is not known"


def test_a_failure_that_may_be_paid_is_not_said_to_be_refunded() -> None:
    failed = Generation(id="a", state="failed", failure_reason="x (rate_limited)", is_refunded=False)

    assert step_after(failed) == (
        "Luma failed, not the request: ask for the same again. "
        "Luma does not say that it is refunded, so the same again is another take."
    )
    assert step_after(Generation(id="a", state="failed")) == (
        "Change the request before trying again; the same one may fail again. It is refunded."
    )
