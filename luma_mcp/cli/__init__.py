"""What a person types: the demo and the emulator."""

import argparse
from collections.abc import Sequence

from luma_mcp import __version__


def run(arguments: Sequence[str]) -> int:
    """Run a command; the exit code."""
    return 0
