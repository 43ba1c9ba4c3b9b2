"""Text from outside, made safe to display and to parse."""

import json
import re
import unicodedata

_MAX_QUOTE_LENGTH = 500
# Of a name: `reframe_video`, `photon-flash-1`. More could be a sentence.
_MAX_NAME_WORDS = 2
# Control characters, zero-width and direction marks, fillers without a shape, halves of characters, and the invisible
# "tag" letters that can hide instructions.
_INVISIBLE = re.compile(
    "[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800"
    "\u3164\ud800-\udfff\ufeff\uffa0\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e007f]+"
)
# They choose a shape for the letter before them; a row of them can hide instructions.
_VARIATION_SELECTORS = re.compile("[\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]+")
_PLACEHOLDER = re.compile(
    r"undefined|null|none|nan|\[object object\]|\{\{.*\}\}|\$\{.*\}|\$[a-z_]+|\{[a-z_.]+\}|<[a-z_ ]+>|%[a-z_]+%",
    re.IGNORECASE | re.DOTALL,
)


def cleaned(text: str, max_length: int = _MAX_QUOTE_LENGTH) -> str:
    """The text without control and invisible characters, cut to a length."""
    visible = _INVISIBLE.sub(" ", _VARIATION_SELECTORS.sub("", text)).strip()
    return visible if len(visible) <= max_length else visible[: max_length - 1] + "…"


def as_name(text: str, max_length: int) -> str:
    """The text as a name, for what comes from outside and is not quoted: with more than two words it is unknown."""
    name = re.sub(r"[^\w.:-]+", "_", cleaned(text)).strip("_")
    words = re.findall(r"[^\W\d_]{2,}", name)
    return name if 0 < len(name) <= max_length and len(words) <= _MAX_NAME_WORDS else "unknown"


def quoted(text: str, max_length: int = _MAX_QUOTE_LENGTH) -> str:
    """The text in quotes. Invisible and ambiguous characters are escaped, so that names that look alike differ."""
    cut = text if len(text) <= max_length else text[: max_length - 1] + "…"
    return "'" + "".join(_escaped(letter) for letter in cut) + "'"


def _escaped(letter: str) -> str:
    if letter == "…" or (letter.isprintable() and (letter.isascii() or unicodedata.category(letter)[0] in "LN")):
        return letter
    return letter.encode("unicode_escape").decode()


def has_visible_text(text: str) -> bool:
    """Whether a text has a visible character: a letter, a digit, a sign or a symbol."""
    return any(unicodedata.category(letter)[0] in "LNSP" for letter in without_invisible(text))


def is_placeholder(text: str) -> bool:
    """Whether it stands for a value that a template should have put there, such as `{{ $json.prompt }}`."""
    return _PLACEHOLDER.fullmatch(text.strip()) is not None


def without_invisible(text: str) -> str:
    """The text without control and invisible characters, and without spaces around it."""
    return _INVISIBLE.sub("", text).strip()


def alphanumeric(text: str) -> str:
    """Its letters and digits alone, in lower case, so that case and separators do not count."""
    return re.sub(r"[^a-z0-9]", "", text.casefold())


def replace_lone_surrogates(data: bytes) -> bytes:
    r"""The same JSON with a question mark for each lone surrogate (`\ud83d` alone), which strict readers refuse.

    Programs make lone surrogates when they cut a text in the middle of an emoji.

    Raises:
        ValueError, RecursionError: it is not JSON, or it is nested too deeply.
    """
    return json.dumps(json.loads(data.decode("utf-8", "replace")), ensure_ascii=False).encode("utf-8", "replace")
