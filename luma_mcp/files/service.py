"""Saving assets, and what is made of them, as files inside one folder, each with a sidecar."""

import shutil
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, cast

import anyio
import anyio.to_thread

from luma_mcp.domain.errors import FileError
from luma_mcp.domain.generation import Generation
from luma_mcp.domain.text import cleaned
from luma_mcp.files import received, sidecar
from luma_mcp.files.atomic_file import PartFile, digest, safe_name, write_beside
from luma_mcp.files.fetcher import Fetcher, GoneError, OnBytes
from luma_mcp.files.naming import Naming
from luma_mcp.files.saved_file import SavedFile, find_numbered, proven
from luma_mcp.media import worker
from luma_mcp.media.edit import edit, edit_cost
from luma_mcp.media.edit_plan import MEMORY_BYTES, ClipRange, Edit
from luma_mcp.media.formats import MEDIA_TYPES

GetGeneration = Callable[[str], Awaitable[Generation]]

# The place of what people send, inside the output folder.
RECEIVED = "received"
_BLOCK_BYTES = 1024**2
# The least time that an edit is given, and the part by which it may exceed its estimate.
_MIN_EDIT_SECONDS = 600.0
_ESTIMATE_FACTOR = 2.0
# Space that stays free on the disk.
_SPARE_BYTES = 64 * 1024**2


Bring = Callable[[Path], Awaitable[None]]
"""Puts a file at a path. Raises: FileError."""


@dataclass(frozen=True, slots=True)
class EditSource:
    """A range of a clip, for an edit.

    Args:
        source: the generation, or the name of a local file.
        start: its first second.
        end: its last second; None for the clip's end.
        bring: brings the local file; a generation needs none.
    """

    source: Generation | str
    start: float = 0.0
    end: float | None = None
    bring: Bring | None = None


class DownloadService:
    """Saves assets in a folder.

    Args:
        folder: the output folder, made for the first file; a function, for finding the default costs time.
        fetcher: fetches assets.
        get_generation: asks for a generation again when a link has expired.
        naming: names the files.
    """

    def __init__(
        self, folder: Callable[[], Path], fetcher: Fetcher, get_generation: GetGeneration, naming: Naming | None = None
    ) -> None:
        self._folder = folder
        self._fetcher = fetcher
        self._get_generation = get_generation
        self._naming = naming or Naming()

    @property
    def folder(self) -> Path:
        """The output folder."""
        return self._folder()

    def inside(self, folder: str) -> "DownloadService":
        """The same, with a folder inside the output folder in its place; the same itself for an empty name."""
        if not folder:
            return self
        return DownloadService(lambda: self._folder() / folder, self._fetcher, self._get_generation, self._naming)

    async def close(self) -> None:
        """Close the connections."""
        await self._fetcher.close()

    async def save(
        self,
        generation: Generation,
        *,
        asset: str | None = None,
        directory: str | None = None,
        on_bytes: OnBytes,
        made_from: Sequence[str] = (),
    ) -> SavedFile:
        """Save an asset of a generation: its main output, unless another is named by its kind or its name.

        A file that was saved before, as its sidecar proves, is answered as it is. An expired link is renewed once.

        Raises:
            FileError: there is no such asset, or it cannot be fetched or saved. Nothing is left behind.
        """
        url = asset_url(generation, asset)
        target = self._folder_for(directory) / self._naming.path_for(generation, asset)
        saved = await anyio.to_thread.run_sync(self._find_saved, generation, asset, target)
        if saved is not None:
            return saved
        with translated_disk_errors(target.parent):
            async with await PartFile.begin(target.parent) as part:
                url = await self._fetch(generation, asset, url, part, on_bytes)
                return await self._finish(part, generation, asset, target.name, url, made_from)

    async def edit(
        self,
        clips: Sequence[EditSource],
        plan: Edit,
        *,
        sound: Bring | None = None,
        directory: str | None = None,
        name: str | None = None,
        about: Mapping[str, Any] | None = None,
        on_bytes: OnBytes,
    ) -> SavedFile:
        """Save one file made of ranges of clips. Clips of equal form that are only joined are not encoded again.

        The same edit of the same files that was saved before, as its sidecar proves, is answered as it is.

        Args:
            clips: the clips, in order.
            plan: what is done with them; its ranges, and the path of its sound, are filled in here.
            sound: brings the sound file of the plan.
            directory: a folder inside the output folder.
            name: the file's name without its ending; after the first part if there is none.
            about: what the sidecar says in addition to the clips and the plan.
            on_bytes: called with the bytes that were fetched.

        Raises:
            FileError: a clip or the sound cannot be read, or the plan does not fit them. Nothing is left behind.
        """
        target = self._folder_for(directory) / (name or self._name_of(clips))
        with translated_disk_errors(target.parent), tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            ranges = [ClipRange(await self._bring(clip, folder, number, on_bytes), clip.start, clip.end)
                      for number, clip in enumerate(clips)]  # fmt: skip
            plan = replace(plan, ranges=tuple(ranges))
            if sound is not None and plan.sound is not None:
                path = folder / "sound"
                await sound(path)
                plan = replace(plan, sound=replace(plan.sound, path=path))
            facts = await anyio.to_thread.run_sync(_edit_facts, clips, plan)
            saved = await anyio.to_thread.run_sync(_find_edited, target, clips, facts)
            if saved is not None:
                return saved
            made = folder / f"edited.{plan.format}"
            cost = await worker.run(edit_cost, plan, seconds=_MIN_EDIT_SECONDS, memory_bytes=MEMORY_BYTES, is_long=True)
            # The file is made in the temporary folder, and copied to its path.
            for space in (folder, target.parent):
                await anyio.to_thread.run_sync(_check_space, space, cost.size_bytes)
            seconds = max(_MIN_EDIT_SECONDS, cost.work_seconds * _ESTIMATE_FACTOR)
            await worker.run(edit, plan, made, seconds=seconds, memory_bytes=MEMORY_BYTES, is_long=True)
            async with await PartFile.begin(target.parent) as part:
                await _copy(made, part)
                return await self._finish_edited(part, clips, facts, target.name, about or {})

    def _name_of(self, clips: Sequence[EditSource]) -> PurePosixPath:
        """Folders and name of what is made of these, after the first."""
        first = clips[0]
        made = self._naming.path_for(first.source) if isinstance(first.source, Generation) else None
        target = made or PurePosixPath(safe_name(Path(first.source).stem) if isinstance(first.source, str) else "clip")
        number = f"-{len(clips)}" if len(clips) > 1 else ""
        return target.with_name(f"{target.name or 'clip'}-edited{number}")

    async def _bring(self, clip: EditSource, folder: Path, number: int, on_bytes: OnBytes) -> Path:
        """A local file with the clip of a part."""
        if isinstance(clip.source, Generation):
            return await self._local_copy(clip.source, None, folder, on_bytes)
        path = folder / f"clip-{number}"
        await cast("Bring", clip.bring)(path)
        return path

    @asynccontextmanager
    async def open_asset(
        self, generation: Generation, asset: str | None, on_bytes: OnBytes
    ) -> AsyncGenerator[tuple[Path, bool]]:
        """A local file with the asset, and whether it is the saved file; a temporary one is deleted on leaving.

        Raises:
            FileError: there is no such asset, or it cannot be fetched.
        """
        with translated_disk_errors(Path(tempfile.gettempdir())), tempfile.TemporaryDirectory() as temporary:
            path = await self._local_copy(generation, asset, Path(temporary), on_bytes)
            yield path, path.parent != Path(temporary)

    @asynccontextmanager
    async def open_video(self, generation: Generation) -> AsyncGenerator[Path]:
        """A local file with a generation's video, as `open_asset` but without progress."""
        async with self.open_asset(generation, "video", _ignore) as (path, _):
            yield path

    def place_of(self, path: Path) -> str:
        """The path of a saved file inside this folder, with `/`."""
        return path.resolve().relative_to(self.folder.resolve()).as_posix()

    async def fetch_received(self, url: str, name: str) -> Path:
        """Save a file that somebody sends by a link. Raises: FileError."""
        folder = self.folder / RECEIVED
        with translated_disk_errors(folder):
            return await received.fetch(self._fetcher, url, folder, name)

    def saved_path(self, generation: Generation, asset: str | None = None) -> Path | None:
        """The path under which the asset was saved directly in the output folder, if the file still exists."""
        saved = self._find_saved(generation, asset, self.folder / self._naming.path_for(generation, asset))
        return saved and saved.path

    async def _local_copy(self, generation: Generation, asset: str | None, folder: Path, on_bytes: OnBytes) -> Path:
        """The saved file, or a copy that is fetched into a folder."""
        saved = await anyio.to_thread.run_sync(self.saved_path, generation, asset)
        if saved is not None:
            return saved
        async with await PartFile.begin(folder) as part:
            await self._fetch(generation, asset, asset_url(generation, asset), part, on_bytes)
            return await part.finish(f"{generation.id}-{asset}")

    async def _fetch(
        self, generation: Generation, asset: str | None, url: str, part: PartFile, on_bytes: OnBytes
    ) -> str:
        """Fetch it by its link, or by a newer one if that has expired; the link that worked."""
        try:
            await self._fetcher.fetch(url, part, on_bytes)
        except GoneError:
            url = asset_url(await self._get_generation(generation.id), asset)
            await part.start_over()
            await self._fetcher.fetch(url, part, on_bytes)
        return url

    async def _finish(
        self,
        part: PartFile,
        generation: Generation,
        asset: str | None,
        name: str,
        url: str,
        made_from: Sequence[str],
    ) -> SavedFile:
        """Give a whole file its name and its sidecar."""
        path = await part.finish(name)
        saved = SavedFile(generation.id, path, part.size, part.sha256, part.media_type, url)
        note = sidecar.render(generation, _wanted(generation, asset), made_from=made_from, file=_facts(saved))
        await anyio.to_thread.run_sync(write_beside, path, sidecar.ENDING, note)
        return saved

    async def _finish_edited(
        self, file: PartFile, clips: Sequence[EditSource], facts: Mapping[str, Any], name: str, about: Mapping[str, Any]
    ) -> SavedFile:
        """Give a file that was made here its name and its sidecar. It is no generation, and has no link at Luma."""
        path = await file.finish(name)
        saved = SavedFile(_named_id(clips), path, file.size, file.sha256, file.media_type)
        generations = [clip.source for clip in clips if isinstance(clip.source, Generation)]
        note = sidecar.render_edited(generations, facts, about, file=_facts(saved))
        await anyio.to_thread.run_sync(write_beside, path, sidecar.ENDING, note)
        return saved

    def _find_saved(self, generation: Generation, asset: str | None, target: Path) -> SavedFile | None:
        """The file at a path, if its sidecar and its content prove that it is this asset."""
        asset_name = _wanted(generation, asset)

        def is_it(content: dict[str, Any]) -> bool:
            is_edited = bool(content.get("parts"))
            return content["generation_id"] == generation.id and content["asset"] == asset_name and not is_edited

        for ending in MEDIA_TYPES:
            saved = proven(target.with_name(f"{target.name}.{ending}"), generation.id, is_it)
            if saved is not None:
                return replace(saved, url=asset_url(generation, asset))
        return None

    def _folder_for(self, directory: str | None) -> Path:
        """The folder to save in; a directory that is asked for must lie in the output folder."""
        root = self._folder()
        if directory is None:
            return root
        try:
            root = root.resolve()
            target = (root / Path(directory).expanduser()).resolve()
        except (OSError, RuntimeError, ValueError):
            target = Path("/")
        if not target.is_relative_to(root):
            raise FileError(
                f"The directory {cleaned(directory, 80)!r} is outside the output folder {root}.",
                "Name a folder inside it, or none. Only the person can change LUMA_OUTPUT_DIR.",
            )
        return target


def _named_id(clips: Sequence[EditSource]) -> str:
    """The id of the first generation in an edit; empty if there is none."""
    return next((clip.source.id for clip in clips if isinstance(clip.source, Generation)), "")


def _edit_facts(clips: Sequence[EditSource], plan: Edit) -> dict[str, Any]:
    """The facts of an edit for its sidecar, without paths: its ranges, and the options of the edit."""
    facts: dict[str, Any] = {
        "format": plan.format,
        "crossfade_seconds": plan.crossfade_seconds or None,
        "fit": plan.fit if len(plan.ranges) > 1 else None,
        "width": plan.width,
        "sound_sha256": digest(plan.sound.path) if plan.sound else None,
        "sound_volume": plan.sound.volume if plan.sound else None,
        "sound_fade_seconds": plan.sound.fade_seconds if plan.sound else None,
    }
    return {
        "parts": [_clip_facts(clip, digest(local.path)) for clip, local in zip(clips, plan.ranges, strict=True)],
        "edit": {name: value for name, value in facts.items() if value is not None},
    }


def _clip_facts(clip: EditSource, sha256: str) -> dict[str, Any]:
    source = clip.source
    named = {"generation_id": source.id} if isinstance(source, Generation) else {"file": Path(source).name}
    begin, end = {"from": clip.start} if clip.start else {}, {} if clip.end is None else {"to": clip.end}
    return {**named, **begin, **end, "sha256": sha256}


def _find_edited(target: Path, clips: Sequence[EditSource], facts: Mapping[str, Any]) -> SavedFile | None:
    """The file that was made just so, at a place or at its name with a number."""

    def is_it(content: dict[str, Any]) -> bool:
        return all(content[name] == value for name, value in facts.items())

    return find_numbered(target, facts["edit"]["format"], _named_id(clips), is_it)


def _facts(saved: SavedFile) -> dict[str, Any]:
    """The facts of a file for its sidecar."""
    return {
        "name": saved.path.name,
        "size_bytes": saved.size_bytes,
        "sha256": saved.sha256,
        "media_type": saved.media_type,
    }


def _check_space(folder: Path, size_bytes: int) -> None:
    """Raises: FileError, if a disk has not enough space for a file of that size; OSError."""
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < size_bytes + _SPARE_BYTES:
        raise FileError(
            f"The edit may need {size_bytes / 1e6:,.0f} MB, and {folder} has {free / 1e6:,.0f} MB free.",
            "Nothing was written. Free some space there, or name shorter parts or a smaller width.",
        )


async def _copy(source: Path, part: PartFile) -> None:
    async with await anyio.open_file(source, "rb") as file:
        while block := await file.read(_BLOCK_BYTES):
            await part.write(block)


@contextmanager
def translated_disk_errors(folder: Path) -> Generator[None]:
    """Turn disk errors into FileErrors."""
    try:
        yield
    except OSError as error:
        raise FileError(
            f"The file cannot be saved in {folder}: {error.strerror or type(error).__name__}.",
            "Free some space there, or set LUMA_OUTPUT_DIR to a folder that can be written.",
        ) from error


async def _ignore(_size: int, _length: int | None) -> None:
    """Report no progress."""


def _wanted(generation: Generation, asset: str | None) -> str:
    return asset or generation.main_output


def asset_url(generation: Generation, asset: str | None) -> str:
    """The link of an asset. Raises: FileError, if there is none (yet)."""
    wanted = _wanted(generation, asset)
    found = generation.url(wanted)
    if found:
        return found
    if generation.state == "failed":
        raise FileError(f"Generation {generation.id} failed, so it has no {wanted}.")
    if generation.is_final:
        raise FileError(f"Generation {generation.id} has no {wanted}.", "get_generation lists what it has.")
    raise FileError(
        f"Generation {generation.id} is still {cleaned(generation.state, 40)}, so it has no {wanted}.",
        f'Wait for it first: wait_for_generation(generation_ids=["{generation.id}"]).',
    )
