"""Everything that tools work with."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio

from luma_mcp.backends.camera_words import CameraVocabulary
from luma_mcp.backends.registry import LumaApis
from luma_mcp.downloads.preview import PreviewService
from luma_mcp.downloads.service import DownloadService
from luma_mcp.polling.poller import Poller
from luma_mcp.purchasing.access import Access
from luma_mcp.purchasing.service import PurchaseService
from luma_mcp.sources.resolver import SourceResolver


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

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Run the background tasks while this is entered; then close."""
        try:
            async with self.poller.running(), anyio.create_task_group() as tasks:
                tasks.start_soon(self.purchases.run)
                yield
                tasks.cancel_scope.cancel()
        finally:
            await self.close()

    async def close(self) -> None:
        """Close every connection. A later call opens new ones."""
        await self.backend.close()
        await self.downloads.close()
        await self.purchases.close()
