"""Tools for files: save, view and upload."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import PurePath
from typing import Annotated, Literal, cast

import anyio
from pydantic import BaseModel, ConfigDict, Field

from luma_mcp.domain.errors import FileError, LumaError
from luma_mcp.domain.generation import Generation
from luma_mcp.files.saved_file import SavedFile
from luma_mcp.files.service import RECEIVED
from luma_mcp.mcp.arguments.api_variants import differs
from luma_mcp.mcp.public_links import Links
from luma_mcp.mcp.results import generation_result
from luma_mcp.mcp.spec import READS, WRITES_A_FILE, Arguments, Call, Result, ToolSpec
from luma_mcp.mcp.tools.arguments import GenerationId, GenerationIds
from luma_mcp.mcp.tools.file_results import DownloadResult, FileProgress, saved_files

_DOWNLOADS_AT_ONCE = 4


class ViewResult(Result):
    """The size, length and links of what a generation made; the image is a content block of its own."""

    is_structured = False

    generation_id: str
    state: str
    width: int
    height: int
    seconds: float | None = None
    fps: float | None = None
    frame_seconds: list[float] | None = None
    has_sound: bool | None = None
    layers: Annotated[int | None, Field(json_schema_extra=differs(only="agents"))] = None
    prompt: str | None = None
    video_url: str | None = None
    image_url: str | None = None
    path: str | None = None

    def text(self) -> str:
        size = f"{self.width}x{self.height}"
        if self.seconds is not None:
            size += f", {self.seconds:.1f} s at {self.fps or 0:g} frames a second"
            size += ", with sound" if self.has_sound else ", silent"
        saved = f"Saved as {self.path}." if self.path else "It is not saved yet: download_generation does."
        return f"{self.generation_id} is {self.state}. It is {size}. {self._image_sentence()}\n{saved}"

    def _image_sentence(self) -> str:
        if self.jpeg is None:
            return "No picture is shown, for LUMA_INLINE_IMAGES is 0."
        if self.layers:
            return f"The picture shows its {self.layers} layers, front to back."
        if self.frame_seconds is None:
            return "The picture shows it, made small."
        subject = "its frames" if self.state == "completed" else "what there is so far,"
        return f"The picture shows {subject} at {', '.join(f'{moment:g}' for moment in self.frame_seconds)} s."


class DownloadGenerationArguments(Arguments):
    generation_ids: GenerationIds
    directory: Annotated[str | None, Field(description="Subfolder.")] = None
    asset: Annotated[
        Literal["video", "image", "preview"] | None,
        Field(description="Default: what was asked for. image of a video: its thumbnail."),
    ] = None


async def download_generation(call: Call, arguments: DownloadGenerationArguments) -> DownloadResult:
    """Save a video or picture as a file. Nothing is overwritten."""
    services, progress = call.services, FileProgress(call.caller)
    ids = list(dict.fromkeys(arguments.generation_ids))
    saved: dict[str, list[SavedFile]] = {name: [] for name in ids}
    problems: dict[str, list[str]] = {name: [] for name in ids}
    limiter = anyio.CapacityLimiter(_DOWNLOADS_AT_ONCE)

    async def save(generation_id: str) -> None:
        async with limiter:
            with _noted(problems[generation_id]):
                generation = await services.backend.get_generation(generation_id)
                made_from = await services.purchases.made_from(generation)
                for asset in _assets(generation, arguments.asset):
                    with _noted(problems[generation_id]):
                        file = await call.downloads.save(
                            generation,
                            asset=asset,
                            directory=arguments.directory,
                            on_bytes=progress.of(f"{generation_id} {asset}"),
                            made_from=made_from,
                        )
                        saved[generation_id].append(file)

    async with anyio.create_task_group() as tasks:
        for generation_id in ids:
            tasks.start_soon(save, generation_id)
    files = [file for name in ids for file in saved[name]]
    if not files:
        raise FileError(" ".join(dict.fromkeys(problem for name in ids for problem in problems[name])))
    failed = [f"{name} was not saved. {problem}" for name in ids for problem in problems[name]]
    return await saved_files(call, files, failed)


@contextmanager
def _noted(problems: list[str]) -> Generator[None]:
    """Note what fails, so that the rest continues."""
    try:
        yield
    except LumaError as error:
        problems.append(error.full_text)


def _assets(generation: Generation, asset: str | None) -> list[str | None]:
    """The assets to save: the named one, or the clip with its EXR frames, or all layers of a picture."""
    return [asset] if asset else [output.name or None for output in generation.main_outputs] or [None]


class ViewGenerationArguments(Arguments):
    generation_id: GenerationId
    frames: Annotated[int, Field(ge=4, le=9, description="How many of a clip.")] = 6


async def view_generation(call: Call, arguments: ViewGenerationArguments) -> ViewResult:
    """Look at the result: a picture made small, a clip as a sheet of frames with their times. Costs nothing."""
    generation = await call.services.purchases.get_generation(arguments.generation_id)
    on_bytes = FileProgress(call.caller).of(generation.id)
    preview = await call.services.previews.of(generation, arguments.frames, on_bytes, call.downloads)
    info = preview.info
    facts = generation_result(generation)
    result = ViewResult(
        generation_id=facts.generation_id,
        state=facts.state,
        prompt=facts.prompt,
        video_url=facts.video_url,
        image_url=facts.image_url,
        width=info.width,
        height=info.height,
        seconds=round(info.seconds, 2) if info.seconds else None,
        fps=round(info.frames_per_second, 2) if info.seconds else None,
        frame_seconds=list(preview.moments) or None,
        has_sound=info.has_sound if info.seconds else None,
        layers=len(generation.main_outputs) if generation.has_layers else None,
        path=str(preview.saved_at.absolute()) if preview.saved_at else None,
    )
    return result.set_image(preview.jpeg).set_actions(lambda: facts.actions)


class HostFile(BaseModel):
    """A file that a person gave to the host, as ChatGPT passes it on."""

    model_config = ConfigDict(extra="forbid")

    download_url: str
    file_id: str
    mime_type: str | None = None
    file_name: str | None = None


class UploadFileArguments(Arguments):
    file: Annotated[HostFile | None, Field(description="Filled in by the host; else a link is made.")] = None


class UploadResult(Result):
    """A picture or a clip of the person's, or where it can be sent."""

    source: Annotated[str, Field(description="Names the file, wherever a picture or clip is named.")]
    upload_url: str | None = None
    expires_seconds: int | None = None
    next: str

    def text(self) -> str:
        link = f"The person can send a file at {self.upload_url}\n" if self.upload_url else ""
        return f"{link}Its name is {self.source}.\nNext: {self.next}"


async def upload_file(call: Call, arguments: UploadFileArguments) -> UploadResult:
    """Get a picture or clip from the person's own machine: makes a link where the person can send it. Costs nothing."""
    links = cast("Links", call.services.links)
    upload = links.to_send(call.folder)
    if arguments.file is not None:
        path = await call.downloads.fetch_received(arguments.file.download_url, PurePath(upload.source).name)
        return UploadResult(source=f"{RECEIVED}/{path.name}", next="name it as a source.")
    return UploadResult(
        source=upload.source,
        upload_url=upload.url,
        expires_seconds=upload.seconds,
        next="show the person the link, and when the file is sent, name it as a source.",
    )


TOOLS = (
    ToolSpec(download_generation, DownloadGenerationArguments, DownloadResult, "Download generations", WRITES_A_FILE),
    ToolSpec(
        upload_file,
        UploadFileArguments,
        UploadResult,
        "Upload a file",
        WRITES_A_FILE,
        by_links=True,
        meta={"openai/fileParams": ["file"]},
    ),
    ToolSpec(view_generation, ViewGenerationArguments, ViewResult, "View a generation", READS, in_player=True),
)
