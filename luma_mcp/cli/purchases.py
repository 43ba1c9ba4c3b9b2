"""`dream-machine-mcp purchases`: the ledger for a person: list it, show a purchase, settle one in doubt, copy it."""

import argparse
import csv
import json
import sqlite3
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import anyio

from luma_mcp.composition import build_ledger
from luma_mcp.config.settings import Settings, SettingsError
from luma_mcp.domain.errors import LumaError
from luma_mcp.domain.generation import GENERATION_ID
from luma_mcp.domain.text import cleaned
from luma_mcp.ledger.purchases import Ledger
from luma_mcp.ledger.rows import PurchaseRow
from luma_mcp.ledger.sqlite import copy_to
from luma_mcp.ledger.states import IN_DOUBT

# A request has a prompt of 5,000 characters at most.
_MAX_TEXT_LENGTH = 20_000


def run(options: argparse.Namespace) -> int:
    """Run an action; the exit code."""
    try:
        return anyio.run(_run, options, build_ledger(Settings.from_environment()))
    except (SettingsError, LumaError) as error:
        print(getattr(error, "full_text", str(error)), file=sys.stderr)
        return 1


async def _run(options: argparse.Namespace, ledger: Ledger) -> int:
    try:
        match options.action:
            case "show":
                return await _show(options, ledger)
            case "settle":
                return await _settle(options, ledger)
            case "backup":
                return await _backup(options, ledger)
            case _:
                return await _list(options, ledger)
    finally:
        await ledger.close()


async def _list(options: argparse.Namespace, ledger: Ledger) -> int:
    pages = ledger.pages(person=getattr(options, "person", None), in_doubt=getattr(options, "in_doubt", False))
    if getattr(options, "csv", False):
        await _write_csv(pages)
    elif getattr(options, "json", False):
        await _write_json(pages)
    else:
        await _write_lines(pages)
    return 0


async def _write_lines(pages: AsyncIterator[list[PurchaseRow]]) -> None:
    """A line for each purchase."""
    is_empty = True
    async for rows in pages:
        for row in rows:
            doubt = f"  {row.note}" if row.state in IN_DOUBT else ""
            generation_id = row.generation_id or "-"
            print(f"{row.id:>5}  {_time(row)}  {row.state:<9}  ${row.usd:<8.3f} {row.kind:<13}  {generation_id}{doubt}")
            is_empty = False
    if is_empty:
        print("No purchases.")


async def _write_json(pages: AsyncIterator[list[PurchaseRow]]) -> None:
    """The purchases as one array, written page by page."""
    separator = "["
    async for rows in pages:
        for row in rows:
            text = json.dumps(asdict(row), indent=2).replace("\n", "\n  ")
            sys.stdout.write(f"{separator}\n  {text}")
            separator = ","
    print("[]" if separator == "[" else "\n]")


async def _write_csv(pages: AsyncIterator[list[PurchaseRow]]) -> None:
    """The purchases as a table, without the requests: a prompt is for its author."""
    table = csv.writer(sys.stdout)
    table.writerow(("purchase", "time", "person", "operation", "model", "state", "usd", "basis", "take", "generation"))
    async for rows in pages:
        for row in rows:
            values = (
                row.id, _time(row), row.person, row.kind, row.model, row.state, row.usd, row.basis, row.take,
                row.generation_id or "",
            )  # fmt: skip
            table.writerow([_harmless(value) if isinstance(value, str) else value for value in values])


def _harmless(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


async def _show(options: argparse.Namespace, ledger: Ledger) -> int:
    row = await _requested_row(options, ledger)
    if row is None:
        return 1
    if options.json:
        print(json.dumps(asdict(row), indent=2))
        return 0
    facts = {
        "purchase": row.id,
        "state": row.state,
        "why": row.note or None,
        "time": _time(row),
        "price": f"${row.usd:.4f} ({row.basis})",
        "take": row.take,
        "person": row.person or None,
        "generation": row.generation_id,
        "X-Request-Id": row.request_id,
        "request": json.dumps(row.body, ensure_ascii=False),
        "made from": ", ".join(row.made_from) or None,
    }
    for name, value in facts.items():
        if value is not None:
            # Prompts and reasons come from outside, and a terminal obeys what it is sent.
            print(f"{name:>13}: {cleaned(str(value), _MAX_TEXT_LENGTH)}")
    return 0


async def _settle(options: argparse.Namespace, ledger: Ledger) -> int:
    row = await _requested_row(options, ledger)
    if row is None:
        return 1
    if options.bought is not None and not GENERATION_ID.fullmatch(options.bought):
        print(
            f"{options.bought!r} is no id of a generation, such as 15b7abb1-3741-4b7e-9615-1f9a16c7442d. "
            "Nothing was settled.",
            file=sys.stderr,
        )
        return 1
    if options.bought is not None:
        settled = await ledger.advance(row, "accepted", generation_id=options.bought, note="settled by a person")
    else:
        settled = await ledger.advance(row, "absent", note="settled by a person")
    if settled is None:
        print(
            f"Purchase {row.id} is {row.state}, so it cannot be settled so, or another purchase has that generation.",
            file=sys.stderr,
        )
        return 1
    if options.json:
        print(json.dumps(asdict(settled), indent=2))
        return 0
    outcome = f"${row.usd:.2f} is spent" if options.bought is not None else "nothing is spent"
    print(f"Purchase {settled.id} is {settled.state}: {outcome}.")
    return 0


async def _backup(options: argparse.Namespace, ledger: Ledger) -> int:
    """Copy a ledger that is a file. A copy of its main file alone would lack the last purchases."""
    settings = Settings.from_environment()
    if settings.database_url:
        print("The ledger is a database. Its own tools copy it, such as pg_dump.", file=sys.stderr)
        return 1
    # Opened first, so that the copy is of this version, and of a ledger that may be used.
    await ledger.now()
    try:
        await anyio.to_thread.run_sync(copy_to, settings.ledger_file, Path(options.file))
    except (OSError, sqlite3.Error) as error:
        print(f"The ledger cannot be copied to {options.file}: {error}", file=sys.stderr)
        return 1
    print(f"{options.file} is a copy of the ledger. LUMA_LEDGER={options.file} uses it.")
    return 0


async def _requested_row(options: argparse.Namespace, ledger: Ledger) -> PurchaseRow | None:
    row = await ledger.get(options.purchase)
    if row is None:
        print(f"There is no purchase {options.purchase}. dream-machine-mcp purchases lists them.", file=sys.stderr)
    return row


def _time(row: PurchaseRow) -> str:
    return datetime.fromtimestamp(row.reserved_at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
