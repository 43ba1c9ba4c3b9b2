"""Captions: a text and the seconds in which it is shown, read from SRT or WebVTT and written as SRT."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from luma_mcp.domain.errors import InvalidRequestError
from luma_mcp.domain.text import cleaned

MAX_CAPTIONS = 2000
MAX_CAPTION_LENGTH = 500
_TIME = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
_TIMES = re.compile(rf"^[ \t]*{_TIME}[ \t]*-->[ \t]*{_TIME}.*$", re.MULTILINE)
_TAG = re.compile(r"</?[a-zA-Z][^<>\n]*>|\{\\[^{}\n]*\}")


@dataclass(frozen=True, slots=True)
class Caption:
    """A text that is shown from one second to another."""

    start: float
    end: float
    text: str


def read_captions(text: str) -> tuple[Caption, ...]:
    """Return the captions of an SRT or WebVTT file. Raises: InvalidRequestError, if it has none."""
    text = text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    found = list(_TIMES.finditer(text))
    ends = [*(match.start() for match in found[1:]), len(text)][: len(found)]
    captions = checked(
        [
            Caption(_seconds(match.groups()[:4]), _seconds(match.groups()[4:]), _text(text[match.end() : end]))
            for match, end in zip(found, ends, strict=True)
        ]
    )
    if not captions:
        raise InvalidRequestError(
            "The captions are no SRT: there is no line such as 00:00:01,000 --> 00:00:03,500 with a text below it.",
            "Name a .srt file, give its text, or a list of {start, end, text}.",
        )
    return captions


def checked(captions: Sequence[Caption]) -> tuple[Caption, ...]:
    """Return captions in order, without empty ones. Raises: InvalidRequestError, for too many or a wrong time."""
    if len(captions) > MAX_CAPTIONS:
        raise InvalidRequestError(f"There are {len(captions)} captions; an edit takes {MAX_CAPTIONS}.")
    for caption in captions:
        if caption.end <= caption.start:
            raise InvalidRequestError(
                f"The caption {cleaned(caption.text, 40)!r} cannot begin at {caption.start:g} s and end at "
                f"{caption.end:g} s."
            )
    return tuple(sorted((caption for caption in captions if caption.text.strip()), key=lambda caption: caption.start))


def one_at_a_time(captions: Sequence[Caption]) -> tuple[Caption, ...]:
    """Return captions of which no two are shown at once: those that overlap become lines of one."""
    moments = sorted({moment for caption in captions for moment in (caption.start, caption.end)})
    shown: list[Caption] = []
    for start, end in pairwise(moments):
        text = "\n".join(caption.text for caption in captions if caption.start <= start < caption.end)
        if text:
            shown.append(Caption(start, end, text))
    return tuple(shown)


def as_srt(captions: Sequence[Caption]) -> str:
    """Return captions as an SRT file."""
    return "\n".join(
        f"{number}\n{_stamp(caption.start)} --> {_stamp(caption.end)}\n{caption.text}\n"
        for number, caption in enumerate(captions, start=1)
    )


def _seconds(parts: Sequence[str | None]) -> float:
    hours, minutes, seconds, fraction = parts
    milliseconds = int((fraction or "0").ljust(3, "0"))
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0) + milliseconds / 1000


def _text(block: str) -> str:
    """Return the text below a line of times; the number of the next caption is left out."""
    lines = list(_until_blank(block.split("\n")[1:]))
    return cleaned_lines("\n".join(lines))


def cleaned_lines(text: str) -> str:
    """Return a text of some lines without tags and control characters."""
    lines = [cleaned(_TAG.sub("", line), MAX_CAPTION_LENGTH) for line in text.strip().splitlines()]
    return "\n".join(line for line in lines if line)


def _until_blank(lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        if not line.strip():
            return
        yield line


def _stamp(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02},{milliseconds % 1000:03}"
