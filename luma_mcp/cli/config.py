"""`dream-machine-mcp config HOST`: a host's configuration, printed, or merged into what is there."""

import codecs
import json
import os
import stat
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from luma_mcp.cli.config_merge import CannotMergeError, merged
from luma_mcp.cli.hosts import HOSTS, Host, host_named, running_command
from luma_mcp.cli.install import InstallError, install

# Byte order marks, the longest first, with the encoding that they mean.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
)  # fmt: skip


def run(key: str | None, *, write: bool, project: Path, as_json: bool = False, installs: bool = False) -> int:
    """Print or write; the exit code.

    Args:
        key: the host; None lists them.
        write: whether it is merged into the host's file.
        project: the folder of hosts whose file is in a project.
        as_json: whether the output is for a program.
        installs: whether this program is installed first, so that the host has nothing to download.
    """
    host = host_named(key or "")
    if host is None:
        if as_json and key is None and not write:
            print(json.dumps([{"host": known.key, "title": known.title} for known in HOSTS], indent=2))
            return 0
        print("Hosts:\n" + "\n".join(f"  {known.key:16}{known.title}" for known in HOSTS))
        if key is not None:
            print(f"There is no host {key!r} here.", file=sys.stderr)
        elif write:
            print("Name the host to write for.", file=sys.stderr)
        return 0 if key is None and not write else 2
    try:
        command = (str(install()), ()) if installs else running_command()
    except InstallError as error:
        print(f"{error} Nothing was written.", file=sys.stderr)
        return 1
    host = host.started_by(*command)
    try:
        path = host.path(project)
    except RuntimeError:
        print("This process has no home folder. Set HOME. Nothing was written.", file=sys.stderr)
        return 1
    facts = {"host": host.key, "title": host.title, "path": str(path)}
    if not write:
        print(json.dumps({**facts, "text": host.text}, indent=2) + "\n" if as_json else host.text, end="")
        _advise(host, path)
        return 0
    try:
        backup = merge(host, path)
    except (CannotMergeError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        print(f"Nothing was written to {path}: {reason}.\nAdd this to it by hand:\n\n{host.text}", file=sys.stderr)
        return 1
    if as_json:
        is_new = backup is not _UNCHANGED
        print(json.dumps({**facts, "written": is_new, "backup": str(backup) if is_new and backup else None}, indent=2))
    elif backup is _UNCHANGED:
        print(f"{path} has this server already; nothing was changed.")
    else:
        print(f"Wrote {path}." + (f" What was there before is in {backup}." if backup else ""))
    _advise(host, path)
    return 0


def _advise(host: Host, path: Path) -> None:
    """Print the steps that are left to the person; on stderr, so that the configuration can be piped."""
    print(f"{host.title} reads it from {path}.", file=sys.stderr)
    if not host.is_in_home:
        print("It counts in that folder only: run this command in the folder of your project.", file=sys.stderr)
    if host.is_literal:
        print(f"Put your key in the place of {host.token}; the file then holds a secret.", file=sys.stderr)
        if not host.is_in_home:
            print("Keep that file out of version control.", file=sys.stderr)
        elif path.exists() and os.name == "posix" and path.stat().st_mode & 0o077:
            print(f"Others on this machine can read it: chmod 600 {path}", file=sys.stderr)
    if host.note:
        print(host.note, file=sys.stderr)


_UNCHANGED = Path()


@dataclass(frozen=True, slots=True)
class _Content:
    """The text of a file, and how it is encoded."""

    text: str
    mark: bytes
    encoding: str

    def encoded(self, text: str) -> bytes:
        return self.mark + text.encode(self.encoding)


def merge(host: Host, path: Path) -> Path | None:
    """Add this server to a host's configuration and keep the rest.

    Returns:
        The backup of what was there; None if there was nothing, and an empty path if nothing had to be changed.

    Raises:
        CannotMergeError: the file is not of a form that can be added to, or has another server of our name.
        OSError: it cannot be read or written.
    """
    _check_folders(host, path)
    target = _followed(path)
    if target.exists() and not target.is_file():
        raise CannotMergeError("it is no ordinary file")
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        _replace(target, host.text.encode(), 0o600)
        return None
    mode = stat.S_IMODE(target.stat().st_mode)
    if not mode & stat.S_IWUSR:
        raise CannotMergeError("it is read-only; make it writable first")
    content = _read(target)
    if not content.text.strip():
        _replace(target, content.encoded(host.text), mode)
        return None
    after = merged(host.file_format, content.text, host.structure)
    if after == content.text:
        return _UNCHANGED
    backup = _back_up(target, mode)
    _replace(target, content.encoded(after), mode)
    return backup


def _check_folders(host: Host, path: Path) -> None:
    """Raises: CannotMergeError, if a folder of the host's own leads to what is not the person's own."""
    count = len([folder for folder in Path(host.file).parts[:-1] if folder != "~"])
    for folder in list(path.parents)[:count]:
        _followed(folder)


def _followed(path: Path) -> Path:
    """The file behind a symbolic link. Raises: CannotMergeError, if the link leads to what is not the person's own."""
    if not path.is_symlink():
        return path
    # For a loop, Path.resolve raises an error before Python 3.13; realpath returns a link on every version.
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise CannotMergeError("it is a link that leads back to itself")
    if not target.is_relative_to(Path.home().resolve()):
        raise CannotMergeError(f"it is a link to {target}, which is outside your home folder")
    if target.exists() and hasattr(os, "getuid") and target.stat().st_uid != os.getuid():
        raise CannotMergeError(f"it is a link to {target}, which belongs to somebody else")
    return target


def _read(path: Path) -> _Content:
    data = path.read_bytes()
    mark, encoding = next(((mark, name) for mark, name in _MARKS if data.startswith(mark)), (b"", "utf-8"))
    try:
        return _Content(data.removeprefix(mark).decode(encoding), mark, encoding)
    except UnicodeDecodeError:
        raise CannotMergeError(f"it is not encoded as {encoding.upper()}") from None


def _back_up(path: Path, mode: int) -> Path:
    """A copy next to the file, under a name that is free."""
    number = 1
    while True:
        backup = path.with_name(f"{path.name}.backup-{number}")
        try:
            with open(backup, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
                file.write(path.read_bytes())
        except FileExistsError:
            number += 1
            continue
        return backup


def _replace(path: Path, data: bytes, mode: int) -> None:
    """Put a whole file in the place of another, by a temporary one whose name nobody can know before."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
