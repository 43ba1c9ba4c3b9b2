"""The words for the camera that prompts and requests may use: Luma's lists while it responds, else ours."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from luma_mcp.backends.base import CameraWords
from luma_mcp.domain.catalogue import CAMERA_MOTIONS, CONCEPTS
from luma_mcp.domain.errors import LumaError


@dataclass(frozen=True, slots=True)
class Words:
    """A list of words, and whether it came from Luma."""

    words: tuple[str, ...]
    from_luma: bool


class CameraVocabulary:
    """Asks Luma once and caches the response. Without a response the catalogue's list is used."""

    def __init__(self, backend: CameraWords) -> None:
        self._backend = backend
        self._cache: dict[str, Words] = {}

    async def concepts(self) -> Words:
        """The values of `concepts` of a video."""
        return await self._ask("concepts", self._backend.list_concepts, CONCEPTS)

    async def camera_motions(self) -> Words:
        """Words for the camera in a prompt, as in "camera orbit left"."""
        return await self._ask("camera motions", self._backend.list_camera_motions, CAMERA_MOTIONS)

    async def _ask(self, name: str, ask: Callable[[], Awaitable[tuple[str, ...]]], known: tuple[str, ...]) -> Words:
        if name not in self._cache:
            try:
                self._cache[name] = Words(await ask(), from_luma=True)
            except LumaError:
                return Words(known, from_luma=False)
        return self._cache[name]
