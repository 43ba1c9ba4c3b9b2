"""Previews that a model can look at: a small image, or a contact sheet of a clip.

Each is a JPEG of at most 150 KB, so that it takes little room in a conversation.
"""

from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread

from luma_mcp.domain.generation import Generation, OutputKind
from luma_mcp.downloads.fetcher import OnBytes
from luma_mcp.downloads.service import DownloadService
from luma_mcp.media.contact_sheet import CELL_SIDE, SHEET_SIDE, contact_sheet
from luma_mcp.media.frames import frames_at
from luma_mcp.media.images import open_image, small_jpeg
from luma_mcp.media.probe import ClipInfo, probe

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
        asset: OutputKind | None = None
        if not generation.is_final and generation.url("preview"):
            asset, frames = "preview", _PREVIEW_FRAMES
        async with self._downloads.open_asset(generation, asset, on_bytes) as (path, is_saved):
            render = _preview_image if generation.makes_image and asset is None else _preview_clip
            # One at a time, for frames of 4k are large.
            self._limiter = self._limiter or anyio.CapacityLimiter(1)
            jpeg, info, moments = await anyio.to_thread.run_sync(
                render, path, frames, self._inline, limiter=self._limiter
            )
        return Preview(jpeg, info, moments, path if is_saved else None)


_Rendered = tuple[bytes | None, ClipInfo, tuple[float, ...]]


def _preview_image(path: Path, _frames: int, inline: bool) -> _Rendered:
    image = open_image(path.read_bytes())
    info = ClipInfo(image.width, image.height, 0.0, 0.0, has_sound=False)
    return (small_jpeg(image, _STILL_SIDE) if inline else None), info, ()


def _preview_clip(path: Path, frames: int, inline: bool) -> _Rendered:
    with path.open("rb") as file:
        info = probe(file)
    moments = [info.seconds * number / (frames - 1) for number in range(frames)]
    if not inline:
        return None, info, ()
    info, found = frames_at(path, moments, max_side=CELL_SIDE)
    return small_jpeg(contact_sheet(found), SHEET_SIDE), info, tuple(round(moment, 2) for moment, _ in found)
