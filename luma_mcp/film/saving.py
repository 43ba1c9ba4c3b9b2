"""A film as one file, with a contact sheet and a sidecar next to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from luma_mcp.domain.generation import Generation
from luma_mcp.files.atomic_file import PartFile, safe_name
from luma_mcp.files.fetcher import OnBytes
from luma_mcp.files.saved_file import SavedFile, find_numbered
from luma_mcp.files.service import DownloadService, EditSource, translated_disk_errors
from luma_mcp.media import previews, worker
from luma_mcp.media.edit_plan import Edit

_MAX_WORDS_LENGTH = 51


@dataclass(frozen=True, slots=True)
class FilmShotFile:
    """A shot of a film.

    Args:
        generation: its generation, completed.
        seconds: how long it is.
        usd: what it cost.
        made_from: the generations that it works on.
    """

    generation: Generation
    seconds: float
    usd: float
    made_from: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class SavedFilm:
    """A film's file, its contact sheet, and that sheet as a JPEG."""

    file: SavedFile
    sheet: Path
    jpeg: bytes


async def save_film(
    downloads: DownloadService, film_id: str, title: str, shots: Sequence[FilmShotFile], on_bytes: OnBytes
) -> SavedFilm:
    """Save a film, unless the same one is saved already, as its sidecar proves. Equal clips are not encoded again.

    Args:
        downloads: where files are saved.
        film_id: names the film in the sidecar and in the file's name.
        title: words for the file's name.
        shots: the shots, in order.
        on_bytes: called with the bytes that were fetched.

    Raises:
        FileError: a clip cannot be fetched, or the film cannot be saved. Nothing is left behind.
    """
    words = safe_name(title, max_length=_MAX_WORDS_LENGTH) or "untitled"
    name = f"{words}-{safe_name(film_id)}"
    ids = [shot.generation.id for shot in shots]
    file = await anyio.to_thread.run_sync(_find_saved, downloads.folder, name, film_id, ids)
    if file is None:
        about: dict[str, Any] = {
            "film_id": film_id,
            "shots": [_facts(number, shot) for number, shot in enumerate(shots, start=1)],
            "price_usd": round(sum(shot.usd for shot in shots), 4),
        }
        parts = [EditSource(shot.generation) for shot in shots]
        file = await downloads.edit(parts, Edit(ranges=()), name=name, about=about, on_bytes=on_bytes)
    sheet = file.path.with_name(f"{file.path.stem}-sheet.jpg")
    with translated_disk_errors(sheet.parent):
        if sheet.is_file() and not sheet.is_symlink():
            return SavedFilm(file, sheet, await anyio.Path(sheet).read_bytes())
        jpeg = await worker.run(previews.of_shots, file.path, [shot.seconds for shot in shots])
        async with await PartFile.begin(sheet.parent) as part:
            await part.write(jpeg)
            sheet = await part.finish(sheet.stem)
    return SavedFilm(file, sheet, jpeg)


def _find_saved(folder: Path, name: str, film_id: str, ids: Sequence[str]) -> SavedFile | None:
    """The film, if a file of its name is made of just these generations and has not changed since."""

    def is_it(content: dict[str, Any]) -> bool:
        return content["film_id"] == film_id and [part["generation_id"] for part in content["parts"]] == list(ids)

    return find_numbered(folder / name, "mp4", ids[0], is_it)


def _facts(number: int, shot: FilmShotFile) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "number": number,
        "generation_id": shot.generation.id,
        "price_usd": shot.usd,
        "made_from": list(shot.made_from),
    }
    return {key: value for key, value in facts.items() if value != []}
