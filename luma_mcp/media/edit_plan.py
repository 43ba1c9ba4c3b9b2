"""What is made of clips: the parts, how they join, and the limits that the whole must keep."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from luma_mcp.domain.errors import FileError
from luma_mcp.media.probe import ClipInfo

Form = Literal["mp4", "webm", "gif", "jpg"]
Fit = Literal["contain", "cover"]

MAX_SECONDS = 300.0
MAX_CROSSFADE_SECONDS = 2.0
SHORTEST_SECONDS = 0.1
MIN_WIDTH, MAX_WIDTH = 64, 1920
_GIF_WIDTH, _GIF_FRAMES_PER_SECOND, _GIF_SECONDS = 480, 10, 30.0
_FRAMES_PER_SECOND = (10, 60)
# What the child may have: at 1080p decoder, filters and encoder need 450 MB in addition to the frames of a cross-fade.
MEMORY_BYTES = 1024**3
_MOST_KEPT_BYTES = 160 * 1024**2


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of a clip, in seconds; to its end without one."""

    path: Path
    begin: float = 0.0
    end: float | None = None


@dataclass(frozen=True, slots=True)
class Sound:
    """A sound file under everything.

    Args:
        path: the file.
        volume: 1 is as loud as it is.
        fade_seconds: over how long it fades out at the end.
    """

    path: Path
    volume: float = 1.0
    fade_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class Edit:
    """What is made of clips.

    Args:
        cuts: the parts, in order.
        form: the format of the file; `jpg` is the first frame.
        crossfade_seconds: how long one goes over into the next; 0 is a cut.
        fit: clips of another ratio than the first get bars (`contain`), or lose what stands out (`cover`).
        width: of the file; that of the first clip without one.
        sound: a sound file that is mixed with the clips' own sound.
    """

    cuts: tuple[Cut, ...]
    form: Form = "mp4"
    crossfade_seconds: float = 0.0
    fit: Fit = "contain"
    width: int | None = None
    sound: Sound | None = None

    @property
    def is_plain(self) -> bool:
        """Whether nothing is done with the clips but to put them one after the other."""
        is_whole = all(not cut.begin and cut.end is None for cut in self.cuts)
        return is_whole and self.form == "mp4" and not (self.crossfade_seconds or self.width or self.sound)


@dataclass(frozen=True, slots=True)
class Part:
    """A cut, measured: it begins at a second of its clip and has so many frames of the new file."""

    path: Path
    info: ClipInfo
    begin: float
    seconds: float
    frames: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """An edit in frames of the new file.

    Args:
        parts: the cuts, in order.
        frames_per_second: of the new file.
        size: its width and height, both even, as encoders want them.
        crossfade_frames: for how many frames a part goes over into the next.
    """

    parts: tuple[Part, ...]
    frames_per_second: int
    size: tuple[int, int]
    crossfade_frames: int

    @classmethod
    def of(cls, plan: Edit, clips: Sequence[ClipInfo]) -> Self:
        """Measure an edit of clips. Raises: FileError, if the edit does not fit them or is too large."""
        rate = _frames_per_second(plan, clips[0])
        parts = tuple(
            _part(number, cut, clip, rate) for number, (cut, clip) in enumerate(zip(plan.cuts, clips, strict=True), 1)
        )
        fade = round(plan.crossfade_seconds * rate) if len(parts) > 1 else 0
        timeline = cls(parts, rate, _size(plan, clips[0]), fade)
        timeline._check_length(plan.form)
        timeline._check_memory()
        return timeline

    @property
    def crossfade_seconds(self) -> float:
        """How long a part goes over into the next."""
        return self.crossfade_frames / self.frames_per_second

    @property
    def seconds(self) -> float:
        """The length of the new file."""
        frames = sum(part.frames for part in self.parts) - self.crossfade_frames * (len(self.parts) - 1)
        return frames / self.frames_per_second

    def _check_length(self, form: Form) -> None:
        """Raises: FileError, if the whole is too long, or a part too short for its cross-fades."""
        seconds = sum(part.seconds for part in self.parts)
        most = _GIF_SECONDS if form == "gif" else MAX_SECONDS
        if form != "jpg" and seconds > most:
            raise FileError(f"This is {seconds:.0f} s long; {form} may have {most:.0f} s.", "Name shorter parts.")
        for number, part in enumerate(self.parts, start=1):
            if part.frames < 2 * self.crossfade_frames:
                raise FileError(
                    f"Clip {number} has {part.seconds:.2f} s here, too little for cross-fades of "
                    f"{self.crossfade_seconds:.2f} s.",
                    "Nothing was written. Take a shorter cross-fade or a longer part.",
                )

    def _check_memory(self) -> None:
        """Raises: FileError, if the frames of a cross-fade would need more memory than the child has for them."""
        width, height = self.size
        rate = self.frames_per_second
        most = int(_MOST_KEPT_BYTES / (width * height * 1.5))
        if self.crossfade_frames > most:
            raise FileError(
                f"Cross-fades of {self.crossfade_seconds:.2f} s are too long for {width}x{height} at {rate} frames a "
                "second.",
                f"Take {most / rate:.1f} s at most, or a smaller width.",
            )


def _frames_per_second(plan: Edit, first: ClipInfo) -> int:
    if plan.form == "gif":
        return _GIF_FRAMES_PER_SECOND
    least, most = _FRAMES_PER_SECOND
    return min(max(round(first.frames_per_second), least), most)


def _part(number: int, cut: Cut, clip: ClipInfo, rate: int) -> Part:
    """Raises: FileError, if the clip is not so long."""
    # Times are shown and typed with two digits, and a clip may have one frame less than its name says.
    end = clip.seconds if cut.end is None else min(cut.end, clip.seconds)
    seconds = end - cut.begin
    if seconds < SHORTEST_SECONDS:
        raise FileError(
            f"Clip {number} is {clip.seconds:.2f} s long, so there is nothing between {cut.begin:g} s and {end:g} s.",
            "Nothing was written. Name times inside the clip.",
        )
    return Part(cut.path, clip, cut.begin, seconds, max(1, round(seconds * rate)))


def _size(plan: Edit, first: ClipInfo) -> tuple[int, int]:
    width = plan.width or min(first.width, _GIF_WIDTH if plan.form == "gif" else MAX_WIDTH)
    return max(2, width // 2 * 2), max(2, round(first.height * width / first.width / 2) * 2)
