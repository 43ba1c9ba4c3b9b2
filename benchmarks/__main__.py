"""`python -m benchmarks`: how fast it is, as a table of ratios against a floor measured in the same run.

A shared machine is noisy, so nothing here is a number of seconds to be compared with another day's: the two sides of a
row are run in turns, and the row is the ratio of their medians.
"""

import compileall
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROUNDS = 25
EMPTY_SERVER = "from mcp.server.mcpserver import MCPServer\nMCPServer('empty').run()\n"
CLIENT = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "benchmark", "version": "1"}}
INITIALIZE = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": CLIENT}
INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}
LIST_TOOLS = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}


@dataclass(frozen=True)
class Row:
    what: str
    ours: str
    floor: str
    ratio: str
    goal: str


def start_of_process() -> Row:
    """From the start of the process to the answer of `initialize`."""
    compile_everything()
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "empty.py"
        script.write_text(EMPTY_SERVER)
        ours: list[float] = []
        floor: list[float] = []
        for _ in range(ROUNDS):
            ours.append(seconds_to_initialize([sys.executable, str(console_script())]))
            floor.append(seconds_to_initialize([sys.executable, str(script)]))
    return Row(
        "process start to the answer of initialize, against an empty MCPServer",
        spread(ours),
        spread(floor),
        f"{statistics.median(ours) / statistics.median(floor):.2f}x",
        "<= 1.0x",
    )


def console_script() -> Path:
    """What a host starts."""
    script = Path(sys.executable).parent / "dream-machine-mcp"
    if not script.exists():
        sys.exit("Install the project into this environment first: pip install .")
    return script


def compile_everything() -> None:
    """Both sides start from compiled modules, as an installed package does."""
    for place in {Path(module.__path__[0]) for module in (__import__("luma_mcp"), __import__("mcp"))}:
        compileall.compile_dir(place, quiet=1)
    compileall.compile_dir(Path(os.__file__).parent, quiet=1, maxlevels=1)
    compileall.compile_dir(Path(__import__("pydantic").__path__[0]).parent, quiet=1)


def seconds_to_initialize(command: list[str]) -> float:
    began = time.perf_counter()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(INITIALIZE).encode() + b"\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
        taken = time.perf_counter() - began
        assert answer["id"] == 1
        process.stdin.close()
    return taken


def size_of_tools() -> Row:
    """What every conversation pays for: the answer of tools/list as it comes over the wire."""
    lines = b"".join(json.dumps(message).encode() + b"\n" for message in (INITIALIZE, INITIALIZED, LIST_TOOLS))
    done = subprocess.run([sys.executable, str(console_script())], input=lines, capture_output=True, check=True)
    tools = json.loads(done.stdout.splitlines()[1])["result"]["tools"]
    size = len(json.dumps(tools, separators=(",", ":")))
    return Row(
        f"size of tools/list, {len(tools)} tools with typed outputs", f"{size:,} characters", "-", "-", "<= 20,000"
    )


def waiting(count: int) -> list[Row]:
    """Waiting for many at once, against one loop for each that looks every 3 s; both in the same simulated time."""
    ours, floor = (
        json.loads(
            subprocess.run(
                [sys.executable, "-m", "benchmarks.waiting", side, str(count)], capture_output=True, check=True
            ).stdout
        )
        for side in ("ours", "peers")
    )

    def row(what: str, field: str, unit: str, goal: str) -> Row:
        ratio = f"{ours[field] / floor[field]:.2f}x" if floor[field] > 0.005 else "-"
        mine, theirs = (f"{side[field]:.2f} {unit}".strip() for side in (ours, floor))
        return Row(f"{count:,} waited for: {what}", mine, theirs, ratio, goal)

    return [
        row("requests to Luma for each", "requests", "", "<= 0.05x at 100" if count == 100 else ""),
        row("CPU", "cpu_seconds", "s", ""),
        row("memory", "memory_mb", "MB", "< 150 MB" if count == 1000 else ""),
        row("end seen after, median", "delay_seconds", "s", "one interval"),
        row("end seen after, longest", "longest_delay_seconds", "s", ""),
    ]


def spread(seconds: list[float]) -> str:
    """The median, and the range from the fastest to the slowest quarter."""
    first, median, third = statistics.quantiles(seconds, n=4)
    return f"{median * 1000:.0f} ms ({first * 1000:.0f}-{third * 1000:.0f})"


def main() -> None:
    rows = [Row("what", "ours", "floor", "ratio", "goal"), start_of_process(), size_of_tools()]
    for count in (1, 10, 100, 1000):
        rows += waiting(count)
    columns = list(zip(*((row.what, row.ours, row.floor, row.ratio, row.goal) for row in rows), strict=True))
    widths = [max(map(len, column)) for column in columns]
    for number, row in enumerate(zip(*columns, strict=True)):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")
        if number == 0:
            print("|" + "|".join("-" * (width + 2) for width in widths) + "|")


if __name__ == "__main__":
    main()
