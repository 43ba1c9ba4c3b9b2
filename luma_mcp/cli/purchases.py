"""`dream-machine-mcp purchases`: the ledger for a person: list it, look at a purchase, settle one that is in doubt."""

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

import anyio

from luma_mcp.composition import build_ledger
from luma_mcp.config.settings import Settings, SettingsError
from luma_mcp.domain.errors import LumaError
from luma_mcp.domain.text import cleaned
from luma_mcp.ledger import reports
from luma_mcp.ledger.purchases import Ledger
from luma_mcp.ledger.rows import Row
from luma_mcp.ledger.states import IN_DOUBT

# A request has a prompt of 5,000 characters at most.
_MAX_SHOWN = 20_000


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
            case _:
                return await _list(options, ledger)
    finally:
        await ledger.close()


async def _list(options: argparse.Namespace, ledger: Ledger) -> int:
    rows = await ledger.all_rows()
    if getattr(options, "in_doubt", False):
        rows = [row for row in rows if row.state in IN_DOUBT]
    person = getattr(options, "person", None)
    if person is not None:
        rows = [row for row in rows if row.person == person]
    if getattr(options, "csv", False):
        _write_csv(rows)
        return 0
    if getattr(options, "json", False):
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return 0
    for row in rows:
        doubt = f"  {row.note}" if row.state in IN_DOUBT else ""
        found = row.generation_id or "-"
        print(f"{row.id:>5}  {_time(row)}  {row.state:<9}  ${row.usd:<8.3f} {row.kind:<13}  {found}{doubt}")
    if not rows:
        print("No purchases.")
    return 0


def _write_csv(rows: Sequence[Row]) -> None:
    """The purchases as a table, without what was asked for: a prompt is for who wrote it."""
    table = csv.writer(sys.stdout)
    table.writerow(("purchase", "time", "person", "operation", "model", "state", "usd", "basis", "take", "generation"))
    for row in rows:
        values = (
            row.id, _time(row), row.person, row.kind, reports.model_of(row), row.state, row.usd, row.basis, row.take,
            row.generation_id or "",
        )  # fmt: skip
        table.writerow([_harmless(value) if isinstance(value, str) else value for value in values])


def _harmless(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


async def _show(options: argparse.Namespace, ledger: Ledger) -> int:
    row = await _found(options, ledger)
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
            print(f"{name:>13}: {cleaned(str(value), _MAX_SHOWN)}")
    return 0


async def _settle(options: argparse.Namespace, ledger: Ledger) -> int:
    row = await _found(options, ledger)
    if row is None:
        return 1
    if options.bought:
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
    outcome = f"${row.usd:.2f} is spent" if options.bought else "nothing is spent"
    print(f"Purchase {settled.id} is {settled.state}: {outcome}.")
    return 0


async def _found(options: argparse.Namespace, ledger: Ledger) -> Row | None:
    row = await ledger.get(options.purchase)
    if row is None:
        print(f"There is no purchase {options.purchase}. dream-machine-mcp purchases lists them.", file=sys.stderr)
    return row


def _time(row: Row) -> str:
    return datetime.fromtimestamp(row.reserved_at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
