"""`dream-machine-mcp config HOST`: a host's configuration, printed, or merged into what is there."""

import json
import shutil
import sys
from pathlib import Path
from typing import cast

from luma_mcp.cli.hosts import HOSTS, KEY, Host, Json, host_named


class CannotMergeError(Exception):
    """What is in the file cannot be added to without risk. The text says why and what to do."""


def run(key: str | None, *, write: bool, project: Path) -> int:
    """Print or write; the exit code."""
    host = host_named(key or "")
    if host is None:
        print("Hosts: " + ", ".join(known.key for known in HOSTS))
        return 0 if key is None else 2
    path = host.path(project)
    if not write:
        print(host.text, end="")
        _advise(host, path)
        return 0
    try:
        backup = merge(host, path)
    except (CannotMergeError, OSError) as error:
        print(f"Nothing was written. {error}", file=sys.stderr)
        return 1
    print(f"Wrote {path}." + (f" What was there before is in {backup}." if backup else ""))
    _advise(host, path)
    return 0


def _advise(host: Host, path: Path) -> None:
    """What a person must still do; on stderr, so that the configuration can be piped."""
    print(f"{host.title} reads it from {path}.", file=sys.stderr)
    if host.is_literal:
        print(f"Put your key in the place of {host.token}; the file then holds a secret.", file=sys.stderr)
    if host.note:
        print(host.note, file=sys.stderr)


def merge(host: Host, path: Path) -> Path | None:
    """Add this server to a host's configuration and keep the rest; the backup of what was there.

    Raises:
        CannotMergeError: the file is not of a form that can be added to, or has this server already.
        OSError: it cannot be read or written.
    """
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    after = _merged(host, path, before)
    backup = None
    if before:
        backup = _free(path)
        shutil.copy2(path, backup)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(after, encoding="utf-8")
    part.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o600)
    part.replace(path)
    return backup


def _merged(host: Host, path: Path, before: str) -> str:
    if not before.strip():
        return host.text
    if host.form == "toml":
        if f"mcp_servers.{KEY}" in before:
            raise CannotMergeError(f"{path} has a server {KEY} already. Remove that first.")
        return f"{before.rstrip()}\n\n{host.text}"
    if host.form == "yaml":
        raise CannotMergeError(f"{path} is there already. Add this to it by hand:\n{host.text}")
    try:
        existing = json.loads(before)
    except ValueError:
        existing = None
    if not isinstance(existing, dict):
        raise CannotMergeError(f"{path} is not plain JSON (comments?). Add this to it by hand:\n{host.text}")
    return json.dumps(_added(cast("Json", existing), cast("Json", json.loads(host.text)), path), indent=2) + "\n"


def _added(existing: Json, ours: Json, path: Path) -> Json:
    """Objects are merged and lists added to; a server of our name is not replaced."""
    merged = dict(existing)
    for name, value in ours.items():
        old = merged.get(name)
        if name == KEY and old is not None and old != value:
            raise CannotMergeError(f"{path} has another server {KEY} already. Remove or rename that first.")
        if isinstance(old, dict) and isinstance(value, dict):
            merged[name] = _added(cast("Json", old), cast("Json", value), path)
        elif isinstance(old, list) and isinstance(value, list):
            known = cast("list[object]", old)
            merged[name] = [*known, *(item for item in cast("list[object]", value) if item not in known)]
        elif old is None:
            merged[name] = value
    return merged


def _free(path: Path) -> Path:
    number = 1
    while (backup := path.with_name(f"{path.name}.backup-{number}")).exists():
        number += 1
    return backup
