"""`dream-machine-mcp demo`: the whole way from a prompt to files, with no token and no network.

It starts the emulator, starts the server as a process of its own, and is a real MCP client to it over stdio.
"""

import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
from mcp import Client, MCPError, StdioServerParameters

from luma_mcp.cli import terminal
from luma_mcp.cli.progress import WITH_PROGRESS, OnProgress, ProgressListener
from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.serving import serving
from luma_mcp.film.film import FINAL
from luma_mcp.mcp.adapter import FIELDS_META

_CREDIT_USD = 25.0
# By the server's clock, which may run ten times as fast.
_TIMEOUT_SECONDS = 1800
_MAX_CLOCK_SPEED = 10
_BOAT = "a paper boat on a quiet lake, dawn, soft mist"
_LIGHTHOUSE = "a lighthouse on a cliff at dusk, waves below, warm light"
# The third shot ends on the first picture of the fourth, so it is bought last.
_SHOTS: list[dict[str, Any]] = [
    {"prompt": "a paper boat on a quiet lake at dawn, soft mist, wide shot"},
    {"prompt": "the boat drifts past the reeds, the camera follows", "start": "continue"},
    {"prompt": "rain begins, rings on the water, close to the boat", "end": "next"},
    {"prompt": "the boat reaches the other shore in evening sun, the camera rises"},
]


class DemoError(Exception):
    """A tool returned an error, or less than was asked for."""


def run(keep: Path | None, speed: float) -> int:
    """Run it; the exit code."""
    folder = (keep or Path(tempfile.mkdtemp(prefix="dream-machine-demo-"))).absolute()
    if folder.exists() and not folder.is_dir():
        print(f"{folder} is a file; --keep wants a folder.", file=sys.stderr)
        return 2
    return 0 if anyio.run(_Demo(folder, speed).play) else 1


class _Demo:
    """One showing."""

    def __init__(self, folder: Path, speed: float) -> None:
        self._folder = folder
        self._speed = speed
        self._quoted_usd = 0.0
        self._listener = ProgressListener()

    async def play(self) -> bool:
        """All acts; whether they went well."""
        started = time.monotonic()
        emulator = Emulator(credit_usd=_CREDIT_USD, speed=self._speed)
        with tempfile.TemporaryDirectory() as ledger_folder:
            # The server reports in a sentence why it got no file; the emulator's traceback would bury it.
            async with serving(emulator, log_level="critical") as base_url:
                terminal.heading("Luma, emulated: nothing leaves this machine and nothing is charged")
                acts = (
                    ("luma-api-demo", self._agents_act), ("demo", self._dream_machine_act),
                    ("luma-api-demo", self._film_act),
                )  # fmt: skip
                for key, act in acts:
                    if not await self._act(key, base_url, Path(ledger_folder), act):
                        return False
        spent = (emulator.agents.billing.balance_cents + emulator.dream_machine.billing.balance_cents) / 100
        usd, seconds = 2 * _CREDIT_USD - spent, time.monotonic() - started
        print(
            f"At Luma this would have cost about ${usd:.2f}. The prices above are upper estimates, and add up to "
            f"${self._quoted_usd:.2f}. It took {seconds:.0f} s.",
        )
        return True

    async def _act(
        self, key: str, base_url: str, ledger_folder: Path, play: Callable[[Client], Awaitable[None]]
    ) -> bool:
        """One act, by a server of its own that has a key and an address; whether it went well."""
        server = StdioServerParameters(
            command=sys.executable,
            args=["-m", "luma_mcp.cli.demo_server", str(min(max(self._speed, 1), _MAX_CLOCK_SPEED))],
            env={
                "LUMA_TOKEN": key,
                "LUMA_BASE_URL": base_url,
                "LUMA_OUTPUT_DIR": str(self._folder),
                "LUMA_LEDGER": str(ledger_folder / "purchases.sqlite3"),
            },
        )
        async with Client(server, message_handler=self._listener) as client:
            try:
                await play(client)
            except (DemoError, MCPError) as error:
                print(f"{terminal.coloured('The demo failed:', 'red')} {error}")
                return False
        return True

    async def _agents_act(self, client: Client) -> None:
        """The Luma Agents API: a local picture becomes a clip, which is extended and reframed."""
        terminal.heading("Luma Agents API: ray-3.2 and uni-1")
        await self._list_tools(client)
        still = await self._buy(client, "create_image", prompt=_BOAT, aspect_ratio="16:9")
        await self._wait(client, {"image": still})
        (picture,) = await self._save(client, still)
        small = {"resolution": "360p"}
        clip = await self._buy(
            client, "create_video", prompt="the boat drifts off, camera push in", start_frame=picture["path"], **small
        )
        await self._wait(client, {"a local picture, animated": clip})
        longer = await self._buy(client, "extend_video", generation_id=clip, prompt="the mist lifts")
        tall = await self._buy(
            client, "reframe_video", source=clip, aspect_ratio="9:16", prompt="more of the lake", **small
        )
        await self._wait(client, {"extension": longer, "reframed": tall})
        generations = {
            "image of uni-1": still,
            "the picture, animated": clip,
            "its extension": longer,
            "reframed to 9:16": tall,
        }
        self._show(generations, await self._save(client, *generations.values()))

    async def _dream_machine_act(self, client: Client) -> None:
        """Dream Machine: camera concepts, upscaling and sound."""
        terminal.heading("Dream Machine: ray-2 and photon-1")
        await self._list_tools(client)
        generations = await self._make(client)
        files = await self._save(client, *generations.values())
        joined = await self._joined(client, generations)
        await self._tidy_up(client, generations)
        self._show({**generations, "both clips as one": joined["generation_id"]}, [*files, joined])

    async def _film_act(self, client: Client) -> None:
        """A film of four shots: one price, each shot bought when what it waits for is there, one file at the end."""
        terminal.heading("A film: four shots, one price, one yes, one file")
        quote = await self._call(client, "create_film", shots=_SHOTS, resolution="360p", dry_run=True)
        print(f"Dry run of the film: ${quote['price_usd']:.2f}")
        film = await self._call(client, "create_film", shots=_SHOTS, resolution="360p")
        self._quoted_usd += film["price_usd"]
        names = [f"shot {shot['number']}" for shot in film["shots"]]
        progress = terminal.Progress(names)

        def show(_message: str, states: Mapping[str, str]) -> None:
            for name, state in states.items():
                progress.update(name, state, is_over=state in FINAL)

        done = await self._call(
            client, "wait_for_film", show, film_id=film["film_id"], timeout_seconds=_TIMEOUT_SECONDS
        )
        if "path" not in done:
            raise DemoError(f"{done['state']}: {done['next']}")
        film_file, sheet = Path(done["path"]), Path(done["sheet_path"])
        self._table([("the film of four shots", film_file), ("its contact sheet", sheet)])

    async def _list_tools(self, client: Client) -> None:
        tools = (await client.list_tools()).tools
        print(f"{len(tools)} tools: {', '.join(tool.name for tool in tools)}")
        for resource in (await client.list_resources()).resources:
            await client.read_resource(resource.uri)
            print(f"Read {resource.uri}")
        quote = await self._call(client, "create_video", prompt=_LIGHTHOUSE, resolution="540p", dry_run=True)
        print(f"Dry run of a 540p video: ${quote['price_usd']:.2f}")

    async def _make(self, client: Client) -> dict[str, str]:
        """Everything the demo makes, by what it is called in the table at the end."""
        video = await self._buy(client, "create_video", prompt=_LIGHTHOUSE, resolution="540p", concepts=["orbit_left"])
        image = await self._buy(client, "create_image", prompt=_BOAT)
        await self._wait(client, {"video": video, "image": image})
        animated = await self._buy(
            client, "create_video", prompt="the boat drifts off, camera push in", start_frame=image, resolution="540p",
            model="ray-flash-2",
        )  # fmt: skip
        extension = await self._buy(client, "extend_video", generation_id=video, prompt="the storm breaks over the sea")
        larger = await self._buy(client, "upscale_video", generation_id=video, resolution="720p")
        await self._wait(client, {"image to video": animated, "extension": extension, "upscaled": larger})
        sounding = await self._buy(client, "add_audio", generation_id=larger, prompt="waves and a distant horn")
        await self._wait(client, {"with sound": sounding})
        return {
            "text to video, orbit left": video,
            "image": image,
            "image to video": animated,
            "extension of the first": extension,
            "upscaled, with sound": sounding,
        }

    async def _joined(self, client: Client, generations: dict[str, str]) -> dict[str, Any]:
        """The first clip and its extension as one file, and a look at what was made."""
        first, extension = generations["text to video, orbit left"], generations["extension of the first"]
        view = await self._call(client, "view_generation", generation_id=extension)
        moments = ", ".join(f"{moment:g}" for moment in view["frame_seconds"])
        print(f"Seen: frames of the extension at {moments} s")
        joined = await self._call(client, "edit_video", clips=[first, extension])
        return {**joined["files"][0], "generation_id": "joined"}

    async def _tidy_up(self, client: Client, generations: dict[str, str]) -> None:
        listed = await self._call(client, "list_generations", state="completed")
        await self._call(client, "delete_generation", generation_id=generations["image"])
        remaining = await self._call(client, "list_generations", state="completed")
        counts = f"{len(listed['generations'])} generations listed, 1 deleted, {len(remaining['generations'])} left"
        print(counts)

    async def _buy(self, client: Client, tool: str, **arguments: Any) -> str:
        bought = await self._call(client, tool, **arguments)
        self._quoted_usd += bought["price_usd"]
        price = f"${bought['price_usd']:.2f}" + (" assumed" if bought.get("price_is_assumed") else "")
        print(f"{tool}: {bought['generation_id']} ({price})")
        return bought["generation_id"]

    async def _save(self, client: Client, *generation_ids: str) -> list[dict[str, Any]]:
        """Save generations; a file of each. Raises: DemoError, if one is missing."""
        saved = await self._call(client, "download_generation", generation_ids=list(generation_ids))
        if {file["generation_id"] for file in saved["files"]} < set(generation_ids):
            raise DemoError(" ".join(saved.get("problems", ())) or "a file is missing.")
        return saved["files"]

    async def _wait(self, client: Client, generations: dict[str, str]) -> None:
        """Wait for some generations, a line for each, as the server's progress notifications tell."""
        names = {generation_id: name for name, generation_id in generations.items()}
        progress = terminal.Progress(list(generations))

        def show(_message: str, states: Mapping[str, str]) -> None:
            for generation_id, state in states.items():
                progress.update(names[generation_id], state, is_over=state in FINAL)

        await self._call(
            client, "wait_for_generation", show,
            generation_ids=list(generations.values()), timeout_seconds=_TIMEOUT_SECONDS,
        )  # fmt: skip

    async def _call(
        self, client: Client, tool: str, on_progress: OnProgress | None = None, **arguments: Any
    ) -> dict[str, Any]:
        self._listener.on_progress = on_progress
        result = await client.call_tool(tool, arguments, meta=WITH_PROGRESS if on_progress else None)
        if result.is_error:
            raise DemoError(" ".join(getattr(block, "text", "") for block in result.content))
        return result.structured_content or (result.meta or {}).get(FIELDS_META, {})

    def _show(self, generations: dict[str, str], files: Sequence[dict[str, Any]]) -> None:
        by_id = {file["generation_id"]: file for file in files}
        self._table([(name, Path(by_id[generation_id]["path"])) for name, generation_id in generations.items()])

    def _table(self, files: Sequence[tuple[str, Path]]) -> None:
        rows = [("What", "Size", f"File in {self._folder}")]
        rows += [(name, f"{path.stat().st_size / 1000:,.0f} kB", path.name) for name, path in files]
        terminal.table(rows, ["bold", *[None] * len(files)])
