"""Work that takes longer than a client waits, such as an edit.

It goes on when its client gives up. A client that asks again joins the work that runs, so that it is done once, however
often clients time out.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar, cast

import anyio
from anyio.abc import TaskGroup

T = TypeVar("T")
OnProgress = Callable[[int, int | None], Awaitable[None]]
"""Receives what is done, and the whole, if that is known."""
Work = Callable[[OnProgress], Awaitable[T]]
"""Does the work, and reports its progress. Raises: LumaError."""

_REPORT_EVERY_SECONDS = 1.0


class Running(Generic[T]):
    """Work that runs."""

    def __init__(self) -> None:
        self._wake = anyio.Event()
        self._progress: tuple[int, int | None] = (0, None)
        self._result: T | None = None
        self._error: Exception | None = None

    @property
    def progress(self) -> tuple[int, int | None]:
        """The work that is done, and the whole, if that is known."""
        return self._progress

    async def run(self, work: Work[T]) -> None:
        """Do it. An error is raised by `wait`."""

        async def on_progress(done: int, whole: int | None) -> None:
            self._progress = done, whole

        try:
            self._result = await work(on_progress)
        except Exception as error:  # noqa: BLE001 - raised again below, or it would come out as a group
            self._error = error
        finally:
            self._wake.set()

    def end_waits(self) -> None:
        """End every wait for it at once."""
        self._wake.set()

    async def wait(self, seconds: float, on_progress: OnProgress) -> T | None:
        """The result; None if the work is not done within so many seconds.

        Args:
            seconds: how long at most.
            on_progress: called every second with what is done, and the whole.

        Raises:
            LumaError: it cannot be done.
        """
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._report, on_progress)
            with anyio.move_on_after(seconds):
                await self._wake.wait()
            if not self._wake.is_set():
                tasks.cancel_scope.cancel()
        if self._error is not None:
            raise self._error
        return self._result

    async def _report(self, on_progress: OnProgress) -> None:
        """Report until it is over."""
        while not self._wake.is_set():
            with anyio.move_on_after(_REPORT_EVERY_SECONDS):
                await self._wake.wait()
            await on_progress(*self._progress)


class Background(Generic[T]):
    """The work of one kind that runs in a server."""

    def __init__(self) -> None:
        self._is_ending = False
        self._tasks: TaskGroup | None = None
        self._running: dict[tuple[str, str], Running[T]] = {}

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Work while this is entered. What is not complete at its end leaves no files behind."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            try:
                yield
            finally:
                self._tasks = None
                tasks.cancel_scope.cancel()

    def start(self, folder: str, name: str, work: Work[T]) -> Running[T]:
        """Start work into a folder, or join the one of this name that runs already."""
        key = (folder, name)
        if key not in self._running:
            running = self._running[key] = Running[T]()
            if self._is_ending:
                running.end_waits()
            cast("TaskGroup", self._tasks).start_soon(self._run, key, running, work)
        return self._running[key]

    def end_waits(self) -> None:
        """End every wait at once: the server is about to stop."""
        self._is_ending = True
        for running in self._running.values():
            running.end_waits()

    async def _run(self, key: tuple[str, str], running: Running[T], work: Work[T]) -> None:
        try:
            await running.run(work)
        finally:
            # What is complete is recognised by its sidecar.
            del self._running[key]
