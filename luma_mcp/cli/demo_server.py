"""The server of the demo: its clock runs faster, as the emulator does, so that it polls sooner.

`python -m luma_mcp.cli.demo_server SPEED` serves MCP over stdio.
"""

import sys

from luma_mcp.composition import RealClock, build_server
from luma_mcp.config.settings import Settings
from luma_mcp.mcp.stdio.serving import run


class FastClock(RealClock):
    """The machine's clock, so many times as fast. The time of day is right."""

    def __init__(self, speed: float) -> None:
        self._speed = speed

    def now(self) -> float:
        return super().now() * self._speed

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds / self._speed)


if __name__ == "__main__":
    run(build_server(Settings.from_environment(), clock=FastClock(float(sys.argv[1])), with_jobs=True))
