"""Everything that tools work with."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from mcp.types import ResourceLink

from luma_mcp.backends.concepts import CameraVocabulary
from luma_mcp.backends.luma_apis import LumaApis
from luma_mcp.domain.clock import Clock
from luma_mcp.domain.errors import LumaError
from luma_mcp.domain.meter import NO_METER, Meter
from luma_mcp.files.background import Background
from luma_mcp.files.preview import PreviewService
from luma_mcp.files.saved_file import SavedFile
from luma_mcp.files.service import DownloadService
from luma_mcp.film.saving import FilmSaves
from luma_mcp.film.service import FilmService
from luma_mcp.mcp.approvals import Approvals
from luma_mcp.mcp.public_links import Links
from luma_mcp.polling.poller import Poller
from luma_mcp.purchasing.access import Access
from luma_mcp.purchasing.service import PurchaseService
from luma_mcp.sources.resolver import SourceResolver
from luma_mcp.work.jobs import NoRunner, Runner

Share = Callable[[SavedFile], Awaitable[str]]
"""Makes a link to a saved file that works from anywhere, for some hours. Raises: FileError."""


@dataclass(frozen=True, slots=True)
class SharedFile:
    """A saved file, and the link that leads to it from anywhere.

    Args:
        file: the file.
        link: the link; None if it has none.
        problem: why it has none, as a sentence; None where no link was to be made.
    """

    file: SavedFile
    link: str | None = None
    problem: str | None = None

    @property
    def resource_links(self) -> list[ResourceLink]:
        """The file as a host that is elsewhere shows or fetches it."""
        if self.link is None:
            return []
        file = self.file
        return [ResourceLink(uri=self.link, name=file.path.name, mime_type=file.media_type, size=file.size_bytes)]


@dataclass(frozen=True, slots=True)
class Services:
    """The services of one server."""

    backend: LumaApis
    purchases: PurchaseService
    poller: Poller
    sources: SourceResolver
    downloads: DownloadService
    previews: PreviewService
    vocabulary: CameraVocabulary
    access: Access
    approvals: Approvals
    films: FilmService
    film_saves: FilmSaves
    edits: Background[SavedFile]
    """The edits that are being made."""
    clock: Clock
    links: Links | None = None
    """Links to this server; None where it has no public address."""
    meter: Meter = NO_METER
    share: Share | None = None
    """Makes a link to a saved file; None likewise."""
    runner: Runner = field(default_factory=NoRunner)
    """Runs jobs, such as sending what waits."""

    async def share_file(self, file: SavedFile) -> SharedFile:
        """Make a link to a saved file, if this server can. Without a link the file stays saved."""
        if self.share is None:
            return SharedFile(file)
        try:
            return SharedFile(file, await self.share(file))
        except LumaError as error:
            return SharedFile(file, problem=error.full_text)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Run the background tasks while this is entered; then close."""
        try:
            async with (
                self.poller.running(),
                self.film_saves.open(),
                self.edits.open(),
                anyio.create_task_group() as tasks,
            ):
                tasks.start_soon(self.purchases.run)
                tasks.start_soon(self.runner.run)
                yield
                tasks.cancel_scope.cancel()
        finally:
            await self.close()

    async def close(self) -> None:
        """Close every connection. A later call opens new ones."""
        await self.backend.close()
        await self.downloads.close()
        await self.purchases.close()
