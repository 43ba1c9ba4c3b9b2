"""A PostgreSQL of the tests' own on loopback, which goes away with them. Debian: apt-get install postgresql."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import free_port


def _programs() -> Path:
    places = [
        *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True),
        Path(shutil.which("initdb") or "/").parent,
    ]
    found = [place for place in places if (place / "initdb").exists()]
    assert found, "These tests need PostgreSQL: apt-get install postgresql"
    return found[0]


@contextmanager
def running() -> Iterator[str]:
    """Its address, without the name of a database."""
    programs, port = _programs(), free_port()
    folder = Path(tempfile.mkdtemp(prefix="ledger-"))
    # PostgreSQL refuses to run as root.
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if as_user:
        shutil.chown(folder, "postgres")
    settings = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories= -c fsync=off"
    data = str(folder / "data")
    control = [*as_user, str(programs / "pg_ctl"), "-D", data, "-w", "-s"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    password = folder / "password"
    password.write_text("the-ledger-s-own-password")
    initdb = [*as_user, str(programs / "initdb"), "-D", data, "-U", "me", f"--pwfile={password}", "-A", "scram-sha-256"]
    password.chmod(0o644)
    subprocess.run(initdb, check=True, **quiet)
    subprocess.run([*control, "-l", str(folder / "log"), "-o", settings, "start"], check=True, **quiet)
    try:
        yield f"postgresql://me:the-ledger-s-own-password@127.0.0.1:{port}"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=False, **quiet)
        shutil.rmtree(folder, ignore_errors=True)
