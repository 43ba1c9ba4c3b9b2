"""`dream-machine-mcp video`, `image`, `film`, `wait`, `get` and others: one job from a shell, by an agent's tools.

A client in this process calls the server in this process. So arguments, prices, caps, joins and refusals are those of
the tools. Paths and ids go to stdout, everything else to stderr; with `--json` stdout has an object in each line.

====  ===========================================================================================
code  meaning
====  ===========================================================================================
0     It is done: saved, waited for, bought without waiting, or priced.
1     It was refused, or it failed. stderr says why.
2     The command, or a setting, is wrong.
4     It is still running after `--timeout`. stderr has the command that continues it.
130   Ctrl-C. What was bought is not lost; stderr has the command that continues it.
====  ===========================================================================================
"""

import argparse
import base64
import json
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.to_thread
from mcp import Client
from mcp.types import CallToolResult, ElicitRequestParams, ElicitResult, ImageContent

from luma_mcp.cli import terminal
from luma_mcp.cli.progress import WITH_PROGRESS, ProgressListener
from luma_mcp.cli.tool_options import add_clips, add_options, arguments_of, with_files
from luma_mcp.composition import build_server
from luma_mcp.config.settings import Settings, SettingsError
from luma_mcp.domain.usd import Usd
from luma_mcp.film.film import FINAL
from luma_mcp.mcp.adapter import FIELDS_META
from luma_mcp.mcp.server import TOOLSETS
from luma_mcp.mcp.spec import ToolSpec

STILL_RUNNING = 4
_PROGRAM = "dream-machine-mcp"
_FILM = "film-"
_PROMPT = {"prompt": "PROMPT"}
_CLIP, _RATIO = {"source": "SOURCE"}, {"aspect_ratio": "RATIO"}


@dataclass(frozen=True, slots=True)
class _Command:
    """A command that calls a tool.

    Args:
        tool: the name of the tool.
        words: the arguments that are given without an option, in this order, with their metavar.
        buys: whether it buys, so that there is something to wait for and to save.
    """

    tool: str
    words: Mapping[str, str] = field(default_factory=dict[str, str])
    buys: bool = False

    @property
    def spec(self) -> ToolSpec:
        """The tool."""
        return next(spec for specs in TOOLSETS.values() for spec in specs if spec.name == self.tool)


_COMMANDS: Mapping[str, _Command] = {
    "video": _Command("create_video", _PROMPT, buys=True),
    "image": _Command("create_image", _PROMPT, buys=True),
    "film": _Command("create_film", buys=True),
    "extend": _Command("extend_video", {"generation_id": "ID"} | _PROMPT, buys=True),
    "modify": _Command("modify_video", _CLIP | _PROMPT, buys=True),
    "reframe": _Command("reframe_video", _CLIP | _RATIO | _PROMPT, buys=True),
    "reframe-image": _Command("reframe_image", _CLIP | _RATIO | _PROMPT, buys=True),
    "edit": _Command("edit_video"),
    "view": _Command("view_generation", {"generation_id": "ID"}),
    "list": _Command("list_generations"),
}
# Given as words, or for clients that cannot ask.
_NOT_OPTIONS = frozenset({"quote_id", "shots", "clips", "changes", "cancel"})


class _RefusedError(Exception):
    """A tool refused, in its own words."""


class _RunningError(Exception):
    """It is still running, and there is no time left."""


def add_arguments(name: str, parser: argparse.ArgumentParser) -> None:
    """The arguments of a command: words, the tool's arguments, and how to wait and save."""
    command = _COMMANDS.get(name)
    if name == "film":
        parser.add_argument(
            "shots", nargs="+", metavar="SHOT",
            help="a prompt for each shot, with + before it if it continues the shot before; or a JSON file",
        )  # fmt: skip
    if name == "edit":
        add_clips(parser, _COMMANDS[name].spec)
    if command is None:
        parser.add_argument("ids", nargs="+", metavar="ID", help="ids of generations and films")
    else:
        for word, metavar in command.words.items():
            parser.add_argument(word, metavar=metavar, nargs="?" if word == "prompt" else None)
        add_options(parser, command.spec, leave_out={*_NOT_OPTIONS, *command.words})
    if command is not None and command.buys:
        parser.add_argument("--no-wait", action="store_true", help="buy it, print its id, and do not wait")
    if name == "view":
        parser.add_argument("--out", type=Path, metavar="FILE", help="the file (default: a new one in this folder)")
    if command is None or command.buys:
        parser.add_argument(
            "--timeout", type=float, default=600, metavar="SECONDS", help="how long to wait (default: %(default)g)"
        )
    parser.add_argument("--json", action="store_true", help="an object in each line of the output")


def run(options: argparse.Namespace) -> int:
    """Do the job; the exit code."""
    try:
        settings = Settings.from_environment()
        plan = _plan(options.shots) if options.command == "film" else {}
    except (SettingsError, OSError, ValueError) as error:
        print(f"{_PROGRAM}: {error}", file=sys.stderr)
        return 2
    job = _Job(options, plan)
    try:
        return anyio.run(job.run, settings)
    except KeyboardInterrupt:
        job.print_continuation("It was left alone.")
        raise


def _plan(texts: Sequence[str]) -> dict[str, Any]:
    """The film that is named: prompts, or a JSON file of shots, or of all arguments. Raises: ValueError."""
    if len(texts) == 1 and (texts[0] == "-" or texts[0].endswith(".json")):
        text = sys.stdin.read() if texts[0] == "-" else _text_of(Path(texts[0]))
        try:
            content = json.loads(text.removeprefix("\ufeff"))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{texts[0]} is no JSON: {error}") from None
        plan = cast("dict[str, Any]", content if isinstance(content, dict) else {"shots": content})
        if not any(isinstance(plan.get(name), list) for name in ("shots", "changes")):
            raise ValueError(f"{texts[0]} holds no list of shots")
        return plan
    return {
        "shots": [
            {"prompt": prompt[1:].strip(), "start": "continue"} if prompt.startswith("+") else prompt
            for prompt in texts
        ]
    }


def _text_of(path: Path) -> str:
    """The text of a file. Raises: ValueError, with a sentence."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or type(error).__name__}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not encoded as UTF-8") from None


class _Job:
    """One job: what was bought so far, and how it is printed."""

    def __init__(self, options: argparse.Namespace, plan: Mapping[str, Any]) -> None:
        self._options = options
        self._plan = plan
        self._ids: list[str] = []
        self._progress: terminal.Progress | None = None
        self._ends_at = 0.0

    async def run(self, settings: Settings) -> int:
        """Do it; the exit code."""
        self._ends_at = time.monotonic() + getattr(self._options, "timeout", 0)
        asks = self._ask if sys.stdin.isatty() else None
        listener = ProgressListener(self._show)
        command = _COMMANDS.get(self._options.command)
        opened: set[Path] = set()
        arguments: dict[str, Any] = with_files(self._arguments(command), opened) if command else {}
        input_dirs = (*settings.input_dirs, *sorted(opened))
        server = build_server(settings.model_copy(update={"input_dirs": input_dirs}), with_jobs=True)
        async with Client(server, elicitation_callback=asks, message_handler=listener) as client:
            try:
                if command is None:
                    self._ids = self._options.ids
                    return await self._finish(client)
                if command.buys:
                    return await self._create(client, command, arguments)
                return await _FREE[self._options.command](self, client, arguments)
            except _RefusedError as error:
                self._report("refused", {"problem": str(error)}, str(error))
                return 1
            except _RunningError:
                self._report("running", {"ids": self._ids, "go_on": self._continuation}, "It is still running.")
                self.print_continuation()
                return STILL_RUNNING

    async def _create(self, client: Client, command: _Command, arguments: Mapping[str, Any]) -> int:
        created = await self._call(client, command.tool, arguments)
        is_film = command.tool == "create_film"
        price = f"{Usd.of(created['price_usd'])}" + (" at most" if created.get("price_is_assumed") else "")
        if created.get("dry_run"):
            self._report("price", created, f"It costs {price}. Nothing was bought.")
            return 0
        self._ids = [created["film_id"] if is_film else created["generation_id"]]
        bought = "It was bought before" if created.get("recovered") else "Allowed" if is_film else "Bought"
        self._report("bought", created, f"{bought}: {self._ids[0]}, {price}.")
        if self._options.no_wait:
            self._print(self._ids[0])
            self.print_continuation()
            return 0
        return await self._finish(client)

    def _arguments(self, command: _Command) -> dict[str, Any]:
        """The arguments of the tool, as they were typed; the tool reads and checks them. An option goes first."""
        typed = arguments_of(command.spec, self._options)
        if self._plan:
            # What was typed as a shot may be the name of a file.
            typed.pop("shots")
        return {**self._plan, **typed}

    async def edit(self, client: Client, arguments: Mapping[str, Any]) -> int:
        """Edit clips, and print the path of the file."""
        made = await self._call(client, "edit_video", arguments)
        while not made["files"]:
            made = await self._call(client, "edit_video", arguments)
        self._print_files(made)
        return 0

    async def view(self, client: Client, arguments: Mapping[str, Any]) -> int:
        """Save what a model would see, and print its path."""
        result = await self._result(client, "view_generation", arguments)
        image = next((item for item in result.content if isinstance(item, ImageContent)), None)
        if image is None:
            raise _RefusedError(_text_of_result(result) or "There is no picture of it.")
        name = f"{_short(arguments['generation_id'])}-view.{image.mime_type.rpartition('/')[2]}"
        path = self._options.out or _free_path(Path.cwd() / re.sub(r"[^\w.-]", "-", name))
        path.write_bytes(base64.b64decode(image.data))
        self._report("saved", {"path": str(path)}, "")
        self._print(str(path))
        return 0

    async def show_list(self, client: Client, arguments: Mapping[str, Any]) -> int:
        """Print the earlier generations: id, state, kind, and the start of the prompt."""
        listed = await self._call(client, "list_generations", arguments)
        for item in listed["generations"]:
            self._report("generation", item, "")
            words = (item["generation_id"], item["state"], item.get("kind", ""), item.get("prompt", ""))
            self._print("  ".join(str(word) for word in words).rstrip())
        if listed.get("unavailable"):
            self._report("problem", {"problem": listed["unavailable"]}, listed["unavailable"])
        return 0

    async def _finish(self, client: Client) -> int:
        """Wait for everything, and unless only waiting was asked for, save it."""
        films = [name for name in self._ids if name.startswith(_FILM)]
        generations = [name for name in self._ids if not name.startswith(_FILM)]
        codes = [await self._film(client, film_id) for film_id in films]
        if generations:
            codes.append(await self._generations(client, generations))
        return max(codes)

    async def _film(self, client: Client, film_id: str) -> int:
        """Wait for a film, which saves it."""
        while True:
            film = await self._call(
                client, "wait_for_film", {"film_id": film_id, "timeout_seconds": min(self._remaining_seconds(), 1800)}
            )
            if film["done"] or film["state"] == "in doubt":
                break
            if not self._remaining_seconds():
                raise _RunningError
        if "path" in film:
            self._report("saved", film, f"Saved, ${film['spent_usd']:.2f} spent.")
            self._print(film["path"])
            return 0
        shots = [f"Shot {shot['number']} {shot['state']}: {shot.get('reason', '')}" for shot in film["shots"]]
        self._report(
            "failed", film, "\n".join([f"The film is {film['state']}.", *shots, film.get("problem", "")]).strip()
        )
        return 1

    async def _generations(self, client: Client, ids: list[str]) -> int:
        """Wait for generations; all must be over."""
        while True:
            waited = await self._call(
                client,
                "wait_for_generation",
                {"generation_ids": ids, "timeout_seconds": min(self._remaining_seconds(), 1800)},
            )
            if waited["done"]:
                break
            if not self._remaining_seconds():
                raise _RunningError
        completed = [item["generation_id"] for item in waited["generations"] if item["state"] == "completed"]
        failed = [item for item in waited["generations"] if item["state"] != "completed"]
        for item in failed:
            reason = item.get("failure_reason", "no reason was given")
            self._report("failed", item, f"{item['generation_id']} is {item['state']}: {reason}")
        if self._options.command == "wait":
            for generation_id in completed:
                self._report("completed", {"generation_id": generation_id}, "")
                self._print(generation_id)
        elif completed:
            saved = await self._call(client, "download_generation", {"generation_ids": completed})
            self._print_files(saved)
            for problem in saved.get("problems", ()):
                self._report("problem", {"problem": problem}, problem)
                failed.append(problem)
        return 1 if failed else 0

    def _print_files(self, saved: Mapping[str, Any]) -> None:
        for file in saved["files"]:
            self._report("saved", file, "")
            self._print(file["path"])

    async def _call(self, client: Client, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a tool's result. Raises: _RefusedError."""
        result = await self._result(client, tool, arguments)
        return result.structured_content or (result.meta or {}).get(FIELDS_META, {})

    async def _result(self, client: Client, tool: str, arguments: Mapping[str, Any]) -> CallToolResult:
        """A tool's result. Raises: _RefusedError."""
        result = await client.call_tool(tool, dict(arguments), meta=WITH_PROGRESS)
        if result.is_error:
            raise _RefusedError(_at_the_shell(_text_of_result(result)))
        return result

    def _remaining_seconds(self) -> float:
        return max(0.0, self._ends_at - time.monotonic())

    def _show(self, message: str, states: Mapping[str, str]) -> None:
        """Print the progress of a call: to a program the sentence and the states, to a person the states."""
        if self._options.json:
            print(json.dumps({"event": "progress", "message": message, "states": dict(states)}, ensure_ascii=False))
            return
        if self._progress is None:
            self._progress = terminal.Progress([_short(name) for name in states], sys.stderr)
        for name, state in states.items():
            self._progress.update(_short(name), state, is_over=state in FINAL)

    def _report(self, event: str, facts: Mapping[str, Any], text: str) -> None:
        """Say what happened: to a program on stdout, to a person on stderr."""
        if self._options.json:
            print(json.dumps({"event": event, **facts}, ensure_ascii=False))
        elif text:
            print(text, file=sys.stderr)

    def _print(self, result: str) -> None:
        """Print the result of the command for a person: a path, or an id. A program has it in its JSON lines."""
        if not self._options.json:
            print(result)

    @property
    def _continuation(self) -> str:
        """The command that continues what was bought; empty if nothing was."""
        verb = "wait" if self._options.command == "wait" else "get"
        return f"{_PROGRAM} {verb} {' '.join(self._ids)}" if self._ids else ""

    def print_continuation(self, text: str = "") -> None:
        """Name the command that continues what was bought."""
        if self._continuation:
            print(f"{text} Continue with: {self._continuation}".strip(), file=sys.stderr)

    async def _ask(self, context: Any, params: ElicitRequestParams) -> ElicitResult:
        """Ask the person at the terminal whether to buy."""
        del context
        question = getattr(params, "message", "")
        response = await anyio.to_thread.run_sync(_typed, f"{question} [y/N] ", abandon_on_cancel=True)
        return ElicitResult(action="accept", content={"buy": response.strip().lower() in ("y", "yes")})


_FREE = {"edit": _Job.edit, "view": _Job.view, "list": _Job.show_list}


def _text_of_result(result: CallToolResult) -> str:
    return " ".join(getattr(item, "text", "") for item in result.content).strip()


def _at_the_shell(sentence: str) -> str:
    """A tool's sentence in words of the shell: its arguments are options, and other tools are commands."""
    for tool, command in _IN_THE_SHELL.items():
        sentence = sentence.replace(tool, f"{_PROGRAM} {command}")
    tool, _, rest = sentence.partition(": ")
    if tool in {command.tool for command in _COMMANDS.values()}:
        path, _, problem = rest.partition(" ")
        name = path.partition(".")[0]
        return f"--{name.replace('_', '-')} {problem}" if name.isidentifier() else rest
    return sentence


_IN_THE_SHELL = {
    "list_generations": "list", "wait_for_generation": "wait", "wait_for_film": "wait", "download_generation": "get",
}  # fmt: skip


def _free_path(path: Path) -> Path:
    """A path where there is nothing yet."""
    number, free = 2, path
    while free.exists():
        number, free = number + 1, path.with_stem(f"{path.stem}-{number}")
    return free


def _short(name: str) -> str:
    """A name as lines of progress have it: the start of a generation's id, or a shot."""
    return name if name.startswith("shot ") else name[:8]


def _typed(question: str) -> str:
    """Read a line that the person types after a question; empty at the end of input."""
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline()
