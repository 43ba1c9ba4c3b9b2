"""The saved files of each person, and their copies in the user's bucket."""

from collections.abc import Awaitable, Callable

from luma_mcp.domain.person import Person
from luma_mcp.files.saved_file import SavedFile
from luma_mcp.files.service import DownloadService
from luma_mcp.purchasing.access import Access

Copy = Callable[[SavedFile], Awaitable[object]]
"""Copies a saved file to where it is kept. Raises: FileError."""


class Output:
    """The folders of persons.

    Args:
        downloads: the output folder.
        access: the rights of persons.
        copy: copies a saved file to the bucket; None without a bucket.
    """

    def __init__(self, downloads: DownloadService, access: Access, copy: Copy | None) -> None:
        self._downloads = downloads
        self._access = access
        self._copy = copy

    def folder_of(self, person: Person) -> str:
        """The person's folder inside the output folder; empty for the output folder itself."""
        return "" if self._access.visible_person(person) is None else person.folder

    def downloads_of(self, person: Person) -> DownloadService:
        """The downloads into the person's folder."""
        return self._downloads.inside(self.folder_of(person))

    def check_of(self, person: Person) -> Callable[[str], Awaitable[None]]:
        """A check that the person may use a generation. It raises NotFoundError."""

        async def check(generation_id: str) -> None:
            await self._access.check(person, [generation_id])

        return check

    async def share(self, file: SavedFile) -> None:
        """Copy a saved file to the bucket, if there is one. Raises: FileError."""
        if self._copy is not None:
            await self._copy(file)
