"""Sources: what a person or a model names to work on, read once into one of three forms.

A source is an https URL, the path of a local file, the id of a generation, or a frame of one: `ID#first`, `ID#last`,
`ID#2.5s`. Reading a source touches neither network nor disk.
"""

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from luma_mcp.domain.errors import InvalidRequestError
from luma_mcp.domain.text import cleaned

_ID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_GENERATION = re.compile(rf"({_ID})(?:#(first|last|\d+(?:\.\d+)?s))?")
_LONGEST_SOURCE = 4096
FORMS = "Give an https URL, a local path, the id of a generation, or a frame of one as ID#last."


@dataclass(frozen=True, slots=True)
class UrlSource:
    """A link that Luma can read."""

    url: str


@dataclass(frozen=True, slots=True)
class FileSource:
    """A path, or a `file:` URL, as it was given."""

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
    """Read a source.

    Args:
        text: what was named.
        local_api: the API's address if it is on this machine; a plain http URL is accepted from there only.

    Raises:
        InvalidRequestError: it is none of the three forms.
    """
    text = text.strip()
    if generation := _GENERATION.fullmatch(text):
        return GenerationSource(generation[1], generation[2])
    try:
        url = urlsplit(text)
    except ValueError:
        raise InvalidRequestError(f"{cleaned(text, 80)!r} is not a URL that can be read.", FORMS) from None
    if url.scheme == "https" and url.hostname and not url.username:
        return UrlSource(text)
    if url.scheme == "http" and local_api is not None and url.netloc == local_api.netloc:
        return UrlSource(text)
    if url.scheme in ("http", "https"):
        raise InvalidRequestError(
            f"{cleaned(text, 80)!r} is not a URL that Luma should read.", "It must begin with https://."
        )
    if url.scheme == "data" or len(text) > _LONGEST_SOURCE:
        raise InvalidRequestError("Luma takes no image data, only links.", FORMS)
    if "://" in text and url.scheme != "file":
        raise InvalidRequestError(f"{cleaned(text, 80)!r} is not a source.", FORMS)
    return FileSource(text)
