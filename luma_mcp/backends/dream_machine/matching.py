"""Whether a generation came of a request, by Luma's echo: surely, surely not, or it cannot be said. Pure.

Luma echoes each request in its generation. Nothing promises that the echo is complete or to the letter: fields may be
missing, defaults filled in, numbers spelt as text, a prompt trimmed, a link replaced by a copy. So absence is never
concluded from inequality: only a difference that no spelling explains is `surely not`, and only full agreement is
`surely`.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, cast

from luma_mcp.backends.base import Verdict
from luma_mcp.domain.generation import Generation
from luma_mcp.domain.url_signatures import canonical_url

# The fields of a request by how their values are compared. Each field of every operation is in one of these.
_WORDS = ("model", "aspect_ratio", "format", "mode")
_QUANTITIES = (
    "resolution", "duration", "loop", "grid_position_x", "grid_position_y", "x_start", "x_end", "y_start", "y_end",
    "resized_width", "resized_height",
)  # fmt: skip
_TEXTS = ("prompt", "negative_prompt")
_STRUCTURES = (
    "keyframes", "concepts", "image_ref", "style_ref", "character_ref", "modify_image_ref", "media", "first_frame",
)  # fmt: skip
COMPARED = frozenset({"generation_type", *_WORDS, *_QUANTITIES, *_TEXTS, *_STRUCTURES})

# What a cut text ends in.
_CUT = "…. "
# What Luma may fill in for a field that was not asked for. Any other value is a difference.
_DEFAULTS: dict[str, tuple[str, ...]] = {
    "loop": ("false", "0"),
    "format": ("jpg", "jpeg"),
}
# Fields that Luma fills in with a default of its own choice; their value says nothing if they were not asked for.
_FILLED_IN = frozenset({"model", "aspect_ratio", "resolution", "duration", "mode"})


def compare(body: Mapping[str, Any], generation: Generation) -> Verdict:
    """Whether a generation came of a request with this body.

    Args:
        body: the unsigned body of the request.
        generation: a generation of Luma's list, or of the response to the request.
    """
    echo = generation.echo
    verdicts = [_compare_kind(body, generation)]
    for field in COMPARED - {"generation_type"}:
        requested, echoed = _bare(body.get(field)), _bare(echo.get(field))
        if requested is None and echoed is None:
            continue
        if requested is None:
            verdicts.append(_compare_unasked(field, echoed))
        elif echoed is None:
            verdicts.append(Verdict.CANNOT_SAY)
        else:
            verdicts.append(_compare_value(field, requested, echoed))
    return _together(verdicts)


def _compare_kind(body: Mapping[str, Any], generation: Generation) -> Verdict:
    """By the operation. An echo without one tells at most whether a video or an image was made."""
    echoed = generation.echo.get("generation_type") or generation.echo.get("type")
    if isinstance(echoed, str):
        return Verdict.SURELY if _word(echoed) == _word(body["generation_type"]) else Verdict.SURELY_NOT
    makes_image = body["generation_type"] in ("image", "reframe_image")
    return Verdict.SURELY_NOT if generation.makes_image and not makes_image else Verdict.CANNOT_SAY


def _compare_unasked(field: str, echoed: Any) -> Verdict:
    """A field that was not asked for and has a value in the echo."""
    if field in _FILLED_IN or _word(str(echoed)) in ("", "none", "null", *_DEFAULTS.get(field, ())):
        return Verdict.SURELY
    if field in _STRUCTURES or field in _TEXTS or field == "loop":
        return Verdict.SURELY_NOT
    return Verdict.CANNOT_SAY


def _compare_value(field: str, requested: Any, echoed: Any) -> Verdict:
    if field in _WORDS:
        return Verdict.SURELY if _word(str(requested)) == _word(str(echoed)) else Verdict.SURELY_NOT
    if field in _QUANTITIES:
        return _compare_quantities(requested, echoed)
    if field in _TEXTS:
        return _compare_texts(str(requested), str(echoed))
    return _compare_structures(requested, echoed)


def _compare_quantities(requested: Any, echoed: Any) -> Verdict:
    """`5s`, `5`, `5.0` and `"5"` are one quantity, so are `720p` and `720`, `True` and `"true"`."""
    first, second = _quantity(requested), _quantity(echoed)
    if first == second:
        return Verdict.SURELY
    return Verdict.SURELY_NOT if first is not None and second is not None else Verdict.CANNOT_SAY


def _quantity(value: Any) -> float | None:
    words = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0, "4k": 2160.0}
    text = str(value).strip().casefold()
    if text in words:
        return words[text]
    number = re.fullmatch(r"(-?\d+(?:\.\d+)?)\s*(?:s|sec|seconds|p|px)?", text)
    return float(number[1]) if number else None


def _compare_texts(requested: str, echoed: str) -> Verdict:
    """Only the same text to the letter is surely it: another wish may differ in case or white space alone.

    Luma may trim a prompt, change its white space or its normal form, or cut it.
    """
    if requested.strip() == echoed.strip():
        return Verdict.SURELY
    first, second = _plain(requested), _plain(echoed)
    shorter, longer = sorted((first.rstrip(_CUT), second.rstrip(_CUT)), key=len)
    return Verdict.CANNOT_SAY if shorter in longer else Verdict.SURELY_NOT


def _compare_structures(requested: Any, echoed: Any) -> Verdict:
    """Lists and objects, by what they name: ids and words must agree, links may have become copies."""
    if isinstance(requested, dict) and isinstance(echoed, dict):
        expected, echoes = cast("dict[str, Any]", requested), cast("dict[str, Any]", echoed)
        verdicts = [
            Verdict.CANNOT_SAY
            if name not in echoes or name not in expected
            else _compare_structures(expected[name], echoes[name])
            for name in expected.keys() | echoes.keys()
        ]
    elif isinstance(requested, list) and isinstance(echoed, list):
        first, second = cast("list[Any]", requested), cast("list[Any]", echoed)
        if len(second) > len(first):
            return Verdict.SURELY_NOT
        verdicts = [_compare_structures(*pair) for pair in zip(first, second, strict=False)]
        verdicts += [Verdict.CANNOT_SAY] * (len(first) - len(second))
    elif isinstance(requested, str) and isinstance(echoed, str):
        if requested == echoed or _word(requested) == _word(echoed):
            return Verdict.SURELY
        if "://" in requested or "://" in echoed:
            same = canonical_url(requested) == canonical_url(echoed)
            return Verdict.SURELY if same else Verdict.CANNOT_SAY
        return Verdict.SURELY_NOT
    else:
        return Verdict.SURELY if _quantity(requested) == _quantity(echoed) is not None else Verdict.CANNOT_SAY
    return _together(verdicts)


def _together(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict on a whole by those on its parts: one difference is enough, and so is one doubt."""
    if Verdict.SURELY_NOT in verdicts:
        return Verdict.SURELY_NOT
    return Verdict.CANNOT_SAY if Verdict.CANNOT_SAY in verdicts else Verdict.SURELY


def _word(text: str) -> str:
    """Letters and digits only, in small letters: `16:9`, `Ray 2` and `ray-2` in any spelling."""
    return re.sub(r"[\W_]+", "", text).casefold()


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).split()).casefold()


def _bare(value: Any) -> Any:
    """Without the nulls that an echo is filled up with; nothing at all is None."""
    if isinstance(value, dict):
        bare = {name: _bare(item) for name, item in cast("dict[str, Any]", value).items()}
        return {name: item for name, item in bare.items() if item is not None} or None
    if isinstance(value, list):
        return [_bare(item) for item in cast("list[Any]", value)] or None
    return value
