"""Previews that a model can look at: a small image, or a contact sheet of a clip or of the layers of a picture.

Each is a JPEG of at most 150 KB, so that it takes little room in a conversation.
"""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from luma_mcp.domain.generation import Generation, OutputKind
from luma_mcp.downloads.fetcher import OnBytes
from luma_mcp.downloads.service import DownloadService
from luma_mcp.media.contact_sheet import CELL_SIDE, SHEET_SIDE, contact_sheet
from luma_mcp.media.frames import frames_at
from luma_mcp.media.images import open_image, small_jpeg
from luma_mcp.media.probe import ClipInfo, probe

if TYPE_CHECKING:
    from PIL.Image import Image

_STILL_SIDE = 1024
_PREVIEW_FRAMES = 4


@dataclass(frozen=True, slots=True)
class Preview:
    """What is seen of an asset. `jpeg` is None if pictures are turned off."""

    jpeg: bytes | None
    info: ClipInfo
    moments: tuple[float, ...]
    """When the frames of a sheet are, in seconds; none for a still."""
    saved_at: Path | None


class PreviewService:
    """Makes previews of what generations made.

    Args:
        downloads: where assets come from.
        inline: whether pictures may be shown at all; sizes are answered in any case.
    """

    def __init__(self, downloads: DownloadService, *, inline: bool) -> None:
        self._downloads = downloads
        self._inline = inline
        self._limiter: anyio.CapacityLimiter | None = None

    async def of(self, generation: Generation, frames: int, on_bytes: OnBytes) -> Preview:
        """Look at a generation: what it made, or while it is dreaming, the preview that Luma gives.

        Args:
            generation: as Luma describes it.
            frames: how many frames of a clip to show.
            on_bytes: called with the bytes that were fetched.

        Raises:
            FileError: there is nothing to see yet, or it cannot be fetched or read.
        """
        if generation.has_layers:
            return await self._of_layers(generation, on_bytes)
        asset: OutputKind | None = None
        if not generation.is_final and generation.url("preview"):
            asset, frames = "preview", _PREVIEW_FRAMES
        async with self._downloads.open_asset(generation, asset, on_bytes) as (path, is_saved):
            render = _preview_image if generation.makes_image and asset is None else _preview_clip
            jpeg, info, moments = await self._render(partial(render, path, frames, self._inline))
        return Preview(jpeg, info, moments, path if is_saved else None)

    async def _of_layers(self, generation: Generation, on_bytes: OnBytes) -> Preview:
        """A sheet of the layers, front to back. The size is that of a layer."""
        async with AsyncExitStack() as files:
            layers: list[tuple[str, Path]] = []
            for output in generation.main_outputs:
                opened = self._downloads.open_asset(generation, output.name, on_bytes)
                path, _ = await files.enter_async_context(opened)
                layers.append((output.name.removeprefix("layer-"), path))
            jpeg, info, _ = await self._render(partial(_preview_layers, layers, self._inline))
        return Preview(jpeg, info, (), self._downloads.saved_path(generation, generation.main_outputs[0].name))

    async def _render(self, render: "Callable[[], _Rendered]") -> "_Rendered":
        """What a thread renders; one at a time, for frames of 4k are large."""
        self._limiter = self._limiter or anyio.CapacityLimiter(1)
        return await anyio.to_thread.run_sync(render, limiter=self._limiter)


_Rendered = tuple[bytes | None, ClipInfo, tuple[float, ...]]


def _preview_image(path: Path, _frames: int, inline: bool) -> _Rendered:
    image = open_image(path.read_bytes())
    info = ClipInfo(image.width, image.height, 0.0, 0.0, has_sound=False)
    return (small_jpeg(image, _STILL_SIDE) if inline else None), info, ()


def _preview_layers(layers: Sequence[tuple[str, Path]], inline: bool) -> _Rendered:
    pictures: list[tuple[str, Image]] = []
    info = ClipInfo(0, 0, 0.0, 0.0, has_sound=False)
    for label, path in layers:
        image = open_image(path.read_bytes())
        info = ClipInfo(image.width, image.height, 0.0, 0.0, has_sound=False)
        image.thumbnail((CELL_SIDE, CELL_SIDE))
        pictures.append((label, image))
    return (small_jpeg(contact_sheet(pictures), SHEET_SIDE) if inline else None), info, ()


def _preview_clip(path: Path, frames: int, inline: bool) -> _Rendered:
    with path.open("rb") as file:
        info = probe(file)
    moments = [info.seconds * number / (frames - 1) for number in range(frames)]
    if not inline:
        return None, info, ()
    info, found = frames_at(path, moments, max_side=CELL_SIDE)
    sheet = contact_sheet([(f"{moment:.2f} s", frame) for moment, frame in found])
    return small_jpeg(sheet, SHEET_SIDE), info, tuple(round(moment, 2) for moment, _ in found)
