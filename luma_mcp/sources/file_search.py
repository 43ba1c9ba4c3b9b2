"""The search for a local file by the name that a user or a model wrote, confined to the open folders."""

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
_MAX_PATH_LENGTH = 4096
# A larger folder is not searched to its end for a similar name.
_MAX_NAMES = 10_000


def find(source: str, folders: Sequence[Path]) -> Path:
    """The file itself, inside an open folder, with symbolic links resolved.

    A name that is written otherwise than the folder has it, such as with another kind of space, matches too.

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
        if (file := _find_similar(_path_of(spelling), roots)) is not None:
            return _check_visible(file, next(root for root in roots if file.is_relative_to(root)), file.name)
    raise refusals[0] or _no_such_file(spellings[0], roots)


def _find_exactly(source: str, roots: Sequence[Path]) -> Path | None:
    """The file of exactly that name; None if there is no such file. Raises: FileError, if it must not be read."""
    label, path = cleaned(source, 120), _path_of(source)
    for candidate in _candidates(path, roots):
        with suppress(OSError, ValueError, RuntimeError):
            file = candidate.resolve(strict=True)
            for root in roots:
                if file.is_relative_to(root):
                    return _check_visible(file, root, label)
            if path.is_absolute():
                raise _outside(label, roots)
    if path.is_absolute() and not _is_inside(path, roots):
        # The error does not reveal whether a file exists outside the open folders.
        raise _outside(label, roots)
    if ".." in path.parts:
        raise _outside(label, roots)
    return None


def _candidates(path: Path, roots: Sequence[Path]) -> list[Path]:
    """The candidates for a path: a relative path in each open folder."""
    return [path] if path.is_absolute() else [root / path for root in roots]


def _spellings(source: str) -> list[str]:
    """A path as it is written, without quotes, without a shell's escapes, and without percent signs."""
    text = source.strip()
    spellings = [text, text.strip("\"'`"), re.sub(r"\\(.)", r"\1", text) if os.name != "nt" else text]
    if "%" in text and not text.lower().startswith("file:"):
        spellings.append(unquote(text))
    return list(dict.fromkeys(spelling for spelling in spellings if spelling)) or [text]


def _find_similar(path: Path, roots: Sequence[Path]) -> Path | None:
    """The only file of an open folder with the same normalized name, or the same one without its ending; else None."""
    wanted = _normalized(path.name)
    matches = [
        file
        for folder in dict.fromkeys(candidate.parent for candidate in _candidates(path, roots))
        for name in _names_in(folder, roots)
        if _is_called(name, wanted) and (file := (folder / name).resolve()).is_relative_to(folder.resolve())
    ]
    return matches[0] if len(matches) == 1 else None


def _is_called(name: str, wanted: str) -> bool:
    """Check whether a file has the wanted name, or has it before its ending."""
    normalized = _normalized(name)
    return normalized == wanted or ("." not in wanted and normalized.rpartition(".")[0] == wanted)


def _similar_names(candidates: Sequence[Path], roots: Sequence[Path]) -> list[str]:
    """Names in these folders that are written nearly the same."""
    import difflib  # noqa: PLC0415 - rarely needed, and the start of the process shall not pay for it

    names = {_normalized(name): name for candidate in candidates for name in _names_in(candidate.parent, roots)}
    similar = difflib.get_close_matches(_normalized(candidates[0].name), names, n=3) if candidates else []
    return [repr(cleaned(names[normalized], 80)) for normalized in similar]


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


def _normalized(name: str) -> str:
    """The normalized name: spaces, accents and letters in one form, without invisible characters."""
    return " ".join(without_invisible(unicodedata.normalize("NFKC", name)).casefold().split())


def _check_visible(file: Path, root: Path, label: str) -> Path:
    if any(step.startswith(".") for step in file.relative_to(root).parts):
        raise FileError(f"{label!r} is a hidden file.", "Copy it to a folder and name that are not hidden.")
    return file


def _no_such_file(source: str, roots: Sequence[Path]) -> FileError:
    similar = _similar_names(_candidates(_path_of(source), roots), roots)
    hint = f"Near it: {', '.join(similar)}." if similar else "Give its absolute path, and set LUMA_INPUT_DIRS."
    return FileError(f"There is no file {cleaned(source, 120)!r} in {_listed(roots)}.", hint)


def _listed(roots: Sequence[Path]) -> str:
    return ", ".join(str(root) for root in roots)


def _outside(label: str, roots: Sequence[Path]) -> FileError:
    return FileError(
        f"{label!r} is outside the folders that may be read: {_listed(roots)}.",
        "Only the person can open another, with LUMA_INPUT_DIRS in this server's environment.",
    )


def _is_inside(path: Path, roots: Sequence[Path]) -> bool:
    """Check whether a path is inside an open folder, with its links resolved; the file may be absent."""
    normalized = Path(os.path.normpath(path))
    with suppress(OSError, ValueError, RuntimeError):
        normalized = path.resolve()
    return any(normalized.is_relative_to(root) for root in roots)


def _path_of(source: str) -> Path:
    """The path that a path, a file URL, `~` or a Windows path under WSL means.

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
    if not text or "\x00" in text or len(text) > _MAX_PATH_LENGTH or text.startswith(("\\\\", "//")):
        raise FileError(f"{cleaned(source, 120)!r} cannot be the path of a file here.", "Name a picture or a clip.")
    if os.name != "nt" and _WINDOWS_PATH.match(text):
        text = _wsl_path(text)
    try:
        return Path(text).expanduser()
    except RuntimeError:
        if not text.startswith("~/") and text != "~":
            # The error does not reveal whether such a user exists: it is a path outside, as that of any user.
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
