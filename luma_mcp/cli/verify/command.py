"""The command itself: it states the price, asks, examines each API, and prints the report."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from luma_mcp.cli.verify import agents, dream_machine, report
from luma_mcp.cli.verify.facts import Fact
from luma_mcp.cli.verify.plan import Planned, plan
from luma_mcp.cli.verify.world import World
from luma_mcp.config.settings import Settings, SettingsError
from luma_mcp.domain.apis import APIS, BackendName
from luma_mcp.domain.clock import Clock

if TYPE_CHECKING:
    import httpx

_EXAMINE = {"dream_machine": dream_machine.examine, "agents": agents.examine}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--small", action="store_true", help="buy pictures only")
    size.add_argument("--full", action="store_true", help="buy a clip at each API, also where one costs more")
    parser.add_argument("--yes", action="store_true", help="buy without asking")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the report to a file too")
    parser.add_argument("--json", action="store_true", help="for programs")


def run(options: argparse.Namespace) -> int:
    """Verify; 0 if all is as assumed, 3 if something differs, 1 if the person does not buy, 2 if a setting is wrong."""
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        print(f"dream-machine-mcp: {error}", file=sys.stderr)
        return 2
    apis: list[BackendName] = [
        api for api in settings.backends if (settings.key if api == "dream_machine" else settings.agents_key)
    ]
    if not apis:
        print(settings.token_hint, file=sys.stderr)
        return 2
    planned = plan(apis, "small" if options.small else "full" if options.full else "usual")
    if not options.yes and not _is_allowed(planned):
        return 1
    found = anyio.run(examine, settings, planned)
    day = time.strftime("%Y-%m-%d")
    text = report.as_json(found, on_day=day) if options.json else report.markdown(found, on_day=day)
    print(text)
    if options.report is not None:
        options.report.write_text(text, encoding="utf-8")
    return 3 if any(fact.differs for facts in found.values() for fact in facts) else 0


def _is_allowed(planned: Sequence[Planned]) -> bool:
    """Print what is bought and ask the person; without a terminal nobody is asked."""
    for purchase in planned:
        name = APIS[purchase.api].name
        print(f"{name}: {purchase.role}, {purchase.model}, at most ${purchase.usd:.4f}", file=sys.stderr)
    price = f"In all at most ${sum(purchase.usd for purchase in planned):.3f}."
    if not sys.stdin.isatty():
        print(f"{price} Nothing was bought. Call again with --yes to buy it.", file=sys.stderr)
        return False
    print(f"{price} Buy it? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


async def examine(
    settings: Settings,
    planned: Sequence[Planned],
    network: "httpx.AsyncBaseTransport | None" = None,
    clock: Clock | None = None,
) -> dict[str, list[Fact]]:
    """Examine each API that something is bought from; the facts by the API's name."""
    found: dict[str, list[Fact]] = {}
    apis: list[BackendName] = list(dict.fromkeys(purchase.api for purchase in planned))
    for api in apis:
        world = World(settings, api, network=network, clock=clock, on_step=_print_step)
        async with world.services.running():
            try:
                of_api = [purchase for purchase in planned if purchase.api == api]
                found[APIS[api].title] = await _EXAMINE[api](world, of_api)
            finally:
                await world.close()
    return found


def _print_step(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
