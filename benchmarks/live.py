"""`python -m benchmarks.live`: the whole way with your own key at Luma itself. It says its price first.

Without `--buy` it buys nothing: it lists the tools, pings, and asks for a price. With `--buy` it buys one picture,
waits and saves it. That costs $0.05 at most, and a cap of the server's own sees to it.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
from mcp import Client, StdioServerParameters

from luma_mcp.config.settings import Settings

MAX_USD = 0.05
PROMPT = "a paper boat on a quiet lake at dawn"
_WAIT_SECONDS = 300


async def walk(output: Path, *, buy: bool) -> None:
    """Every step, printed."""
    environment = {**os.environ, "LUMA_OUTPUT_DIR": str(output), "LUMA_MAX_USD_PER_DAY": str(MAX_USD)}
    environment["LUMA_LEDGER"] = str(output / "purchases.sqlite3")
    server = StdioServerParameters(command=sys.executable, args=["-m", "luma_mcp"], env=environment)
    async with Client(server) as client:
        tools = (await client.list_tools()).tools
        print(f"{len(tools)} tools for {' and '.join(Settings.from_environment().backends)}")
        print("ping:", await _call(client, "ping"))
        quote = await _call(client, "create_image", prompt=PROMPT, dry_run=True)
        print(f"a picture costs ${quote['price_usd']}")
        if not buy:
            print("Nothing was bought. --buy buys it.")
            return
        bought = await _call(client, "create_image", prompt=PROMPT)
        print("bought:", bought["generation_id"])
        again = await _call(client, "create_image", prompt=PROMPT)
        assert again["generation_id"] == bought["generation_id"], "a repeat is the same purchase"
        ids = [bought["generation_id"]]
        waited = await _call(client, "wait_for_generation", generation_ids=ids, timeout_seconds=_WAIT_SECONDS)
        print("state:", waited["generations"][0]["state"])
        saved = await _call(client, "download_generation", generation_ids=ids)
        print("saved:", saved["files"][0]["path"], saved["files"][0]["media_type"])
        print("money:", await _call(client, "get_credits"))


async def _call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    if result.is_error or result.structured_content is None:
        raise SystemExit(f"{tool}: {' '.join(getattr(block, 'text', '') for block in result.content)}")
    return result.structured_content


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description=__doc__)
    parser.add_argument("--buy", action="store_true", help=f"spend at most ${MAX_USD:.2f} at Luma")
    parser.add_argument("--keep", type=Path, help="where the picture goes (default: a new temporary folder)")
    options = parser.parse_args(arguments)
    folder = options.keep or Path(tempfile.mkdtemp(prefix="dream-machine-live-"))
    anyio.run(lambda: walk(folder.absolute(), buy=options.buy))


if __name__ == "__main__":
    main()
