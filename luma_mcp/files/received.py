"""Files that people send: checked by their bytes, written whole or not at all, each under a name of its own."""

from collections.abc import AsyncIterable
from pathlib import Path

import anyio.to_thread

from luma_mcp.domain.apis import MAX_CLIP_BYTES, MAX_IMAGE_BYTES
from luma_mcp.domain.errors import FileError
from luma_mcp.files.atomic_file import PartFile, make_folder
from luma_mcp.files.fetcher import Fetcher
from luma_mcp.media.formats import MEDIA_TYPES

MAX_BYTES = max(MAX_CLIP_BYTES, MAX_IMAGE_BYTES)
_ACCEPTED = frozenset({"jpg", "png", "webp", "gif", "mp4", "mov"})


class UsedError(FileError):
    """A file was sent under that name already, or is being sent."""


async def receive(blocks: AsyncIterable[bytes], folder: Path, name: str) -> Path:
    """Save what somebody sends, once for each name.

    Raises:
        UsedError: a file was sent under that name, or is being sent.
        FileError: it is too large, cut, or neither a picture nor a clip. Another try may use the name.
        OSError: it cannot be written.
    """
    mark = folder / f".{name}"
    await anyio.to_thread.run_sync(_mark, mark)
    try:
        async with await PartFile.begin(folder) as part:
            async for block in blocks:
                await part.write(block)
                _check_size(part)
            return await _finished(part, name)
    except BaseException:
        mark.unlink(missing_ok=True)
        raise


async def fetch(fetcher: Fetcher, url: str, folder: Path, name: str) -> Path:
    """Save what a link leads to.

    Raises:
        FileError: it cannot be fetched, is too large, or is neither a picture nor a clip.
        OSError: it cannot be written.
    """
    async with await PartFile.begin(folder) as part:

        async def check(_size: int, _length: int | None) -> None:
            _check_size(part)

        await fetcher.fetch(url, part, check)
        return await _finished(part, name)


def _mark(mark: Path) -> None:
    make_folder(mark.parent)
    try:
        mark.open("xb").close()
    except FileExistsError:
        raise UsedError("A file was sent with this link already.", "Ask for another link.") from None


def _check_size(part: PartFile) -> None:
    if part.size > MAX_BYTES:
        raise FileError(f"The file is larger than {MAX_BYTES // 10**6} MB.", "Send a smaller one.")


async def _finished(part: PartFile, name: str) -> Path:
    """Give the file its name. Raises: FileError, if it is not whole or of no format that Luma takes."""
    if part.size == 0:
        raise FileError("The file is empty.", "Send a picture or a clip.")
    endings = [ending for ending, media_type in MEDIA_TYPES.items() if media_type == part.media_type]
    if not _ACCEPTED & set(endings) or not await part.is_whole():
        raise FileError("That is no whole picture or clip.", "Send a JPEG, PNG, WebP, GIF, MP4 or MOV.")
    return await part.finish(name)
