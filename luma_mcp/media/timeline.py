"""An edit in frames of the new file, and the limits that the whole must keep."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import cycle, islice
from pathlib import Path
from typing import Self

from luma_mcp.domain.errors import FileError
from luma_mcp.media.colour import SDR, Colours
from luma_mcp.media.edit_plan import MAX_WIDTH, STILL_FORMATS, ClipRange, Edit, EditFormat
from luma_mcp.media.probe import ClipDetails, ClipInfo

MIN_SECONDS = 0.1
MAX_WORK_SECONDS = 3600.0
_GIF_WIDTH, _GIF_FRAMES_PER_SECOND, _MAX_GIF_SECONDS = 480, 10, 30.0
_MIN_RATE, _MAX_RATE = Fraction(10), Fraction(60)
# Nothing is repeated more often than this for a length.
_MAX_RANGES = 5000
# The memory of the child: at 1080p decoder, filters and encoder need 450 MB in addition to the frames that are held.
MEMORY_BYTES = 1024**3
_MAX_HELD_BYTES = 160 * 1024**2
# Sound that runs backwards is held whole: two channels of 32 bits.
_SOUND_BYTES_PER_SECOND = 48_000 * 8
# The pixels that one slow core encodes in a second, by format; and those of HDR.
_PIXELS_PER_SECOND = {"mp4": 25e6, "webm": 12e6, "gif": 8e6, "jpg": 25e6, "png": 25e6}
_HDR_PIXELS_PER_SECOND = 5e6
# A clip that runs backwards is decoded in pieces, each from the key frame before it. A limited size may take several
# attempts.
_REVERSED_WORK, _LIMITED_WORK = 4.0, 4.0


@dataclass(frozen=True, slots=True)
class MeasuredRange:
    """A range of a measured clip.

    Args:
        path: the clip.
        clip: its measures.
        start: its first second, from the start of the clip.
        seconds: its length in the clip.
        frames: its length in frames of the new file.
        speed: 2 is twice as fast.
        is_reversed: whether it runs backwards.
        volume: the volume of its own sound.
    """

    path: Path
    clip: ClipDetails
    start: float
    seconds: float
    frames: int
    speed: float = 1.0
    is_reversed: bool = False
    volume: float = 1.0

    @property
    def has_sound(self) -> bool:
        """Return whether it is heard."""
        return self.clip.info.has_sound and self.volume > 0


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
        most_frames: the length at which the file is cut; None for that of the ranges.
    """

    ranges: tuple[MeasuredRange, ...]
    rate: Fraction
    size: tuple[int, int]
    crossfade_frames: int = 0
    colours: Colours | None = SDR
    format: EditFormat = "mp4"
    most_frames: int | None = None

    @classmethod
    def of(cls, plan: Edit, clips: Sequence[ClipDetails]) -> Self:
        """Measure an edit of clips. Raises: FileError, if the edit does not fit them or is too large."""
        rate = _rate(plan, clips)
        once = tuple(
            _measured(number, clip, details, rate)
            for number, (clip, details) in enumerate(zip(plan.ranges, clips, strict=True), 1)
        )
        most = None if plan.seconds is None else max(1, round(plan.seconds * rate))
        fade = round(plan.crossfade_seconds * rate)
        ranges = once if most is None else _repeated(once, fade, most)
        timeline = cls(
            ranges, rate, _size(plan, clips[0].info), fade if len(ranges) > 1 else 0, _colours(plan.format, clips),
            plan.format, most,
        )  # fmt: skip
        timeline._check_length(is_limited=plan.max_bytes is not None)
        timeline._check_memory()
        return timeline

    @property
    def frames(self) -> int:
        """The length of the new file in frames."""
        all_frames = sum(clip.frames for clip in self.ranges) - self.crossfade_frames * (len(self.ranges) - 1)
        return all_frames if self.most_frames is None else min(all_frames, self.most_frames)

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
    def held_frames(self) -> int:
        """The number of frames that may be held at once."""
        width, height = self.size
        pixel_bytes = {"bgra": 4.0, "rgb24": 3.0, "yuv420p10le": 3.0, "yuv420p": 1.5}[self.pixel_format]
        return max(1, int(_MAX_HELD_BYTES / (width * height * pixel_bytes)))

    def work_seconds(self, *, is_limited: bool) -> float:
        """The time that the edit takes on a slow machine; is_limited: whether its size is."""
        frames = sum(clip.frames * (_REVERSED_WORK if clip.is_reversed else 1.0) for clip in self.ranges)
        pixels = self.size[0] * self.size[1] * (1 if self.format in STILL_FORMATS else frames)
        seconds = pixels / (_HDR_PIXELS_PER_SECOND if self.is_hdr else _PIXELS_PER_SECOND[self.format])
        return seconds * (_LIMITED_WORK if is_limited else 1)

    def _check_length(self, *, is_limited: bool) -> None:
        """Raises: FileError, if the whole is too long, or a range too short for its cross-fades."""
        if self.format == "gif" and self.seconds > _MAX_GIF_SECONDS:
            raise FileError(
                f"This is {self.seconds:.0f} s long; a gif may have {_MAX_GIF_SECONDS:.0f} s.", "Name shorter parts."
            )
        work_seconds = self.work_seconds(is_limited=is_limited)
        if work_seconds > MAX_WORK_SECONDS:
            raise FileError(
                f"This edit of {self.seconds:.0f} s at {self.size[0]}x{self.size[1]} may take {work_seconds / 60:.0f} "
                f"minutes; an edit may take {MAX_WORK_SECONDS / 60:.0f}.",
                "Nothing was written. Name shorter parts or a smaller width; whole equal clips are only copied.",
            )
        for number, clip in enumerate(self.ranges, start=1):
            if clip.frames < 2 * self.crossfade_frames:
                raise FileError(
                    f"Clip {number} has {float(clip.frames / self.rate):.2f} s here, too little for cross-fades of "
                    f"{self.crossfade_seconds:.2f} s.",
                    "Nothing was written. Name a shorter cross-fade or a longer part.",
                )

    def _check_memory(self) -> None:
        """Raises: FileError, if what must be held would need more memory than the child has for it."""
        most = self.held_frames
        if self.crossfade_frames > most:
            raise FileError(
                f"Cross-fades of {self.crossfade_seconds:.2f} s are too long for {self.size[0]}x{self.size[1]} at "
                f"{float(self.rate):g} frames a second.",
                f"At most {float(most / self.rate):.1f} s fit, or a smaller width.",
            )
        most_seconds = _MAX_HELD_BYTES / _SOUND_BYTES_PER_SECOND
        for number, clip in enumerate(self.ranges, start=1):
            if clip.is_reversed and clip.has_sound and clip.frames / self.rate > most_seconds:
                raise FileError(
                    f"Clip {number} is too long to be heard backwards: {most_seconds:.0f} s fit into memory.",
                    "Nothing was written. Name a shorter part, or mute it with volume 0.",
                )


def _rate(plan: Edit, clips: Sequence[ClipDetails]) -> Fraction:
    """Return the rate of the new file: the named one, or that of the first clip that moves."""
    if plan.rate is not None:
        return Fraction(plan.rate).limit_denominator(1001)
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
    frames = max(1, round(seconds / clip.speed * rate))
    return MeasuredRange(
        clip.path, details, clip.start, seconds, frames, clip.speed, clip.is_reversed, clip.volume
    )  # fmt: skip


def _repeated(ranges: Sequence[MeasuredRange], fade: int, most: int) -> tuple[MeasuredRange, ...]:
    """Return the ranges again and again, until they have so many frames. Raises: FileError."""
    needed, frames = 0, fade
    for clip in islice(cycle(ranges), _MAX_RANGES):
        needed, frames = needed + 1, frames + clip.frames - fade
        if clip.frames <= fade:
            # It is too short for a cross-fade with the next one, which is refused.
            return tuple(islice(cycle(ranges), needed + 1))
        if frames >= most:
            return tuple(islice(cycle(ranges), needed))
    raise FileError(
        f"The clips would have to be repeated more than {_MAX_RANGES} times for that length.",
        "Nothing was written. Name fewer seconds or longer parts.",
    )


def _size(plan: Edit, first: ClipInfo) -> tuple[int, int]:
    """Return width and height: as the first clip has them, or of the named ratio with the same shorter side."""
    width, height = float(first.width), float(first.height)
    if plan.ratio is not None:
        across, down = plan.ratio
        short = min(width, height)
        width, height = short * max(1.0, across / down), short * max(1.0, down / across)
    new_width = plan.width or min(round(width), _GIF_WIDTH if plan.format == "gif" else MAX_WIDTH)
    return max(2, new_width // 2 * 2), max(2, round(height * new_width / width / 2) * 2)


def _colours(edit_format: EditFormat, clips: Sequence[ClipDetails]) -> Colours | None:
    """Return the colours of the new file: HDR where all clips are HDR of the same curve and the format can hold it."""
    if edit_format == "gif" or edit_format in STILL_FORMATS:
        return None
    first = clips[0].colours
    if not first.is_hdr:
        return first.encoded
    has_one_transfer = edit_format == "mp4" and all(clip.colours.transfer == first.transfer for clip in clips)
    return first.encoded if has_one_transfer else SDR
