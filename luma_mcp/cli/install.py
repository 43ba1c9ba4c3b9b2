"""Installing this program with uv, so that a host that starts it has nothing to download."""

import shutil
import subprocess
import sys
from pathlib import Path

from luma_mcp import __version__
from luma_mcp.cli.hosts import PACKAGE


class InstallError(Exception):
    """It cannot be installed; the sentence says why, and what to do."""


def install() -> Path:
    """Install this version as a tool of uv's; the absolute path of the program.

    Raises:
        InstallError: uv is not there, or cannot install it.
    """
    uv = shutil.which("uv")
    if uv is None:
        raise InstallError("uv is not found. https://docs.astral.sh/uv says how to install it.")
    _run(uv, "tool", "install", "--quiet", f"{PACKAGE}=={__version__}")
    ending = ".exe" if sys.platform == "win32" else ""
    program = Path(_run(uv, "tool", "dir", "--bin").strip()) / f"{PACKAGE}{ending}"
    if not program.is_file():
        raise InstallError(f"uv has installed {PACKAGE}, and {program} is not there.")
    return program


def _run(*command: str) -> str:
    """Run a command and return its output. Raises: InstallError, with the text of its error output."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603 - uv, by its path
    except (OSError, subprocess.CalledProcessError) as error:
        message = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else str(error)
        raise InstallError(f"uv cannot install {PACKAGE} {__version__}: {message}") from error
