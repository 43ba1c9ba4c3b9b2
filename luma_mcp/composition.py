"""Where the parts are put together: settings in, services and servers out."""

import os
import secrets
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
from mcp.server.mcpserver import MCPServer

from luma_mcp.backends.camera_words import CameraVocabulary
from luma_mcp.backends.dream_machine.client import DreamMachine
from luma_mcp.domain.clock import Clock
from luma_mcp.downloads.fetcher import Fetcher
from luma_mcp.downloads.naming import Naming
from luma_mcp.downloads.preview import PreviewService
from luma_mcp.downloads.service import DownloadService
from luma_mcp.mcp.server import TOOLSETS, ServerOptions, make_server
from luma_mcp.mcp.services import Services
from luma_mcp.mcp.tool_spec import ToolSpec
from luma_mcp.polling.poller import Poller
from luma_mcp.purchasing.budget import Budget
from luma_mcp.purchasing.ledger import Ledger
from luma_mcp.purchasing.postgres import PostgresStore
from luma_mcp.purchasing.reconcile import ByListing, Reconciler
from luma_mcp.purchasing.service import PurchaseService
from luma_mcp.purchasing.sqlite import SqliteStore
from luma_mcp.settings import Settings
from luma_mcp.sources.bucket import Bucket
from luma_mcp.sources.local_files import LocalFiles
from luma_mcp.sources.resolver import SourceResolver

if TYPE_CHECKING:
    import httpx


class MonotonicClock:
    """The real clock."""

    def now(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


def build_server(
    settings: Settings,
    *,
    transport: "httpx.AsyncBaseTransport | None" = None,
    clock: Clock | None = None,
    wall: Callable[[], float] = time.time,
) -> MCPServer[Services]:
    """The server, ready to be run over any transport.

    Args:
        settings: what the person decided.
        transport: carries bytes to Luma and to asset hosts; the network unless a test gives another.
        clock: the real one unless a test gives another.
        wall: the time of day, in Unix time.
    """
    api = urlsplit(settings.base_url)
    options = ServerOptions(
        tools=offered_tools(settings),
        account=settings.account,
        secret=settings.key or "",
        asset_origins=[f"{api.scheme}://{api.netloc}"] if settings.is_emulated else [],
        log_level=settings.log_level,
    )
    return make_server(build_services(settings, transport, clock or MonotonicClock(), wall), options)


def build_services(
    settings: Settings,
    transport: "httpx.AsyncBaseTransport | None" = None,
    clock: Clock | None = None,
    wall: Callable[[], float] = time.time,
) -> Services:
    """The services that the settings describe. This touches neither network nor disk."""
    clock = clock or MonotonicClock()
    backend = DreamMachine(
        settings.key,
        token_hint=settings.token_hint,
        base_url=settings.base_url,
        callback_url=settings.callback_url,
        transport=transport,
        sleep=clock.sleep,
    )
    downloads = DownloadService(
        lambda: settings.output_folder,
        Fetcher(api_url=settings.base_url, transport=transport),
        backend.get_generation,
        Naming(settings.output_template),
    )
    ledger = build_ledger(settings, wall)
    reconciler = Reconciler(ByListing(backend, ledger), ledger, clock)
    purchases = PurchaseService(backend, ledger, clock, reconciler, budget=_budget(settings))
    return Services(
        backend=backend,
        purchases=purchases,
        poller=Poller(backend, clock, purchases.is_young),
        sources=SourceResolver(
            backend,
            LocalFiles(lambda: settings.readable_folders),
            Bucket(settings.upload_url, local_api=settings.is_emulated),
            downloads.open_video,
        ),
        downloads=downloads,
        previews=PreviewService(downloads, inline=settings.inline_images),
        vocabulary=CameraVocabulary(backend),
    )


def build_ledger(settings: Settings, wall: Callable[[], float] = time.time) -> Ledger:
    """The purchase ledger that the settings name. It is not opened before it is used."""
    url = settings.database_url
    return Ledger(
        PostgresStore(url) if url else SqliteStore(lambda: settings.ledger_file, now=wall),
        account=settings.ledger_account,
        owner=f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}",
        former_accounts=[settings.account],
    )


def offered_tools(settings: Settings) -> list[ToolSpec]:
    """The tools that the settings allow; read-only wins over everything."""
    chosen = [spec for toolset, specs in TOOLSETS.items() if toolset in settings.toolsets for spec in specs]
    return [spec for spec in chosen if spec.annotations.read_only_hint] if settings.read_only else chosen


def _budget(settings: Settings) -> Budget:
    return Budget(
        max_usd_per_call=settings.max_usd_per_call,
        max_usd_per_day=settings.max_usd_per_day,
        min_credit_usd=settings.min_credit_usd,
        confirm_above_usd=settings.confirm_above_usd,
    )
