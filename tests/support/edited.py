"""What is in a file that was edited: its pictures, and how loud it is."""

import math
import struct
from collections.abc import Callable
from pathlib import Path

import av

from luma_mcp.media.edit import edit
from luma_mcp.media.edit_plan import Edit
from luma_mcp.media.formats import is_whole, sniff
from tests.support.made_clips import rgb_of

RED, GREEN, BLUE = (200, 30, 30), (30, 160, 60), (30, 40, 200)
MakeClip = Callable[..., Path]


def tone_of(hertz: int, seconds: float, rate: int, level: float = 0.3) -> bytes:
    """Return a tone as samples of 16 bits."""
    return b"".join(
        struct.pack("<h", int(level * 32_767 * math.sin(2 * math.pi * hertz * n / rate)))
        for n in range(round(seconds * rate))
    )


class Seen:
    """What is in a file."""

    def __init__(self, path: Path) -> None:
        with av.open(str(path)) as container:
            video = container.streams.video[0]
            self.codec, self.size = video.codec_context.name, (video.width, video.height)
            self.frames = [rgb_of(frame) for frame in container.decode(video)]
            self.rate = float(video.average_rate or 0)
        self.levels: list[float] = []
        """The loudness of each tenth of a second."""
        with av.open(str(path)) as container:
            self.has_sound = bool(container.streams.audio)
            if self.has_sound:
                resampler = av.AudioResampler("s16", "mono", 8000)
                data = b"".join(
                    bytes(part.planes[0])[: part.samples * 2]
                    for frame in container.decode(audio=0)
                    for part in resampler.resample(frame)
                )
                values = struct.unpack(f"<{len(data) // 2}h", data)
                self.levels = [
                    math.sqrt(sum(value * value for value in values[at : at + 800]) / 800) / 32_767
                    for at in range(0, len(values) - 799, 800)
                ]

    def at(self, seconds: float, where: tuple[float, float] = (0.5, 0.5)) -> tuple[int, ...]:
        """The colour at a time and a place, both sides from 0 to 1."""
        frame = self.frames[min(int(seconds * self.rate), len(self.frames) - 1)]
        found = frame.getpixel((int(where[0] * (frame.width - 1)), int(where[1] * (frame.height - 1))))
        assert isinstance(found, tuple)
        return found


def near(found: tuple[int, ...], wanted: tuple[int, ...], by: int = 14) -> bool:
    return all(abs(one - other) <= by for one, other in zip(found, wanted, strict=True))


def made(tmp_path: Path, plan: Edit) -> Seen:
    target = tmp_path / f"made.{plan.format}"
    edit(plan, target)
    assert sniff(target.read_bytes()[:16]) == plan.format
    assert is_whole(target, plan.format)
    return Seen(target)
