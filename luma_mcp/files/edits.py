"""Files that are made here of clips, pictures and sounds, each with a sidecar."""

import shutil
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, cast

import anyio
import anyio.to_thread

from luma_mcp.domain.errors import FileError
from luma_mcp.domain.generation import Generation
from luma_mcp.files import sidecar
from luma_mcp.files.atomic_file import PartFile, digest, safe_name, write_beside
from luma_mcp.files.background import OnProgress
from luma_mcp.files.fetcher import OnBytes
from luma_mcp.files.saved_file import SavedFile, find_numbered
from luma_mcp.files.service import DownloadService, facts_of, translated_disk_errors
from luma_mcp.media import origin, worker
from luma_mcp.media.captions import Caption, as_srt
from luma_mcp.media.edit import edit, edit_cost, progress_of
from luma_mcp.media.edit_plan import ClipRange, Edit
from luma_mcp.media.timeline import MEMORY_BYTES

_BLOCK_BYTES = 1024**2
# The least time that an edit is given, and the part by which it may exceed its estimate.
_MIN_EDIT_SECONDS = 600.0
_ESTIMATE_FACTOR = 2.0
# Space that stays free on the disk.
_SPARE_BYTES = 64 * 1024**2
_WATCH_SECONDS = 0.5
_SRT_ENDING, _XMP_ENDING = ".srt", ".xmp"

Bring = Callable[[Path], Awaitable[None]]
"""Puts a file at a path. Raises: FileError."""


@dataclass(frozen=True, slots=True)
class EditSource:
    """A clip of an edit.

    Args:
        source: the generation, or the name of a local file.
        bring: brings the local file; a generation needs none.
        used: the part of it, and what is done with it; its path is filled in.
    """

    source: Generation | str
    bring: Bring | None = None
    used: ClipRange = field(default_factory=lambda: ClipRange(Path()))


@dataclass(frozen=True, slots=True)
class EditOrder:
    """An edit, before its files are there.

    Args:
        clips: the clips, in order.
        plan: what is done with them; its ranges, and the paths of its sounds and overlays, are filled in.
        sounds: bring the sound files of the plan.
        overlays: bring the pictures over it.
        captions: the captions that are written beside the file.
        is_film: whether it is a film of generations alone, and so made by models as a whole.
    """

    clips: Sequence[EditSource]
    plan: Edit = field(default_factory=lambda: Edit(()))
    sounds: Sequence[Bring] = ()
    overlays: Sequence[Bring] = ()
    captions: Sequence[Caption] = ()
    is_film: bool = False


async def save_edit(
    downloads: DownloadService,
    order: EditOrder,
    *,
    directory: str | None = None,
    name: str | None = None,
    about: Mapping[str, Any] | None = None,
    on_bytes: OnBytes,
    on_frames: OnProgress | None = None,
) -> SavedFile:
    """Save one file made of clips. Clips of equal form that are only joined are not encoded again.

    The same edit of the same files that was saved before, as its sidecar proves, is returned as it is.

    Args:
        downloads: the folder of saved files.
        order: the edit.
        directory: a folder inside the output folder.
        name: the file's name without its ending; after the first clip if there is none.
        about: what the sidecar says in addition to the clips and the plan.
        on_bytes: called with the bytes that were fetched.
        on_frames: called with the frames that are made, and their number.

    Raises:
        FileError: a file cannot be read, or the plan does not fit the clips. Nothing is left behind.
    """
    target = downloads.folder_for(directory) / (name or _name_of(downloads, order.clips))
    with translated_disk_errors(target.parent), tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        plan = await _with_files(downloads, order, folder, on_bytes)
        facts = await anyio.to_thread.run_sync(_edit_facts, order, plan)
        saved = await anyio.to_thread.run_sync(_find_edited, target, order.clips, facts)
        if saved is not None:
            return saved
        made = folder / f"edited.{plan.format}"
        cost = await worker.run(edit_cost, plan, seconds=_MIN_EDIT_SECONDS, memory_bytes=MEMORY_BYTES, is_long=True)
        # The file is made in the temporary folder, and copied to its path.
        for space in (folder, target.parent):
            await anyio.to_thread.run_sync(_check_space, space, cost.size_bytes)
        seconds = max(_MIN_EDIT_SECONDS, cost.work_seconds * _ESTIMATE_FACTOR)
        async with _watched(progress_of(made), on_frames):
            await worker.run(edit, plan, made, seconds=seconds, memory_bytes=MEMORY_BYTES, is_long=True)
        source = await anyio.to_thread.run_sync(_state_origin, downloads, order, plan, made)
        async with await PartFile.begin(target.parent) as part:
            await _copy(made, part)
            return await _finish(part, order, facts, target.name, {**(about or {}), **source.facts}, source)


@asynccontextmanager
async def _watched(path: Path, on_frames: OnProgress | None) -> AsyncGenerator[None]:
    """Report the progress that a file states while this is entered."""

    async def watch(report: OnProgress) -> None:
        while True:
            await anyio.sleep(_WATCH_SECONDS)
            with suppress(OSError, ValueError):  # it is not there yet, or is being written
                done, whole = map(int, (await anyio.Path(path).read_text()).split())
                await report(done, whole)

    error: Exception | None = None
    async with anyio.create_task_group() as tasks:
        if on_frames is not None:
            tasks.start_soon(watch, on_frames)
        try:
            yield
        except Exception as raised:  # noqa: BLE001 - raised again below, or it would come out as a group
            error = raised
        tasks.cancel_scope.cancel()
    if error is not None:
        raise error


async def _with_files(downloads: DownloadService, order: EditOrder, folder: Path, on_bytes: OnBytes) -> Edit:
    """Return the plan with the files that it works on."""
    ranges: list[ClipRange] = []
    for number, clip in enumerate(order.clips):
        ranges.append(replace(clip.used, path=await _bring(downloads, clip, folder, number, on_bytes)))
    plan = order.plan
    sounds = [
        replace(sound, path=await _brought(bring, folder / f"sound-{number}"))
        for number, (sound, bring) in enumerate(zip(plan.sounds, order.sounds, strict=True))
    ]
    overlays = [
        replace(overlay, path=await _brought(bring, folder / f"overlay-{number}"))
        for number, (overlay, bring) in enumerate(zip(plan.overlays, order.overlays, strict=True))
    ]
    return replace(plan, ranges=tuple(ranges), sounds=tuple(sounds), overlays=tuple(overlays))


async def _bring(downloads: DownloadService, clip: EditSource, folder: Path, number: int, on_bytes: OnBytes) -> Path:
    """Return a local file with a clip."""
    if isinstance(clip.source, Generation):
        return await downloads.local_copy(clip.source, None, folder, on_bytes)
    return await _brought(cast("Bring", clip.bring), folder / f"clip-{number}")


async def _brought(bring: Bring, path: Path) -> Path:
    await bring(path)
    return path


def _name_of(downloads: DownloadService, clips: Sequence[EditSource]) -> PurePosixPath:
    """Return folders and name of what is made of these, after the first."""
    first = clips[0].source
    target = (
        downloads.naming.path_for(first)
        if isinstance(first, Generation)
        else PurePosixPath(safe_name(Path(first).stem) or "clip")
    )
    number = f"-{len(clips)}" if len(clips) > 1 else ""
    return target.with_name(f"{target.name}-edited{number}")


async def _finish(
    file: PartFile,
    order: EditOrder,
    facts: Mapping[str, Any],
    name: str,
    about: Mapping[str, Any],
    source: "_Origin",
) -> SavedFile:
    """Give a file that was made here its name and its sidecar. It is no generation, and has no link at Luma."""
    path = await file.finish(name)
    saved = SavedFile(_named_id(order.clips), path, file.size, file.sha256, file.media_type)
    generations = [clip.source for clip in order.clips if isinstance(clip.source, Generation)]
    note = sidecar.render_edited(generations, facts, about, file=facts_of(saved))
    if order.captions:
        # Players find it by the name of the film.
        await anyio.to_thread.run_sync(write_beside, path.with_suffix(""), _SRT_ENDING, as_srt(order.captions))
    if source.beside is not None:
        await anyio.to_thread.run_sync(write_beside, path, _XMP_ENDING, source.beside)
    await anyio.to_thread.run_sync(write_beside, path, sidecar.ENDING, note)
    return saved


@dataclass(frozen=True, slots=True)
class _Origin:
    """The statement that a model made a file, or a part of it.

    Args:
        facts: the statement for its sidecar.
        beside: the XMP that is written beside a file that has no place for it.
    """

    facts: Mapping[str, Any]
    beside: str | None = None


def _state_origin(downloads: DownloadService, order: EditOrder, plan: Edit, made: Path) -> _Origin:
    """State the origin of a new file in it, if a model made one of its parts. Raises: OSError."""
    pictures = [(clip.source, local.path) for clip, local in zip(order.clips, plan.ranges, strict=True)]
    others = [overlay.path for overlay in plan.overlays]
    if not (
        any(_is_generated(downloads, named, local) for named, local in pictures)
        or any(origin.contains(path, (origin.MARK,)) for path in others)
    ):
        return _Origin({})
    source: origin.DigitalSource = "compositeWithTrainedAlgorithmicMedia"
    if order.is_film:
        source = "trainedAlgorithmicMedia"
    is_stated = origin.state(made, plan.format, source)
    return _Origin(
        {"digital_source_type": origin.source_uri(source)}, None if is_stated else origin.xmp(source).decode()
    )


def _is_generated(downloads: DownloadService, named: Generation | str, local: Path) -> bool:
    """Return whether a clip is a generation, or a file whose sidecar or content states that a model made it."""
    if isinstance(named, Generation):
        return True
    saved = downloads.folder / named
    content = sidecar.read(saved) if saved.resolve().is_relative_to(downloads.folder.resolve()) else {}
    is_saved = ("generation_id" in content or "digital_source_type" in content) and content.get("file")
    return bool(is_saved) or origin.contains(local, (origin.MARK,))


def _named_id(clips: Sequence[EditSource]) -> str:
    """The id of the first generation in an edit; empty if there is none."""
    return next((clip.source.id for clip in clips if isinstance(clip.source, Generation)), "")


def _edit_facts(order: EditOrder, plan: Edit) -> dict[str, Any]:
    """The facts of an edit for its sidecar, without paths: its parts, and the options of the edit."""
    standard = asdict(Edit(()))
    options = {
        name: value
        for name, value in asdict(plan).items()
        if value != standard[name] and name not in ("ranges", "sounds", "overlays", "captions")
    }
    facts: dict[str, Any] = {
        "format": plan.format,
        "fit": plan.fit if len(plan.ranges) > 1 or plan.ratio else None,
        **options,
        "sounds": [_file_facts(sound) for sound in plan.sounds],
        "overlays": [_file_facts(overlay) for overlay in plan.overlays],
        "captions": [asdict(caption) for caption in order.captions],
        "burnt_in": bool(plan.captions),
    }
    parts = [_clip_facts(clip, digest(local.path)) for clip, local in zip(order.clips, plan.ranges, strict=True)]
    return {"parts": parts, "edit": _as_read({name: value for name, value in facts.items() if value})}


def _as_read(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts as they are read from a sidecar: JSON has no tuples."""
    return {
        name: list(cast("tuple[Any, ...]", value)) if isinstance(value, tuple) else value
        for name, value in facts.items()
    }


def _file_facts(used: Any) -> dict[str, Any]:
    """The facts of a sound or a picture over the edit."""
    facts = {name: value for name, value in asdict(used).items() if name != "path" and value is not None}
    return facts | {"sha256": digest(used.path)}


def _clip_facts(clip: EditSource, sha256: str) -> dict[str, Any]:
    source, used = clip.source, clip.used
    named = {"generation_id": source.id} if isinstance(source, Generation) else {"file": Path(source).name}
    begin, end = {"from": used.start} if used.start else {}, {} if used.end is None else {"to": used.end}
    changes: dict[str, Any] = {
        "speed": used.speed if used.speed != 1 else None,
        "reversed": used.is_reversed or None,
        "volume": used.volume if used.volume != 1 else None,
    }
    changed = {name: value for name, value in changes.items() if value is not None}
    return {**named, **begin, **end, **changed, "sha256": sha256}


def _find_edited(target: Path, clips: Sequence[EditSource], facts: Mapping[str, Any]) -> SavedFile | None:
    """The file that was made just so, at a place or at its name with a number."""

    def is_it(content: dict[str, Any]) -> bool:
        return all(content[name] == value for name, value in facts.items())

    return find_numbered(target, facts["edit"]["format"], _named_id(clips), is_it)


def _check_space(folder: Path, size_bytes: int) -> None:
    """Raises: FileError, if a disk has not enough space for a file of that size; OSError."""
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < size_bytes + _SPARE_BYTES:
        raise FileError(
            f"The edit may need {size_bytes / 1e6:,.0f} MB, and {folder} has {free / 1e6:,.0f} MB free.",
            "Nothing was written. Free some space there, or name shorter parts or a smaller width.",
        )


async def _copy(source: Path, part: PartFile) -> None:
    async with await anyio.open_file(source, "rb") as file:
        while block := await file.read(_BLOCK_BYTES):
            await part.write(block)
