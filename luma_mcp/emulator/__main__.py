"""`python -m luma_mcp.emulator`: the emulator alone, without the rest of the package."""

import argparse
import contextlib
import sys
from collections.abc import Sequence

from luma_mcp.emulator import habits as habits_module
from luma_mcp.emulator import limiter
from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.faults import parse
from luma_mcp.emulator.habits import Habits
from luma_mcp.emulator.limiter import Limits
from luma_mcp.emulator.serving import agents_base_url, base_url, listen, run

DEFAULT_PORT = 8765
_HIGHEST_PORT, _HIGHEST_SPEED = 65535, 1_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The emulator's options; `dream-machine-mcp emulator` has the same."""
    parser.add_argument("--port", type=port, default=DEFAULT_PORT, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--speed", type=speed, default=10, help="times faster than Luma (default: %(default)g)")
    parser.add_argument(
        "--credits", type=float, default=100, metavar="USD", help="to begin with (default: %(default)g)"
    )
    parser.add_argument("--token", help="the only key accepted (default: any)")
    limits = parser.add_mutually_exclusive_group()
    limits.add_argument("--no-limits", action="store_true", help="without Luma's rate limits")
    limits.add_argument(
        "--limits", type=_limits, metavar="PER_MINUTE,AT_ONCE",
        help="of each family of models, such as 30,4 (default: those of Luma's plans)",
    )  # fmt: skip
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="KIND[,name=value...]",
        help="something that shall go wrong, such as drop,path=*/video,after=yes; may be given again",
    )
    parser.add_argument(
        "--habit",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="how the API answers where its documentation does not say, such as echo=missing; may be given again",
    )


def port(text: str) -> int:
    """A port as a person types it. Raises: argparse.ArgumentTypeError."""
    if not text.isdecimal() or int(text) > _HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"it must be a whole number from 0 to {_HIGHEST_PORT}")
    return int(text)


def speed(text: str) -> float:
    """Parse a speed that a person types: so many times faster than Luma. Raises: argparse.ArgumentTypeError."""
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value <= _HIGHEST_SPEED:
        raise argparse.ArgumentTypeError(f"it must be a number above 0, and at most {_HIGHEST_SPEED:,}")
    return value


def _limits(text: str) -> dict[str, Limits]:
    """The limits of every family, as a person types them. Raises: argparse.ArgumentTypeError."""
    try:
        limits = limiter.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return dict.fromkeys(("video", "image", "agents"), limits)


def run_from(options: argparse.Namespace) -> int:
    """Serve with those options until a signal; the exit code."""
    try:
        faults = [parse(text) for text in options.fault]
        habits = Habits(**dict(habits_module.parse(text) for text in options.habit))
        listener = listen(options.port)
    except (ValueError, OSError) as error:
        print(f"The emulator cannot start: {error}", file=sys.stderr)
        return 2
    emulator = Emulator(
        token=options.token,
        credit_usd=options.credits,
        speed=options.speed,
        limits={} if options.no_limits else options.limits,
        faults=faults,
        habits=habits,
    )
    print(f"Dream Machine emulator at {base_url(listener)} ({options.speed:g}x speed). Ctrl-C stops it.")
    print(f"Agents API emulator at {agents_base_url(listener)}; any key that begins with luma-api-.", flush=True)
    # uvicorn stops in order, and then raises what it was stopped by.
    with contextlib.suppress(KeyboardInterrupt):
        run(emulator, listener)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m luma_mcp.emulator", description=__doc__)
    add_arguments(parser)
    return run_from(parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
