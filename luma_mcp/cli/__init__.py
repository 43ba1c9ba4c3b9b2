"""The commands that a person types. An unknown command is refused with a list of the known ones."""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from luma_mcp import __version__
from luma_mcp.emulator import __main__ as emulator

_DESCRIPTION = """\
Luma AI's Dream Machine as tools for agents. Without a command it serves MCP over stdin and stdout, which is how a host
such as Claude, Cursor or VS Code starts it."""
# Commands that do one job by the tools, with what they are for.
_ONE_SHOT = {
    "video": "make a video and save it",
    "image": "make an image and save it",
    "film": "make a film of several shots and save it",
    "extend": "continue a clip, and save what follows",
    "modify": "repaint a clip and save it",
    "reframe": "give a clip another ratio and save it",
    "reframe-image": "give an image another ratio and save it",
    "edit": "join, trim and set clips to music; costs nothing",
    "view": "save a small picture of a generation, or of a clip's frames",
    "list": "list earlier generations",
    "wait": "wait until generations and films are ready",
    "get": "wait until generations and films are ready, and save them",
}
# Of a parser that has the arguments of every command.
_ALL = "all"
# What a shell answers for a program that Ctrl-C has ended.
_INTERRUPTED = 130


def run(arguments: Sequence[str]) -> int:
    """Run a command; the exit code. Ctrl-C and a reader that has gone end it without a trace."""
    options = _parser(arguments[0] if arguments else "").parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):  # pragma: no branch - a program that calls this may have another
        # Whoever reads by a pipe sees each line when it is said, too.
        sys.stdout.reconfigure(line_buffering=True)
    try:
        code = _run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        # What is still in the buffer goes nowhere, and Python would say so at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _run(options: argparse.Namespace) -> int:  # noqa: PLR0911 - one for each command
    match options.command:
        case "emulator":
            return emulator.run_from(options)
        case "serve":
            return _serve(options)
        case "work":
            from luma_mcp.cli import work  # noqa: PLC0415

            return work.run()
        case "doctor":
            from luma_mcp.cli import doctor  # noqa: PLC0415 - each command pays for itself

            return doctor.run(as_json=options.json)
        case "verify":
            from luma_mcp.cli.verify import command  # noqa: PLC0415

            return command.run(options)
        case "purchases":
            from luma_mcp.cli import purchases  # noqa: PLC0415

            return purchases.run(options)
        case "config":
            from luma_mcp.cli import config  # noqa: PLC0415

            return config.run(
                options.host, write=options.write, as_json=options.json, project=Path.cwd(), installs=options.install
            )
        case "completion":
            from luma_mcp.cli import completion  # noqa: PLC0415

            return completion.run(options.shell, _parser(_ALL))
        case command if command in _ONE_SHOT:
            from luma_mcp.cli import one_shot  # noqa: PLC0415

            return one_shot.run(options)
        case _:
            return _demo(options)


def _demo(options: argparse.Namespace) -> int:
    from luma_mcp.cli.demo import run as run_demo  # noqa: PLC0415 - a client, which only the demo needs

    return run_demo(options.keep, options.speed)


def _serve(options: argparse.Namespace) -> int:
    """Over HTTP. What is served over stdio does not come here."""
    if not options.http:
        print("dream-machine-mcp cannot start: --host and --port go with --http.", file=sys.stderr)
        return 2
    from luma_mcp.composition import build_server  # noqa: PLC0415
    from luma_mcp.config.settings import Settings, SettingsError  # noqa: PLC0415
    from luma_mcp.mcp.http import serving  # noqa: PLC0415
    from luma_mcp.mcp.http.metrics import prometheus_meter  # noqa: PLC0415

    address_options = {"LUMA_HTTP_HOST": options.host, "LUMA_HTTP_PORT": options.port}
    overrides = {name: str(value) for name, value in address_options.items() if value is not None}
    try:
        settings = Settings.from_environment({**os.environ, **overrides})
        for note in settings.notes:
            print(f"dream-machine-mcp: {note}", file=sys.stderr)
        server = build_server(settings, meter=prometheus_meter(), with_jobs=True)
        return serving.run(server, settings, on_stop=server.end_waits)
    except SettingsError as error:
        print(f"dream-machine-mcp cannot start: {error}", file=sys.stderr)
        return 2


def _parser(command: str) -> argparse.ArgumentParser:
    """The parser. Of the commands that take a tool's arguments only the one that is run has them: they cost time."""
    parser = argparse.ArgumentParser(prog="dream-machine-mcp", description=_DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"dream-machine-mcp {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, title="commands")

    serve = commands.add_parser("serve", help="serve MCP: over stdio, or with --http for a team")
    serve.add_argument("--http", action="store_true", help="over Streamable HTTP; settings are LUMA_HTTP_...")
    serve.add_argument("--host", help="the address to listen on (default: LUMA_HTTP_HOST or 127.0.0.1)")
    serve.add_argument("--port", type=emulator.port, help="the port, 0 for any (default: LUMA_HTTP_PORT or 8080)")

    commands.add_parser("work", help="run the jobs of a ledger that is a database: what waits, films, saving")

    doctor = commands.add_parser("doctor", help="check token, reach, credit, folders and the ledger; costs nothing")
    doctor.add_argument("--json", action="store_true", help="for programs")

    verify = commands.add_parser(
        "verify", help="compare Luma's APIs with what this program assumes; asks before it buys"
    )
    if command in ("verify", _ALL):
        from luma_mcp.cli.verify.command import add_arguments  # noqa: PLC0415

        add_arguments(verify)

    _add_purchases(commands.add_parser("purchases", help="list the purchase ledger, and settle what is in doubt"))

    config = commands.add_parser("config", help="print the configuration for a host, or write it")
    config.add_argument("host", nargs="?", metavar="HOST", help="without it, the hosts are listed")
    config.add_argument("--write", action="store_true", help="merge it into the host's file; a backup is kept")
    config.add_argument("--install", action="store_true", help="install this program with uv first")
    config.add_argument("--json", action="store_true", help="for programs")

    for name, description in _ONE_SHOT.items():
        subparser = commands.add_parser(name, help=description)
        if command in (name, _ALL):
            from luma_mcp.cli import one_shot  # noqa: PLC0415

            one_shot.add_arguments(name, subparser)

    demo = commands.add_parser("demo", help="make a few videos and images with the emulator; costs nothing")
    demo.add_argument("--keep", type=Path, metavar="DIR", help="where the files go (default: a new temporary folder)")
    demo.add_argument("--speed", type=emulator.speed, default=60, help="times faster than Luma (default: %(default)g)")

    emulate = commands.add_parser("emulator", help="run the emulator of the Dream Machine API on loopback")
    emulator.add_arguments(emulate)

    completion = commands.add_parser("completion", help="print what completes these commands in a shell")
    completion.add_argument("shell", choices=("bash", "zsh", "tcsh"))
    return parser


def _add_purchases(parser: argparse.ArgumentParser) -> None:
    """The actions of `purchases`."""
    actions = parser.add_subparsers(dest="action", title="actions")
    listing = actions.add_parser("list", help="every purchase, oldest first")
    listing.add_argument("--in-doubt", action="store_true", help="only those of which nobody knows the outcome")
    listing.add_argument("--person", metavar="NAME", help="only those of one person; '' for the owner")
    output_format = listing.add_mutually_exclusive_group()
    output_format.add_argument("--json", action="store_true", help="for programs")
    output_format.add_argument("--csv", action="store_true", help="for spreadsheets")
    show = actions.add_parser("show", help="everything that is known of a purchase")
    show.add_argument("purchase", type=int, metavar="NUMBER")
    show.add_argument("--json", action="store_true", help="for programs")
    backup = actions.add_parser("backup", help="copy the ledger, also while servers use it")
    backup.add_argument("file", metavar="FILE")
    settle = actions.add_parser("settle", help="say what became of a purchase that is in doubt")
    settle.add_argument("purchase", type=int, metavar="NUMBER")
    settle.add_argument("--json", action="store_true", help="for programs")
    outcome = settle.add_mutually_exclusive_group(required=True)
    outcome.add_argument("--bought", metavar="ID", help="it was bought; the id of its generation")
    outcome.add_argument("--not-bought", action="store_true", help="it was not bought: its money is free again")
