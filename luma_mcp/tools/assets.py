"""Tools for files."""

from typing import Annotated

from pydantic import Field

from luma_mcp.luma.errors import FileError, LumaError
from luma_mcp.studio import Studio
from luma_mcp.studio.downloads import Asset, Kept
from luma_mcp.tools._arguments import GenerationIds
from luma_mcp.tools._effects import WRITES_A_FILE
from luma_mcp.tools._toolset import Answer, Caller, Declared


class SavedFile(Answer):
    """A file that is there now."""

    generation_id: str
    path: Annotated[str, Field(description="Absolute path.")]
    size_bytes: int
    sha256: str
    media_type: str
    url: str

    def say(self) -> str:
        return f"{self.path} ({self.media_type}, {self.size_bytes:,} bytes, sha256 {self.sha256[:16]}…)"


class DownloadAnswer(Answer):
    """What was saved and what was not."""

    files: list[SavedFile]
    problems: list[str] | None = None

    def say(self) -> str:
        return "\n".join([*(one.say() for one in self.files), *(self.problems or [])])


async def download_generation(
    studio: Studio,
    caller: Caller,
    generation_ids: GenerationIds,
    directory: Annotated[
        str | None, Field(description="Folder inside the output folder. Default: that folder.")
    ] = None,
    asset: Annotated[
        Asset | None, Field(description="Default: what it was made for. image of a video is its thumbnail.")
    ] = None,
) -> DownloadAnswer:
    """Save what generations made to disk. Nothing is overwritten; a file that is there already is answered as it is."""
    files: list[SavedFile] = []
    problems: dict[str, str] = {}
    before = 0

    async def tell(size: int, length: int | None) -> None:
        whole = f" of {length:,}" if length else ""
        await caller.report(before + size, f"File {len(files) + 1}: {size:,}{whole} bytes")

    for generation_id in dict.fromkeys(generation_ids):
        try:
            generation = await studio.luma.get_generation(generation_id)
            kept = await studio.downloads.keep(generation, asset=asset, directory=directory, on_bytes=tell)
        except LumaError as error:
            problems[generation_id] = error.in_full
        else:
            files.append(_saved(kept))
            before += kept.size_bytes
    if not files:
        raise FileError(" ".join(dict.fromkeys(problems.values())))
    unsaved = [f"{generation_id} was not saved. {problem}" for generation_id, problem in problems.items()]
    return DownloadAnswer(files=files, problems=unsaved or None)


def _saved(kept: Kept) -> SavedFile:
    return SavedFile(
        generation_id=kept.generation_id,
        path=str(kept.path.absolute()),
        size_bytes=kept.size_bytes,
        sha256=kept.sha256,
        media_type=kept.media_type,
        url=kept.url,
    )


TOOLS = (Declared(download_generation, "Download generations", WRITES_A_FILE),)
