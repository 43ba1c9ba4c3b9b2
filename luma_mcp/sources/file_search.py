"""Where a local file is that a person or a model names: found, and confined to the open folders."""

import itertools
import os
import re
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from luma_mcp.domain.errors import FileError
from luma_mcp.domain.text import cleaned, without_invisible

_WINDOWS_PATH = re.compile(r"[A-Za-z]:[\\/]")
_LONGEST_NAME = 4096
# A larger folder is not searched to its end for a name that looks the same.
_MAX_NAMES = 10_000


def find(source: str, folders: Sequence[Path]) -> Path:
    """The file itself, inside an open folder, with symbolic links resolved.

    A name that is written otherwise than the folder has it, such as with another kind of space, is found too.

    Raises:
        FileError: it is not there, or not inside an open folder. The error is the same whether a file
            outside them exists or not.
    """
    roots, spellings = [root.resolve() for root in folders], _spellings(source)
    refusals: list[FileError | None] = []
    for spelling in spellings:
        try:
            if (exact := _find_exactly(spelling, roots)) is not None:
                return exact
            refusals.append(None)
        except FileError as error:
            refusals.append(error)
    for spelling in spellings:
        if (found := _find_alike(_path_of(spelling), roots)) is not None:
            return _check_visible(found, next(root for root in roots if found.is_relative_to(root)), found.name)
    raise refusals[0] or _no_such_file(spellings[0], roots)


def _find_exactly(source: str, roots: Sequence[Path]) -> Path | None:
    """The file of exactly that name; None if there is none. Raises: FileError, if it must not be read."""
    shown, path = cleaned(source, 120), _path_of(source)
    for place in _places(path, roots):
        with suppress(OSError, ValueError, RuntimeError):
            file = place.resolve(strict=True)
            for root in roots:
                if file.is_relative_to(root):
                    return _check_visible(file, root, shown)
            if path.is_absolute():
                raise _outside(shown, roots)
    if path.is_absolute() and not _is_inside(path, roots):
        # The error does not say whether a file exists outside the open folders.
        raise _outside(shown, roots)
    if ".." in path.parts:
        raise _outside(shown, roots)
    return None


def _places(path: Path, roots: Sequence[Path]) -> list[Path]:
    """Where a path may lead: a relative one into each open folder."""
    return [path] if path.is_absolute() else [root / path for root in roots]


def _spellings(source: str) -> list[str]:
    """A path as it is given, without quotes, without a shell's escapes, and without percent signs."""
    text = source.strip()
    spellings = [text, text.strip("\"'`"), re.sub(r"\\(.)", r"\1", text) if os.name != "nt" else text]
    if "%" in text and not text.lower().startswith("file:"):
        spellings.append(unquote(text))
    return list(dict.fromkeys(spelling for spelling in spellings if spelling)) or [text]


def _find_alike(path: Path, roots: Sequence[Path]) -> Path | None:
    """The only file of an open folder whose name looks the same, or does so but for its ending; else None."""
    wanted = _look(path.name)
    found = [
        file
        for folder in dict.fromkeys(place.parent for place in _places(path, roots))
        for name in _names_in(folder, roots)
        if _is_called(name, wanted) and (file := (folder / name).resolve()).is_relative_to(folder.resolve())
    ]
    return found[0] if len(found) == 1 else None


def _is_called(name: str, wanted: str) -> bool:
    """Whether a file has the wanted name, or has it before its ending."""
    look = _look(name)
    return look == wanted or ("." not in wanted and look.rpartition(".")[0] == wanted)


def _near_names(places: Sequence[Path], roots: Sequence[Path]) -> list[str]:
    """Names in these folders that are written nearly the same."""
    import difflib  # noqa: PLC0415 - rarely needed, and the start of the process shall not pay for it

    names = {_look(name): name for place in places for name in _names_in(place.parent, roots)}
    near = difflib.get_close_matches(_look(places[0].name), names, n=3) if places else []
    return [repr(cleaned(names[look], 80)) for look in near]


def _names_in(folder: Path, roots: Sequence[Path]) -> list[str]:
    """The names of the visible files of a folder, if it is inside an open one."""
    try:
        folder = folder.resolve(strict=True)
        if not any(folder.is_relative_to(root) for root in roots):
            return []
        with os.scandir(folder) as entries:
            visible = (entry.name for entry in entries if not entry.name.startswith(".") and entry.is_file())
            return list(itertools.islice(visible, _MAX_NAMES))
    except (OSError, ValueError, RuntimeError):
        return []


def _look(name: str) -> str:
    """What a name looks like: every kind of space, accent and letter in one form, and nothing that cannot be seen."""
    return " ".join(without_invisible(unicodedata.normalize("NFKC", name)).casefold().split())


def _check_visible(file: Path, root: Path, shown: str) -> Path:
    if any(part.startswith(".") for part in file.relative_to(root).parts):
        raise FileError(f"{shown!r} is a hidden file.", "Copy it to a folder and name that are not hidden.")
    return file


def _no_such_file(source: str, roots: Sequence[Path]) -> FileError:
    near = _near_names(_places(_path_of(source), roots), roots)
    hint = f"Near it: {', '.join(near)}." if near else "Give its absolute path, and set LUMA_INPUT_DIRS."
    return FileError(f"There is no file {cleaned(source, 120)!r} in {_listed(roots)}.", hint)


def _listed(roots: Sequence[Path]) -> str:
    return ", ".join(str(root) for root in roots)


def _outside(shown: str, roots: Sequence[Path]) -> FileError:
    return FileError(
        f"{shown!r} is outside the folders that may be read: {_listed(roots)}.",
        "Only the person can open another, with LUMA_INPUT_DIRS in this server's environment.",
    )


def _is_inside(path: Path, roots: Sequence[Path]) -> bool:
    """Whether a file would be inside an open folder if it were there, as links on the way lead."""
    normalized = Path(os.path.normpath(path))
    with suppress(OSError, ValueError, RuntimeError):
        normalized = path.resolve()
    return any(normalized.is_relative_to(root) for root in roots)


def _path_of(source: str) -> Path:
    """The path that a path, a file URL, `~` or a Windows path under WSL stands for.

    Raises:
        FileError: it cannot be a path.
    """
    text = source.strip()
    if text.lower().startswith("file:"):
        url = urlsplit(text)
        if url.netloc not in ("", "localhost"):
            raise FileError(
                f"{cleaned(source, 120)!r} is on another machine.",
                "A file URL of this one has three slashes: file:///folder/hero.png.",
            )
        text = unquote(url.path)
        # file:///C:/pictures/hero.png
        text = text[1:] if _WINDOWS_PATH.match(text[1:]) else text
    if not text or "\x00" in text or len(text) > _LONGEST_NAME or text.startswith(("\\\\", "//")):
        raise FileError(f"{cleaned(source, 120)!r} cannot be the path of a file here.", "Name a picture or a clip.")
    if os.name != "nt" and _WINDOWS_PATH.match(text):
        text = _wsl_path(text)
    try:
        return Path(text).expanduser()
    except RuntimeError:
        if not text.startswith("~/") and text != "~":
            # Whether this machine has a user of that name is not told: it is a path outside, as that of any user.
            return Path("/", text)
        raise FileError(f"There is no home folder for {cleaned(source, 120)!r}.", "Give the absolute path.") from None


def _wsl_path(path: str) -> str:
    """The path under WSL, where C:/pictures is /mnt/c/pictures."""
    drive, rest = path[0].lower(), path[3:].replace("\\", "/")
    if not Path(f"/mnt/{drive}").is_dir():
        raise FileError(
            f"{cleaned(path, 120)!r} is a Windows path, and this server does not run on Windows.",
            "Give the path as this machine knows it.",
        )
    return f"/mnt/{drive}/{rest}"
