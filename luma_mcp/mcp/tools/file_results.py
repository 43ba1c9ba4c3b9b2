"""The results of tools that save files, and the progress of downloads."""

from collections.abc import Sequence

from luma_mcp.files.fetcher import OnBytes
from luma_mcp.files.saved_file import SavedFile
from luma_mcp.mcp.services import SharedFile
from luma_mcp.mcp.spec import Call, Caller, Result


class SavedFileResult(Result):
    """A saved file."""

    generation_id: str
    path: str
    size_bytes: int
    sha256: str
    media_type: str
    url: str | None = None
    link: str | None = None

    def text(self) -> str:
        link = f" {self.link}" if self.link else ""
        return f"{self.path} ({self.media_type}, {self.size_bytes:,} bytes, sha256 {self.sha256[:16]}…){link}"


class DownloadResult(Result):
    """The saved files, and the problems."""

    files: list[SavedFileResult]
    problems: list[str] | None = None

    def text(self) -> str:
        return "\n".join([*(file.text() for file in self.files), *(self.problems or [])])


class FileProgress:
    """The progress of several downloads as a single count of bytes."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._sizes: dict[str, int] = {}

    def of(self, name: str) -> OnBytes:
        """The callback for one of the files."""

        async def report(size: int, length: int | None) -> None:
            # A download that starts over has fewer bytes than before; the sum must only rise.
            self._sizes[name] = max(size, self._sizes.get(name, 0))
            total = f" of {length:,}" if length else ""
            number = list(self._sizes).index(name) + 1
            await self._caller.report(sum(self._sizes.values()), f"File {number}: {size:,}{total} bytes")

        return report


async def saved_files(call: Call, files: Sequence[SavedFile], problems: Sequence[str] = ()) -> DownloadResult:
    """The result for saved files. A file without a link stays saved, and a problem states the reason."""
    shared = [await call.services.share_file(file) for file in files]
    unshared = [f"{item.file.path.name} is saved and has no link. {item.problem}" for item in shared if item.problem]
    result = DownloadResult(files=[_file_result(file) for file in shared], problems=[*problems, *unshared] or None)
    return result.set_links([link for file in shared for link in file.resource_links])


def _file_result(shared: SharedFile) -> SavedFileResult:
    file = shared.file
    return SavedFileResult(
        generation_id=file.generation_id,
        path=str(file.path.absolute()),
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        media_type=file.media_type,
        url=file.url,
        link=shared.link,
    )
