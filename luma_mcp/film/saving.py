"""A film as one file, with a contact sheet and a sidecar next to it; saved in the background."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from luma_mcp.domain.generation import Generation
from luma_mcp.files.atomic_file import PartFile, safe_name
from luma_mcp.files.background import Background
from luma_mcp.files.edits import EditOrder, EditSource, save_edit
from luma_mcp.files.fetcher import OnBytes
from luma_mcp.files.saved_file import SavedFile, find_numbered
from luma_mcp.files.service import DownloadService, translated_disk_errors
from luma_mcp.film.film import Film, FilmShot
from luma_mcp.media import origin, previews, worker

_MAX_TITLE_LENGTH = 51


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


class FilmSaves(Background[SavedFilm]):
    """The films of a server that are being saved."""
