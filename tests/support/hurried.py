"""Our server with all waiting of a purchase cut short, so that a test of dying servers takes seconds."""

import sys


def hurried(*patches: str, arguments: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The command of a server whose leases and looks are short, and that is patched where a test says."""
    lines = [
        "import gc, os, signal",
        # Before the modules that take these times by name.
        "from luma_mcp.ledger import states",
        "states.LEASE_SECONDS, states.RENEW_EVERY_SECONDS = 2.0, 0.5",
        "from luma_mcp.purchasing import reconcile, sending",
        "from luma_mcp.backends import transport",
        "reconcile.ABSENT_AFTER_SECONDS = 6.0",
        "transport._YOUNG_SECONDS = 1.0",
        *patches,
        "from luma_mcp.__main__ import main",
        f"main({list(arguments)!r})",
    ]
    return (sys.executable, "-c", "\n".join(lines))
