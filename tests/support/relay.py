"""A relay of TCP in front of a server, which can stop to pass anything on, as a server that hangs does."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress


class Relay:
    """Passes bytes on until it hangs. Connections are accepted either way.

    Args:
        server: host and port of the server.
    """

    def __init__(self, server: tuple[str, int]) -> None:
        self._server = server
        self._is_open = threading.Event()
        self._is_open.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets = [self._listener]
        self._threads: list[threading.Thread] = []
        self.port: int = self._listener.getsockname()[1]

    def hang(self) -> None:
        """Pass nothing on from now on."""
        self._is_open.clear()

    def go_on(self) -> None:
        """Pass everything on again, also what came meanwhile."""
        self._is_open.set()

    def start(self) -> None:
        self._start(self._accept)

    def stop(self) -> None:
        self._is_open.set()
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for each in self._sockets:
            each.close()

    def _start(self, work, *arguments: socket.socket) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._server)
                self._sockets += [near, far]
                self._start(self._pass, near, far)
                self._start(self._pass, far, near)

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError), ExitStack() as ends:
            ends.callback(target.shutdown, socket.SHUT_RDWR)
            while block := source.recv(65_536):
                self._is_open.wait()
                target.sendall(block)


@contextmanager
def relay_to(host: str, port: int) -> Iterator[Relay]:
    """A relay in front of a server, which ends with the block."""
    relay = Relay((host, port))
    relay.start()
    try:
        yield relay
    finally:
        relay.stop()
