"""Clips and sounds for edits."""

import wave
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from tests.support.edited import RED, MakeClip, tone_of


@pytest.fixture
def clip(tmp_path: Path) -> MakeClip:
    """Makes a clip of one colour, or of one that each frame tells, with a tone or silent."""
    made = 0

    def make(
        colour: Any = RED, *, size: tuple[int, int] = (320, 180), seconds: float = 2.0, rate: int = 24,
        tone: int | None = None, codec: str = "libx264", **options: str,
    ) -> Path:  # fmt: skip
        nonlocal made
        made += 1
        path = tmp_path / f"clip-{made}.mp4"
        with av.open(str(path), "w", format="mp4") as output:
            video: Any = output.add_stream(codec, rate=rate, options={"crf": "10", "g": "48", **options})
            video.width, video.height = size
            video.pix_fmt = "yuv420p"
            audio: Any = output.add_stream("aac", rate=44_100) if tone else None
            if audio is not None:
                audio.layout = "mono"
            for number in range(round(seconds * rate)):
                seen = colour(number / rate) if callable(colour) else colour
                frame = av.VideoFrame.from_image(Image.new("RGB", size, seen))
                frame.pts, frame.time_base = number, Fraction(1, rate)
                output.mux(video.encode(frame))
            if audio is not None:
                samples = tone_of(tone or 0, seconds, 44_100)
                frame = av.AudioFrame(format="s16", layout="mono", samples=len(samples) // 2)
                frame.planes[0].update(samples)
                frame.sample_rate, frame.pts, frame.time_base = 44_100, 0, Fraction(1, 44_100)
                output.mux(audio.encode(frame))
                output.mux(audio.encode(None))
            output.mux(video.encode(None))
        return path

    return make


@pytest.fixture
def music(tmp_path: Path) -> Path:
    path = tmp_path / "music.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(22_050)
        file.writeframes(tone_of(330, 10, 22_050))
    return path
