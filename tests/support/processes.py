"""Other programs of this machine that a test starts and speaks to over HTTP."""

import socket
import ssl

import httpx

# httpx waits twice as long each time it connects anew: nine times make a minute.
_TIMES_CONNECTED_ANEW = 8


def free_port() -> int:
    with socket.socket() as item:
        item.bind(("127.0.0.1", 0))
        return item.getsockname()[1]


def once_it_listens(method: str, url: str, verify: ssl.SSLContext | bool = True) -> None:
    """Ask a program that was just started; it must answer well, and within a minute. Raises: httpx.HTTPError."""
    with httpx.Client(transport=httpx.HTTPTransport(retries=_TIMES_CONNECTED_ANEW, verify=verify)) as client:
        client.request(method, url).raise_for_status()
