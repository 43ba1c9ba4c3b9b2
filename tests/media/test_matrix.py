"""Clips as people hold them, edited: colours, orientation, pixel aspect, times and sound stay as they are."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from luma_mcp.domain.errors import FileError
from luma_mcp.media.edit import edit, edit_cost
from luma_mcp.media.edit_plan import ClipRange, Edit, Sound
from luma_mcp.media.frames import frames_at, still
from luma_mcp.media.previews import of_clip
from luma_mcp.media.probe import inspect_file, measure_file, probe
from tests.support.made_clips import MATRICES, PATCHES, Seen, beep, corner, flashes, make_clip, patches, silence

pytestmark = pytest.mark.medium
HD, SD = (1280, 720), (320, 180)
Rgb = tuple[int, int, int]

INPUTS: dict[str, Callable[[Path], Path]] = {
    "BT.709": lambda folder: make_clip(folder / "a.mp4", patches(HD), frames=12),
    "BT.709, not stated": lambda folder: make_clip(folder / "a.mp4", patches(HD), frames=12, tags=None),
    "BT.601, not stated": lambda folder: make_clip(folder / "a.mp4", patches(SD), frames=12, tags=None, matrix="bt601"),
    "BT.709, small": lambda folder: make_clip(folder / "a.mp4", patches(SD), frames=12),
    "full range": lambda folder: make_clip(
        folder / "a.mp4",
        patches(SD),
        frames=12,
        matrix="bt601",
        is_full=True,
        pixel_format="yuvj420p",
        tags=(6, 6, 6, 2),
    ),
    "full range, BT.709": lambda folder: make_clip(
        folder / "a.mp4", patches(HD), frames=12, is_full=True, tags=(1, 1, 1, 2)
    ),
    "4:4:4": lambda folder: make_clip(folder / "a.mp4", patches(SD), frames=12, pixel_format="yuv444p"),
    "4:2:2, 10 bits": lambda folder: make_clip(folder / "a.mp4", patches(SD), frames=12, pixel_format="yuv422p10le"),
    "HEVC": lambda folder: make_clip(
        folder / "a.mp4", patches(SD), frames=12, codec="libx265", options={"x265-params": "log-level=none"}
    ),
    "VP9 in WebM": lambda folder: make_clip(folder / "a.webm", patches(SD), frames=12, codec="libvpx-vp9"),
    "MKV": lambda folder: make_clip(folder / "a.mkv", patches(SD), frames=12),
    "PNG": lambda folder: _picture(folder / "a.png"),
    "JPEG": lambda folder: _picture(folder / "a.jpg", quality=98, subsampling=0),
    "WebP": lambda folder: _picture(folder / "a.webp", lossless=True),
    "GIF": lambda folder: _picture(
        folder / "a.gif", save_all=True, append_images=[patches(SD).rotate(180)], duration=500
    ),
}
EDITS: dict[str, Callable[[Path], Edit]] = {
    "trim": lambda path: Edit((ClipRange(path, 0.0, 0.3),)),
    "width": lambda path: Edit((ClipRange(path),), width=160),
    "join with another": lambda path: Edit((ClipRange(path), ClipRange(path, 0.0, 0.25))),
    "cross-fade": lambda path: Edit((ClipRange(path, 0, 0.4), ClipRange(path, 0, 0.4)), crossfade_seconds=0.1),
    "webm": lambda path: Edit((ClipRange(path, 0.0, 0.3),), format="webm"),
    "gif": lambda path: Edit((ClipRange(path, 0.0, 0.3),), format="gif"),
}


def _picture(path: Path, **options: Any) -> Path:
    patches(SD).save(path, **options)
    return path


def is_near(found: list[Rgb], wanted: Any, by: int) -> bool:
    return all(
        abs(a - b) <= by for one, other in zip(found, wanted, strict=True) for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("name", EDITS)
def test_colours_are_those_of_the_source(tmp_path: Path, kind: str, name: str) -> None:
    source = INPUTS[kind](tmp_path)
    plan = EDITS[name](source)
    target = tmp_path / f"made.{plan.format}"
    edit(plan, target)
    seen = Seen(target)

    # A GIF has 256 colours, and VP9 is encoded for speed.
    assert is_near(seen.patches(), PATCHES, {"gif": 4, "webm": 4}.get(plan.format, 3)), seen.patches()
    if plan.format != "gif":
        assert seen.tags[2:] == (1, 1)
        assert 2 not in seen.tags, "all four tags are written"


@pytest.mark.parametrize("kind", [kind for kind in INPUTS if kind not in ("PNG", "JPEG", "WebP")])
def test_colours_of_frames_are_those_of_the_clip(tmp_path: Path, kind: str) -> None:
    source = INPUTS[kind](tmp_path)
    _, found = frames_at(source, [0.0])

    picture = found[0][1]
    colours = [picture.getpixel((picture.width * (2 * n + 1) // 6, picture.height // 2)) for n in range(3)]
    assert is_near(colours, PATCHES, 3), colours  # type: ignore[arg-type]


@pytest.mark.parametrize("turned", MATRICES)
def test_a_turned_clip_is_upright_everywhere(tmp_path: Path, turned: Any) -> None:
    source = make_clip(tmp_path / "a.mp4", corner(SD), turned=turned)
    upright = corner(SD)
    for step in {
        90: ("ROTATE_270",), 180: ("ROTATE_180",), 270: ("ROTATE_90",), "flip": ("FLIP_LEFT_RIGHT",),
        "transpose": ("TRANSPOSE",), "transverse": ("TRANSVERSE",), "upside down": ("FLIP_TOP_BOTTOM",),
    }.get(turned, ()):  # fmt: skip
        upright = upright.transpose(Image.Transpose[step])

    def check(picture: Image.Image) -> None:
        assert abs(picture.width / picture.height - upright.width / upright.height) < 0.02
        for where in ((0.05, 0.05), (0.95, 0.05), (0.05, 0.95), (0.95, 0.95)):
            a, b = (p.getpixel((int(p.width * where[0]), int(p.height * where[1]))) for p in (picture, upright))
            assert is_near([a], [b], 12), (where, a, b)  # type: ignore[list-item]

    for plan in (
        Edit((ClipRange(source, 0, 0.5),)),
        Edit((ClipRange(source),), width=160),
        Edit((ClipRange(source, 0, 0.5),), format="webm"),
        Edit((ClipRange(source, 0, 0.5),), format="gif"),
    ):
        target = tmp_path / f"made.{plan.format}"
        edit(plan, target)
        check(Seen(target).pictures[0])
    edit(Edit((ClipRange(source),), format="jpg"), tmp_path / "poster.jpg")
    check(Image.open(tmp_path / "poster.jpg"))
    info, found = frames_at(source, [0.5], max_side=200)
    check(found[0][1])
    assert (info.width, info.height) == upright.size
    assert (of_clip(source, 4, with_image=False).info.width, measure_file(source).height) == upright.size


def test_a_join_of_different_turns_is_upright(tmp_path: Path) -> None:
    upright = make_clip(tmp_path / "a.mp4", corner(SD))
    turned = make_clip(tmp_path / "b.mp4", corner(SD), turned=180)
    edit(Edit((ClipRange(upright), ClipRange(turned))), tmp_path / "made.mp4")
    seen = Seen(tmp_path / "made.mp4")

    assert is_near([seen.pictures[0].getpixel((5, 5))], [(220, 30, 30)], 12)  # type: ignore[list-item]
    assert is_near([seen.pictures[-1].getpixel((314, 174))], [(220, 30, 30)], 12)  # type: ignore[list-item]


def test_a_join_of_equal_turns_is_copied_with_its_turn(tmp_path: Path) -> None:
    turned = make_clip(tmp_path / "b.mp4", corner(SD), turned=90)
    edit(Edit((ClipRange(turned), ClipRange(turned))), tmp_path / "made.mp4")

    assert inspect_file(tmp_path / "made.mp4").turned == MATRICES[90]
    assert Seen(tmp_path / "made.mp4").size == SD


@pytest.mark.parametrize(
    ("size", "aspect", "shown"), [((360, 288), Fraction(64, 45), (512, 288)), ((400, 300), Fraction(1, 2), (200, 300))]
)
def test_pixels_become_square(tmp_path: Path, size: Any, aspect: Fraction, shown: Any) -> None:
    source = make_clip(tmp_path / "a.mp4", patches(size), aspect=aspect)
    edit(Edit((ClipRange(source, 0, 0.5),)), tmp_path / "made.mp4")
    seen = Seen(tmp_path / "made.mp4")

    assert (seen.size, measure_file(source).width) == (shown, shown[0])
    assert seen.aspect in (None, 0, 1)
    assert frames_at(source, [0])[1][0][1].size == shown


@pytest.mark.parametrize("fit", ["contain", "cover"])
def test_odd_sizes_become_even(tmp_path: Path, fit: Any) -> None:
    odd = make_clip(tmp_path / "a.mp4", patches((321, 181)), pixel_format="yuv444p")
    even = make_clip(tmp_path / "b.mp4", patches((180, 320)))
    for first, second in ((odd, even), (even, odd)):
        edit(Edit((ClipRange(first), ClipRange(second)), fit=fit), tmp_path / "made.mp4")
        seen = Seen(tmp_path / "made.mp4")
        assert not any(side % 2 for side in seen.size)
        assert len(seen.pictures) == 48


def sync_clip(path: Path, start: float = 0.0, **more: Any) -> Path:
    """Two seconds, with a flash and a beep at 1.0 s; the sound starts later."""
    sound = silence(1.0 - start) + beep(0.1) + silence(0.9)
    return make_clip(path, flashes((160, 90), range(24, 27)), frames=48, sound=[(start, sound)], **more)


@pytest.mark.parametrize("start", [0.0, 0.7])
@pytest.mark.parametrize("ending", ["mp4", "webm"])
@pytest.mark.parametrize("begin", [0.0, 0.5])
def test_sound_that_starts_later_stays_with_its_picture(
    tmp_path: Path, start: float, ending: Any, begin: float
) -> None:
    source = sync_clip(tmp_path / "a.mp4", start)
    edit(Edit((ClipRange(source, begin),), format=ending, width=160), tmp_path / f"made.{ending}")
    seen = Seen(tmp_path / f"made.{ending}")

    assert seen.flashes == [pytest.approx(1.0 - begin, abs=0.002)]
    assert seen.beeps == [pytest.approx(1.0 - begin, abs=0.01)]


def test_a_hole_in_the_sound_stays_a_hole(tmp_path: Path) -> None:
    sound = silence(0.5) + beep(0.1) + silence(0.9) + beep(0.1) + silence(0.4)
    source = make_clip(
        tmp_path / "a.mp4", flashes((160, 90), range(36, 38)), frames=48, sound=[(0, sound)], hole=(0.7, 1.4)
    )
    for plan in (Edit((ClipRange(source),), width=100), Edit((ClipRange(source), ClipRange(source)))):
        edit(plan, tmp_path / "made.mp4")
        beeps = Seen(tmp_path / "made.mp4").beeps
        assert beeps[:2] == [pytest.approx(0.5, abs=0.01), pytest.approx(1.5, abs=0.01)]


@pytest.mark.parametrize("width", [None, 120])
def test_twenty_joints_do_not_drift(tmp_path: Path, width: int | None) -> None:
    source = sync_clip(tmp_path / "a.mp4", rate=Fraction(24000, 1001))
    edit(Edit((ClipRange(source),) * 20, width=width), tmp_path / "made.mp4")
    seen = Seen(tmp_path / "made.mp4")

    assert len(seen.flashes) == len(seen.beeps) == 20
    offsets = [heard - shown for heard, shown in zip(seen.beeps, seen.flashes, strict=True)]
    assert max(abs(offset - offsets[0]) for offset in offsets) < 0.01
    assert len(seen.pictures) == 20 * 48


def test_joined_pictures_are_copied_and_music_leaves_them_as_they_are(tmp_path: Path) -> None:
    source = sync_clip(tmp_path / "a.mp4")
    music = make_clip(tmp_path / "music.mp4", flashes((16, 16), range(1)), sound=[(0, beep(1.0, 300, 0.05))])
    for sounds in ((), (Sound(music),)):
        edit(Edit((ClipRange(source),) * 2, sounds=sounds), tmp_path / "made.mp4")
        assert _packets(tmp_path / "made.mp4") == _packets(source) * 2
        assert Seen(tmp_path / "made.mp4").beeps[-1] == pytest.approx(3.0, abs=0.01)


def _packets(path: Path) -> list[bytes]:
    import av

    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def test_a_first_frame_that_is_not_at_0_is_the_start(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", flashes((160, 90), range(24, 48)), frames=48, picture_start=2.0)
    info, found = frames_at(source, [0.0, 1.5, 9.0])
    edit(Edit((ClipRange(source, 0.5, 1.5),)), tmp_path / "made.mp4")
    seen = Seen(tmp_path / "made.mp4")

    assert info.seconds == pytest.approx(2.0)
    assert [picture.getpixel((5, 5))[0] > 128 for _, picture in found] == [False, True, True]  # type: ignore[index]
    assert [moment for moment, _ in found] == [0.0, 1.5, pytest.approx(47 / 24)]
    assert (len(seen.pictures), seen.flashes) == (24, [pytest.approx(0.5)])
    assert still(source, "1.5s", "a", 10**7)[0] == "png"


def test_a_picture_that_starts_after_its_sound_is_held(tmp_path: Path) -> None:
    source = make_clip(
        tmp_path / "a.mkv", flashes((160, 90), range(12, 24)), picture_start=0.5, sound=[(0, silence(1.0) + beep(0.1))]
    )
    edit(Edit((ClipRange(source),)), tmp_path / "made.mp4")
    seen = Seen(tmp_path / "made.mp4")

    assert seen.flashes == [pytest.approx(1.0, abs=0.002)]
    assert seen.beeps == [pytest.approx(1.0, abs=0.01)]
    assert len(seen.pictures) == 36


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(30000, 1001), Fraction(25), Fraction(60000, 1001)])
@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_a_fractional_rate_stays_as_it_is(tmp_path: Path, rate: Fraction, ending: str) -> None:
    source = make_clip(tmp_path / f"a.{ending}", patches((160, 90)), frames=40, rate=rate)
    edit(Edit((ClipRange(source, 0, 0.5),)), tmp_path / "made.mp4")

    assert inspect_file(source).rate == rate
    assert Seen(tmp_path / "made.mp4").rate == rate


def test_frames_of_a_varying_rate_keep_their_times(tmp_path: Path) -> None:
    times = [0, 33, 67, 500, 533, 1200, 1233, 1267, 1900, 1933]
    source = make_clip(tmp_path / "a.mp4", flashes((160, 90), range(5, 8)), frames=10, times=times, rate=30)
    edit(Edit((ClipRange(source),), width=100), tmp_path / "made.mp4")
    seen = Seen(tmp_path / "made.mp4")

    assert seen.rate == 30
    assert seen.flashes == [pytest.approx(1.2, abs=0.02)]
    assert seen.times[-1] == pytest.approx(1.933, abs=0.04)


def test_a_clip_of_one_frame_is_edited(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", patches(SD), frames=1)
    for plan in (Edit((ClipRange(source),), width=160), Edit((ClipRange(source), ClipRange(source)))):
        edit(plan, tmp_path / "made.mp4")
        assert is_near(Seen(tmp_path / "made.mp4").patches(), PATCHES, 3)


def test_a_picture_is_shown_for_the_seconds_that_are_named(tmp_path: Path) -> None:
    still_picture, clip = _picture(tmp_path / "a.png"), make_clip(tmp_path / "b.mp4", patches(SD), rate=30, frames=30)
    edit(Edit((ClipRange(still_picture, 0, 5), ClipRange(clip), ClipRange(still_picture))), tmp_path / "made.mp4")
    seen = Seen(tmp_path / "made.mp4")

    assert (seen.rate, len(seen.pictures)) == (30, 150 + 30 + 90)
    assert is_near(seen.patches(-1), PATCHES, 3)


def test_own_outputs_are_inputs(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", patches(SD), frames=24, sound=[(0, beep(1.0))])
    for ending in ("webm", "gif", "mp4"):
        edit(Edit((ClipRange(source, 0, 0.8),), format=ending), tmp_path / f"first.{ending}")
        edit(Edit((ClipRange(tmp_path / f"first.{ending}", 0.2),)), tmp_path / "second.mp4")
        seen = Seen(tmp_path / "second.mp4")
        assert is_near(seen.patches(), PATCHES, 5)
        assert len(seen.pictures) / seen.rate == pytest.approx(0.6, abs=0.06)


def test_an_edit_list_does_not_make_a_clip_cut_short(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", flashes((160, 90), range(12, 48)), frames=48)
    shorten(source, 24)

    with source.open("rb") as file:
        assert probe(file).seconds == pytest.approx(1.0, abs=0.05)
    details = inspect_file(source)
    assert float(details.seconds) == pytest.approx(1.0, abs=0.05)
    edit(Edit((ClipRange(source), ClipRange(source))), tmp_path / "made.mp4")
    assert len(Seen(tmp_path / "made.mp4").pictures) == pytest.approx(48, abs=2)


def shorten(path: Path, frames: int) -> None:
    """Show only the first frames of a clip, by its edit list, as editors on telephones do."""
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 4
    assert data[at] == 0, "an edit list of 32 bits"
    data[at + 8 : at + 12] = (frames * 1000 // 24).to_bytes(4, "big")
    path.write_bytes(data)


def test_the_cost_of_an_edit_is_known_before(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", patches(SD), frames=24)
    copied, encoded = (edit_cost(Edit((ClipRange(source),) * 2, width=width)) for width in (None, 320))

    assert copied.size_bytes >= 2 * source.stat().st_size
    assert encoded.work_seconds > 0
    with pytest.raises(FileError, match="nothing between"):
        edit_cost(Edit((ClipRange(source, 5.0),)))
