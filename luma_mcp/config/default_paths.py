"""The default paths of files. There may be no home folder: a container's user has none."""

from collections.abc import Callable
from pathlib import Path

from luma_mcp.domain.errors import FileError, LedgerError, LumaError


def output_folder() -> Path:
    """The folder for files. Raises: FileError, without a home folder."""
    import platformdirs  # noqa: PLC0415 - only a purchase needs it

    return _in_home(lambda: platformdirs.user_videos_path() / "dream-machine", "LUMA_OUTPUT_DIR", FileError)


def ledger_file() -> Path:
    """The file of the purchase ledger. Raises: LedgerError, without a home folder."""
    import platformdirs  # noqa: PLC0415 - only a purchase needs it

    def data_file() -> Path:
        return platformdirs.user_data_path("dream-machine-mcp", appauthor=False) / "purchases.sqlite3"

    return _in_home(data_file, "LUMA_LEDGER", LedgerError)


def _in_home(find_path: Callable[[], Path], name: str, error: type[LumaError]) -> Path:
    try:
        path = find_path()
    except (RuntimeError, KeyError):
        path = Path()
    if not path.is_absolute():
        raise error("This process has no home folder.", f"Set {name} to an absolute path, or HOME.")
    return path


def absolute(path: Path) -> Path:
    """A path with the home folder filled in. Raises: ValueError, if it is relative."""
    try:
        expanded = path.expanduser()
    except RuntimeError:
        raise ValueError("there is no such home folder; write the whole path") from None
    if not expanded.is_absolute():
        raise ValueError("it must be an absolute path, for a host may start this server in any folder")
    return expanded
