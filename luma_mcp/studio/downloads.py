"""Assets -> files, inside one folder, each with what it is written beside it."""

import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import anyio
import anyio.to_thread

from luma_mcp.luma.errors import FileError
from luma_mcp.luma.models import Generation
from luma_mcp.luma.wire import quoted
from luma_mcp.studio import sidecar
from luma_mcp.studio.fetching import Fetching, GoneError, OnBytes
from luma_mcp.studio.files import MEDIA_TYPES, PartFile, digest, write_beside
from luma_mcp.studio.joining import join
from luma_mcp.studio.naming import Naming

Asset = Literal["video", "image", "preview"]
AskAgain = Callable[[str], Awaitable[Generation]]

_BLOCK_BYTES = 1024**2


@dataclass(frozen=True, slots=True)
class Kept:
    """A file that is there now."""

    generation_id: str
    path: Path
    size_bytes: int
    sha256: str
    media_type: str
    url: str


class Downloads:
    """Keeps assets in a folder.

    Args:
        folder: where files go, made when the first one comes; a function, for finding the default costs time.
        fetching: how assets are fetched.
        ask_again: how a generation is asked for anew when the link to its asset has expired.
        naming: what files are called.
    """

    def __init__(
        self, folder: Callable[[], Path], fetching: Fetching, ask_again: AskAgain, naming: Naming | None = None
    ) -> None:
        self._folder = folder
        self._fetching = fetching
        self._ask_again = ask_again
        self._naming = naming or Naming()

    @property
    def folder(self) -> Path:
        """The output folder."""
        return self._folder()

    async def close(self) -> None:
        """Give back the connections."""
        await self._fetching.close()

    async def keep(
        self,
        generation: Generation,
        *,
        asset: Asset | None = None,
        directory: str | None = None,
        on_bytes: OnBytes,
        made_from: Sequence[str] = (),
    ) -> Kept:
        """Save an asset of a generation; what it was made for, unless another is named.

        A file that is there already, with the note beside it that says so, is answered as it is. An expired link is
        asked for anew, once.

        Raises:
            FileError: there is no such asset, or it cannot be fetched or saved. Nothing is left behind.
        """
        url = link(generation, asset)
        place = self._inside(directory) / self._naming.path_for(generation, asset)
        there = await anyio.to_thread.run_sync(self._already, generation, asset, place)
        if there is not None:
            return there
        with _disk_errors_said(place.parent):
            async with await PartFile.begin(place.parent) as part:
                url = await self._fetch(generation, asset, url, part, on_bytes)
                return await self._finish(part, generation, asset, place.name, url, made_from)

    async def join(self, generations: Sequence[Generation], *, directory: str | None = None, on_bytes: OnBytes) -> Kept:
        """Save clips of equal form as one, in that order, without encoding them again.

        Raises:
            FileError: they are not of equal form, or as keep.
        """
        first = generations[0]
        place = self._inside(directory) / self._naming.path_for(first)
        ids = [one.id for one in generations]
        with _disk_errors_said(place.parent), tempfile.TemporaryDirectory() as away:
            pieces = [await self._bring(one, None, Path(away), on_bytes) for one in generations]
            whole = Path(away) / "joined.mp4"
            await anyio.to_thread.run_sync(join, pieces, whole)
            async with await PartFile.begin(place.parent) as part:
                await _copy(whole, part)
                name = f"{place.name}-joined-{len(generations)}"
                return await self._finish(part, first, None, name, link(first, None), (), ids)

    @asynccontextmanager
    async def at_hand(
        self, generation: Generation, asset: Asset | None, on_bytes: OnBytes
    ) -> AsyncGenerator[tuple[Path, bool]]:
        """A file with the asset, to be looked at, and whether it is the saved one; another is gone afterwards.

        Raises:
            FileError: there is no such asset, or it cannot be fetched.
        """
        with _disk_errors_said(Path(tempfile.gettempdir())), tempfile.TemporaryDirectory() as away:
            path = await self._bring(generation, asset, Path(away), on_bytes)
            yield path, path.parent != Path(away)

    def kept(self, generation: Generation, asset: Asset | None = None) -> Path | None:
        """Where the asset has been saved, in the output folder itself, if it still is there."""
        there = self._already(generation, asset, self.folder / self._naming.path_for(generation, asset))
        return there and there.path

    async def _bring(self, generation: Generation, asset: Asset | None, away: Path, on_bytes: OnBytes) -> Path:
        """The saved file, or one that is fetched into a folder."""
        saved = await anyio.to_thread.run_sync(self.kept, generation, asset)
        if saved is not None:
            return saved
        async with await PartFile.begin(away) as part:
            await self._fetch(generation, asset, link(generation, asset), part, on_bytes)
            return await part.finish(f"{generation.id}-{asset}")

    async def _fetch(
        self, generation: Generation, asset: Asset | None, url: str, part: PartFile, on_bytes: OnBytes
    ) -> str:
        """Fetch it by its link, or by a newer one if that has expired; the link that worked."""
        try:
            await self._fetching.fetch(url, part, on_bytes)
        except GoneError:
            url = link(await self._ask_again(generation.id), asset)
            await part.start_over()
            await self._fetching.fetch(url, part, on_bytes)
        return url

    async def _finish(
        self,
        part: PartFile,
        generation: Generation,
        asset: Asset | None,
        name: str,
        url: str,
        made_from: Sequence[str],
        joined: Sequence[str] = (),
    ) -> Kept:
        """Give a whole file its name and its note."""
        path = await part.finish(name)
        kept = Kept(generation.id, path, part.size, part.sha256, part.media_type, url)
        file = {
            "name": path.name,
            "size_bytes": kept.size_bytes,
            "sha256": kept.sha256,
            "media_type": kept.media_type,
        }
        note = sidecar.written(generation, _wanted(generation, asset), made_from=made_from, file=file, joined=joined)
        await anyio.to_thread.run_sync(write_beside, path, sidecar.ENDING, note)
        return kept

    def _already(self, generation: Generation, asset: Asset | None, place: Path) -> Kept | None:
        """The file at a place, if the note beside it says that it is this asset and it still is."""
        for ending, media_type in MEDIA_TYPES.items():
            path = place.with_name(f"{place.name}.{ending}")
            told = sidecar.read(path)
            file: Any = told.get("file")
            if told.get("generation_id") != generation.id or told.get("asset") != _wanted(generation, asset):
                continue
            try:
                if told.get("joined") or path.is_symlink() or not path.is_file() or digest(path) != file["sha256"]:
                    continue
                size = path.stat().st_size
            except (OSError, KeyError, TypeError):
                continue
            return Kept(generation.id, path, size, file["sha256"], media_type, link(generation, asset))
        return None

    def _inside(self, directory: str | None) -> Path:
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
                f"The directory {quoted(directory, 80)!r} is outside the output folder {root}.",
                "Name a folder inside it, or none. Only the person can change LUMA_OUTPUT_DIR.",
            )
        return target


async def _copy(source: Path, part: PartFile) -> None:
    async with await anyio.open_file(source, "rb") as file:
        while block := await file.read(_BLOCK_BYTES):
            await part.write(block)


@contextmanager
def _disk_errors_said(folder: Path) -> Generator[None]:
    """What a disk refuses, as our own error."""
    try:
        yield
    except OSError as error:
        raise FileError(
            f"The file cannot be saved in {folder}: {error.strerror or type(error).__name__}.",
            "Free some space there, or set LUMA_OUTPUT_DIR to a folder that can be written.",
        ) from error


def _wanted(generation: Generation, asset: Asset | None) -> Asset:
    return asset or ("image" if generation.is_picture else "video")


def link(generation: Generation, asset: Asset | None) -> str:
    """The link of an asset. Raises: FileError, if there is none (yet)."""
    assets = generation.assets
    links = {
        "video": assets and assets.video,
        "image": assets and assets.image,
        "preview": assets and assets.progress_video,
    }
    wanted = _wanted(generation, asset)
    found = links[wanted]
    if found:
        return found
    if generation.state == "failed":
        raise FileError(f"Generation {generation.id} failed, so it has no {wanted}.")
    if generation.is_final:
        raise FileError(f"Generation {generation.id} has no {wanted}.", "get_generation lists what it has.")
    raise FileError(
        f"Generation {generation.id} is still {quoted(generation.state, 40)}, so it has no {wanted}.",
        f'Wait for it first: wait_for_generation(generation_ids=["{generation.id}"]).',
    )
