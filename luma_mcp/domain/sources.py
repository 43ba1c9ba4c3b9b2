"""Sources: the inputs that a person or a model names, parsed once into one of three types.

A source is an https URL, the path of a local file, the id of a generation, or a frame of one: `ID#first`, `ID#last`,
`ID#2.5s`. Parsing a source uses neither network nor disk.
"""

import re
from dataclasses import dataclass
from urllib.parse import SplitResult

from luma_mcp.domain.errors import InvalidRequestError
from luma_mcp.domain.generation import PURCHASE_ID, UUID, check_id
from luma_mcp.domain.source_urls import checked_link
from luma_mcp.domain.text import cleaned, is_placeholder, quoted, without_invisible

# The id of a generation, or of a purchase that waited for a slot.
_ID = rf"(?:{UUID}|{PURCHASE_ID.pattern})"
_GENERATION = re.compile(rf"({_ID})(?:#(first|last|\d+(?:\.\d+)?s))?", re.IGNORECASE)
_FRAME = re.compile(rf"{_ID}#.*", re.IGNORECASE | re.DOTALL)
_FRAMES = "A frame of a clip is ID#first, ID#last, or its second as in ID#2.5s."
# The quotes and brackets that copying adds to a name.
_QUOTES = ('""', "''", "``", "<>", "()", "[]", "\u2018\u2019", "\u201c\u201d", "\u00ab\u00bb")
_LABEL = re.compile(rf"(?:luma://generations?/|generation[_ ]?(?:id)?\s*[:=]?\s*|id\s*[:=]\s*)(?={_ID})", re.IGNORECASE)
_MAX_SOURCE_LENGTH = 4096
# The schemes by which chats name files that were attached or made in them.
_IN_THE_CHAT = frozenset({"sandbox", "attachment", "attachments", "blob", "cid"})
SOURCE_FORMATS = "Give an https URL, a local path, the id of a generation, or a frame of one as ID#last."


@dataclass(frozen=True, slots=True)
class UrlSource:
    """A link that Luma can read."""

    url: str


@dataclass(frozen=True, slots=True)
class FileSource:
    """A path, or a `file:` URL, as it was passed."""

    path: str


@dataclass(frozen=True, slots=True)
class GenerationSource:
    """An earlier generation, or a frame of an earlier clip: `first`, `last` or seconds such as `2.5s`."""

    generation_id: str
    frame: str | None = None

    @property
    def name(self) -> str:
        """The source as a person writes it."""
        return f"{self.generation_id}#{self.frame}" if self.frame else self.generation_id


Source = UrlSource | FileSource | GenerationSource


def parse_source(text: str, *, local_api: SplitResult | None = None) -> Source:
    """Parse a source.

    Args:
        text: the source as the caller names it.
        local_api: the API's address if it is on this machine; a plain http URL is accepted from there only.

    Raises:
        InvalidRequestError: it is not a source.
    """
    original = text.strip()
    text = _unwrapped(text)
    if generation := _GENERATION.fullmatch(text):
        return GenerationSource(generation[1].lower(), generation[2].lower() if generation[2] else None)
    if _FRAME.fullmatch(text):
        frame = text.partition("#")[2]
        raise InvalidRequestError(f"{quoted(frame, 40)} names no frame.", _FRAMES)
    scheme = text.partition(":")[0].lower()
    if scheme in ("http", "https"):
        if len(original.splitlines()) > 1:
            raise InvalidRequestError("A source is one link, and this is more than one line.", "Name one link.")
        text = text.partition(":")[0].lower() + text[len(scheme) :]
        if local_api is not None and text.startswith(f"http://{local_api.netloc}/"):
            return UrlSource(text)
        return UrlSource(checked_link(text))
    if scheme == "data" or len(text) > _MAX_SOURCE_LENGTH:
        raise InvalidRequestError("A picture cannot be sent as text.", f"Save it, and name the file. {SOURCE_FORMATS}")
    if not text or is_placeholder(text):
        raise InvalidRequestError(f"{quoted(text, 80)} names nothing.", SOURCE_FORMATS)
    if scheme in _IN_THE_CHAT:
        raise InvalidRequestError(
            f"{cleaned(text, 80)!r} is a file inside the chat, which this server cannot read.",
            "Save it in a folder that may be read, and name the file; upload_file takes it where that tool is offered.",
        )
    if "://" in text and scheme != "file":
        raise InvalidRequestError(f"{cleaned(text, 80)!r} is not a source.", SOURCE_FORMATS)
    return FileSource(original)


def parse_generation_id(text: str) -> str:
    """The id of a generation, without the spaces, quotes and names that copying adds.

    Raises:
        InvalidRequestError: it is no id; the message escapes its invisible characters.
    """
    unwrapped = _unwrapped(text)
    if _GENERATION.fullmatch(unwrapped) and "#" not in unwrapped:
        return unwrapped.lower()
    check_id(unwrapped, original=text)
    return unwrapped


def _unwrapped(text: str) -> str:
    """The text without invisible characters, and without the quotes and the label that copying puts around it."""
    text = without_invisible(text)
    while len(text) > 1 and text[0] + text[-1] in _QUOTES:
        text = text[1:-1].strip()
    unlabelled = _LABEL.sub("", text).rstrip(".,;")
    return unlabelled if _GENERATION.fullmatch(unlabelled) else text
