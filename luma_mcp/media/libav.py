"""Access to libav through PyAV, with the differences between the versions of PyAV.

PyAV breaks its interface at each major version. Versions 15 to 19 are supported; pyproject.toml states the same range.
"""

from types import ModuleType
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from luma_mcp.domain.errors import FileError

if TYPE_CHECKING:
    from av.container import InputContainer


def load() -> ModuleType:
    """Import PyAV at its first use, because the import takes 60 ms that only media work needs.

    Raises:
        FileError: no wheel of PyAV exists for this platform.
    """
    try:
        import av  # noqa: PLC0415 - see frames
    except ImportError as error:
        raise FileError(
            "Clips cannot be read here: the package av is not installed for this platform.",
            "Install av, or download the clip and view it elsewhere.",
        ) from error
    return av


def version() -> str:
    """Return the version of PyAV, or `none` if it is not installed."""
    from importlib import metadata  # noqa: PLC0415

    try:
        return metadata.version("av")
    except metadata.PackageNotFoundError:
        return "none"


def open_input(file: BinaryIO, container_format: str) -> "InputContainer":
    """Open a file object in a container format that the caller chose; libav never guesses it.

    Text in the metadata of a file may have any encoding and is never shown. PyAV before 19 raises an error for text
    that is not UTF-8 unless `metadata_errors` is set; PyAV 19 accepts such text and no longer has the argument.

    Raises:
        FFmpegError: the file does not have this format.
    """
    av = load()
    options: dict[str, Any] = {} if _major(av) >= 19 else {"metadata_errors": "ignore"}
    return cast("InputContainer", av.open(file, format=container_format, **options))


def _major(av: ModuleType) -> int:
    return int(str(av.__version__).partition(".")[0])
