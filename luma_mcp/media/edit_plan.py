"""The plan of an edit: ranges of clips, the way that they join, and what is heard and drawn over them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from luma_mcp.media.captions import Caption
from luma_mcp.media.picture import Fit

EditFormat = Literal["mp4", "webm", "gif", "jpg", "png"]
Corner = Literal["bottom-right", "bottom-left", "top-right", "top-left", "center"]

MAX_CROSSFADE_SECONDS = 2.0
MIN_WIDTH, MAX_WIDTH = 64, 1920
MIN_SPEED, MAX_SPEED = 0.1, 10.0
MAX_CLIPS = 500
# The formats without sound, those of one picture, and those whose size can be limited.
SILENT_FORMATS = frozenset({"gif", "jpg", "png"})
STILL_FORMATS = frozenset({"jpg", "png"})


@dataclass(frozen=True, slots=True)
class ClipRange:
    """A range of a clip.

    Args:
        path: the clip.
        start: its first second.
        end: its last second; None for the end of the clip.
        speed: 2 is twice as fast.
        is_reversed: whether it runs backwards.
        volume: the volume of its own sound; 0 mutes it.
    """

    path: Path
    start: float = 0.0
    end: float | None = None
    speed: float = 1.0
    is_reversed: bool = False
    volume: float = 1.0

    @property
    def keeps_pictures(self) -> bool:
        """Return whether its pictures are those of the whole clip."""
        return not self.start and self.end is None and self.speed == 1 and not self.is_reversed


@dataclass(frozen=True, slots=True)
class Sound:
    """A sound file under the whole edit.

    Args:
        path: the file.
        volume: its volume; 1 leaves it as it is.
        fade_seconds: the length of its fade at the end of the edit.
        start: the second of the edit at which it starts.
        is_looped: whether it starts again at its end.
        is_ducked: whether it is quieter while the clips or other sounds are heard.
    """

    path: Path
    volume: float = 1.0
    fade_seconds: float = 1.0
    start: float = 0.0
    is_looped: bool = False
    is_ducked: bool = False


@dataclass(frozen=True, slots=True)
class Overlay:
    """A picture over the edit, such as a logo.

    Args:
        path: the picture.
        corner: its place.
        width: its width, as a share of that of the edit.
        opacity: 1 covers what is below.
        start: the second from which it is shown.
        end: the second until which it is shown; None for the end of the edit.
    """

    path: Path
    corner: Corner = "bottom-right"
    width: float = 0.15
    opacity: float = 1.0
    start: float = 0.0
    end: float | None = None


@dataclass(frozen=True, slots=True)
class Edit:
    """The plan of an edit.

    Args:
        ranges: the ranges of clips, in order.
        format: the format of the file; `jpg` and `png` are the first frame.
        crossfade_seconds: the length of the cross-fade between two ranges; 0 is a cut.
        fit: clips of another ratio get bars (`contain`), are cropped (`cover`), or lie on themselves (`blur`).
        width: the width of the file; None for that of the first clip.
        sounds: sound files that are mixed with the clips' own sound.
        fade_in_seconds: the length of the fade from black, and from silence, at the start.
        fade_out_seconds: that of the fade to black at the end.
        seconds: the length of the file: the clips are repeated, or cut; None for their own length.
        ratio: width and height of the picture, as 9 and 16; None for those of the first clip.
        bar_colour: red, green and blue of the bars, from 0 to 255.
        captions: the captions that are drawn into the pictures.
        overlays: pictures over the edit.
        rate: frames a second; None for those of the first clip.
        max_bytes: the size of the file at most.
    """

    ranges: tuple[ClipRange, ...]
    format: EditFormat = "mp4"
    crossfade_seconds: float = 0.0
    fit: Fit = "contain"
    width: int | None = None
    sounds: tuple[Sound, ...] = ()
    fade_in_seconds: float = 0.0
    fade_out_seconds: float = 0.0
    seconds: float | None = None
    ratio: tuple[float, float] | None = None
    bar_colour: tuple[int, int, int] = (0, 0, 0)
    captions: tuple[Caption, ...] = ()
    overlays: tuple[Overlay, ...] = ()
    rate: float | None = None
    max_bytes: int | None = None

    @property
    def keeps_pictures(self) -> bool:
        """Return whether the pictures of whole clips follow one another, so that they need not be encoded again."""
        changed = (
            self.crossfade_seconds, self.width, self.fade_in_seconds, self.fade_out_seconds, self.seconds, self.ratio,
            self.captions, self.overlays, self.rate,
        )  # fmt: skip
        return self.format == "mp4" and all(clip.keeps_pictures for clip in self.ranges) and not any(changed)

    @property
    def keeps_sound(self) -> bool:
        """Return whether the sound of the clips is heard as it is."""
        return not self.sounds and all(clip.volume == 1 for clip in self.ranges)
