"""Sources: what a person or a model names, made into what Luma can read.

A source is an https URL, the path of a local file, the id of a generation, or a frame of one: `ID#last`, `ID#first`,
`ID#2.5s`. Luma fetches pictures and clips itself, from public URLs; it takes no uploads and no base64
(docs.lumalabs.ai/docs/image-generation). So local files and frames go by a bucket of the person's own.
"""

import re
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import anyio.to_thread

from luma_mcp.luma.client import LumaClient
from luma_mcp.luma.errors import FileError, InvalidRequestError
from luma_mcp.luma.models import Generation, GenerationKeyframe, ImageKeyframe, Keyframe
from luma_mcp.luma.prices import Footage, footage_of
from luma_mcp.luma.wire import quoted
from luma_mcp.studio.downloads import Downloads
from luma_mcp.studio.frames import Form, frames_at
from luma_mcp.studio.inputs import MOST_PICTURE_BYTES, Inputs, LocalFile
from luma_mcp.studio.uploads import Uploads

_ID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_SOURCE = re.compile(rf"({_ID})(?:#(first|last|\d+(?:\.\d+)?s))?")
_ALLOWED = "Give an https URL, a local path, the id of a generation, or a frame of one as ID#last."


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip's link, and its measures where an earlier generation or the file itself tells them."""

    url: str
    footage: Footage | None


@dataclass(frozen=True, slots=True)
class Sources:
    """Finds what a source names. A plain http URL is taken only from where the API is: the emulator's address."""

    luma: LumaClient
    inputs: Inputs
    uploads: Uploads
    downloads: Downloads
    is_rehearsal: bool = False

    def rehearsed(self) -> "Sources":
        """The same for a dry run: everything is checked and nothing is put anywhere."""
        return replace(self, is_rehearsal=True)

    async def keyframe(self, source: str) -> Keyframe:
        """What a clip shall begin or end with: a picture, or an earlier clip to go on from.

        Raises:
            InvalidRequestError: it names nothing that can be used so.
            NotFoundError: no generation has that id.
            FileError: a local file or a frame cannot be read or sent.
        """
        generation_id, frame = _read(source)
        if generation_id is None or frame is not None:
            return ImageKeyframe(await self.picture(source))
        generation = await self._completed(generation_id)
        if generation.is_picture:
            return ImageKeyframe(_link(generation, "image"))
        return GenerationKeyframe(generation.id)

    async def picture(self, source: str) -> str:
        """The link of a picture. Raises: as keyframe."""
        generation_id, frame = _read(source)
        if generation_id is None:
            return self._url(source) or await self._sent(await self.inputs.picture(source))
        if frame is not None:
            return await self._sent(await self._frame(generation_id, frame))
        generation = await self._completed(generation_id)
        if not generation.is_picture:
            raise InvalidRequestError(
                f"Generation {generation_id} is a video; a picture is needed here.",
                f"Name a frame of it, as {generation_id}#last or {generation_id}#2.5s.",
            )
        return _link(generation, "image")

    async def clip(self, source: str, *, longest_seconds: float) -> Clip:
        """The link of a clip that is no longer than Luma takes. Raises: as keyframe."""
        generation_id, frame = _read(source)
        if frame is not None:
            raise InvalidRequestError(f"{source.strip()!r} is a picture; a clip is needed here.", _ALLOWED)
        if generation_id is not None:
            generation = await self.video(generation_id)
            clip = Clip(_link(generation, "video"), footage_of(generation))
        elif (url := self._url(source)) is not None:
            clip = Clip(url, None)
        else:
            file = await self.inputs.clip(source)
            footage = _footage(file.form) if file.form else None
            _check_length(footage, longest_seconds, file.name)
            return Clip(await self._sent(file), footage)
        _check_length(clip.footage, longest_seconds, source.strip())
        return clip

    async def video(self, generation_id: str) -> Generation:
        """A completed video generation. Raises: as keyframe."""
        generation = await self._completed(generation_id)
        if generation.is_picture:
            raise InvalidRequestError(f"Generation {generation_id} is an image; a video is needed here.")
        return generation

    async def _sent(self, file: LocalFile) -> str:
        """The link by which Luma can read it."""
        return await (self.uploads.where(file) if self.is_rehearsal else self.uploads.link_to(file))

    async def _frame(self, generation_id: str, frame: str) -> LocalFile:
        """A frame of an earlier clip, as a picture."""
        generation = await self.video(generation_id)
        name = f"{generation_id}#{frame}"
        async with self.downloads.at_hand(generation, None, _unheard) as (path, _):
            data, ending = await anyio.to_thread.run_sync(_still, path, frame, name)
        return LocalFile(name, ending, data)

    async def _completed(self, generation_id: str) -> Generation:
        generation = await self.luma.get_generation(generation_id)
        if generation.state == "completed":
            return generation
        if generation.state == "failed":
            raise InvalidRequestError(f"Generation {generation_id} failed, so there is nothing to use.")
        raise InvalidRequestError(
            f"Generation {generation_id} is still {quoted(generation.state, 40)}.",
            f'Wait for it first: wait_for_generation(generation_ids=["{generation_id}"]).',
        )

    def _url(self, source: str) -> str | None:
        """The URL, if it is one that Luma should read; None if it is no URL but perhaps a path."""
        source = source.strip()
        url = urlsplit(source)
        if url.scheme == "https" and url.hostname and not url.username:
            return source
        if url.scheme == "http" and (url.scheme, url.netloc) == urlsplit(self.luma.base_url)[:2]:
            return source
        shown = quoted(source, 80)
        if url.scheme in ("http", "https"):
            raise InvalidRequestError(f"{shown!r} is not a URL that Luma should read.", "It must begin with https://.")
        if url.scheme == "data" or len(source) > 4096:
            raise InvalidRequestError("Luma takes no image data, only links.", _ALLOWED)
        if "://" in source and url.scheme != "file":
            raise InvalidRequestError(f"{shown!r} is not a source.", _ALLOWED)
        return None


def generations_in(*sources: str | None) -> tuple[str, ...]:
    """The generations that sources name, by whole or by a frame."""
    named = [_read(source)[0] for source in sources if source]
    return tuple(dict.fromkeys(one for one in named if one))


def _read(source: str) -> tuple[str | None, str | None]:
    """The generation and the frame of it that a source names, if it does."""
    found = _SOURCE.fullmatch(source.strip())
    return (found[1], found[2]) if found else (None, None)


def _still(path: Path, frame: str, name: str) -> tuple[bytes, str]:
    """A frame without loss as PNG, or where that is too large for Luma, as a good JPEG; and which of them it is."""
    moment = {"first": 0.0, "last": float("inf")}.get(frame)
    wanted = float(frame.removesuffix("s")) if moment is None else moment
    form, found = frames_at(path, [wanted])
    if moment is None and wanted > form.seconds:
        raise FileError(f"{name!r} is beyond the end of the clip, which is {form.seconds:.1f} s long.")
    picture = found[0][1]
    out = BytesIO()
    picture.save(out, "PNG")
    if out.tell() <= MOST_PICTURE_BYTES:
        return out.getvalue(), "png"
    out = BytesIO()
    picture.save(out, "JPEG", quality=95)
    return out.getvalue(), "jpg"


def _footage(form: Form) -> Footage:
    return Footage(form.width, form.height, form.seconds)


def _check_length(footage: Footage | None, longest_seconds: float, name: str) -> None:
    # A clip that is made to be ten seconds long may have a frame more.
    if footage is not None and footage.seconds > longest_seconds + 0.1:
        raise InvalidRequestError(
            f"{name!r} is {footage.seconds:.1f} s long, and this takes at most {longest_seconds:g} s.",
            "Nothing was bought. Cut it, or take a model that allows more.",
        )


def _link(generation: Generation, asset: str) -> str:
    link = getattr(generation.assets, asset, None)
    if not link:
        raise InvalidRequestError(f"Generation {generation.id} has no {asset} any more.")
    return str(link)


async def _unheard(_size: int, _length: int | None) -> None:
    """Nobody is told how a frame's clip comes."""
