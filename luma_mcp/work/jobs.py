"""Jobs: work that continues with no client connected.

A job is a name and a key, such as `film` and the id of a film. The ledger decides what a job does, so that running one
twice, at once, or late does no harm, and a job that is lost is found again: each kind of job lists the keys for which
there is something to do.

A runner runs the jobs: `in_process` in the serving process, `procrastinate_runner` in any number of processes that
share a database.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

Run = Callable[[str], Awaitable[float | None]]
"""Runs a job for a key. It returns the seconds until there is more to do for that key, or None if there is nothing."""
Find = Callable[[], Awaitable[Iterable[str]]]
"""Lists the keys for which there is something to do, by the ledger."""

RETRY_SECONDS = 30.0
"""The time until a job that failed runs again."""
SWEEP_SECONDS = 60.0
"""The time between two searches for what there is to do."""


@dataclass(frozen=True, slots=True)
class JobKind:
    """A kind of job.

    Args:
        name: its name, such as `film`.
        run: runs it for a key. An error is logged, and it runs again later.
        find: lists the keys for which there is something to do.
    """

    name: str
    run: Run
    find: Find


class Jobs:
    """The kinds of jobs of a server."""

    def __init__(self, *kinds: JobKind) -> None:
        self._kinds: dict[str, JobKind] = {}
        for kind in kinds:
            self.add(kind)

    def add(self, kind: JobKind) -> None:
        """Add a kind of job, before any runner runs. Raises: ValueError, if there is one of that name."""
        if kind.name in self._kinds:
            raise ValueError(f"there is a job {kind.name} already")
        self._kinds[kind.name] = kind

    @property
    def kinds(self) -> tuple[JobKind, ...]:
        """The kinds of jobs."""
        return tuple(self._kinds.values())

    def kind(self, name: str) -> JobKind:
        """The kind of that name. Raises: KeyError."""
        return self._kinds[name]


class Runner(Protocol):
    """Runs jobs."""

    async def start(self, name: str, key: str, *, after_seconds: float = 0.0) -> None:
        """Run a job soon. If it cannot be recorded now, the next search finds it. It raises nothing."""
        ...

    async def run(self) -> None:
        """Run jobs until this is cancelled."""
        ...


class NoRunner:
    """Runs nothing, for a process that ends with its one call: a server with the same ledger does."""

    async def start(self, name: str, key: str, *, after_seconds: float = 0.0) -> None:
        """Run nothing."""

    async def run(self) -> None:
        """Return at once."""
