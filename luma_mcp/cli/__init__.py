"""What a person types: the demo and the emulator. Anything else is said to be unknown, with what there is."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from luma_mcp import __version__
from luma_mcp.emulator import __main__ as emulator

_DESCRIPTION = """\
Luma AI's Dream Machine as tools for agents. Without a command it serves MCP over stdin and stdout, which is how a host
such as Claude, Cursor or VS Code starts it."""


def run(arguments: Sequence[str]) -> int:
    """Run a command; the exit code."""
    options = _parser().parse_args(arguments)
    if options.command == "emulator":
        return emulator.run_from(options)
    from luma_mcp.cli.demo import run as run_demo  # noqa: PLC0415 - rich and a client, which only the demo needs

    return run_demo(options.keep, options.speed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dream-machine-mcp", description=_DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"dream-machine-mcp {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, title="commands")

    demo = commands.add_parser("demo", help="make a few videos and images with the emulator; costs nothing")
    demo.add_argument("--keep", type=Path, metavar="DIR", help="where the files go (default: a new temporary folder)")
    demo.add_argument("--speed", type=float, default=60, help="times faster than Luma (default: %(default)g)")

    emulate = commands.add_parser("emulator", help="run the emulator of the Dream Machine API on loopback")
    emulator.add_arguments(emulate)
    return parser
