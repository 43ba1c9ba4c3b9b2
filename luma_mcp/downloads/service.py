"""Saving assets as files inside one folder, each with a sidecar."""

import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from luma_mcp.domain.errors import FileError
from luma_mcp.domain.generation import Generation
from luma_mcp.domain.text import cleaned
from luma_mcp.downloads import received, sidecar
from luma_mcp.downloads.atomic_file import PartFile, digest, write_beside
from luma_mcp.downloads.fetcher import Fetcher, GoneError, OnBytes
from luma_mcp.downloads.naming import Naming
from luma_mcp.media import worker
from luma_mcp.media.concat import concatenate
from luma_mcp.media.formats import MEDIA_TYPES

GetGeneration = Callable[[str], Awaitable[Generation]]

# The place of what people send, inside the output folder.
RECEIVED = "received"
_BLOCK_BYTES = 1024**2
# Twenty clips of 4k are copied in less.
_JOIN_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class SavedFile:
    """A saved file."""

    generation_id: str
    path: Path
    size_bytes: int
    sha256: str
    media_type: str
    url: str | None = None
    """The link that it came from; None for what was joined here."""


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
        place = self._folder_for(directory) / self._naming.path_for(generation, asset)
        saved = await anyio.to_thread.run_sync(self._find_saved, generation, asset, place)
        if saved is not None:
            return saved
        with _translated_disk_errors(place.parent):
            async with await PartFile.begin(place.parent) as part:
                url = await self._fetch(generation, asset, url, part, on_bytes)
                return await self._finish(part, generation, asset, place.name, url, made_from)

    async def join(
        self, generations: Sequence[Generation], *, directory: str | None = None, on_bytes: OnBytes
    ) -> SavedFile:
        """Save clips of equal form as one, in that order, without encoding them again.

        Raises:
            FileError: they are not of equal form, or as save.
        """
        first = generations[0]
        place = self._folder_for(directory) / self._naming.path_for(first)
        with _translated_disk_errors(place.parent), tempfile.TemporaryDirectory() as temporary:
            clips = [await self._local_copy(clip, None, Path(temporary), on_bytes) for clip in generations]
            whole = Path(temporary) / "joined.mp4"
            await worker.run(concatenate, clips, whole, seconds=_JOIN_SECONDS)
            async with await PartFile.begin(place.parent) as part:
                await _copy(whole, part)
                return await self._finish_joined(part, generations, f"{place.name}-joined-{len(generations)}")

    @asynccontextmanager
    async def open_asset(
        self, generation: Generation, asset: str | None, on_bytes: OnBytes
    ) -> AsyncGenerator[tuple[Path, bool]]:
        """A local file with the asset, and whether it is the saved file; a temporary one is deleted on leaving.

        Raises:
            FileError: there is no such asset, or it cannot be fetched.
        """
        with _translated_disk_errors(Path(tempfile.gettempdir())), tempfile.TemporaryDirectory() as temporary:
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
        with _translated_disk_errors(folder):
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

    async def _finish_joined(self, part: PartFile, generations: Sequence[Generation], name: str) -> SavedFile:
        """Give a file that was joined here its name and its sidecar. It is none of the generations, and has no link."""
        path = await part.finish(name)
        saved = SavedFile(generations[0].id, path, part.size, part.sha256, part.media_type)
        note = sidecar.render_joined(generations, file=_facts(saved))
        await anyio.to_thread.run_sync(write_beside, path, sidecar.ENDING, note)
        return saved

    def _find_saved(self, generation: Generation, asset: str | None, place: Path) -> SavedFile | None:
        """The file at a place, if its sidecar and its content prove that it is this asset."""
        for ending, media_type in MEDIA_TYPES.items():
            path = place.with_name(f"{place.name}.{ending}")
            content = sidecar.read(path)
            file: Any = content.get("file")
            if content.get("generation_id") != generation.id or content.get("asset") != _wanted(generation, asset):
                continue
            try:
                if content.get("joined") or path.is_symlink() or not path.is_file() or digest(path) != file["sha256"]:
                    continue
                size = path.stat().st_size
            except (OSError, KeyError, TypeError):
                continue
            return SavedFile(generation.id, path, size, file["sha256"], media_type, asset_url(generation, asset))
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


def _facts(saved: SavedFile) -> dict[str, Any]:
    """What a sidecar says of its file."""
    return {
        "name": saved.path.name,
        "size_bytes": saved.size_bytes,
        "sha256": saved.sha256,
        "media_type": saved.media_type,
    }


async def _copy(source: Path, part: PartFile) -> None:
    async with await anyio.open_file(source, "rb") as file:
        while block := await file.read(_BLOCK_BYTES):
            await part.write(block)


@contextmanager
def _translated_disk_errors(folder: Path) -> Generator[None]:
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
