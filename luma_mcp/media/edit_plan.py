"""The plan of an edit: ranges of clips, the way that they join, and the limits that the whole must keep."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, Self

from luma_mcp.domain.errors import FileError
from luma_mcp.media.colour import SDR, Colours
from luma_mcp.media.picture import Fit
from luma_mcp.media.probe import ClipDetails, ClipInfo

EditFormat = Literal["mp4", "webm", "gif", "jpg"]

MAX_CROSSFADE_SECONDS = 2.0
MIN_SECONDS = 0.1
MIN_WIDTH, MAX_WIDTH = 64, 1920
MAX_CLIPS = 500
MAX_WORK_SECONDS = 3600.0
_GIF_WIDTH, _GIF_FRAMES_PER_SECOND, _MAX_GIF_SECONDS = 480, 10, 30.0
_MIN_RATE, _MAX_RATE = Fraction(10), Fraction(60)
# The memory of the child: at 1080p decoder, filters and encoder need 450 MB in addition to the frames of a cross-fade.
MEMORY_BYTES = 1024**3
_MAX_HELD_BYTES = 160 * 1024**2
# The pixels that one slow core encodes in a second, by format; and those of HDR.
_PIXELS_PER_SECOND = {"mp4": 25e6, "webm": 12e6, "gif": 8e6, "jpg": 25e6}
_HDR_PIXELS_PER_SECOND = 5e6


@dataclass(frozen=True, slots=True)
class ClipRange:
    """A range of a clip, in seconds; to its end if it has none of its own."""

    path: Path
    start: float = 0.0
    end: float | None = None


@dataclass(frozen=True, slots=True)
class Sound:
    """A sound file under the whole edit.

    Args:
        path: the file.
        volume: its volume; 1 leaves it as it is.
        fade_seconds: the length of its fade at the end.
    """

    path: Path
    volume: float = 1.0
    fade_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class Edit:
    """The plan of an edit.

    Args:
        ranges: the ranges of clips, in order.
        format: the format of the file; `jpg` is the first frame.
        crossfade_seconds: the length of the cross-fade between two ranges; 0 is a cut.
        fit: clips of another ratio than the first get bars (`contain`), or are cropped (`cover`).
        width: the width of the file; None for that of the first clip.
        sound: a sound file that is mixed with the clips' own sound.
    """

    ranges: tuple[ClipRange, ...]
    format: EditFormat = "mp4"
    crossfade_seconds: float = 0.0
    fit: Fit = "contain"
    width: int | None = None
    sound: Sound | None = None

    @property
    def keeps_pictures(self) -> bool:
        """Return whether the pictures of whole clips follow one another, so that they need not be encoded again."""
        is_whole = all(not clip.start and clip.end is None for clip in self.ranges)
        return is_whole and self.format == "mp4" and not (self.crossfade_seconds or self.width)


@dataclass(frozen=True, slots=True)
class MeasuredRange:
    """A range of a measured clip.

    Args:
        path: the clip.
        clip: its measures.
        start: its first second, from the start of the clip.
        seconds: its length.
        frames: its length in frames of the new file.
    """

    path: Path
    clip: ClipDetails
    start: float
    seconds: float
    frames: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """An edit in frames of the new file.

    Args:
        ranges: the ranges, in order.
        rate: the frame rate of the new file.
        size: its width and height, both even, as encoders want them.
        crossfade_frames: the length of a cross-fade.
        colours: the colours of the new file; None for full-range RGB.
        format: the format of the new file.
    """

    ranges: tuple[MeasuredRange, ...]
    rate: Fraction
    size: tuple[int, int]
    crossfade_frames: int = 0
    colours: Colours | None = SDR
    format: EditFormat = "mp4"

    @classmethod
    def of(cls, plan: Edit, clips: Sequence[ClipDetails]) -> Self:
        """Measure an edit of clips. Raises: FileError, if the edit does not fit them or is too large."""
        rate = _rate(plan, clips)
        ranges = tuple(
            _measured(number, clip, details, rate)
            for number, (clip, details) in enumerate(zip(plan.ranges, clips, strict=True), 1)
        )
        fade = round(plan.crossfade_seconds * rate) if len(ranges) > 1 else 0
        timeline = cls(ranges, rate, _size(plan, clips[0].info), fade, _colours(plan.format, clips), plan.format)
        timeline._check_length()
        timeline._check_memory()
        return timeline

    @property
    def frames(self) -> int:
        """The length of the new file in frames."""
        return sum(clip.frames for clip in self.ranges) - self.crossfade_frames * (len(self.ranges) - 1)

    @property
    def seconds(self) -> float:
        """The length of the new file."""
        return float(self.frames / self.rate)

    @property
    def crossfade_seconds(self) -> float:
        """The length of a cross-fade."""
        return float(self.crossfade_frames / self.rate)

    @property
    def is_hdr(self) -> bool:
        """True if the new file has 10 bits and the curve of PQ or HLG."""
        return self.colours is not None and self.colours.is_hdr

    @property
    def pixel_format(self) -> str:
        """The format of its pictures in libav."""
        if self.colours is None:
            return "bgra" if self.format == "gif" else "rgb24"
        return "yuv420p10le" if self.is_hdr else "yuv420p"

    @property
    def work_seconds(self) -> float:
        """The time that the edit takes on a slow machine."""
        pixels = self.size[0] * self.size[1] * (1 if self.format == "jpg" else self.frames)
        return pixels / (_HDR_PIXELS_PER_SECOND if self.is_hdr else _PIXELS_PER_SECOND[self.format])

    def _check_length(self) -> None:
        """Raises: FileError, if the whole is too long, or a range too short for its cross-fades."""
        seconds = sum(clip.seconds for clip in self.ranges)
        if self.format == "gif" and seconds > _MAX_GIF_SECONDS:
            raise FileError(
                f"This is {seconds:.0f} s long; a gif may have {_MAX_GIF_SECONDS:.0f} s.", "Name shorter parts."
            )
        if self.work_seconds > MAX_WORK_SECONDS:
            raise FileError(
                f"This edit of {seconds:.0f} s at {self.size[0]}x{self.size[1]} may take {self.work_seconds / 60:.0f} "
                f"minutes; an edit may take {MAX_WORK_SECONDS / 60:.0f}.",
                "Nothing was written. Name shorter parts or a smaller width; whole equal clips are only copied.",
            )
        for number, clip in enumerate(self.ranges, start=1):
            if clip.frames < 2 * self.crossfade_frames:
                raise FileError(
                    f"Clip {number} has {clip.seconds:.2f} s here, too little for cross-fades of "
                    f"{self.crossfade_seconds:.2f} s.",
                    "Nothing was written. Name a shorter cross-fade or a longer part.",
                )

    def _check_memory(self) -> None:
        """Raises: FileError, if the frames of a cross-fade would need more memory than the child has for them."""
        width, height = self.size
        pixel_bytes = {"bgra": 4.0, "rgb24": 3.0, "yuv420p10le": 3.0, "yuv420p": 1.5}[self.pixel_format]
        most = int(_MAX_HELD_BYTES / (width * height * pixel_bytes))
        if self.crossfade_frames > most:
            raise FileError(
                f"Cross-fades of {self.crossfade_seconds:.2f} s are too long for {width}x{height} at "
                f"{float(self.rate):g} frames a second.",
                f"At most {float(most / self.rate):.1f} s fit, or a smaller width.",
            )


def _rate(plan: Edit, clips: Sequence[ClipDetails]) -> Fraction:
    """Return the rate of the new file: that of the first clip that moves."""
    if plan.format == "gif":
        return Fraction(_GIF_FRAMES_PER_SECOND)
    moving = next((clip for clip in clips if clip.info.frames > 1), clips[0])
    return min(max(moving.rate, _MIN_RATE), _MAX_RATE)


def _measured(number: int, clip: ClipRange, details: ClipDetails, rate: Fraction) -> MeasuredRange:
    """Raises: FileError, if the clip is not so long."""
    length = float(details.seconds)
    if details.is_still and clip.end is not None:
        length = clip.end
    # Times are shown and typed with two digits, and a clip may have one frame less than its name says.
    end = length if clip.end is None else min(clip.end, length)
    seconds = end - clip.start
    if seconds < min(MIN_SECONDS, length):
        raise FileError(
            f"Clip {number} is {length:.2f} s long, so there is nothing between {clip.start:g} s and {end:g} s.",
            "Nothing was written. Name times inside the clip.",
        )
    return MeasuredRange(clip.path, details, clip.start, seconds, max(1, round(seconds * rate)))


def _size(plan: Edit, first: ClipInfo) -> tuple[int, int]:
    width = plan.width or min(first.width, _GIF_WIDTH if plan.format == "gif" else MAX_WIDTH)
    return max(2, width // 2 * 2), max(2, round(first.height * width / first.width / 2) * 2)


def _colours(edit_format: EditFormat, clips: Sequence[ClipDetails]) -> Colours | None:
    """Return the colours of the new file: HDR where all clips are HDR of the same curve and the format can hold it."""
    if edit_format in ("gif", "jpg"):
        return None
    first = clips[0].colours
    if not first.is_hdr:
        return first.encoded
    has_one_transfer = edit_format == "mp4" and all(clip.colours.transfer == first.transfer for clip in clips)
    return first.encoded if has_one_transfer else SDR
