"""Saving a film while clients come and go."""

from pathlib import Path

import anyio
import pytest

from luma_mcp.domain.errors import FileError
from luma_mcp.files.fetcher import OnBytes
from luma_mcp.files.saved_file import SavedFile
from luma_mcp.film.saving import FilmSaves, SavedFilm

pytestmark = pytest.mark.anyio

SAVED = SavedFilm(SavedFile("g", Path("a.mp4"), 1, "0" * 64, "video/mp4"), Path("a-sheet.jpg"), b"")


class Held:
    """A save that ends when the test lets it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.begun = 0
        self.may_end = anyio.Event()
        self.was_cancelled = False
        self._error = error

    async def __call__(self, on_bytes: OnBytes) -> SavedFilm:
        self.begun += 1
        await on_bytes(7, None)
        try:
            await self.may_end.wait()
        except BaseException:
            self.was_cancelled = True
            raise
        if self._error is not None:
            raise self._error
        return SAVED


class Heard:
    """The bytes that a caller was told of."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    async def __call__(self, size: int, _length: int | None) -> None:
        self.sizes.append(size)


async def test_who_asks_again_joins_and_a_caller_that_leaves_ends_nothing() -> None:
    saves, save, heard = FilmSaves(), Held(), Heard()
    async with saves.open():
        assert await saves.start("", "film-1", save).wait(0.05, heard) is None
        with anyio.move_on_after(0.05) as left:
            await saves.start("", "film-1", save).wait(60, heard)
        assert left.cancelled_caught
        joined = saves.start("", "film-1", save)
        save.may_end.set()
        assert await joined.wait(60, heard) is SAVED
        assert save.begun == 1

        # It is over; another time it is looked for on disk.
        await saves.start("", "film-1", save).wait(60, heard)
        assert save.begun == 2


async def test_a_film_is_saved_for_each_folder() -> None:
    saves, save = FilmSaves(), Held()
    save.may_end.set()
    async with saves.open():
        for folder in ("", "persons/anna-1"):
            assert await saves.start(folder, "film-1", save).wait(60, Heard()) is SAVED

    assert save.begun == 2


async def test_the_bytes_are_reported_every_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luma_mcp.files.background._REPORT_EVERY_SECONDS", 0.02)
    saves, save, heard = FilmSaves(), Held(), Heard()
    async with saves.open():
        await saves.start("", "film-1", save).wait(0.2, heard)

    assert set(heard.sizes) == {7}
    assert 2 <= len(heard.sizes) <= 11


@pytest.mark.parametrize("error", [FileError("The disk is full."), RuntimeError("a mistake")])
async def test_what_goes_wrong_is_raised_where_it_is_waited_for_and_ends_nothing_else(error: Exception) -> None:
    saves, wrong, right = FilmSaves(), Held(error), Held()
    wrong.may_end.set()
    async with saves.open():
        other = saves.start("", "film-2", right)
        with pytest.raises(type(error)):
            await saves.start("", "film-1", wrong).wait(60, Heard())
        right.may_end.set()
        assert await other.wait(60, Heard()) is SAVED


async def test_a_server_that_stops_waits_for_no_caller_and_leaves_nothing_running() -> None:
    saves, save = FilmSaves(), Held()
    async with saves.open():
        begun = saves.start("", "film-1", save)
        saves.end_waits()
        with anyio.fail_after(5):
            assert await begun.wait(60, Heard()) is None
            assert await saves.start("", "film-2", Held()).wait(60, Heard()) is None
        await anyio.wait_all_tasks_blocked()

    assert save.was_cancelled
