"""The words for the camera that prompts and requests may use: asked of Luma once, with our own to fall back on."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from luma_mcp.luma.client import LumaClient
from luma_mcp.luma.errors import LumaError

# docs.lumalabs.ai/changelog/concepts, in the API's order.
KNOWN_CONCEPTS = (
    "truck_left", "pan_right", "pedestal_down", "low_angle", "pedestal_up", "selfie", "pan_left", "roll_right",
    "zoom_in", "over_the_shoulder", "orbit_right", "orbit_left", "static", "tiny_planet", "high_angle", "bolt_cam",
    "dolly_zoom", "overhead", "zoom_out", "handheld", "roll_left", "pov", "aerial_drone", "push_in", "crane_down",
    "truck_right", "tilt_down", "elevator_doors", "tilt_up", "ground_level", "pull_out", "aerial", "crane_up",
    "eye_level",
)  # fmt: skip
# The list of an endpoint that left the API's description in April 2025 and may no longer answer.
KNOWN_CAMERA_MOTIONS = (
    "Static", "Move Left", "Move Right", "Move Up", "Move Down", "Push In", "Pull Out", "Zoom In", "Zoom Out",
    "Pan Left", "Pan Right", "Orbit Left", "Orbit Right", "Crane Up", "Crane Down",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Words:
    """A list of words, and whether Luma gave it just now."""

    words: tuple[str, ...]
    from_luma: bool


class Vocabulary:
    """Luma's own lists while it answers, ours when it does not: a list of words is no reason to fail."""

    def __init__(self, luma: LumaClient) -> None:
        self._luma = luma
        self._heard: dict[str, Words] = {}

    async def concepts(self) -> Words:
        """What `concepts` of a video takes."""
        return await self._ask("concepts", self._luma.list_concepts, KNOWN_CONCEPTS)

    async def camera_motions(self) -> Words:
        """What a prompt may say of the camera, as in "camera orbit left"."""
        return await self._ask("camera motions", self._luma.list_camera_motions, KNOWN_CAMERA_MOTIONS)

    async def _ask(self, name: str, ask: Callable[[], Awaitable[tuple[str, ...]]], known: tuple[str, ...]) -> Words:
        if name not in self._heard:
            try:
                self._heard[name] = Words(await ask(), from_luma=True)
            except LumaError:
                return Words(known, from_luma=False)
        return self._heard[name]
