"""`dream-machine-mcp completion SHELL`: what completes the commands in a shell, on stdout."""

import argparse
import sys

from luma_mcp.domain.extras import install_hint


def run(shell: str, parser: argparse.ArgumentParser) -> int:
    """Print it; the exit code.

    Args:
        shell: bash, zsh or tcsh.
        parser: the parser with the arguments of every command.
    """
    try:
        import shtab  # noqa: PLC0415 - an extra
    except ImportError:
        print(install_hint("completion"), file=sys.stderr)
        return 2
    print(shtab.complete(parser, shell=shell))
    return 0
