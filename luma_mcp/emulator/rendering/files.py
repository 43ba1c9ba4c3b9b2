"""Files that are rendered when they are first asked for, one at a time in a worker thread, and kept."""

import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import anyio.to_thread


class RenderedFiles:
    """A temporary folder that is deleted on closing."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._locks: dict[Path, anyio.Lock] = {}
        self._limiter = anyio.CapacityLimiter(1)

    def close(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    async def get(self, name: str, make: Callable[[Path], Awaitable[None]]) -> Path:
        """The file of that name; `make` writes it if it is not there yet."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="dream-machine-emulator-"))
        target = self._folder / name
        async with self._locks.setdefault(target, anyio.Lock()):
            if not target.exists():
                await make(target)
        return target

    async def render(self, draw: Callable[[], None]) -> None:
        """Do some drawing in the worker thread."""
        await anyio.to_thread.run_sync(draw, limiter=self._limiter)
