"""The next step after a failure, by Luma's reason for it. Pure.

The reasons are those of Luma's documentation and of public reports. The text is only compared: no word of it is
passed on from here.
"""

import re

from luma_mcp.domain.generation import Generation
from luma_mcp.domain.requests import sources_of

_STEPS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), step)
    for pattern, step in (
        # Luma answers so too when it cannot read the link.
        (r"moderate image", "Luma's moderation refused a picture, or could not read it: use another picture."),
        (r"(?:frame|image|picture) moderation", "Luma's moderation refused a picture: use another picture."),
        (
            r"blacklisted|prompt moderation|prompt not allowed|contains ip\b",
            "Luma's moderation refused the words: change the prompt.",
        ),
        (
            r"failed to read user input|corrupt_input|unsupported_format|image_too_large",
            "Luma could not read a picture or clip: use a JPEG, PNG or MP4 of it.",
        ),
        (
            r"budget_exhausted|insufficient credit",
            "The credit is used up: only the account's owner can add some, at https://platform.lumalabs.ai.",
        ),
        (
            r"generation_failed|output_not_found|rate_limited|job failed|dispatching job|processing callback",
            "Luma failed, not the request: ask for the same again.",
        ),
    )
)
_RESULT = re.compile(r"output was flagged", re.IGNORECASE)
_MODERATED = re.compile(r"moderat|flagged|not allowed", re.IGNORECASE)
_UNKNOWN = "Change the request before trying again; the same one may fail again."


def step_for(reason: str, *, has_sources: bool = True) -> str | None:
    """The one step that helps; None if the reason is not known.

    Args:
        reason: Luma's reason, with its code if there is one.
        has_sources: whether the request names a picture or a clip.
    """
    known = next((step for pattern, step in _STEPS if pattern.search(reason)), None)
    if known is not None or not _MODERATED.search(reason):
        return known
    if _RESULT.search(reason):
        subject = "the result, not the request"
    elif has_sources:
        subject = "the words or a picture"
    else:
        subject = "the words"
    otherwise = "; if that fails too, use another picture" if has_sources else ""
    return f"Luma's moderation refused {subject}: change the prompt{otherwise}."


def step_after(generation: Generation) -> str:
    """The step after a generation that failed, and whether it is paid for."""
    # A request that cannot be read may have named a picture.
    has_sources = generation.request is None or bool(sources_of(generation.request))
    step = step_for(generation.failure_reason or "", has_sources=has_sources) or _UNKNOWN
    # What may be paid for is not bought again by the same call.
    unpaid, paid = "It is refunded.", "Luma does not say that it is refunded, so the same again is another take."
    return f"{step} {unpaid if generation.is_refunded else paid}"


def step_without_file(generation: Generation) -> str:
    """The user's next step where Luma calls a generation completed and names no file of it."""
    return (
        f"Luma names no file of {generation.id}. Call get_generation again in a minute; if it stays so, give Luma's "
        "support this id."
    )
