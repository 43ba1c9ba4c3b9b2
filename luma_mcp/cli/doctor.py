"""`dream-machine-mcp doctor`: whether everything is there that is needed, and what to do about what is not.

Nothing is bought, and nothing is left behind.
"""

import json
import os
import platform
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Literal
from urllib.parse import urlsplit

import anyio

from luma_mcp import __version__
from luma_mcp.backends.base import Backend
from luma_mcp.cli import terminal
from luma_mcp.composition import build_services
from luma_mcp.config.keys import RETIRING
from luma_mcp.config.settings import Settings, SettingsError
from luma_mcp.domain.addresses import LOOPBACK
from luma_mcp.domain.errors import LumaError
from luma_mcp.mcp.services import Services
from luma_mcp.media import worker
from luma_mcp.media.self_test import check_libraries
from luma_mcp.sources.local_files import LocalFile

Verdict = Literal["good", "note", "bad"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. A `note` is no fault."""

    name: str
    verdict: Verdict
    text: str


def run(*, as_json: bool) -> int:
    """Look at everything and tell; 0 if nothing is bad, 1 otherwise."""
    checks = anyio.run(examine)
    good = all(check.verdict != "bad" for check in checks)
    if as_json:
        print(json.dumps({"good": good, "checks": [asdict(check) for check in checks]}, indent=2))
    elif sys.stdout.isatty():
        _show(checks)
    else:
        for check in checks:
            print(f"{check.verdict:5}{check.name}: {check.text}")
    return 0 if good else 1


async def examine() -> list[Check]:
    """Every check, the most important first."""
    shell = "These are the variables of this shell. A host hands the server those of its own file."
    checks = [_versions(), await _tried("clips and pictures", _media), Check("environment", "note", shell)]
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        return [*checks, Check("settings", "bad", str(error))]
    checks += [Check("settings", "note", note) for note in settings.notes]
    services = build_services(settings)
    try:
        async with aclosing(_with(services, settings)) as looked:
            async for check in looked:
                checks.append(check)
    finally:
        await services.close()
    return checks


async def _with(services: Services, settings: Settings) -> AsyncGenerator[Check]:
    if settings.key is None and settings.agents_key is None:
        yield Check("token", "bad", settings.token_hint)
    if settings.agents_key is not None and services.backend.agents is not None:
        yield Check("Agents key", "good", f"The token came from {settings.agents_key_variable}.")
        yield await _reach("Agents API", services.backend.agents)
    if settings.key is not None and services.backend.dream_machine is not None:
        yield Check("Dream Machine key", "good", f"The token came from {settings.token_variable}.")
        yield Check("retirement", "note", RETIRING)
        yield await _reach("Dream Machine", services.backend.dream_machine)
        yield await _tried("credit", lambda: _credit(services))
    if settings.key is not None or settings.agents_key is not None:
        yield Check("Luma as assumed", "note", "dream-machine-mcp verify compares Luma with what is assumed of it.")
    yield await _tried("output folder", lambda: _output(settings))
    for folder in settings.input_dirs:
        is_readable = folder.is_dir() and os.access(folder, os.R_OK)
        yield Check(
            "input folder",
            "good" if is_readable else "bad",
            f"{folder} {'is' if is_readable else 'is not'} a folder to read.",
        )
    yield await _uploads(services, settings)
    yield await _tried("purchase ledger", lambda: _ledger(services, settings))
    yield _caps(settings)


def _versions() -> Check:
    versions = [
        f"dream-machine-mcp {__version__}",
        f"Python {platform.python_version()}",
        platform.platform(terse=True),
    ]
    versions += [f"{name} {metadata.version(name)}" for name in ("mcp", "httpx", "pydantic")]
    missing = [name for name in ("av", "pillow") if not _is_installed(name)]
    if missing:
        return Check(
            "versions", "bad", f"{', '.join(versions)}; missing: {', '.join(missing)}, so nothing can be looked at."
        )
    return Check("versions", "good", ", ".join(versions))


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


async def _media() -> Check:
    """A clip is written and decoded in the child process, as for every file."""
    libraries = await worker.run(check_libraries)
    return Check("clips and pictures", "good", f"{libraries} write and read a clip.")


async def _reach(name: str, api: Backend) -> Check:
    started = time.monotonic()
    try:
        await api.ping()
    except LumaError as error:
        return Check(name, "bad", error.full_text)
    milliseconds = (time.monotonic() - started) * 1000
    where = " (an emulator)" if urlsplit(api.base_url).hostname in LOOPBACK else ""
    return Check(name, "good", f"{api.base_url}{where} takes the key and answers in {milliseconds:.0f} ms.")


async def _tried(name: str, check: Callable[[], Awaitable[Check]]) -> Check:
    try:
        return await check()
    except LumaError as error:
        return Check(name, "bad", error.full_text)


async def _credit(services: Services) -> Check:
    usd = await services.backend.get_credit_usd()
    verdict: Verdict = "good" if usd >= 1 else "note"
    more = "" if usd >= 1 else " Buy API credits at https://platform.lumalabs.ai; those of the app do not count."
    return Check("credit", verdict, f"${usd:,.2f} is left.{more}")


async def _output(settings: Settings) -> Check:
    folder = settings.output_folder
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if existing.is_dir() and os.access(existing, os.W_OK):
        return Check("output folder", "good", f"{folder} can be written.")
    return Check("output folder", "bad", f"{folder} cannot be written. Set LUMA_OUTPUT_DIR to a folder that can.")


async def _uploads(services: Services, settings: Settings) -> Check:
    has_files = " Models of the Agents API take them without it." if services.backend.agents is not None else ""
    if settings.upload_url is None and "dream_machine" not in settings.backends:
        return Check("uploads", "good", "Local files go to Luma's own file store.")
    if settings.upload_url is None:
        return Check(
            "uploads", "note", f"LUMA_UPLOAD_URL is not set, so local files cannot be sent to Dream Machine.{has_files}"
        )
    try:
        await services.sources.stores["dream_machine"].location(LocalFile.of_bytes("doctor.png", "png", b""))
    except LumaError as error:
        return Check("uploads", "bad", error.full_text)
    bucket = settings.upload_url.partition("?")[0]
    return Check(
        "uploads", "good", f"Links into {bucket} can be signed. Whether it takes files shows with the first one."
    )


async def _ledger(services: Services, settings: Settings) -> Check:
    if settings.database_url is None and not settings.ledger_file.exists():
        return Check("purchase ledger", "good", f"{settings.ledger_file} will be made with the first purchase.")
    spending = await services.purchases.spending()
    where = "The database" if settings.database_url else str(settings.ledger_file)
    count = "1 purchase" if spending.purchases == 1 else f"{spending.purchases} purchases"
    spent = f"${spending.spent_usd:.2f} spent and ${spending.reserved_usd:.2f} reserved today, in {count}"
    return Check("purchase ledger", "good", f"{where} can be used: {spent}.")


def _caps(settings: Settings) -> Check:
    caps = {
        "a call": settings.max_usd_per_call,
        "a day": settings.max_usd_per_day,
    }
    limits = [f"${usd:.2f} for {what}" for what, usd in caps.items() if usd is not None]
    if limits:
        return Check("caps", "good", f"At most {' and '.join(limits)}.")
    return Check("caps", "note", "There is no cap. LUMA_MAX_USD_PER_CALL and LUMA_MAX_USD_PER_DAY set one.")


def _show(checks: list[Check]) -> None:
    marks: dict[Verdict, tuple[str, terminal.Colour]] = {
        "good": ("✓", "green"),
        "note": ("•", "yellow"),
        "bad": ("✗", "red"),
    }
    rows = [(marks[check.verdict][0], check.name, check.text) for check in checks]
    terminal.table(rows, [marks[check.verdict][1] for check in checks])
