"""`dream-machine-mcp work`: runs the jobs of a ledger that is a database, and serves nobody."""

import signal
import sys

import anyio

from luma_mcp.composition import build_services, with_runner
from luma_mcp.config.settings import Settings, SettingsError
from luma_mcp.domain.extras import install_hint
from luma_mcp.mcp.services import Services
from luma_mcp.work.procrastinate_runner import is_installed

_PROGRAM = "dream-machine-mcp"


def run() -> int:
    """Run jobs until a signal; the exit code."""
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        return _refuse(str(error))
    if settings.database_url is None:
        return _refuse("LUMA_LEDGER must be a database. With a file the serving process itself runs the jobs.")
    if settings.read_only:
        return _refuse("LUMA_READ_ONLY is set, and a worker buys what was allowed.")
    if not is_installed():
        return _refuse(install_hint("worker"))
    return anyio.run(_run, with_runner(build_services(settings), settings))


def _refuse(reason: str) -> int:
    print(f"{_PROGRAM} cannot work: {reason}", file=sys.stderr)
    return 2


async def _run(services: Services) -> int:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with services.running():
            print(f"{_PROGRAM}: working", file=sys.stderr, flush=True)
            await anext(signals)
    return 0
