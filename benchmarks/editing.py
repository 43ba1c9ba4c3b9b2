"""`edit_video` against the `ffmpeg` program on the same work: three clips of 5 s in 720p, cross-faded, in H.264."""

import shutil
import subprocess
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.filter import Graph

from benchmarks.rows import Row, ratio, spread
from luma_mcp.media.edit import edit
from luma_mcp.media.edit_plan import ClipRange, Edit

_TURNS = 5
_SECONDS, _RATE, _FADE = 5, 24, 0.5


def rows() -> list[Row]:
    what = "edit_video: three 5 s clips of 720p cross-faded; floor: the ffmpeg program"
    program = shutil.which("ffmpeg")
    with tempfile.TemporaryDirectory() as folder:
        clips = [_clip(Path(folder) / f"{number}.mp4", number) for number in range(3)]
        ours: list[float] = []
        floor: list[float] = []
        for turn in range(_TURNS):
            started = time.perf_counter()
            edit(
                Edit(tuple(ClipRange(clip) for clip in clips), crossfade_seconds=_FADE),
                Path(folder) / f"ours-{turn}.mp4",
            )
            ours.append(time.perf_counter() - started)
            if program is not None:
                started = time.perf_counter()
                subprocess.run(_command(program, clips, Path(folder) / f"floor-{turn}.mp4"), check=True)
                floor.append(time.perf_counter() - started)
    if not floor:
        return [Row(what, spread(ours), "ffmpeg is not installed", goal="<= 1.5x")]
    return [Row(what, spread(ours), spread(floor), ratio(ours, floor), "<= 1.5x")]


def _clip(path: Path, number: int) -> Path:
    """A moving test picture, so that the encoder has something to do."""
    graph: Any = Graph()
    source = graph.add("testsrc2", f"size=1280x720:rate={_RATE}:duration={_SECONDS}")
    turned, form, sink = graph.add("hue", f"h={number * 90}"), graph.add("format", "yuv420p"), graph.add("buffersink")
    source.link_to(turned)
    turned.link_to(form)
    form.link_to(sink)
    graph.configure()
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("libx264", rate=_RATE, options={"preset": "veryfast", "crf": "20"})
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for place in range(_SECONDS * _RATE):
            frame: Any = sink.pull()
            frame.pts, frame.time_base = place, Fraction(1, _RATE)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def _command(program: str, clips: list[Path], target: Path) -> list[str]:
    first, second = _SECONDS - _FADE, 2 * (_SECONDS - _FADE)
    fade = f"xfade=transition=fade:duration={_FADE}:offset="
    graph = f"[0][1]{fade}{first}[both];[both][2]{fade}{second},format=yuv420p[all]"
    inputs = [word for clip in clips for word in ("-i", str(clip))]
    form = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-movflags", "+faststart"]
    return [program, "-v", "error", "-y", *inputs, "-filter_complex", graph, "-map", "[all]", *form, str(target)]


if __name__ == "__main__":
    for row in rows():
        print(row)
