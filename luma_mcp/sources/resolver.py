"""Sources, resolved to the links, ids and files that an API of Luma's can read.

Luma fetches public URLs. Dream Machine accepts nothing else, so local files, and frames of earlier
clips, go there by the person's own bucket (docs.lumalabs.ai/docs/image-generation). The Agents API has files of
its own, and accepts its own generations by id.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, assert_never
from urllib.parse import SplitResult, urlsplit

from luma_mcp.backends.base import Backend
from luma_mcp.domain.addresses import LOOPBACK
from luma_mcp.domain.apis import APIS, MAX_IMAGE_BYTES, BackendName
from luma_mcp.domain.catalogue import video_models
from luma_mcp.domain.errors import InvalidRequestError, LumaError
from luma_mcp.domain.generation import UUID, Generation, OutputKind
from luma_mcp.domain.media_refs import generation_in, name_of_generation
from luma_mcp.domain.pricing import Footage, footage_made_from, footage_of
from luma_mcp.domain.requests import GenerationKeyframe, ImageKeyframe, Keyframe
from luma_mcp.domain.sources import SOURCE_FORMATS, FileSource, GenerationSource, UrlSource, parse_source
from luma_mcp.domain.text import cleaned
from luma_mcp.domain.url_signatures import canonical_url
from luma_mcp.media import worker
from luma_mcp.media.frames import still
from luma_mcp.sources.local_files import LocalFile, LocalFiles

_GENERATION_IN_URL = re.compile(UUID)
# A clip may be made of a clip that was made of a clip.
_MAX_ANCESTORS = 5
OpenVideo = Callable[[Generation], AbstractAsyncContextManager[Path]]
MayUse = Callable[[str], Awaitable[None]]
MadeFrom = Callable[[Generation], Awaitable[tuple[str, ...]]]


class FileStore(Protocol):
    """A store that local files are uploaded to so that an API can read them."""

    async def location(self, file: LocalFile) -> str:
        """The name of the file in a request; nothing is uploaded. Raises: FileError."""
        ...

    async def put(self, file: LocalFile) -> str:
        """Upload the file, unless its content is there; return the text that replaces its name. Raises: FileError."""
        ...


@dataclass(frozen=True, slots=True)
class Clip:
    """The name of a clip in a request, and its footage, if an earlier generation or the file itself has it."""

    url: str
    footage: Footage | None


@dataclass(frozen=True, slots=True)
class SourceResolver:
    """Resolves sources.

    Args:
        backend: reads earlier generations.
        local_files: reads local files; those of a folder inside the output folder, or with "" of the whole.
        stores: the stores of local files, by API.
        open_video: opens a local copy of an earlier clip, for its frames.
        made_from: the generations that one was made from.
    """

    backend: Backend
    local_files: Callable[[str], LocalFiles]
    stores: Mapping[BackendName, FileStore]
    open_video: OpenVideo
    made_from: MadeFrom

    def start(self, backend: BackendName, *, may_use: MayUse | None = None, folder: str = "") -> "Resolution":
        """The sources of one call for an API, none resolved yet.

        Args:
            backend: the API.
            may_use: raises NotFoundError for a generation that the caller may not use; None if every one may be used.
            folder: the caller's folder inside the output folder.
        """
        return Resolution(self, backend, may_use or _allow_all, self.local_files(folder))

    async def footage(self, generation: Generation) -> Footage | None:
        """The footage of an earlier clip, by its own request, or by the clips that it was made of."""
        return await self._footage(generation, _MAX_ANCESTORS)

    async def _footage(self, generation: Generation, ancestors: int) -> Footage | None:
        footage = footage_of(generation)
        if footage is not None or not ancestors:
            return footage
        for source_id in await self.made_from(generation):
            try:
                source = await self.backend.get_generation(source_id)
            except LumaError:
                continue
            footage = None if source.makes_image else await self._footage(source, ancestors - 1)
            if footage is not None:
                return footage_made_from(generation, footage)
        return None


class Resolution:
    """The sources of one call. Nothing is uploaded before `publish`, so a dry run uploads nothing."""

    def __init__(
        self, resolver: SourceResolver, backend: BackendName, may_use: MayUse, local_files: LocalFiles
    ) -> None:
        self._resolver = resolver
        self._backend: BackendName = backend
        self._may_use = may_use
        self._local_files = local_files
        # With two APIs the addresses are two; a local one is an emulator's, which has both.
        api = urlsplit(resolver.backend.base_url)
        self._local_api: SplitResult | None = api if api.hostname in LOOPBACK else None
        self._files: dict[str, LocalFile] = {}
        self._stills: dict[str, None] = {}
        self._generation_ids: dict[str, None] = {}

    @property
    def generation_ids(self) -> tuple[str, ...]:
        """The generations that the sources name, whole or by a frame."""
        return tuple(self._generation_ids)

    @property
    def has_files(self) -> bool:
        """Whether `publish` has anything to do."""
        return bool(self._files or self._stills)

    def parsed(self, source: str) -> UrlSource | FileSource | GenerationSource:
        """Parse a source. Raises: InvalidRequestError."""
        return parse_source(source, local_api=self._local_api)

    async def keyframe(self, source: str) -> Keyframe:
        """The start or end of a clip: an image, or an earlier clip to continue.

        Raises:
            InvalidRequestError: it cannot be used so.
            NotFoundError: no generation has that id.
            FileError: a local file or a frame cannot be read.
        """
        parsed = self.parsed(source)
        if isinstance(parsed, GenerationSource) and parsed.frame is None:
            generation = await self._completed(parsed.generation_id)
            if not generation.makes_image:
                self._check_api(generation)
                return GenerationKeyframe(generation.id)
            return ImageKeyframe(self._picture_name(generation))
        return ImageKeyframe(await self._image(parsed))

    async def image(self, source: str) -> str:
        """The name of an image in a request. Raises: as keyframe."""
        return await self._image(self.parsed(source))

    async def clip(self, source: str, *, max_seconds: float) -> Clip:
        """The clip of at most so many seconds, by its name in a request. Raises: as keyframe."""
        parsed = self.parsed(source)
        match parsed:
            case UrlSource(url):
                name, footage = cleaned(url, 80), await self._footage_behind(url)
            case FileSource(path):
                file = await self._local_files.clip(path, max_bytes=APIS[self._backend].max_clip_bytes)
                name, footage, url = file.name, file.footage, await self._location(file)
            case GenerationSource(generation_id, None):
                generation = await self.video(generation_id)
                footage = await self._resolver.footage(generation)
                name, url = generation_id, self._clip_name(generation)
            case GenerationSource():
                raise InvalidRequestError(f"{parsed.name!r} is a picture; a clip is needed here.", SOURCE_FORMATS)
            case _ as unreachable:
                assert_never(unreachable)
        # A clip that is made to be ten seconds long may have a frame more.
        if footage is not None and footage.seconds > max_seconds + 0.1:
            raise InvalidRequestError(
                f"{name!r} is {footage.seconds:.1f} s long, and this takes at most {max_seconds:g} s.",
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
        return await self._resolver.footage(generation) if is_its_video else None

    async def check_frames(self) -> None:
        """Check that frames of clips can be uploaded for the API. Raises: FileError."""
        await self._resolver.stores[self._backend].location(LocalFile.of_bytes("frame.jpg", "jpg", b""))

    async def copy_file(self, path: str, target: Path, *, is_sound: bool = False) -> None:
        """Copy a local clip, or a sound, for editing. Raises: FileError."""
        await self._local_files.copy(path, target, is_sound=is_sound)

    async def read_captions(self, path: str) -> str:
        """The text of a local file of captions. Raises: FileError."""
        return await self._local_files.captions(path)

    async def video(self, generation_id: str) -> Generation:
        """A completed video generation. Raises: as keyframe."""
        generation = await self._completed(generation_id)
        if generation.makes_image:
            raise InvalidRequestError(f"Generation {generation_id} is an image; a video is needed here.")
        return generation

    async def video_of_this_api(self, generation_id: str) -> Generation:
        """A completed video generation of this API. Raises: as keyframe."""
        generation = await self.video(generation_id)
        self._check_api(generation)
        return generation

    async def footage(self, generation: Generation) -> Footage | None:
        """The footage of an earlier clip, if it is known."""
        return await self._resolver.footage(generation)

    async def publish(self) -> dict[str, str]:
        """Upload every local file; return the links that replace their names in a request.

        The links of the Agents API end after an hour, so its stills get theirs only now.

        Raises:
            FileError: a file cannot be put there.
        """
        store = self._resolver.stores[self._backend]
        links = {name: await store.put(file) for name, file in self._files.items()}
        for name in self._stills:
            generation = await self._resolver.backend.get_generation(generation_in(name) or "")
            links[name] = _url(generation, "image")
        return links

    def _clip_name(self, generation: Generation) -> str:
        """The name of the clip of a generation in a request: its id where its API reads that, else its link."""
        if self._backend == generation.backend and APIS[self._backend].names_generations:
            return name_of_generation(generation.id)
        return _url(generation, "video")

    def _picture_name(self, generation: Generation) -> str:
        """The name of the picture of a generation in a request."""
        if generation.has_layers:
            raise InvalidRequestError(
                f"Generation {generation.id} is a picture in {len(generation.main_outputs)} layers.",
                "Save it with download_generation, and name the file of the layer that you mean.",
            )
        if self._backend == generation.backend and APIS[self._backend].names_generations:
            name = name_of_generation(generation.id)
            self._stills[name] = None
            return name
        return _url(generation, "image")

    def _check_api(self, clip: Generation) -> None:
        """Check that this API made the clip, for it knows no other ids. Raises: InvalidRequestError."""
        if clip.backend == self._backend:
            return
        makers = {name: f"{api.name} ({', '.join(video_models(name)[:1])})" for name, api in APIS.items()}
        raise InvalidRequestError(
            f"Clip {clip.id} was made by {makers[clip.backend]}, and {makers[self._backend]} does not know it.",
            f"Begin with a frame of it, as {clip.id}#last, or take a model of the API that made it.",
        )

    async def _image(self, source: UrlSource | FileSource | GenerationSource) -> str:
        match source:
            case UrlSource(url):
                return url
            case FileSource(path):
                file = await self._local_files.image(path, max_bytes=APIS[self._backend].max_image_bytes)
                return await self._location(file)
            case GenerationSource(generation_id, None):
                generation = await self._completed(generation_id)
                if not generation.makes_image:
                    raise InvalidRequestError(
                        f"Generation {generation_id} is a video; a picture is needed here.",
                        f"Name a frame of it, as {generation_id}#last or {generation_id}#2.5s.",
                    )
                return self._picture_name(generation)
            case GenerationSource(generation_id, frame):
                generation = await self.video(generation_id)
                async with self._resolver.open_video(generation) as path:
                    ending, data = await worker.run(still, path, frame, source.name, MAX_IMAGE_BYTES)
                return await self._location(LocalFile.of_bytes(source.name, ending, data))
            case _ as unreachable:
                assert_never(unreachable)

    async def _location(self, file: LocalFile) -> str:
        """The name of a file in a request."""
        name = await self._resolver.stores[self._backend].location(file)
        self._files[name] = file
        return name

    async def _completed(self, generation_id: str) -> Generation:
        await self._may_use(generation_id)
        generation = await self._resolver.backend.get_generation(generation_id)
        if generation.state == "completed":
            # The caller may have named it by its id in the queue.
            self._generation_ids[generation.id] = None
            return generation
        if generation.state == "failed":
            raise InvalidRequestError(f"Generation {generation_id} failed, so there is nothing to use.")
        raise InvalidRequestError(
            f"Generation {generation_id} is still {cleaned(generation.state, 40)}.",
            f'Wait for it first: wait_for_generation(generation_ids=["{generation_id}"]).',
        )


async def _allow_all(_generation_id: str) -> None:
    """Allow every generation."""


def _url(generation: Generation, output: OutputKind) -> str:
    url = generation.url(output)
    if url is None:
        raise InvalidRequestError(f"Generation {generation.id} has no {output} any more.")
    return url
