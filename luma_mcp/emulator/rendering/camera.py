"""The pose of the camera at each moment of a clip.

A pose says which part of a picture is in the frame. A concept is a move from one pose to another; several concepts add
up. A clip that must begin or end on a given picture starts or ends at `WHOLE`, the pose that shows it all.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image


@dataclass(frozen=True)
class Pose:
    """x and y move the centre, in parts of the picture's width and height; zoom 1 shows it all; angle in degrees."""

    x: float = 0
    y: float = 0
    zoom: float = 1
    angle: float = 0

    def __add__(self, other: "Pose") -> "Pose":
        return Pose(self.x + other.x, self.y + other.y, self.zoom * other.zoom, self.angle + other.angle)

    def toward(self, other: "Pose", fraction: float) -> "Pose":
        """The pose a part of the way to another; zoom moves evenly to the eye, so by ratio."""
        return Pose(
            self.x + (other.x - self.x) * fraction,
            self.y + (other.y - self.y) * fraction,
            self.zoom * (other.zoom / self.zoom) ** fraction,
            self.angle + (other.angle - self.angle) * fraction,
        )


WHOLE = Pose()
# What is drawn for a scene is so much larger than the frame, that the camera has somewhere to go.
ROOM = Pose(zoom=1.35)
Move = tuple[Pose, Pose]
Path = Callable[[float], Pose]

_LEFT, _RIGHT, _UP, _DOWN = Pose(x=-0.13), Pose(x=0.13), Pose(y=-0.13), Pose(y=0.13)
_FAR, _NEAR, _CLOSE = Pose(zoom=1.0), Pose(zoom=1.5), Pose(zoom=2.2)
_STILL: Move = (WHOLE, WHOLE)

MOVES: dict[str, Move] = {
    "static": _STILL,
    "eye_level": _STILL,
    "over_the_shoulder": _STILL,
    "selfie": _STILL,
    "pov": (_FAR, Pose(zoom=1.25)),
    "low_angle": (Pose(y=0.08), Pose(y=0.08)),
    "ground_level": (Pose(y=0.12), Pose(y=0.12)),
    "high_angle": (Pose(y=-0.08), Pose(y=-0.08)),
    "overhead": (Pose(y=-0.12), Pose(y=-0.12)),
    "handheld": _STILL,
    "move_left": (_RIGHT, _LEFT),
    "move_right": (_LEFT, _RIGHT),
    "move_up": (_DOWN, _UP),
    "move_down": (_UP, _DOWN),
    "pan_left": (_RIGHT, _LEFT),
    "pan_right": (_LEFT, _RIGHT),
    "truck_left": (_RIGHT, _LEFT),
    "truck_right": (_LEFT, _RIGHT),
    "tilt_up": (_DOWN, _UP),
    "tilt_down": (_UP, _DOWN),
    "pedestal_up": (_DOWN, _UP),
    "pedestal_down": (_UP, _DOWN),
    "crane_up": (_DOWN + Pose(zoom=1.2), _UP),
    "crane_down": (_UP, _DOWN + Pose(zoom=1.2)),
    "orbit_left": (_RIGHT + Pose(zoom=1.4, angle=-5), _LEFT + Pose(zoom=1.4, angle=5)),
    "orbit_right": (_LEFT + Pose(zoom=1.4, angle=5), _RIGHT + Pose(zoom=1.4, angle=-5)),
    "roll_left": (Pose(zoom=1.5), Pose(zoom=1.5, angle=20)),
    "roll_right": (Pose(zoom=1.5), Pose(zoom=1.5, angle=-20)),
    "zoom_in": (_FAR, _NEAR),
    "push_in": (_FAR, _NEAR),
    "bolt_cam": (_FAR, _CLOSE),
    "dolly_zoom": (_FAR, _NEAR),
    "elevator_doors": (_NEAR, _FAR),
    "zoom_out": (_NEAR, _FAR),
    "pull_out": (_NEAR, _FAR),
    "aerial": (_UP, _UP + Pose(x=0.06)),
    "aerial_drone": (_UP + _LEFT, _UP + _RIGHT + Pose(zoom=1.2)),
    "tiny_planet": (Pose(zoom=2, angle=-25), Pose(zoom=2, angle=25)),
}
_GENTLE: Move = (_FAR, Pose(zoom=1.12))


def moves_of(concepts: Sequence[str], prompt: str | None) -> list[str]:
    """The moves asked for: the concepts, or else the camera motions that the prompt names."""
    if concepts:
        return [concept for concept in concepts if concept in MOVES]
    text = (prompt or "").lower()
    return [move for move in MOVES if "_" in move and move.replace("_", " ") in text]


def path(moves: Sequence[str], *, from_whole: bool, to_whole: bool, loop: bool) -> Path:
    """The pose at each moment, for moments from 0 to 1.

    A clip that continues a picture starts `from_whole`; one that ends on a picture goes `to_whole`.
    """
    start, end = _GENTLE if not moves else (WHOLE, WHOLE)
    for move in moves:
        start, end = start + MOVES[move][0], end + MOVES[move][1]
    shaking = "handheld" in moves
    there_and_back = loop or (from_whole and to_whole)
    if from_whole:
        start, end = WHOLE, end if end == WHOLE else end + ROOM
    elif to_whole:
        start, end = start if start == WHOLE else start + ROOM, WHOLE
    else:
        start, end = start + ROOM, end + ROOM

    def pose(moment: float) -> Pose:
        fraction = math.sin(math.pi * moment) ** 2 if there_and_back else _eased(moment)
        shake = math.sin(math.pi * moment) if shaking else 0
        tremor = Pose(0.006 * shake * math.sin(31 * moment), 0.006 * shake * math.sin(43 * moment + 1))
        return start.toward(end, fraction) + tremor

    return pose


def _eased(moment: float) -> float:
    """Starts and stops softly: a camera has weight."""
    return moment * moment * (3 - 2 * moment) * 0.5 + moment * 0.5


def shoot(picture: Image.Image, pose: Pose, size: tuple[int, int]) -> Image.Image:
    """Render a picture as the camera sees it from a pose."""
    width, height = picture.size
    zoom = max(pose.zoom, _zoom_that_hides_corners(pose.angle, width / height))
    view_width, view_height = width / zoom, height / zoom
    turn = math.radians(pose.angle)
    # Half of the upright box around what is seen, which lies askew when the camera rolls.
    reach_x = (view_width * math.cos(turn) + view_height * abs(math.sin(turn))) / 2
    reach_y = (view_width * abs(math.sin(turn)) + view_height * math.cos(turn)) / 2
    centre_x = _between(reach_x, width / 2 + pose.x * width, width - reach_x)
    centre_y = _between(reach_y, height / 2 + pose.y * height, height - reach_y)
    if abs(pose.angle) < 0.01:
        left, top = max(centre_x - view_width / 2, 0), max(centre_y - view_height / 2, 0)
        box = (left, top, min(left + view_width, width), min(top + view_height, height))
        return picture.resize(size, Image.Resampling.BILINEAR, box=box)
    across, down = view_width / size[0], view_height / size[1]
    half_x, half_y = size[0] / 2, size[1] / 2
    a, b = math.cos(turn) * across, -math.sin(turn) * down
    d, e = math.sin(turn) * across, math.cos(turn) * down
    matrix = (a, b, centre_x - a * half_x - b * half_y, d, e, centre_y - d * half_x - e * half_y)
    return picture.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)


def _between(least: float, value: float, most: float) -> float:
    return min(max(value, least), max(least, most))


def _zoom_that_hides_corners(angle: float, ratio: float) -> float:
    turn = math.radians(abs(angle))
    return math.cos(turn) + math.sin(turn) * max(ratio, 1 / ratio)
