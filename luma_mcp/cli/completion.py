"""`dream-machine-mcp completion SHELL`: what completes the commands in a shell, on stdout."""

import argparse
import sys


def run(shell: str, parser: argparse.ArgumentParser) -> int:
    """Print it; the exit code.

    Args:
        shell: bash, zsh or tcsh.
        parser: the parser with the arguments of every command.
    """
    try:
        import shtab  # noqa: PLC0415 - an extra
    except ImportError:
        print("This needs the extra `completion`: pip install 'dream-machine-mcp[completion]'.", file=sys.stderr)
        return 2
    print(shtab.complete(parser, shell=shell))
    return 0
