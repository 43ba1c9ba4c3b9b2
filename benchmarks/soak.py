"""`python -m benchmarks.soak [--minutes 30] [--write]`: half an hour of use, with all that goes wrong in real life.

Two servers share one ledger and an emulated account at each API: one over HTTP, for three persons whose clients come
and go, and one over stdio. Agents call every tool, give up in the middle of calls, and vanish without a word, while the
emulator fails, drops, delays and changes its habits. What both servers hold is written down all the time; `--write`
puts the outcome into docs/speed.md.
"""

import argparse
import logging
import random
import sqlite3
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, get_args

import anyio
import httpx2
from anyio.abc import TaskGroup
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from benchmarks.rows import grid, into_page
from benchmarks.watched import Watched, http_server, stdio_client_of, until
from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.dream_machine.account import Generation
from luma_mcp.emulator.faults import Fault
from luma_mcp.emulator.habits import Dates, Echo, Errors, Habits, More, Order, States
from luma_mcp.emulator.serving import serving

AGENTS_OVER_HTTP, CALLERS_OVER_STDIO = 5, 3
CHECK_EVERY_SECONDS = 10.0
# A purchase whose answer was lost is looked for this long; then the ledger says what it knows.
SETTLING_SECONDS = 60.0
TOKEN = "Vt6pQm9xLr3ZkW8c"  # noqa: S105 - of an emulator

OWNER = "the owner"
"""Over stdio, and over HTTP with a token that has no name."""
PERSON_TOKENS = {
    OWNER: f"{TOKEN}-1",
    "anna": f"{TOKEN}-2",
    "ben": f"{TOKEN}-3",
}
# Every habit that the emulator can have, the default among them.
HABITS: dict[str, tuple[Any, ...]] = {
    "echo": get_args(Echo),
    "dates": get_args(Dates),
    "order": get_args(Order),
    "more": get_args(More),
    "page": (0, 3),
    "list_lag": (0.0, 2.0),
    "get_lag": (0.0, 1.0),
    "states": get_args(States),
    "errors": get_args(Errors),
    "balance_lag": (0.0, 5.0),
}

_OPEN = "SELECT kind FROM purchases WHERE state IN ('sending', 'lost', 'disputed')"

# The operations of the Agents API, as the ledger calls them.
_AGENTS_KINDS = {"video": "video", "image": "image", "video_edit": "modify_video", "video_reframe": "reframe_video"}

Connect = Callable[[str], AbstractAsyncContextManager[Client]]
"""A client of a person."""


@dataclass
class Use:
    """The calls of the agents, and their outcomes."""

    emulator: Emulator
    chance: random.Random
    outcomes: Counter[str] = field(default_factory=Counter[str])
    by_tool: Counter[str] = field(default_factory=Counter[str])
    refusals: dict[str, str] = field(default_factory=dict[str, str])
    """The last of each tool."""
    surprises: list[str] = field(default_factory=list[str])
    known: dict[str, Generation] = field(default_factory=dict[str, Generation])
    """Every generation at Luma, also those deleted since."""
    films: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """The person who planned a film, and the film's id."""
    numbers: "count[int]" = field(default_factory=count)
    injected_faults: int = 0
    changed_habits: int = 0
    over: bool = False

    def begin(self, tasks: TaskGroup, over_http: Connect, pipe: Client, faults: list[Fault], habits: Habits) -> None:
        """Let every agent begin, and everything that goes wrong."""
        tasks.start_soon(self.spoil, faults)
        tasks.start_soon(self.change_habits, habits)
        for _ in range(AGENTS_OVER_HTTP):
            tasks.start_soon(self.visit, over_http)
        for _ in range(CALLERS_OVER_STDIO):
            tasks.start_soon(self.call_on, pipe)

    async def call_on(self, client: Client) -> None:
        """Several callers share the one client of a server over stdio."""
        while not self.over:
            await self.act(client, OWNER)

    async def visit(self, connect: Connect) -> None:
        """One client after another, until it is over."""
        while not self.over:
            # One in five vanishes in the middle of something.
            patience = self.chance.uniform(0.2, 4) if self.chance.random() < 0.2 else 120
            with anyio.move_on_after(patience) as scope:
                try:
                    person = self.chance.choice(list(PERSON_TOKENS))
                    async with connect(person) as client:
                        for _ in range(self.chance.randint(3, 25)):
                            await self.act(client, person)
                except (MCPError, OSError, httpx2.HTTPError) as error:
                    self.surprises.append(f"{type(error).__name__}: {error}")
                except ExceptionGroup as group:
                    # So ends the SDK's client that is closed while an answer arrives (mcp 2.0).
                    if (others := group.split(anyio.BrokenResourceError)[1]) is not None:
                        self.surprises.append(repr(others))
            self.outcomes["client vanished" if scope.cancelled_caught else "client left"] += 1

    async def act(self, client: Client, person: str) -> None:
        """One thing that an agent of a person does, and now and then gives up."""
        if self.over:
            return
        name, arguments = self._call(person)
        patience = self.chance.uniform(0, 1) if self.chance.random() < 0.1 else 90
        with anyio.move_on_after(patience) as scope:
            if name.startswith("luma://"):
                message = str((await client.read_resource(name)).contents)
                outcome = "answered"
            else:
                result = await client.call_tool(name, arguments)
                outcome, message = "refused" if result.is_error else "answered", str(result.content)
                if name == "create_film" and result.structured_content:
                    self.films.append((person, result.structured_content["film_id"]))
                if result.is_error:
                    self.refusals[name] = message[:300]
            if "Traceback" in message or TOKEN in message or "Error executing" in message:
                self.surprises.append(f"{name}: {message[:300]}")
            if person != OWNER and any(f" of {other}" in message for other in PERSON_TOKENS if other != person):
                self.surprises.append(f"{person} sees what is not {person}'s: {name}: {message[:300]}")
            self.outcomes[f"call {outcome}"] += 1
            self.by_tool[f"{name} {outcome}"] += 1
        if scope.cancelled_caught:
            self.outcomes["call given up" if patience < 90 else "call without an end"] += 1
            if patience == 90:
                self.surprises.append(f"{name} {arguments} has not ended after {patience} s")

    def _call(self, person: str) -> tuple[str, dict[str, Any]]:
        """Every tool; what costs nothing more often than what is rendered."""
        item, clip_id, image_id = (self._some_id(person, picture=picture) for picture in (None, False, True))
        prompt, new_clip = f"boat {next(self.numbers)} of {person}", self._agents_id(person)
        new = {"resolution": "360p", "model": "ray-3.2"}
        clip = {"resolution": "540p", "model": "ray-flash-2"}
        calls: list[tuple[int, str, dict[str, Any]]] = [
            (6, "create_video", {"prompt": prompt, **clip, "concepts": ["orbit_left"]}),
            (2, "create_video", {"prompt": prompt, "dry_run": True}),
            (2, "create_video", {"prompt": f"{prompt} [fail: no boats]", **clip}),
            (6, "create_image", {"prompt": prompt, "model": "photon-flash-1"}),
            (4, "create_video", {"prompt": prompt, **new}),
            (4, "create_image", {"prompt": prompt, "model": "uni-1"}),
            (1, "extend_video", {"generation_id": new_clip, "prompt": prompt}),
            (1, "modify_video", {"source": new_clip, "prompt": prompt, **new}),
            (1, "reframe_video", {"source": new_clip, "prompt": prompt, "aspect_ratio": "9:16", **new}),
            (3, "get_generation", {"generation_id": new_clip}),
            (2, "wait_for_generation", {"generation_ids": [new_clip, item], "timeout_seconds": 5}),
            (1, "view_generation", {"generation_id": new_clip}),
            (2, "extend_video", {"generation_id": clip_id, "prompt": prompt}),
            (1, "modify_video", {"source": clip_id, "prompt": prompt, "mode": "adhere_1", "model": "ray-flash-2"}),
            (1, "reframe_video", {"source": clip_id, "prompt": prompt, "aspect_ratio": "9:16", "model": "ray-flash-2"}),
            (1, "reframe_image", {"source": image_id, "prompt": prompt, "aspect_ratio": "9:16"}),
            (1, "upscale_video", {"generation_id": clip_id, "resolution": "720p"}),
            (1, "add_audio", {"generation_id": clip_id, "prompt": prompt}),
            (6, "wait_for_generation", {"generation_ids": [item], "timeout_seconds": self.chance.randint(0, 20)}),
            (3, "wait_for_generation", {"generation_ids": list({self._some_id(person) for _ in range(8)})}),
            (8, "get_generation", {"generation_id": item}),
            (1, "create_film", {"shots": self._shots(prompt), **clip}),
            (4, "wait_for_film", {"film_id": self._film(person), "timeout_seconds": self.chance.randint(0, 10)}),
            (4, "list_generations", {"limit": 20}),
            (1, "delete_generation", {"generation_id": self._old_id()}),
            (1, "download_generation", {"generation_ids": [self._quick_clip(person), image_id]}),
            (1, "view_generation", {"generation_id": self.chance.choice([self._quick_clip(person), image_id])}),
            (3, "get_credits", {}),
            (3, "ping", {}),
            (3, "list_concepts", {}),
            (3, "list_concepts", {}),
            (2, "create_video", {"prompt": "x", "colour": "red"}),
            (2, "get_generation", {"generation_id": "../credits"}),
            (3, "luma://concepts", {}),
            (3, "luma://spending", {}),
            (1, "luma://films", {}),
        ]
        weights = [weight for weight, _, _ in calls]
        _, name, arguments = self.chance.choices(calls, weights)[0]
        return name, arguments

    def _shots(self, prompt: str) -> list[dict[str, Any]]:
        """Two to four shots, some of which go on from the one before."""
        shots: list[dict[str, Any]] = [{"prompt": f"{prompt}, shot 1"}]
        for number in range(2, self.chance.randint(3, 5)):
            goes_on = {"start": "continue"} if self.chance.random() < 0.5 else {}
            shots.append({"prompt": f"{prompt}, shot {number}", **goes_on})
        return shots

    def _film(self, person: str) -> str:
        """A film of a person that was planned not long ago."""
        films = [film_id for planner, film_id in self.films if person in (planner, OWNER)]
        return self.chance.choice(films[-5:] or ["film-0123456789abcdef"])

    def _some_id(self, person: str, *, picture: bool | None = None) -> str:
        """A recent one of a person, for most purposes one that is completed; one in twenty is of anybody."""
        if self.chance.random() < 0.05:
            person = OWNER
        fits = [
            item
            for item in self.known.values()
            if item.id in self.emulator.dream_machine.generations
            and _is_of(person, item.body)
            and (picture is None or (item.makes_image, item.ended) == (picture, "completed"))
        ]
        return self.chance.choice(fits[-40:]).id if fits else "15b7abb1-3741-4b7e-9615-1f9a16c7442d"

    def _agents_id(self, person: str) -> str:
        """A recent clip of a person at the Agents API that was made of no other."""
        known = [item for item in self.emulator.agents.generations.values() if _is_of(person, item.body)]
        fits = [item.id for item in known if item.is_clip and not item.media and item.ended == "completed"]
        return self.chance.choice(fits[-40:] or ["15b7abb1-3741-4b7e-9615-1f9a16c7442d"])

    def _quick_clip(self, person: str) -> str:
        """A person's clip that is rendered soon: it was not made of others, which must be rendered first."""
        known = [item for item in self.emulator.dream_machine.generations.values() if _is_of(person, item.body)]
        fits = [item.id for item in known if item.kind == "video" and not item.continued and item.ended == "completed"]
        return self.chance.choice(fits[-40:] or ["15b7abb1-3741-4b7e-9615-1f9a16c7442d"])

    def _old_id(self) -> str:
        """One that was bought a while ago: what is deleted before its lost answer was looked for cannot be found."""
        return self.chance.choice(list(self.known)[:-300] or ["15b7abb1-3741-4b7e-9615-1f9a16c7442d"])

    async def remember(self) -> None:
        """The generations at Luma. Deletions are chosen from these, so none is missed."""
        while True:
            for item in self.emulator.dream_machine.newest_first():
                self.known.setdefault(item.id, item)
            await anyio.sleep(0.2)

    async def spoil(self, faults: list[Fault]) -> None:
        """A fault every second or so."""
        while not self.over:
            faults[:] = [fault for fault in faults if fault.times > 0]
            after = self.chance.random() < 0.5
            kinds = (
                Fault("error", status=self.chance.choice([500, 502, 503]), after=after),
                Fault("drop", after=after),
                Fault("slow", seconds=self.chance.uniform(0.5, 3), after=after),
                Fault("cut"),
                Fault("garble"),
                Fault("limit", seconds=1),
                Fault("expire", path="/assets/*"),
                Fault("expire", path="/objects/*"),
                Fault("moderate", method="POST"),
                Fault("error", status=500, method="POST", after=after),
                Fault("drop", method="POST", after=True),
            )
            faults.append(self.chance.choice(kinds))
            self.injected_faults += 1
            await anyio.sleep(self.chance.uniform(0.3, 2))

    async def change_habits(self, habits: Habits) -> None:
        """Another habit every few seconds. Half of them are the default again."""
        while not self.over:
            name = self.chance.choice(list(HABITS))
            values = HABITS[name]
            setattr(habits, name, self.chance.choice(values) if self.chance.random() < 0.5 else values[0])
            self.changed_habits += 1
            await anyio.sleep(self.chance.uniform(1, 8))


def _set_default(habits: Habits) -> None:
    for name, values in HABITS.items():
        setattr(habits, name, values[0])


def _is_of(person: str, body: Any) -> bool:
    """Return whether a request is a person's, by its prompt. All requests are the owner's."""
    return person == OWNER or (getattr(body, "prompt", None) or "").endswith(f" of {person}")


@dataclass
class Outcome:
    """The result of half an hour."""

    servers: list[Watched]
    use: Use
    bought: int
    twice: int
    lost: int
    open: int
    stray_lines: list[str]

    def course(self) -> str:
        """The resources of each server: idle before, in use (second and last third), and idle after."""
        lines: list[tuple[str, ...]] = [("", "before", "in use, second third", "in use, last third", "after")]
        for server in self.servers:
            for what in ("memory_mb", "objects", "handles", "sockets", "threads", "tasks"):
                values = [getattr(sight, what) for sight in server.sights]
                third = max(1, (len(values) - 2) // 3)
                early, late = (
                    statistics.median(third_part)
                    for third_part in (values[1 + third : 1 + 2 * third], values[-1 - third : -1])
                )
                lines.append(
                    (f"{server.name}: {what}", *(f"{value:,.0f}" for value in (values[0], early, late, values[-1])))
                )
        return grid(lines)

    def sums(self) -> str:
        """The calls that were made, and whether all of them went well."""
        lines = [("what", "how often"), *((what, f"{times:,}") for what, times in sorted(self.use.outcomes.items()))]
        lines += [
            ("faults injected", f"{self.use.injected_faults:,}"),
            ("habits changed", f"{self.use.changed_habits:,}"),
            ("bought", f"{self.bought:,}"),
            ("bought twice", f"{self.twice}"),
            ("bought and lost", f"{self.lost}"),
            ("in the ledger and still open", f"{self.open}"),
            ("tracebacks or tokens in the logs", f"{len(self.stray_lines)}"),
            ("surprises", f"{len(self.use.surprises)}"),
        ]
        return grid(lines)


async def soak(minutes: float, seed: int = 1) -> Outcome:
    """Use them for so long."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        faults: list[Fault] = []
        habits = Habits()
        emulator = Emulator(credit_usd=1e9, limits={}, speed=30, faults=faults, habits=habits)
        stack.callback(emulator.assets.close)
        base_url = await stack.enter_async_context(serving(emulator))
        # uvicorn minds that the emulator drops connections.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        log = stack.enter_context((folder / "log").open("w+"))
        variables = _variables(base_url, folder)
        by_http = Watched("over HTTP", folder / "by-http.json")
        by_stdio = Watched("over stdio", folder / "by-stdio.json")
        url = await stack.enter_async_context(http_server(by_http, variables, log))
        pipe = await stack.enter_async_context(stdio_client_of(by_stdio, variables, log))
        use = Use(emulator, random.Random(seed))

        @asynccontextmanager
        async def over_http(person: str) -> AsyncGenerator[Client]:
            era = use.chance.choice(["auto", "legacy"])
            headers = {"Authorization": f"Bearer {PERSON_TOKENS[person]}"}
            async with (
                httpx2.AsyncClient(trust_env=False, timeout=120, headers=headers) as caller,
                Client(streamable_http_client(url, http_client=caller), mode=era) as client,
            ):
                yield client

        async with over_http(OWNER) as first:
            await first.list_tools()
        for server in (by_http, by_stdio):
            await server.check(0)
        started = anyio.current_time()
        async with anyio.create_task_group() as background:
            background.start_soon(use.remember)
            async with anyio.create_task_group() as agents:
                use.begin(agents, over_http, pipe, faults, habits)
                while (passed := anyio.current_time() - started) < minutes * 60:
                    await anyio.sleep(min(CHECK_EVERY_SECONDS, minutes * 60 - passed))
                    for server in (by_http, by_stdio):
                        await server.check((anyio.current_time() - started) / 60)
                    # The disk is not what is tried here.
                    _clear(folder / "files")
                use.over = True
            faults.clear()
            _set_default(habits)
            async with over_http(OWNER) as last:
                await _settled((last, pipe), folder / "ledger.sqlite3")
            # Connections that nobody uses are given up after some seconds.
            await anyio.sleep(10)
            for server in (by_http, by_stdio):
                await server.check(minutes)
            await anyio.sleep(0.3)
            background.cancel_scope.cancel()
        log.seek(0)
        stray = [line for line in log if "Traceback" in line or TOKEN in line]
        bought = _bought(use)
        # What the ledger has no id of may be what an open purchase of that kind has come to. Beyond that it is lost.
        unclaimed = {name: bought[name][0] for name in set(bought) - _in_the_ledger(folder / "ledger.sqlite3")}
        open_rows = Counter(row[0] for row in _rows(folder / "ledger.sqlite3", _OPEN))
        lost = Counter(unclaimed.values()) - open_rows
        use.surprises += [f"not in the ledger: {name} ({kind})" for name, kind in unclaimed.items() if kind in lost]
        wishes = Counter(prompt for _, prompt in bought.values())
        return Outcome(
            servers=[by_http, by_stdio],
            use=use,
            bought=len(bought),
            twice=sum(times - 1 for times in wishes.values()),
            lost=lost.total(),
            open=open_rows.total(),
            stray_lines=stray,
        )


def _variables(base_url: str, folder: Path) -> dict[str, str]:
    """The settings of both servers."""
    tokens = [token if name == OWNER else f"{name}:{token}" for name, token in PERSON_TOKENS.items()]
    return {
        "LUMA_TOKEN": TOKEN,
        "LUMA_AGENTS_API_KEY": f"luma-api-{TOKEN}",
        "LUMA_BASE_URL": base_url,
        "LUMA_LEDGER": str(folder / "ledger.sqlite3"),
        "LUMA_OUTPUT_DIR": str(folder / "files"),
        "LUMA_HTTP_TOKENS": ",".join(tokens),
        "LUMA_HTTP_DELETE": "1",
    }


def _bought(use: Use) -> dict[str, tuple[str, str]]:
    """The operation and the prompt of each purchase, by its id. What has no prompt is one of a kind."""
    emulator = use.emulator
    bought = {
        name: (use.known[name].kind, getattr(use.known[name].body, "prompt", None) or name)
        for name in emulator.dream_machine.billing.purchases()
    }
    for name in emulator.agents.billing.purchases():
        body = emulator.agents.generations[name].body
        bought[name] = (_AGENTS_KINDS[body.type], body.prompt)
    return bought


def _clear(files: Path) -> None:
    """Take away what is saved, and leave what is being saved."""
    for path in files.rglob("[!.]*"):
        if path.is_file():
            path.unlink(missing_ok=True)


async def _settled(clients: Sequence[Client], ledger_path: Path) -> None:
    """Until no purchase is open, or it cannot be known any better. Each looks for its own when asked."""

    async def none_is_open() -> bool:
        for client in clients:
            await client.read_resource("luma://spending")
        return not _rows(ledger_path, _OPEN)

    with anyio.move_on_after(SETTLING_SECONDS):
        await until(none_is_open, every=1)


def _in_the_ledger(ledger_path: Path) -> set[str]:
    return {row[0] for row in _rows(ledger_path, "SELECT generation_id FROM purchases WHERE generation_id IS NOT NULL")}


def _rows(ledger_path: Path, question: str) -> list[Any]:
    with closing(sqlite3.connect(ledger_path)) as connection:
        return connection.execute(question).fetchall()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--write", action="store_true", help="put the outcome into docs/speed.md")
    options = parser.parse_args()
    outcome = anyio.run(soak, options.minutes)
    response = f"{options.minutes:g} minutes.\n\n{outcome.course()}\n\n{outcome.sums()}"
    print(response)
    for server in outcome.servers:
        print(server.name, "memory over time:", *(f"{sight.memory_mb:.0f}" for sight in server.sights[::12]))
    print(*(f"{what}: {times}" for what, times in sorted(outcome.use.by_tool.items())), sep="\n")
    print(*outcome.use.refusals.items(), sep="\n")
    for item in (*outcome.use.surprises[:20], *outcome.stray_lines[:20]):
        print(item, file=sys.stderr)
    if options.write:
        into_page("soak", response)


if __name__ == "__main__":
    main()
