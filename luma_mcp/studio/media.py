"""Sources: what a person or a model names, made into what Luma can read.

A source is an https URL or a generation id. Luma fetches pictures and clips itself, from public URLs; it takes no
uploads and no base64 (docs.lumalabs.ai/docs/image-generation).
"""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from luma_mcp.luma.client import LumaClient
from luma_mcp.luma.errors import InvalidRequestError
from luma_mcp.luma.models import Generation, GenerationKeyframe, ImageKeyframe, Keyframe
from luma_mcp.luma.prices import Footage, footage_of
from luma_mcp.luma.wire import quoted

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_ALLOWED = "Give an https URL or the id of a generation."


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip's link, and its measures where an earlier generation tells them."""

    url: str
    footage: Footage | None


class Sources:
    """Finds what a source names. A plain http URL is taken only from where the API is: the emulator's address."""

    def __init__(self, luma: LumaClient) -> None:
        self._luma = luma

    async def keyframe(self, source: str) -> Keyframe:
        """What a clip shall begin or end with: a picture, or an earlier clip to go on from.

        Raises:
            InvalidRequestError: it names nothing that can be used so.
            NotFoundError: no generation has that id.
        """
        if not _is_id(source):
            return ImageKeyframe(self._url(source))
        generation = await self._completed(source)
        if generation.is_picture:
            return ImageKeyframe(_link(generation, "image"))
        return GenerationKeyframe(generation.id)

    async def picture(self, source: str) -> str:
        """The link of a picture. Raises: as keyframe."""
        if not _is_id(source):
            return self._url(source)
        generation = await self._completed(source)
        if not generation.is_picture:
            raise InvalidRequestError(f"Generation {source} is a video; a picture is needed here.", _ALLOWED)
        return _link(generation, "image")

    async def clip(self, source: str) -> Clip:
        """The link of a clip. Raises: as keyframe."""
        if not _is_id(source):
            return Clip(self._url(source), None)
        generation = await self.video(source)
        return Clip(_link(generation, "video"), footage_of(generation))

    async def video(self, generation_id: str) -> Generation:
        """A completed video generation. Raises: as keyframe."""
        generation = await self._completed(generation_id)
        if generation.is_picture:
            raise InvalidRequestError(f"Generation {generation_id} is an image; a video is needed here.")
        return generation

    async def _completed(self, generation_id: str) -> Generation:
        generation = await self._luma.get_generation(generation_id)
        if generation.state == "completed":
            return generation
        if generation.state == "failed":
            raise InvalidRequestError(f"Generation {generation_id} failed, so there is nothing to use.")
        raise InvalidRequestError(
            f"Generation {generation_id} is still {quoted(generation.state, 40)}.",
            f'Wait for it first: wait_for_generation(generation_ids=["{generation_id}"]).',
        )

    def _url(self, source: str) -> str:
        source = source.strip()
        url = urlsplit(source)
        if url.scheme == "https" and url.hostname and not url.username:
            return source
        if url.scheme == "http" and (url.scheme, url.netloc) == urlsplit(self._luma.base_url)[:2]:
            return source
        shown = quoted(source, 80)
        if url.scheme in ("http", "https"):
            raise InvalidRequestError(f"{shown!r} is not a URL that Luma should read.", "It must begin with https://.")
        if url.scheme == "data" or len(source) > 2000:
            raise InvalidRequestError("Luma takes no image data, only links.", _ALLOWED)
        raise InvalidRequestError(
            f"{shown!r} is a local path or no source at all, and local files cannot be sent to Luma yet.",
            f"Put the file where it can be read by https. {_ALLOWED}",
        )


def _is_id(source: str) -> bool:
    return _UUID.fullmatch(source.strip()) is not None


def _link(generation: Generation, asset: str) -> str:
    link = getattr(generation.assets, asset, None)
    if not link:
        raise InvalidRequestError(f"Generation {generation.id} has no {asset} any more.")
    return str(link)
