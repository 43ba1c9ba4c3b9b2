"""Assets -> small pictures that a model can look at: a still made small, a clip as a sheet of its frames.

Each is a JPEG of at most 150 KB, so that a look costs a conversation little.
"""

from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread

from luma_mcp.luma.models import Generation
from luma_mcp.studio.downloads import Asset, Downloads
from luma_mcp.studio.fetching import OnBytes
from luma_mcp.studio.frames import Form, frames_at, measure
from luma_mcp.studio.pictures import CELL_SIDE, SHEET_SIDE, open_picture, sheet_of, small_jpeg

_STILL_SIDE = 1024
_PREVIEW_FRAMES = 4


@dataclass(frozen=True, slots=True)
class Preview:
    """What is seen of an asset. `jpeg` is None if pictures are turned off."""

    jpeg: bytes | None
    form: Form
    moments: tuple[float, ...]
    """When the frames of a sheet are, in seconds; none for a still."""
    saved_at: Path | None


class Previews:
    """Makes previews of what generations made.

    Args:
        downloads: where assets come from.
        inline: whether pictures may be shown at all; measures are told in any case.
    """

    def __init__(self, downloads: Downloads, *, inline: bool) -> None:
        self._downloads = downloads
        self._inline = inline
        self._hand: anyio.CapacityLimiter | None = None

    async def of(self, generation: Generation, frames: int, on_bytes: OnBytes) -> Preview:
        """Look at a generation: what it made, or while it is dreaming, the preview that Luma gives.

        Args:
            generation: as Luma tells it.
            frames: how many frames of a clip to show.
            on_bytes: told of what is fetched.

        Raises:
            FileError: there is nothing to see yet, or it cannot be fetched or read.
        """
        asset: Asset | None = None
        if not generation.is_final and generation.assets and generation.assets.progress_video:
            asset, frames = "preview", _PREVIEW_FRAMES
        async with self._downloads.at_hand(generation, asset, on_bytes) as (path, is_saved):
            look = _look_at_still if generation.is_picture and asset is None else _look_at_clip
            # One at a time: frames of 4k are large.
            self._hand = self._hand or anyio.CapacityLimiter(1)
            jpeg, form, moments = await anyio.to_thread.run_sync(look, path, frames, self._inline, limiter=self._hand)
        return Preview(jpeg, form, moments, path if is_saved else None)


_Look = tuple[bytes | None, Form, tuple[float, ...]]


def _look_at_still(path: Path, _frames: int, inline: bool) -> _Look:
    picture = open_picture(path.read_bytes())
    form = Form(picture.width, picture.height, 0.0, 0.0, has_sound=False)
    return (small_jpeg(picture, _STILL_SIDE) if inline else None), form, ()


def _look_at_clip(path: Path, frames: int, inline: bool) -> _Look:
    with path.open("rb") as file:
        form = measure(file)
    moments = [form.seconds * number / (frames - 1) for number in range(frames)]
    if not inline:
        return None, form, ()
    form, found = frames_at(path, moments, longest=CELL_SIDE)
    return small_jpeg(sheet_of(found), SHEET_SIDE), form, tuple(round(moment, 2) for moment, _ in found)
