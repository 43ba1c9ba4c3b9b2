"""HDR clips: kept where the file can hold them, and else mapped to what a person sees on an SDR screen."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from luma_mcp.media.colour import HLG, PQ, Colours
from luma_mcp.media.edit import edit
from luma_mcp.media.edit_plan import ClipRange, Edit
from luma_mcp.media.frames import frames_at
from luma_mcp.media.tone_mapping import sdr_table
from tests.support.made_clips import Seen, make_clip, patches

pytestmark = pytest.mark.medium
SIZE = (320, 180)
TAGS = {"PQ": (9, PQ, 9, 1), "HLG": (9, HLG, 9, 1)}
X265 = {"x265-params": "log-level=none"}


def hdr(path: Path, kind: str, picture: Image.Image | None = None) -> Path:
    """A clip of 10 bits whose signal is that of a picture."""
    return make_clip(
        path, picture or patches(SIZE), frames=12, codec="libx265", pixel_format="yuv420p10le", matrix="bt2020",
        tags=TAGS[kind], options=X265,
    )  # fmt: skip


@pytest.mark.parametrize("kind", TAGS)
@pytest.mark.parametrize("fade", [0.0, 0.1])
def test_a_trim_and_a_cross_fade_keep_hdr(tmp_path: Path, kind: str, fade: float) -> None:
    source = hdr(tmp_path / "a.mp4", kind)
    edit(Edit((ClipRange(source, 0, 0.4), ClipRange(source, 0, 0.3)), crossfade_seconds=fade), tmp_path / "made.mp4")
    before, after = Seen(source), Seen(tmp_path / "made.mp4")

    assert (after.tags, after.pixel_format, after.codec) == (TAGS[kind], "yuv420p10le", "hevc")
    assert all(
        abs(a - b) <= 3
        for x, y in zip(before.patches(), after.patches(), strict=True)
        for a, b in zip(x, y, strict=True)
    )


@pytest.mark.parametrize("kind", TAGS)
def test_a_join_copies_hdr(tmp_path: Path, kind: str) -> None:
    source = hdr(tmp_path / "a.mp4", kind)
    edit(Edit((ClipRange(source), ClipRange(source))), tmp_path / "made.mp4")

    assert (Seen(tmp_path / "made.mp4").tags, len(Seen(tmp_path / "made.mp4").pictures)) == (TAGS[kind], 24)


def signal(kind: str, nits: float) -> int:
    """The 8-bit signal of a light, by the formulas of BT.2100."""
    if kind == "PQ":
        power = (nits / 10_000) ** (2610 / 16384)
        value = ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)
    else:
        scene = (nits / 1000) ** (1 / 1.2)
        import math

        value = (3 * scene) ** 0.5 if scene <= 1 / 12 else 0.17883277 * math.log(12 * scene - 0.28466892) + 0.55991073
    return round(255 * value)


@pytest.mark.parametrize("kind", TAGS)
@pytest.mark.parametrize("form", ["webm", "jpg", "gif", "frame", "with SDR"])
def test_hdr_is_seen_as_it_is_meant_where_the_output_is_sdr(tmp_path: Path, kind: str, form: Any) -> None:
    """Black, a grey of 40 nits, white paper of 203 nits, and a highlight of 1000 nits."""
    picture = Image.new("RGB", SIZE)
    for number, nits in enumerate((0.0, 40.0, 203.0, 1000.0)):
        picture.paste((signal(kind, nits),) * 3, (80 * number, 0, 80 * number + 80, SIZE[1]))
    source = hdr(tmp_path / "a.mp4", kind, picture)
    if form == "frame":
        seen = frames_at(source, [0.0])[1][0][1]
    elif form == "with SDR":
        sdr = make_clip(tmp_path / "b.mp4", patches(SIZE), frames=12)
        edit(Edit((ClipRange(source), ClipRange(sdr))), tmp_path / "made.mp4")
        seen = Seen(tmp_path / "made.mp4").pictures[0]
        assert Seen(tmp_path / "made.mp4").tags == (1, 1, 1, 1)
    else:
        edit(Edit((ClipRange(source, 0, 0.4),), format=form), tmp_path / f"made.{form}")
        seen = Image.open(tmp_path / "made.jpg") if form == "jpg" else Seen(tmp_path / f"made.{form}").pictures[0]
    levels = [seen.convert("L").getpixel((40 + 80 * number, 90)) for number in range(4)]

    assert levels[0] <= 4, levels  # type: ignore[operator]
    # 40 nits are below the knee: 40/203 of white, by a curve of 2.4.
    assert levels[1] == pytest.approx(255 * (40 / 203) ** (1 / 2.4), abs=4), levels
    assert 205 <= levels[2] <= 245, levels  # type: ignore[operator]
    assert levels[3] >= 250, levels  # type: ignore[operator]


def test_saturated_colours_of_bt2020_become_those_of_bt709(tmp_path: Path) -> None:
    """BT.709 red has this light in BT.2020: Report BT.2087."""
    light = [100 * value for value in (0.6274, 0.0691, 0.0164)]
    picture = Image.new("RGB", SIZE, tuple(signal("PQ", nits) for nits in light))  # type: ignore[arg-type]
    red, green, blue = frames_at(hdr(tmp_path / "a.mp4", "PQ", picture), [0.0])[1][0][1].getpixel((160, 90))  # type: ignore[misc]

    assert red == pytest.approx(255 * (100 / 203) ** (1 / 2.4), abs=12)
    assert max(green, blue) < 50


@pytest.mark.parametrize("primaries", [9, 12])
def test_wide_colours_of_sdr_become_those_of_bt709(tmp_path: Path, primaries: int) -> None:
    matrix = "bt2020" if primaries == 9 else "bt709"
    source = make_clip(
        tmp_path / "a.mp4", patches(SIZE), frames=12, matrix=matrix, tags=(primaries, 1, 9 if primaries == 9 else 1, 1)
    )
    edit(Edit((ClipRange(source, 0, 0.4),)), tmp_path / "made.mp4")
    seen = Seen(tmp_path / "made.mp4")

    assert seen.tags == (1, 1, 1, 1)
    # The same numbers are a purer green in wider primaries.
    assert seen.patches()[1][1] > 192
    assert seen.patches()[1][0] < 32


def test_greys_stay_grey() -> None:
    for transfer in (1, PQ, HLG):
        lines = sdr_table(Colours(9, transfer, 9, is_full=False)).splitlines()[1:]
        assert len(lines) == 33**3
        for step in range(33):
            red, green, blue = map(float, lines[step * (1 + 33 + 33 * 33)].split())
            assert max(red, green, blue) - min(red, green, blue) < 0.002
