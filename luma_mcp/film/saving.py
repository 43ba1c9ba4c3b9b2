"""A film as one file, with a contact sheet and a sidecar next to it; saved in the background.

Saving may take longer than a client waits. A client that asks again joins the save that runs, so that a long film is
saved once, however often clients time out.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from luma_mcp.domain.generation import Generation
from luma_mcp.files.atomic_file import PartFile, safe_name
from luma_mcp.files.edits import EditOrder, EditSource, save_edit
from luma_mcp.files.fetcher import OnBytes
from luma_mcp.files.saved_file import SavedFile, find_numbered
from luma_mcp.files.service import DownloadService, translated_disk_errors
from luma_mcp.film.film import Film, FilmShot
from luma_mcp.media import origin, previews, worker

_MAX_TITLE_LENGTH = 51
_REPORT_EVERY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class SavedFilm:
    """A film's file, its contact sheet, and that sheet as a JPEG."""

    file: SavedFile
    sheet: Path
    jpeg: bytes


async def save_film(
    downloads: DownloadService, film: Film, generations: Sequence[Generation], on_bytes: OnBytes
) -> SavedFilm:
    """Save a film, unless the same one is saved already, as its sidecar proves. Equal clips are not encoded again.

    Args:
        downloads: the folder of saved files.
        film: the film, completed. Its id and the prompt of its first shot name the file.
        generations: the generations of its shots, in order.
        on_bytes: called with the bytes that were fetched.

    Raises:
        FileError: a clip cannot be fetched, or the film cannot be saved. Nothing is left behind.
    """
    title = safe_name(film.plan.shots[0].shot.prompt or "film", max_length=_MAX_TITLE_LENGTH) or "untitled"
    name = f"{title}-{safe_name(film.id)}"
    ids = [generation.id for generation in generations]
    file = await anyio.to_thread.run_sync(_find_saved, downloads.folder, name, film.id, ids)
    if file is None:
        about: dict[str, Any] = {
            "film_id": film.id,
            "shots": [_facts(shot) for shot in film.shots],
            "format": {
                "model": film.plan.form.model,
                "aspect_ratio": film.plan.form.aspect_ratio,
                "resolution": film.plan.form.resolution,
            },
            "price_usd": round(film.spent_usd, 4),
        }
        order = EditOrder([EditSource(generation) for generation in generations], is_film=True)
        file = await save_edit(downloads, order, name=name, about=about, on_bytes=on_bytes)
    sheet = file.path.with_name(f"{file.path.stem}-sheet.jpg")
    with translated_disk_errors(sheet.parent):
        if sheet.is_file() and not sheet.is_symlink():
            return SavedFilm(file, sheet, await anyio.Path(sheet).read_bytes())
        jpeg = await worker.run(previews.of_shots, file.path, [shot.planned.seconds for shot in film.shots])
        async with await PartFile.begin(sheet.parent) as part:
            await part.write(origin.stated(jpeg, "jpg", origin.xmp("trainedAlgorithmicMedia")))
            sheet = await part.finish(sheet.stem)
    return SavedFilm(file, sheet, jpeg)


def _find_saved(folder: Path, name: str, film_id: str, ids: Sequence[str]) -> SavedFile | None:
    """The film, if a file of its name is made of just these generations and has not changed since."""

    def is_same_film(content: dict[str, Any]) -> bool:
        return content["film_id"] == film_id and [part["generation_id"] for part in content["parts"]] == list(ids)

    return find_numbered(folder / name, "mp4", ids[0], is_same_film)


def _facts(shot: FilmShot) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "number": shot.number,
        "generation_id": shot.generation_id,
        "price_usd": shot.spent_usd,
        "made_from": list(shot.purchase.made_from) if shot.purchase else [],
        "prompt": shot.planned.shot.prompt,
        "duration": shot.planned.shot.duration,
        "start": shot.planned.shot.start,
        "end": shot.planned.shot.end,
        "concepts": list(shot.planned.shot.concepts),
        "take": shot.planned.shot.take,
    }
    return {key: value for key, value in facts.items() if value not in ([], None)}


Save = Callable[[OnBytes], Awaitable[SavedFilm]]
"""Saves a film, and reports the bytes that were fetched. Raises: LumaError."""


class FilmSave:
    """A film that is being saved."""

    def __init__(self) -> None:
        self._wake = anyio.Event()
        self._bytes = 0
        self._saved: SavedFilm | None = None
        self._error: Exception | None = None

    async def run(self, save: Save) -> None:
        """Save it. An error is raised by `wait`."""

        async def on_bytes(size: int, _length: int | None) -> None:
            self._bytes = size

        try:
            self._saved = await save(on_bytes)
        except Exception as error:  # noqa: BLE001 - raised again below, or it would come out as a group
            self._error = error
        finally:
            self._wake.set()

    def end_waits(self) -> None:
        """End every wait for it at once."""
        self._wake.set()

    async def wait(self, seconds: float, on_bytes: OnBytes) -> SavedFilm | None:
        """The saved film; None if it is not saved within so many seconds.

        Args:
            seconds: how long at most.
            on_bytes: called every second with the bytes that were fetched.

        Raises:
            LumaError: it cannot be saved.
        """
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._report, on_bytes)
            with anyio.move_on_after(seconds):
                await self._wake.wait()
            if not self._wake.is_set():
                tasks.cancel_scope.cancel()
        if self._error is not None:
            raise self._error
        return self._saved

    async def _report(self, on_bytes: OnBytes) -> None:
        """Report until it is over."""
        while not self._wake.is_set():
            with anyio.move_on_after(_REPORT_EVERY_SECONDS):
                await self._wake.wait()
            await on_bytes(self._bytes, None)


class FilmSaves:
    """The films of a server that are being saved."""

    def __init__(self) -> None:
        self._is_ending = False
        self._tasks: TaskGroup | None = None
        self._saves: dict[tuple[str, str], FilmSave] = {}

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Save films while this is entered. Saves that are not complete at its end leave no files behind."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            try:
                yield
            finally:
                self._tasks = None
                tasks.cancel_scope.cancel()

    def start(self, folder: str, film_id: str, save: Save) -> FilmSave:
        """Start to save a film into a folder, or join the save that runs already."""
        key = (folder, film_id)
        if key not in self._saves:
            running = self._saves[key] = FilmSave()
            if self._is_ending:
                running.end_waits()
            cast("TaskGroup", self._tasks).start_soon(self._run, key, running, save)
        return self._saves[key]

    def end_waits(self) -> None:
        """End every wait at once: the server is about to stop."""
        self._is_ending = True
        for save in self._saves.values():
            save.end_waits()

    async def _run(self, key: tuple[str, str], running: FilmSave, save: Save) -> None:
        try:
            await running.run(save)
        finally:
            # A saved film is recognised by its sidecar.
            del self._saves[key]
