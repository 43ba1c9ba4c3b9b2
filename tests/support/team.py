"""Several replicas of our server behind nginx with TLS, as they are deployed: real processes, all on loopback."""

import os
import shutil
import signal
import ssl
import subprocess
import sys
from collections import Counter
from pathlib import Path

import trustme

from tests.support.agent import TOKEN
from tests.support.processes import free_port, once_it_listens

KEY = "Wm4xT8vKc2LrQ9pZ"
CONFIGURATION = Path(__file__).parent.parent.parent / "manifests" / "deploy" / "nginx.conf"


class Team:
    """Replicas and their balancer.

    Args:
        folder: for the files of the programs.
        base_url: where Luma is.
        database: the ledger.
        environment: of the replicas beside; `{front}` in a value is the balancer's port.
    """

    def __init__(self, folder: Path, base_url: str, database: str, **environment: str) -> None:
        self.ports = [free_port() for _ in range(3)]
        self.front = free_port()
        variables = {
            "LUMA_TOKEN": TOKEN,
            "LUMA_BASE_URL": base_url,
            "LUMA_LEDGER": database,
            "LUMA_HTTP_TOKENS": KEY,
            "LUMA_LOG_LEVEL": "INFO",
            "LUMA_OUTPUT_DIR": str(folder / "files"),
            **{name: value.format(front=self.front) for name, value in environment.items()},
        }
        self.logs = [folder / f"replica-{port}" for port in self.ports]
        self.replicas = [self._replica(port, log, variables) for port, log in zip(self.ports, self.logs, strict=True)]
        self.nginx = self._nginx(folder)

    def _replica(self, port: int, log: Path, variables: dict[str, str]) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "luma_mcp", "serve", "--http", "--port", str(port)]
        with log.open("w") as out:
            return subprocess.Popen(command, env={**os.environ, **variables}, stderr=out, stdout=out)

    def _nginx(self, folder: Path) -> "subprocess.Popen[bytes]":
        """The very configuration that is shipped, with the addresses of this test."""
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        assert Path(program).exists(), "These tests need nginx: apt-get install nginx"
        text = CONFIGURATION.read_text().replace("listen 8443", f"listen 127.0.0.1:{self.front}")
        certificate = trustme.CA()
        certificate.cert_pem.write_to_path(folder / "ca.pem")
        mine = certificate.issue_cert("localhost")
        mine.private_key_pem.write_to_path(folder / "tls.key")
        mine.cert_chain_pems[0].write_to_path(folder / "tls.crt")
        text = text.replace("/etc/nginx/tls", str(folder))
        self.trust = ssl.create_default_context(cafile=folder / "ca.pem")
        for number, port in enumerate(self.ports, start=1):
            text = text.replace(f"luma-{number}:8080", f"127.0.0.1:{port}")
        places = "".join(
            f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        main = f"daemon off; pid {folder}/pid; error_log {folder}/error; events {{}}"
        (folder / "nginx.conf").write_text(f"{main} http {{ access_log off; {places}\n{text}}}")
        return subprocess.Popen([program, "-c", str(folder / "nginx.conf"), "-p", str(folder)])

    @property
    def url(self) -> str:
        return f"https://localhost:{self.front}/mcp"

    def url_of(self, number: int) -> str:
        return f"http://127.0.0.1:{self.ports[number]}/mcp"

    def wait_until_there(self) -> None:
        for port in self.ports:
            once_it_listens("GET", f"http://127.0.0.1:{port}/healthz")
        once_it_listens("GET", f"https://localhost:{self.front}/healthz", verify=self.trust)

    def kill(self, number: int) -> None:
        self.replicas[number].send_signal(signal.SIGKILL)
        self.replicas[number].wait(10)

    def end(self) -> None:
        for item in (*self.replicas, self.nginx):
            if item.poll() is None:
                item.terminate()
        for item in (*self.replicas, self.nginx):
            item.wait(20)

    def share(self) -> Counter[int]:
        """How many calls each replica has answered."""
        return Counter({n: log.read_text().count('"path": "/mcp"') for n, log in enumerate(self.logs)})
