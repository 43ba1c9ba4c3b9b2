"""`dream-machine-mcp`: no argument, or `serve`, serves MCP over stdin and stdout; the rest is for people."""

import gc
import logging
import sys
from collections.abc import Sequence

# The exit code of a program that Ctrl-C has ended, as shells have it.
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the arguments say; the exit code. Ctrl-C while it still imports leaves no traceback either."""
    texts = sys.argv[1:] if arguments is None else list(arguments)
    if any(not _is_text(text) for text in texts):
        print("dream-machine-mcp: an argument is not encoded as UTF-8.", file=sys.stderr)
        return 2
    try:
        if texts not in ([], ["serve"]):
            from luma_mcp.cli import run  # noqa: PLC0415 - serving shall not pay for it

            return run(texts)
        return serve()
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return _INTERRUPTED


def _is_text(text: str) -> bool:
    """Return whether an argument is text: bytes that are not UTF-8 arrive as surrogates."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def serve() -> int:
    """Serve MCP over stdio until the end of input or a signal."""
    # Imports make no garbage worth collecting, and looking for some costs a tenth of the start.
    gc.disable()
    from luma_mcp.composition import build_server  # noqa: PLC0415
    from luma_mcp.config.settings import Settings, SettingsError  # noqa: PLC0415
    from luma_mcp.mcp.stdio.serving import run  # noqa: PLC0415 - serving shall not pay for it

    try:
        settings = Settings.from_environment()
        # Before the SDK's own, which breaks lines after 80 columns, as hosts then keep them in their logs.
        logging.basicConfig(level=settings.log_level, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
        server = build_server(settings, with_jobs=True)
    except SettingsError as error:
        print(f"dream-machine-mcp cannot start: {error}", file=sys.stderr)
        return 2
    for note in settings.notes:
        print(f"dream-machine-mcp: {note}", file=sys.stderr)
    gc.freeze()
    gc.enable()
    run(server)
    return 0  # pragma: no cover - Python 3.11 loses the tracer where a task was cancelled


if __name__ == "__main__":
    sys.exit(main())
