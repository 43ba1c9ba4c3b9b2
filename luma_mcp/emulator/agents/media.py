"""The media that a request names, resolved to bytes or to an earlier generation; and the properties of such a file."""

import base64
import binascii
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from luma_mcp.emulator.agents import catalogue
from luma_mcp.emulator.agents.rules import RefusedError
from luma_mcp.emulator.rendering import clips, images

if TYPE_CHECKING:
    from luma_mcp.emulator.agents.account import Generation

Size = tuple[int, int]


@dataclass(frozen=True)
class Media:
    """A picture or a clip: bytes, or what an earlier generation made. A still has no seconds."""

    size: Size
    seconds: float
    data: bytes = b""
    generation: "Generation | None" = None

    @property
    def is_clip(self) -> bool:
        return self.seconds > 0


def decoded(field: str, text: str) -> bytes:
    """The bytes of a base64 text. Raises: RefusedError."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise RefusedError(422, f"{field}: invalid base64 data") from None


def measured(field: str, data: bytes, media_type: str) -> Media:
    """A file, if it can be read and is not too large. Raises: RefusedError."""
    if media_type.startswith("video/"):
        if len(data) > catalogue.MAX_CLIP_BYTES:
            raise RefusedError(413, f"{field}: video exceeds 200 MB limit")
        try:
            size, seconds = clips.size_and_seconds(BytesIO(data))
        except images.UnreadableMediaError:
            raise RefusedError(422, f"{field}: video cannot be decoded") from None
        return Media(size, seconds, data)
    if not media_type.startswith("image/"):
        raise RefusedError(422, f"{field}: content-type is not an image")
    if len(data) > catalogue.MAX_STILL_BYTES:
        raise RefusedError(413, f"{field}: image exceeds 50 MB limit")
    try:
        picture = images.open_picture(data)
    except images.UnreadableMediaError:
        raise RefusedError(422, f"{field}: image cannot be decoded") from None
    if max(picture.size) > catalogue.MAX_STILL_SIDE:
        raise RefusedError(422, f"{field}: image exceeds {catalogue.MAX_STILL_SIDE} pixels a side")
    return Media(picture.size, 0, data)
