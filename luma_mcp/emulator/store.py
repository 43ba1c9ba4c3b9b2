"""The generations of an emulated account, by id, oldest first."""

from typing import Protocol, TypeVar

from luma_mcp.emulator.lifecycle import Ended, Lifecycle


class Work(Protocol):
    """A generation, as far as both APIs agree. `ended` is None while it runs."""

    id: str
    began_at: float
    ended: Ended | None

    @property
    def lifecycle(self) -> Lifecycle: ...


W = TypeVar("W", bound=Work)


class UnknownGenerationError(Exception):
    """No generation has that id."""


class GenerationStore(dict[str, W]):
    """Generations by id. One that is deleted can still be read by those who hold a link to its files."""

    def __init__(self) -> None:
        super().__init__()
        self._deleted: dict[str, W] = {}

    def add(self, generation: W) -> None:
        self[generation.id] = generation

    def find(self, generation_id: str) -> W:
        """Raises: UnknownGenerationError."""
        if generation_id not in self:
            raise UnknownGenerationError(generation_id)
        return self[generation_id]

    def delete(self, generation_id: str) -> None:
        """Raises: UnknownGenerationError."""
        self._deleted[generation_id] = self.find(generation_id)
        del self[generation_id]

    def behind_link(self, generation_id: str) -> W | None:
        """The generation behind a link to one of its files, also a deleted one."""
        return self._deleted.get(generation_id) or self.get(generation_id)

    def running(self) -> list[W]:
        """The generations that are not over."""
        return [generation for generation in self.values() if generation.ended is None]
