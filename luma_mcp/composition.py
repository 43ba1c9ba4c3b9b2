"""The composition root: it makes the services and the servers from the settings."""

import os
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio

from luma_mcp.backends.agents.client import Agents
from luma_mcp.backends.base import Listing
from luma_mcp.backends.concepts import CameraVocabulary
from luma_mcp.backends.dream_machine.client import DreamMachine
from luma_mcp.backends.exchange import Exchange
from luma_mcp.backends.luma_apis import LumaApis
from luma_mcp.backends.transport import Transport
from luma_mcp.config.settings import Settings
from luma_mcp.domain.addresses import LOOPBACK
from luma_mcp.domain.apis import APIS, BackendName
from luma_mcp.domain.clock import Clock
from luma_mcp.domain.meter import NO_METER, Meter
from luma_mcp.domain.signing import key_for
from luma_mcp.files.background import Background
from luma_mcp.files.fetcher import Fetcher
from luma_mcp.files.naming import Naming
from luma_mcp.files.preview import PreviewService
from luma_mcp.files.saved_file import SavedFile
from luma_mcp.files.service import DownloadService
from luma_mcp.files.upload import Uploader
from luma_mcp.film.encrypted_links import SignedLinks
from luma_mcp.film.saving import FilmSaves
from luma_mcp.film.service import FilmService
from luma_mcp.ledger.caps import Budget
from luma_mcp.ledger.history import PurchaseHistory
from luma_mcp.ledger.outbox import Outbox
from luma_mcp.ledger.postgres import PostgresStore
from luma_mcp.ledger.purchases import Ledger
from luma_mcp.ledger.reservation_groups import ReservationGroups
from luma_mcp.ledger.rows import PurchaseRow
from luma_mcp.ledger.sqlite import SqliteStore
from luma_mcp.mcp.approvals import Approvals
from luma_mcp.mcp.public_links import Links
from luma_mcp.mcp.server import TOOLSETS, ServerOptions, ToolServer, make_server
from luma_mcp.mcp.services import Services, Share
from luma_mcp.mcp.spec import ToolSpec
from luma_mcp.mcp.tasks import derive_key
from luma_mcp.polling.poller import Poller
from luma_mcp.purchasing.access import Access
from luma_mcp.purchasing.payloads import Payloads
from luma_mcp.purchasing.queue import QueueOptions
from luma_mcp.purchasing.reconcile import ByAccount, ByListing, Reconciler, Reconciliation, Unverifiable
from luma_mcp.purchasing.service import PurchaseService
from luma_mcp.sources.bucket import Bucket
from luma_mcp.sources.local_files import LocalFiles
from luma_mcp.sources.luma_files import LumaFiles
from luma_mcp.sources.resolver import FileStore, SourceResolver
from luma_mcp.work.events import DELIVER, EventJob, Receiver
from luma_mcp.work.films import FilmJob
from luma_mcp.work.in_process import InProcessRunner
from luma_mcp.work.jobs import Jobs, Runner
from luma_mcp.work.kinds import QUEUE, doubt_job, queue_job
from luma_mcp.work.output import Output
from luma_mcp.work.procrastinate_runner import ProcrastinateRunner, is_installed
from luma_mcp.work.saves import FIRST_SECONDS, SAVE, SaveJob

if TYPE_CHECKING:
    import httpx


OnApiExchange = Callable[[BackendName, Exchange], None]
"""Called with each whole response of an API, and its request."""

_OF_THIS_PROCESS = secrets.token_hex(32)
_PERSON_SETS = "Only the person can change that, in this server's environment."


class RealClock:
    """The machine's clock."""

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


def _ignore_exchange(_api: BackendName, _exchange: Exchange) -> None:
    """Record nothing."""


def build_server(
    settings: Settings,
    *,
    transport: "httpx.AsyncBaseTransport | None" = None,
    clock: Clock | None = None,
    meter: Meter | None = None,
    with_jobs: bool = False,
) -> ToolServer:
    """The server, ready to be run over any transport.

    Args:
        settings: the settings.
        transport: carries bytes to Luma and to asset hosts; the network unless a test passes one.
        clock: the machine's unless a test passes one.
        meter: counts what happens; nothing is counted without one.
        with_jobs: whether it runs jobs too, such as sending what waits for a slot, and continuing films.
    """
    options = ServerOptions(
        tools=offered_tools(settings),
        withheld=withheld_tools(settings),
        account=settings.account,
        secret=_secret(settings),
        asset_origins=_emulators(settings),
        log_level=settings.log_level,
    )
    services = build_services(settings, transport, clock, meter or NO_METER)
    return make_server(with_runner(services, settings, transport) if with_jobs else services, options)


def _secret(settings: Settings) -> str:
    """The secret of the servers of this account. Without a key it is random and ends with the process."""
    return settings.key or settings.agents_key or _OF_THIS_PROCESS


def _key(settings: Settings) -> bytes:
    """The key of the servers of this account for the texts that they sign and encrypt."""
    return derive_key(settings.account, _secret(settings))


def build_links(settings: Settings, clock: Clock | None = None) -> Links | None:
    """Links to this server; None where it has no public address."""
    key = _key(settings)
    return Links(settings.http_public_url, key, (clock or RealClock()).wall) if settings.http_public_url else None


def build_services(
    settings: Settings,
    transport: "httpx.AsyncBaseTransport | None" = None,
    clock: Clock | None = None,
    meter: Meter = NO_METER,
    on_exchange: OnApiExchange | None = None,
) -> Services:
    """The services that the settings describe. This touches neither network nor disk."""
    clock = clock or RealClock()
    ledger = build_ledger(settings, clock)
    links = build_links(settings, clock)
    callback_url = settings.callback_url or (links.callback_url if links else None)
    apis = _build_apis(settings, ledger, transport, clock, callback_url, meter, on_exchange or _ignore_exchange)
    api_url = (_emulators(settings) or [settings.base_url])[0]
    downloads = DownloadService(
        lambda: settings.output_folder,
        Fetcher(api_url=api_url, transport=transport),
        apis.get_generation,
        Naming(settings.output_template),
    )
    accounts = settings.accounts
    strategies: dict[str, Reconciliation] = {account: Unverifiable(ledger) for account in accounts.values()}
    if apis.dream_machine is not None:
        strategies[accounts["dream_machine"]] = ByListing(apis.dream_machine, ledger, clock)
    reconciler = Reconciler(ByAccount(strategies), ledger, clock)
    listings: dict[BackendName, Listing] = {"dream_machine": apis.dream_machine} if apis.dream_machine else {}
    key = _key(settings)
    purchases = PurchaseService(
        apis,
        ledger,
        clock,
        reconciler,
        budget=_budget(settings),
        accounts=accounts,
        listings=listings,
        queueing=QueueOptions(Payloads(key), settings.max_concurrent),
    )
    bucket = Bucket(settings.upload_url, local_api=bool(_emulators(settings)))
    stores: dict[BackendName, FileStore] = {"dream_machine": bucket}
    if apis.agents is not None:
        uploader = Uploader(api_url=api_url, transport=transport)
        stores["agents"] = LumaFiles(apis.agents.files.put, uploader.put)
    poller = Poller(apis, clock, purchases.may_exist, listing=apis.dream_machine, api_of=purchases.api_of)
    return Services(
        backend=apis,
        purchases=purchases,
        poller=poller,
        clock=clock,
        films=FilmService(ReservationGroups(ledger), purchases, poller, clock, SignedLinks(key), meter),
        film_saves=FilmSaves(),
        edits=Background(),
        sources=SourceResolver(
            apis, partial(_local_files, settings), stores, downloads.open_video, purchases.made_from
        ),
        downloads=downloads,
        previews=PreviewService(inline=settings.inline_images),
        vocabulary=CameraVocabulary(apis),
        access=Access(ledger, is_shared=settings.http_shared),
        links=links,
        meter=meter,
        approvals=Approvals(key, clock.wall, in_dry_runs=settings.confirm_by == "quote"),
        share=_sharing(links, bucket, downloads) if links else None,
    )


def with_runner(
    services: Services, settings: Settings, transport: "httpx.AsyncBaseTransport | None" = None
) -> Services:
    """The services with a runner of jobs. A server that only reads runs none."""
    if settings.read_only:
        return services
    purchases = services.purchases
    outbox = Outbox(purchases.ledger)
    bucket = Bucket(settings.upload_url, local_api=bool(_emulators(settings)))

    async def copy(file: SavedFile) -> object:
        return await bucket.share(file.path, file.sha256, file.media_type)

    output = Output(services.downloads, services.access, copy if bucket.is_set else None)
    films = FilmJob(
        services.films,
        services.film_saves,
        outbox,
        services.backend,
        services.sources,
        output,
        is_saving=_saved(settings) != "none",
    )
    saves = SaveJob(purchases, outbox, output, is_saving=_saved(settings) == "all")
    jobs = Jobs(queue_job(purchases), films.kind, saves.kind, doubt_job(purchases))
    if settings.events_url and settings.events_secret:
        secret = settings.events_secret.get_secret_value()
        receiver = Receiver(settings.events_url, secret, with_prompts=settings.events_prompts)
        jobs.add(EventJob(purchases.ledger, receiver, services.clock, transport).kind)
    url = settings.database_url
    runner: Runner = ProcrastinateRunner(jobs, url) if url and is_installed() else InProcessRunner(jobs, services.clock)
    if settings.events_url:
        purchases.ledger.events.listen(partial(runner.start, DELIVER))

    async def on_waiting(account: str) -> None:
        await runner.start(QUEUE, account)

    async def on_accepted(row: PurchaseRow) -> None:
        if _is_watched(settings):
            await runner.start(SAVE, str(row.id), after_seconds=FIRST_SECONDS)

    purchases.queue.listen(on_waiting, on_accepted)
    return replace(services, runner=runner)


def _saved(settings: Settings) -> str:
    """What is saved as it ends."""
    return settings.save or ("all" if settings.database_url else "films")


def _is_watched(settings: Settings) -> bool:
    """Whether each generation is read until it ends: to save it, or for an event."""
    return _saved(settings) == "all" or settings.events_url is not None


def _sharing(links: Links, bucket: Bucket, downloads: DownloadService) -> Share:
    """The function that makes a link to a saved file: in the person's bucket, if there is one; else at this server."""

    async def share(file: SavedFile) -> str:
        if bucket.is_set:
            return await bucket.share(file.path, file.sha256, file.media_type)
        return links.to_file(downloads.place_of(file.path))

    return share


def _local_files(settings: Settings, folder: str) -> LocalFiles:
    """The files that may be sent to Luma: of the input folders, and of a folder inside the output folder."""

    def ledger() -> tuple[Path, ...]:
        file = None if settings.database_url else settings.ledger_file
        return () if file is None else tuple(file.with_name(file.name + ending) for ending in ("", "-wal", "-shm"))

    return LocalFiles(lambda: (*settings.input_dirs, settings.output_folder / folder), ledger)


def _build_apis(
    settings: Settings,
    ledger: Ledger,
    transport: "httpx.AsyncBaseTransport | None",
    clock: Clock,
    callback_url: str | None,
    meter: Meter,
    on_exchange: OnApiExchange,
) -> LumaApis:
    """The APIs that the settings have keys for; both, if there is no key, and then calls state the setting."""
    dream_machine, agents = None, None
    if "dream_machine" in settings.backends:
        to_dream_machine = Transport(
            settings.key,
            base_url=settings.base_url,
            token_hint=settings.token_hint,
            clock=clock,
            network=transport,
            on_response=partial(meter.count_response, "dream_machine"),
            on_exchange=partial(on_exchange, "dream_machine"),
        )
        dream_machine = DreamMachine(to_dream_machine, callback_url=callback_url)
    if "agents" in settings.backends:
        to_agents = Transport(
            settings.agents_key,
            base_url=settings.agents_base_url,
            token_hint=settings.agents_hint,
            clock=clock,
            network=transport,
            on_response=partial(meter.count_response, "agents"),
            on_exchange=partial(on_exchange, "agents"),
        )
        user_key = key_for("user ids at Luma", _key(settings))
        agents = Agents(to_agents, sleep=clock.sleep, wall=clock.wall, user_key=user_key)
    return LumaApis(PurchaseHistory(ledger, settings.accounts), dream_machine=dream_machine, agents=agents)


def _emulators(settings: Settings) -> list[str]:
    """The origins of the APIs that are on this machine, which Luma's are not."""
    addresses = {"dream_machine": settings.base_url, "agents": settings.agents_base_url}
    urls = [urlsplit(addresses[name]) for name in settings.backends]
    return list(dict.fromkeys(f"{url.scheme}://{url.netloc}" for url in urls if url.hostname in LOOPBACK))


def build_ledger(settings: Settings, clock: Clock | None = None) -> Ledger:
    """The purchase ledger that the settings name. It is not opened before it is used."""
    url = settings.database_url
    wall = (clock or RealClock()).wall
    return Ledger(
        PostgresStore(url) if url else SqliteStore(lambda: settings.ledger_file, now=wall),
        account=settings.accounts["dream_machine"],
        others=[settings.accounts["agents"]],
        owner=f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}",
        former_accounts=[settings.account],
        is_shared=settings.http_shared,
        saves=_is_watched(settings),
        has_events=settings.events_url is not None,
    )


def offered_tools(settings: Settings) -> list[ToolSpec]:
    """The tools that the settings allow; read-only wins over everything."""
    withheld = withheld_tools(settings)
    return [spec for specs in TOOLSETS.values() for spec in specs if spec.name not in withheld]


def withheld_tools(settings: Settings) -> dict[str, str]:
    """Why each of the other tools is not offered, as a sentence for a model that calls it all the same."""
    reasons = {
        spec.name: _reason_withheld(spec, toolset, settings) for toolset, specs in TOOLSETS.items() for spec in specs
    }
    return {name: reason for name, reason in reasons.items() if reason is not None}


def _reason_withheld(spec: ToolSpec, toolset: str, settings: Settings) -> str | None:
    if settings.read_only and not spec.annotations.read_only_hint:
        return f"This server only reads (LUMA_READ_ONLY). {_PERSON_SETS}"
    if toolset not in settings.toolsets:
        return f"LUMA_TOOLSETS leaves out {toolset}. {_PERSON_SETS}"
    if not set(spec.backends) & set(settings.backends):
        return f"It is {APIS[spec.backends[0]].name}'s, and this server has no key for it. {_PERSON_SETS}"
    if spec.by_links and settings.http_public_url is None:
        return "It works by links to this server, which has no public address. Name a local file instead."
    if spec.by_links is False and settings.http_public_url is not None:
        return "get_credits asks Luma, and says if it does not answer."
    return None


def _budget(settings: Settings) -> Budget:
    return Budget(
        max_usd_per_call=settings.max_usd_per_call,
        max_usd_per_day=settings.max_usd_per_day,
        max_usd_per_person_per_day=settings.max_usd_per_person_per_day,
        min_credit_usd=settings.min_credit_usd,
        confirm_above_usd=settings.confirm_above_usd,
    )
