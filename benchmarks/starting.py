"""From the start of the process to the answer of `initialize`."""

import compileall
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.rows import Row, ratio, spread

ROUNDS = 25
EMPTY_SERVER = "from mcp.server.mcpserver import MCPServer\nMCPServer('empty').run()\n"
CLIENT = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "benchmark", "version": "1"}}
INITIALIZE = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": CLIENT}
INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}


def rows() -> list[Row]:
    return [start_of_process()]


def start_of_process() -> Row:
    compile_everything()
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "empty.py"
        script.write_text(EMPTY_SERVER)
        ours: list[float] = []
        floor: list[float] = []
        for _ in range(ROUNDS):
            ours.append(seconds_to_initialize([sys.executable, str(console_script())]))
            floor.append(seconds_to_initialize([sys.executable, str(script)]))
    what = "process start to the answer of initialize; floor: an empty MCPServer"
    return Row(what, spread(ours), spread(floor), ratio(ours, floor), "<= 1.0x")


def console_script() -> Path:
    """The command that a host starts."""
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
    started = time.perf_counter()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(INITIALIZE).encode() + b"\n")
        process.stdin.flush()
        response = json.loads(process.stdout.readline())
        taken = time.perf_counter() - started
        assert response["id"] == 1
        process.stdin.close()
    return taken
