"""The two APIs of Luma, as benchmarks buy a picture at each."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Api:
    """One of Luma's APIs.

    Args:
        name: what the tables call it.
        prefix: begins the marks of its tables in docs/speed.md.
        token: a key of it.
        model: the model of a picture.
        path: where a picture is bought, below the address of the host.
    """

    name: str
    prefix: str
    token: str
    model: str
    path: str


APIS = (
    Api("Dream Machine", "", "x", "photon-1", "/dream-machine/v1/generations/image"),
    Api("Agents API", "agents-", "luma-api-x", "uni-1", "/v1/generations"),
)
