"""Halves of characters in JSON. Programs make them when they cut a text in the middle of an emoji."""

import json


def whole_characters(data: bytes) -> bytes:
    r"""The same JSON with a question mark for each half of a character (`\ud83d` alone), which strict readers refuse.

    Raises:
        ValueError, RecursionError: it is no JSON, or nested too deeply.
    """
    return json.dumps(json.loads(data.decode("utf-8", "replace")), ensure_ascii=False).encode("utf-8", "replace")
