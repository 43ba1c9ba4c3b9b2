"""Films that are saved in the background. A film may take longer than its client waits; whoever asks again joins.

Without this, a client that gives up after a minute would begin anew with each call, and never get a long film.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import cast

import anyio
from anyio.abc import TaskGroup

from luma_mcp.files.fetcher import OnBytes
from luma_mcp.film.saving import SavedFilm

Save = Callable[[OnBytes], Awaitable[SavedFilm]]
"""Saves a film, and reports the bytes that were fetched. Raises: LumaError."""

_REPORT_EVERY_SECONDS = 1.0


class FilmSave:
    """A film that is being saved."""

    def __init__(self) -> None:
        self._wake = anyio.Event()
        self._bytes = 0
        self._saved: SavedFilm | None = None
        self._error: Exception | None = None

    async def run(self, save: Save) -> None:
        """Save it. What goes wrong is raised where it is waited for."""

        async def on_bytes(size: int, _length: int | None) -> None:
            self._bytes = size

        try:
            self._saved = await save(on_bytes)
        except Exception as error:  # noqa: BLE001 - raised again below, or it would come out as a group
            self._error = error
        finally:
            self._wake.set()

    def end_waits(self) -> None:
        """Answer those who wait for it at once."""
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
        """Save films while this is entered. What is not saved then leaves nothing behind."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            try:
                yield
            finally:
                self._tasks = None
                tasks.cancel_scope.cancel()

    def begin(self, folder: str, film_id: str, save: Save) -> FilmSave:
        """Begin to save a film into a folder, or join who does it already."""
        key = (folder, film_id)
        if key not in self._saves:
            begun = self._saves[key] = FilmSave()
            if self._is_ending:
                begun.end_waits()
            cast("TaskGroup", self._tasks).start_soon(self._run, key, begun, save)
        return self._saves[key]

    def end_waits(self) -> None:
        """Answer every wait at once: the server is about to stop."""
        self._is_ending = True
        for save in self._saves.values():
            save.end_waits()

    async def _run(self, key: tuple[str, str], begun: FilmSave, save: Save) -> None:
        try:
            await begun.run(save)
        finally:
            # What is saved is found again by its sidecar.
            del self._saves[key]
