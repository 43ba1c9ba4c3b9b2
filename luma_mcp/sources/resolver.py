"""Sources, made into what Luma can read.

Luma fetches images and clips itself, from public URLs; Dream Machine accepts no uploads and no base64
(docs.lumalabs.ai/docs/image-generation). So local files, and frames of earlier clips, go by a bucket of the person's
own.
"""

import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import assert_never
from urllib.parse import SplitResult, urlsplit

import anyio.to_thread

from luma_mcp.backends.base import Backend
from luma_mcp.domain.addresses import LOOPBACK
from luma_mcp.domain.catalogue import MAX_IMAGE_BYTES
from luma_mcp.domain.errors import FileError, InvalidRequestError, LumaError
from luma_mcp.domain.generation import Generation, OutputKind
from luma_mcp.domain.pricing import Footage, footage_of
from luma_mcp.domain.requests import GenerationKeyframe, ImageKeyframe, Keyframe
from luma_mcp.domain.signed_urls import canonical_url
from luma_mcp.domain.sources import FORMS, FileSource, GenerationSource, UrlSource, parse_source
from luma_mcp.domain.text import cleaned
from luma_mcp.media.frames import frames_at
from luma_mcp.sources.bucket import Bucket
from luma_mcp.sources.local_files import LocalFile, LocalFiles

_GENERATION_IN_URL = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
OpenVideo = Callable[[Generation], AbstractAsyncContextManager[Path]]


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip's URL, and its footage where an earlier generation or the file itself tells it."""

    url: str
    footage: Footage | None


@dataclass(frozen=True, slots=True)
class SourceResolver:
    """Resolves sources.

    Args:
        backend: tells of earlier generations.
        local_files: reads local files.
        bucket: where local files are put.
        open_video: gives a local file with an earlier clip, for its frames.
    """

    backend: Backend
    local_files: LocalFiles
    bucket: Bucket
    open_video: OpenVideo

    def begin(self) -> "Resolution":
        """The sources of one call, none resolved yet."""
        return Resolution(self)


class Resolution:
    """The sources of one call. Nothing is put into the bucket before `publish`, so a dry run puts nothing there."""

    def __init__(self, resolver: SourceResolver) -> None:
        self._resolver = resolver
        api = urlsplit(resolver.backend.base_url)
        self._local_api: SplitResult | None = api if api.hostname in LOOPBACK else None
        self._files: dict[str, LocalFile] = {}
        self._generation_ids: dict[str, None] = {}

    @property
    def generation_ids(self) -> tuple[str, ...]:
        """The generations that the sources name, whole or by a frame."""
        return tuple(self._generation_ids)

    @property
    def has_files(self) -> bool:
        """Whether `publish` would put anything anywhere."""
        return bool(self._files)

    async def keyframe(self, source: str) -> Keyframe:
        """What a clip shall begin or end with: an image, or an earlier clip to continue.

        Raises:
            InvalidRequestError: it cannot be used so.
            NotFoundError: no generation has that id.
            FileError: a local file or a frame cannot be read.
        """
        parsed = parse_source(source, local_api=self._local_api)
        if isinstance(parsed, GenerationSource) and parsed.frame is None:
            generation = await self._completed(parsed.generation_id)
            if not generation.makes_image:
                return GenerationKeyframe(generation.id)
            return ImageKeyframe(_url(generation, "image"))
        return ImageKeyframe(await self._image(parsed))

    async def image(self, source: str) -> str:
        """The URL of an image. Raises: as keyframe."""
        return await self._image(parse_source(source, local_api=self._local_api))

    async def clip(self, source: str, *, longest_seconds: float) -> Clip:
        """The URL of a clip of at most so many seconds. Raises: as keyframe."""
        parsed = parse_source(source, local_api=self._local_api)
        match parsed:
            case UrlSource(url):
                name, footage = cleaned(url, 80), await self._footage_behind(url)
            case FileSource(path):
                file = await self._resolver.local_files.clip(path)
                name, footage, url = file.name, file.footage, await self._location(file)
            case GenerationSource(generation_id, None):
                generation = await self.video(generation_id)
                name, footage, url = generation_id, footage_of(generation), _url(generation, "video")
            case GenerationSource():
                raise InvalidRequestError(f"{parsed.name!r} is a picture; a clip is needed here.", FORMS)
            case _ as unreachable:
                assert_never(unreachable)
        # A clip that is made to be ten seconds long may have a frame more.
        if footage is not None and footage.seconds > longest_seconds + 0.1:
            raise InvalidRequestError(
                f"{name!r} is {footage.seconds:.1f} s long, and this takes at most {longest_seconds:g} s.",
                "Nothing was bought. Cut it, or take a model that allows more.",
            )
        return Clip(url, footage)

    async def _footage_behind(self, url: str) -> Footage | None:
        """The footage of the clip behind a link, if the link is the asset of a generation of this account."""
        named = _GENERATION_IN_URL.search(url)
        if named is None:
            return None
        try:
            generation = await self._resolver.backend.get_generation(named[0])
        except LumaError:
            return None
        video = generation.url("video")
        is_its_video = video is not None and canonical_url(video) == canonical_url(url)
        return footage_of(generation) if is_its_video else None

    async def video(self, generation_id: str) -> Generation:
        """A completed video generation. Raises: as keyframe."""
        generation = await self._completed(generation_id)
        if generation.makes_image:
            raise InvalidRequestError(f"Generation {generation_id} is an image; a video is needed here.")
        return generation

    async def publish(self) -> dict[str, str]:
        """Put every local file into the bucket; the signed link by each URL that was answered for it.

        Raises:
            FileError: the bucket cannot be used.
        """
        return {url: await self._resolver.bucket.put(file) for url, file in self._files.items()}

    async def _image(self, source: UrlSource | FileSource | GenerationSource) -> str:
        match source:
            case UrlSource(url):
                return url
            case FileSource(path):
                return await self._location(await self._resolver.local_files.image(path))
            case GenerationSource(generation_id, None):
                generation = await self._completed(generation_id)
                if not generation.makes_image:
                    raise InvalidRequestError(
                        f"Generation {generation_id} is a video; a picture is needed here.",
                        f"Name a frame of it, as {generation_id}#last or {generation_id}#2.5s.",
                    )
                return _url(generation, "image")
            case GenerationSource(generation_id, frame):
                generation = await self.video(generation_id)
                async with self._resolver.open_video(generation) as path:
                    file = await anyio.to_thread.run_sync(_still, path, frame, source.name)
                return await self._location(file)
            case _ as unreachable:
                assert_never(unreachable)

    async def _location(self, file: LocalFile) -> str:
        """The URL where a file will be, without a signature."""
        url = await self._resolver.bucket.location(file)
        self._files[url] = file
        return url

    async def _completed(self, generation_id: str) -> Generation:
        generation = await self._resolver.backend.get_generation(generation_id)
        if generation.state == "completed":
            self._generation_ids[generation_id] = None
            return generation
        if generation.state == "failed":
            raise InvalidRequestError(f"Generation {generation_id} failed, so there is nothing to use.")
        raise InvalidRequestError(
            f"Generation {generation_id} is still {cleaned(generation.state, 40)}.",
            f'Wait for it first: wait_for_generation(generation_ids=["{generation_id}"]).',
        )


def _still(path: Path, frame: str | None, name: str) -> LocalFile:
    """A frame as PNG, without loss, or as JPEG where a PNG is too large for Luma."""
    moment = {"first": 0.0, "last": float("inf")}.get(frame or "")
    wanted = float((frame or "").removesuffix("s")) if moment is None else moment
    info, found = frames_at(path, [wanted])
    if moment is None and wanted > info.seconds:
        raise FileError(f"{name!r} is beyond the end of the clip, which is {info.seconds:.1f} s long.")
    image = found[0][1]
    out = BytesIO()
    image.save(out, "PNG")
    if out.tell() <= MAX_IMAGE_BYTES:
        return LocalFile(name, "png", out.getvalue())
    out = BytesIO()
    image.save(out, "JPEG", quality=95)
    return LocalFile(name, "jpg", out.getvalue())


def _url(generation: Generation, output: OutputKind) -> str:
    url = generation.url(output)
    if url is None:
        raise InvalidRequestError(f"Generation {generation.id} has no {output} any more.")
    return url
