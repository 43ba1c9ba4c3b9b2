"""Saving assets as files inside one folder, each with a sidecar."""

import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from luma_mcp.domain.errors import FileError
from luma_mcp.domain.failures import step_without_file
from luma_mcp.domain.generation import Generation
from luma_mcp.domain.text import cleaned
from luma_mcp.files import received, sidecar
from luma_mcp.files.atomic_file import PartFile, write_beside
from luma_mcp.files.fetcher import Fetcher, GoneError, OnBytes
from luma_mcp.files.naming import Naming
from luma_mcp.files.saved_file import SavedFile, proven
from luma_mcp.media.formats import MEDIA_TYPES

GetGeneration = Callable[[str], Awaitable[Generation]]

# The place of what people send, inside the output folder.
RECEIVED = "received"


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
    def naming(self) -> Naming:
        """The names of saved files."""
        return self._naming

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
        target = self.folder_for(directory) / self._naming.path_for(generation, asset)
        saved = await anyio.to_thread.run_sync(self._find_saved, generation, asset, target)
        if saved is not None:
            return saved
        with translated_disk_errors(target.parent):
            async with await PartFile.begin(target.parent) as part:
                url = await self._fetch(generation, asset, url, part, on_bytes)
                return await self._finish(part, generation, asset, target.name, url, made_from)

    @asynccontextmanager
    async def open_asset(
        self, generation: Generation, asset: str | None, on_bytes: OnBytes
    ) -> AsyncGenerator[tuple[Path, bool]]:
        """A local file with the asset, and whether it is the saved file; a temporary one is deleted on leaving.

        Raises:
            FileError: there is no such asset, or it cannot be fetched.
        """
        with translated_disk_errors(Path(tempfile.gettempdir())), tempfile.TemporaryDirectory() as temporary:
            path = await self.local_copy(generation, asset, Path(temporary), on_bytes)
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

    async def local_copy(self, generation: Generation, asset: str | None, folder: Path, on_bytes: OnBytes) -> Path:
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
        note = sidecar.render(generation, _wanted(generation, asset), made_from=made_from, file=facts_of(saved))
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

    def folder_for(self, directory: str | None) -> Path:
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


def facts_of(saved: SavedFile) -> dict[str, Any]:
    """The facts of a file for its sidecar."""
    return {
        "name": saved.path.name,
        "size_bytes": saved.size_bytes,
        "sha256": saved.sha256,
        "media_type": saved.media_type,
    }


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
    if generation.is_final and not generation.outputs:
        raise FileError(f"Generation {generation.id} has no {wanted}.", step_without_file(generation))
    if generation.is_final:
        raise FileError(f"Generation {generation.id} has no {wanted}.", "get_generation lists what it has.")
    raise FileError(
        f"Generation {generation.id} is still {cleaned(generation.state, 40)}, so it has no {wanted}.",
        f'Wait for it first: wait_for_generation(generation_ids=["{generation.id}"]).',
    )
