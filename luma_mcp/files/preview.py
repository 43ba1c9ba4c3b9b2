"""Previews that a model can look at: of a picture, of a clip, or of the layers of a picture."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from luma_mcp.domain.generation import Generation, OutputKind
from luma_mcp.files.fetcher import OnBytes
from luma_mcp.files.service import DownloadService
from luma_mcp.media import previews, worker
from luma_mcp.media.probe import ClipInfo

_PREVIEW_FRAMES = 4


@dataclass(frozen=True, slots=True)
class Preview:
    """A small view of an asset. `jpeg` is None if pictures are turned off."""

    jpeg: bytes | None
    info: ClipInfo
    moments: tuple[float, ...]
    """The times of the frames of a sheet, in seconds; empty for a still."""
    saved_at: Path | None


class PreviewService:
    """Makes previews of what generations made.

    Args:
        inline: whether pictures may be shown at all; sizes are answered in any case.
    """

    def __init__(self, *, inline: bool) -> None:
        self.inline = inline
        """True if pictures may be shown."""

    async def of(self, generation: Generation, frames: int, on_bytes: OnBytes, downloads: DownloadService) -> Preview:
        """Look at a generation: what it made, or while it is dreaming, the preview that Luma gives.

        Args:
            generation: as Luma describes it.
            frames: how many frames of a clip to show.
            on_bytes: called with the bytes that were fetched.
            downloads: where assets come from.

        Raises:
            FileError: there is nothing to see yet, or it cannot be fetched or read.
        """
        if generation.has_layers:
            return await self._of_layers(generation, on_bytes, downloads)
        asset: OutputKind | None = None
        if not generation.is_final and generation.url("preview"):
            asset, frames = "preview", _PREVIEW_FRAMES
        async with downloads.open_asset(generation, asset, on_bytes) as (path, is_saved):
            if generation.makes_image and asset is None:
                rendered = await worker.run(previews.of_picture, path, self.inline)
            else:
                rendered = await worker.run(previews.of_clip, path, frames, self.inline)
        return Preview(*rendered, path if is_saved else None)

    async def _of_layers(self, generation: Generation, on_bytes: OnBytes, downloads: DownloadService) -> Preview:
        """A sheet of the layers, front to back."""
        async with AsyncExitStack() as files:
            layers: list[tuple[str, Path]] = []
            for output in generation.main_outputs:
                opened = downloads.open_asset(generation, output.name, on_bytes)
                path, _ = await files.enter_async_context(opened)
                layers.append((output.name.removeprefix("layer-"), path))
            rendered = await worker.run(previews.of_layers, layers, self.inline)
        return Preview(*rendered, downloads.saved_path(generation, generation.main_outputs[0].name))
