"""Text that comes from outside, made safe to show and to parse."""

import json
import re

_LONGEST_QUOTE = 500
# Control characters, zero-width and direction marks, halves of characters, and the invisible "tag" letters that can
# hide instructions.
_INVISIBLE = re.compile(
    "[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff\U000e0000-\U000e007f]+"
)


def cleaned(text: str, longest: int = _LONGEST_QUOTE) -> str:
    """The text without control and invisible characters, cut to a length."""
    visible = _INVISIBLE.sub(" ", text).strip()
    return visible if len(visible) <= longest else visible[: longest - 1] + "…"


def replace_lone_surrogates(data: bytes) -> bytes:
    r"""The same JSON with a question mark for each lone surrogate (`\ud83d` alone), which strict readers refuse.

    Programs make lone surrogates when they cut a text in the middle of an emoji.

    Raises:
        ValueError, RecursionError: it is not JSON, or it is nested too deeply.
    """
    return json.dumps(json.loads(data.decode("utf-8", "replace")), ensure_ascii=False).encode("utf-8", "replace")
