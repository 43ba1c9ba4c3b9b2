"""Tools for files: keep what was made, and look at it."""

from typing import Annotated

import anyio
from pydantic import Field

from luma_mcp.luma.errors import FileError, InvalidRequestError, LumaError
from luma_mcp.luma.models import Generation
from luma_mcp.studio import Studio
from luma_mcp.studio.downloads import Asset, Kept
from luma_mcp.studio.fetching import OnBytes
from luma_mcp.tools._answers import of_generation
from luma_mcp.tools._arguments import GenerationId, GenerationIds
from luma_mcp.tools._effects import READS, WRITES_A_FILE
from luma_mcp.tools._toolset import Answer, Caller, Declared

_AT_ONCE = 4


class SavedFile(Answer):
    """A file that is there now."""

    generation_id: str
    path: str
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


class ViewAnswer(Answer):
    """What is seen of a generation."""

    generation_id: str
    state: str
    width: int
    height: int
    seconds: float | None = None
    fps: float | None = None
    frame_seconds: list[float] | None = None
    has_sound: bool | None = None
    prompt: str | None = None
    video_url: str | None = None
    image_url: str | None = None
    path: str | None = None

    def say(self) -> str:
        size = f"{self.width}x{self.height}"
        if self.seconds is not None:
            size += f", {self.seconds:.1f} s at {self.fps or 0:g} frames a second"
            size += ", with sound" if self.has_sound else ", silent"
        saved = f"Saved as {self.path}." if self.path else "It is not saved yet: download_generation does."
        return f"{self.generation_id} is {self.state}. It is {size}. {self._shown()}\n{saved}"

    def _shown(self) -> str:
        if self.jpeg is None:
            return "No picture is shown, for LUMA_INLINE_IMAGES is 0."
        if self.frame_seconds is None:
            return "The picture shows it, made small."
        what = "its frames" if self.state == "completed" else "what there is so far,"
        return f"The picture shows {what} at {', '.join(f'{moment:g}' for moment in self.frame_seconds)} s."


async def download_generation(
    studio: Studio,
    caller: Caller,
    generation_ids: GenerationIds,
    directory: Annotated[str | None, Field(description="Folder inside the output folder.")] = None,
    asset: Annotated[
        Asset | None, Field(description="Default: what was asked for. image of a video: its thumbnail.")
    ] = None,
    join: Annotated[bool, Field(description="Save clips of equal form as one, in this order.")] = False,
) -> DownloadAnswer:
    """Save what generations made to disk. Nothing is overwritten; a file that is there already is answered as it is."""
    progress = _Progress(caller)
    if join:
        return await _joined(studio, generation_ids, directory, asset, progress)
    wanted = list(dict.fromkeys(generation_ids))
    kept: dict[str, Kept] = {}
    problems: dict[str, str] = {}
    limiter = anyio.CapacityLimiter(_AT_ONCE)

    async def keep(generation_id: str) -> None:
        async with limiter:
            try:
                generation = await studio.luma.get_generation(generation_id)
                kept[generation_id] = await studio.downloads.keep(
                    generation,
                    asset=asset,
                    directory=directory,
                    on_bytes=progress.of(generation_id),
                    made_from=await studio.purchases.made_from(generation),
                )
            except LumaError as error:
                problems[generation_id] = error.in_full

    async with anyio.create_task_group() as tasks:
        for one in wanted:
            tasks.start_soon(keep, one)
    if not kept:
        raise FileError(" ".join(dict.fromkeys(problems[one] for one in wanted)))
    return DownloadAnswer(
        files=[_saved(kept[one]) for one in wanted if one in kept],
        problems=[f"{one} was not saved. {problems[one]}" for one in wanted if one in problems] or None,
    )


async def _joined(
    studio: Studio, generation_ids: list[str], directory: str | None, asset: Asset | None, progress: "_Progress"
) -> DownloadAnswer:
    clips: list[Generation] = [await studio.sources.video(one) for one in generation_ids]
    if len(clips) < 2 or asset not in (None, "video"):
        raise InvalidRequestError("Only clips can be joined, two or more.", "Leave join out to save it as it is.")
    joined = await studio.downloads.join(clips, directory=directory, on_bytes=progress.of("joined"))
    return DownloadAnswer(files=[_saved(joined)])


async def view_generation(
    studio: Studio,
    caller: Caller,
    generation_id: GenerationId,
    frames: Annotated[int, Field(ge=4, le=9, description="How many of a clip.")] = 6,
) -> ViewAnswer:
    """Look at what was made: a picture made small, a clip as a sheet of frames with their times. Costs nothing."""
    generation = await studio.luma.get_generation(generation_id)
    await studio.purchases.observe(generation)
    preview = await studio.previews.of(generation, frames, _Progress(caller).of(generation_id))
    form, moments = preview.form, preview.moments
    told = of_generation(generation)
    answer = ViewAnswer(
        generation_id=told.generation_id,
        state=told.state,
        prompt=told.prompt,
        video_url=told.video_url,
        image_url=told.image_url,
        width=form.width,
        height=form.height,
        seconds=round(form.seconds, 2) if form.seconds else None,
        fps=round(form.frames_per_second, 2) if form.seconds else None,
        frame_seconds=list(moments) or None,
        has_sound=form.has_sound if form.seconds else None,
        path=str(preview.saved_at.absolute()) if preview.saved_at else None,
    )
    return answer.showing(preview.jpeg).offering(lambda: told.offers)


class _Progress:
    """One count for all that is fetched at the same time."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._sizes: dict[str, int] = {}

    def of(self, name: str) -> OnBytes:
        """What to call for one of the files."""

        async def tell(size: int, length: int | None) -> None:
            # A download that starts over has fewer bytes than before; the count of all only rises.
            self._sizes[name] = max(size, self._sizes.get(name, 0))
            whole = f" of {length:,}" if length else ""
            place = list(self._sizes).index(name) + 1
            await self._caller.report(sum(self._sizes.values()), f"File {place}: {size:,}{whole} bytes")

        return tell


def _saved(kept: Kept) -> SavedFile:
    return SavedFile(
        generation_id=kept.generation_id,
        path=str(kept.path.absolute()),
        size_bytes=kept.size_bytes,
        sha256=kept.sha256,
        media_type=kept.media_type,
        url=kept.url,
    )


TOOLS = (
    Declared(download_generation, "Download generations", WRITES_A_FILE),
    Declared(view_generation, "View a generation", READS, shown=True),
)
