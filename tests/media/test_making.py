"""What makers ask for first: fades, speed, length, ratio, captions, logos, several sounds, size."""

import sys
import wave
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from luma_mcp.domain.errors import FileError
from luma_mcp.media import edit as editing
from luma_mcp.media import timeline as timelines
from luma_mcp.media.captions import Caption
from luma_mcp.media.colour import BT2020, BT2020_MATRIX, HLG, PQ, Colours
from luma_mcp.media.edit import edit, edit_cost
from luma_mcp.media.edit_plan import ClipRange, Edit, Overlay, Sound
from luma_mcp.media.picture import bar_colour
from luma_mcp.media.probe import inspect_file
from luma_mcp.media.tone_mapping import sdr_levels
from luma_mcp.media.video_track import frames_of
from tests.support.edited import BLUE, GREEN, RED, MakeClip, Seen, made, near, tone_of

pytestmark = pytest.mark.medium

ORANGE = (255, 128, 0)


def counted(time: float) -> tuple[int, int, int]:
    """A grey that states the time."""
    return (round(time * 50) + 20,) * 3


def stated_at(seen: Seen, frame: int) -> float:
    """The time that a frame's grey states."""
    return (seen.at((frame + 0.01) / seen.rate)[0] - 20) / 50


def sound_file(path: Path, seconds: float, hertz: int = 330, level: float = 0.3) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(44_100)
        file.writeframes(tone_of(hertz, seconds, 44_100, level))
    return path


def test_it_comes_from_black_and_goes_to_black_with_its_sound(tmp_path: Path, clip: MakeClip) -> None:
    plan = Edit((ClipRange(clip(RED, tone=440, seconds=4.0)),), fade_in_seconds=1.0, fade_out_seconds=0.5)
    seen = made(tmp_path, plan)

    assert len(seen.frames) == 96
    shown = [seen.at(time)[0] for time in (0, 0.25, 0.5, 0.75, 1.0, 3.4, 3.75, 3.99)]
    assert shown[0] <= 3
    assert shown == pytest.approx([0, 50, 100, 150, 200, 200, 83, 0], abs=14)
    assert seen.levels[0] < 0.05 < seen.levels[5] < 0.16 < seen.levels[20] > 2 * seen.levels[-1]


@pytest.mark.parametrize("fade", [{"fade_in_seconds": 0.5}, {"fade_out_seconds": 0.5}])
def test_one_end_alone_fades(tmp_path: Path, clip: MakeClip, fade: dict[str, float]) -> None:
    seen = made(tmp_path, Edit((ClipRange(clip(RED, tone=440)),), **fade))  # type: ignore[arg-type]

    is_dark = (near(seen.at(0), (0, 0, 0)), near(seen.at(1.99), (0, 0, 0)))
    assert is_dark == ("fade_in_seconds" in fade, "fade_out_seconds" in fade)


@pytest.mark.parametrize("speed", [2.0, 0.5, 0.25])
def test_a_clip_is_faster_or_slower_and_its_sound_has_the_same_pitch(
    tmp_path: Path, clip: MakeClip, speed: float
) -> None:
    seen = made(tmp_path, Edit((ClipRange(clip(counted, tone=440, seconds=3.0), 1.0, 2.0, speed=speed),)))

    assert len(seen.frames) == 24 / speed
    for frame in range(0, len(seen.frames), 5):
        assert stated_at(seen, frame) == pytest.approx(1 + frame / 24 * speed, abs=0.1)
    assert len(seen.levels) == pytest.approx(10 / speed, abs=1)
    assert min(seen.levels[1:-2]) > 0.1
    assert crossings(tmp_path / "made.mp4") == pytest.approx(880, rel=0.03)


@pytest.mark.parametrize("speed", [0.1, 0.5, 1.5, 10.0])
@pytest.mark.parametrize("is_reversed", [False, True])
def test_a_sound_that_is_shorter_than_its_clip_is_silent_behind_its_end_at_any_speed(
    tmp_path: Path, clip: MakeClip, speed: float, is_reversed: bool
) -> None:
    """Also beside a clip of another speed, with a cross-fade."""
    long, short = clip(RED, seconds=4.0), clip(BLUE, tone=440, seconds=2.0)
    half_silent = tmp_path / "half.mp4"
    edit(Edit((ClipRange(short), ClipRange(long, 0, 2.0))), half_silent)
    with_gap = ClipRange(without_end_of_sound(half_silent), 0, 3.0, speed=speed, is_reversed=is_reversed)
    seen = made(tmp_path, Edit((with_gap, ClipRange(short, speed=2.0)), crossfade_seconds=0.1))

    seconds = 3 / speed + 1 - 0.1
    assert len(seen.frames) == pytest.approx(seconds * 24, abs=1.5)
    assert len(seen.levels) == pytest.approx(seconds * 10, abs=1)
    if speed <= 1.5:
        silent = (
            seen.levels[2 : round(9 / speed) - 1] if is_reversed else seen.levels[round(21 / speed) : round(29 / speed)]
        )
        assert max(silent) < 0.02
    assert max(seen.levels[-8:-2]) > 0.1


def without_end_of_sound(path: Path) -> Path:
    """The same clip, whose sound ends after two seconds."""
    target = path.with_name("ends.mp4")
    with av.open(str(path)) as source, av.open(str(target), "w", format="mp4") as output:
        streams = {stream.index: output.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.size and not (packet.stream.type == "audio" and float(packet.pts * packet.time_base) > 2):
                packet.stream = streams[packet.stream.index]
                output.mux(packet)
    return target


def crossings(path: Path) -> float:
    """How often a second the sound of a file crosses zero."""
    count, samples, last = 0, 0, 0
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("s16", "mono", 48_000)
        for frame in container.decode(audio=0):
            for part in resampler.resample(frame):
                values = memoryview(bytes(part.planes[0])[: part.samples * 2]).cast("h")
                samples += len(values)
                for value in values:
                    count += (value < 0) != (last < 0)
                    last = value
    return count / samples * 48_000


@pytest.mark.parametrize("held_frames", [None, 7])
def test_a_clip_runs_backwards_with_its_sound(
    tmp_path: Path, clip: MakeClip, monkeypatch: pytest.MonkeyPatch, held_frames: int | None
) -> None:
    """Also in pieces, where memory holds but a few frames."""
    if held_frames is not None:
        monkeypatch.setattr(timelines, "_MAX_HELD_BYTES", 320 * 180 * 1.5 * held_frames)
    quiet, loud = clip(counted, seconds=2.0), clip(BLUE, tone=440, seconds=1.0)
    both = tmp_path / "both.mp4"
    edit(Edit((ClipRange(quiet), ClipRange(loud))), both)
    seen = made(tmp_path, Edit((ClipRange(both, 0.5, is_reversed=True, volume=1.0 if held_frames is None else 0.0),)))

    assert len(seen.frames) == 60
    assert near(seen.at(0), BLUE)
    for frame in range(24, 60, 4):
        assert stated_at(seen, frame) == pytest.approx((71 - frame) / 24, abs=0.1)
    if held_frames is None:
        assert min(seen.levels[1:9]) > 0.15
        assert max(seen.levels[12:]) < 0.02
    else:
        assert not seen.has_sound


def test_sound_that_memory_does_not_hold_is_not_heard_backwards(
    tmp_path: Path, clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = clip(RED, tone=440)
    monkeypatch.setattr(timelines, "_MAX_HELD_BYTES", 48_000 * 8)

    with pytest.raises(FileError, match="Clip 1 is too long to be heard backwards: 1 s fit into memory"):
        edit(Edit((ClipRange(source, is_reversed=True),)), tmp_path / "made.mp4")


def test_the_own_sound_of_a_clip_is_quieter_or_mute_and_its_pictures_are_copied(
    tmp_path: Path, clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(editing, "write_video", None)
    source = clip(RED, tone=440)
    seen = made(tmp_path, Edit((ClipRange(source, volume=0.25), ClipRange(source), ClipRange(source, volume=0.0))))
    assert sum(seen.levels[2:18]) * 4 == pytest.approx(sum(seen.levels[22:38]), rel=0.05)
    assert max(seen.levels[42:58]) < 0.001

    assert not made(tmp_path, Edit((ClipRange(source, volume=0.0),))).has_sound


@pytest.mark.parametrize("crossfade", [0.0, 0.25])
def test_clips_are_repeated_to_a_length_or_cut(tmp_path: Path, clip: MakeClip, crossfade: float) -> None:
    clips = (ClipRange(clip(RED, tone=440)), ClipRange(clip(BLUE)))
    seen = made(tmp_path, Edit(clips, seconds=6.5, crossfade_seconds=crossfade))
    assert len(seen.frames) == 156
    period = 4 - 2 * crossfade
    assert [near(seen.at(time), RED) for time in (1, period + 1)] == [True, True]
    assert [near(seen.at(time), BLUE) for time in (3 - crossfade, 6.4)] == [True, True]
    assert len(seen.levels) == pytest.approx(65, abs=1)
    assert seen.levels[round(period * 10) + 10] > 0.15

    assert len(made(tmp_path, Edit(clips, seconds=1.25)).frames) == 30


def test_a_single_clip_is_looped_to_a_length(tmp_path: Path, clip: MakeClip) -> None:
    seen = made(tmp_path, Edit((ClipRange(clip(counted), 0.5, 1.5),), seconds=2.5))

    assert [stated_at(seen, frame) for frame in (0, 23, 24, 47, 48, 59)] == pytest.approx(
        [0.5, 1.46, 0.5, 1.46, 0.5, 0.96], abs=0.1
    )


def test_a_length_that_needs_too_many_repetitions_is_refused(
    tmp_path: Path, clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timelines, "_MAX_RANGES", 3)

    with pytest.raises(FileError, match="repeated more than 3 times"):
        edit(Edit((ClipRange(clip(RED)),), seconds=9.0), tmp_path / "made.mp4")


def test_a_clip_shorter_than_its_cross_fade_is_not_repeated_for_ever(tmp_path: Path, clip: MakeClip) -> None:
    with pytest.raises(FileError, match=r"Clip 1 has 0\.50 s here"):
        edit(Edit((ClipRange(clip(RED), 0, 0.5),) * 2, seconds=9.0, crossfade_seconds=0.5), tmp_path / "made.mp4")


@pytest.mark.parametrize(
    ("ratio", "size"), [((9, 16), (180, 320)), ((1, 1), (180, 180)), ((16, 9), (320, 180)), ((21, 9), (420, 180))]
)
def test_another_ratio_keeps_the_shorter_side(
    tmp_path: Path, clip: MakeClip, ratio: tuple[int, int], size: tuple[int, int]
) -> None:
    assert made(tmp_path, Edit((ClipRange(clip(RED), 0, 0.5),), ratio=ratio)).size == size
    wide = made(tmp_path, Edit((ClipRange(clip(RED), 0, 0.5),), ratio=ratio, width=90))
    assert wide.size[0] == 90


@pytest.mark.parametrize("edit_format", ["mp4", "png"])
def test_bars_have_a_colour_and_crops_have_none(tmp_path: Path, clip: MakeClip, edit_format: Any) -> None:
    source = ClipRange(clip(RED, size=(640, 360), seconds=0.5))
    plan = Edit((source,), format=edit_format, ratio=(9, 16), bar_colour=ORANGE)
    target = tmp_path / f"made.{edit_format}"
    edit(plan, target)
    seen = Seen(target)

    assert near(seen.frames[0].getpixel((180, 50)), ORANGE, 4)  # type: ignore[arg-type]
    assert near(seen.frames[0].getpixel((180, 320)), RED, 6)  # type: ignore[arg-type]
    cropped = made(tmp_path, Edit((source,), ratio=(9, 16), fit="cover"))
    assert near(cropped.at(0, (0.5, 0.05)), RED)


def test_a_picture_lies_on_a_blurred_copy_of_itself(tmp_path: Path) -> None:
    picture = Image.new("RGB", (320, 180), RED)
    picture.paste(BLUE, (160, 0, 320, 180))
    picture.save(tmp_path / "halves.png")
    seen = made(tmp_path, Edit((ClipRange(tmp_path / "halves.png", end=0.5),), ratio=(9, 16), fit="blur"))

    assert seen.size == (180, 320)
    left, middle, right = (seen.at(0, (share, 0.1)) for share in (0.02, 0.5, 0.98))
    assert near(left, RED, 45)
    assert near(right, BLUE, 45)
    assert RED[0] - 40 > middle[0] > BLUE[0] + 40, "the edge between both is soft"
    assert near(seen.at(0, (0.4, 0.5)), RED)
    assert near(seen.at(0, (0.6, 0.5)), BLUE)


def test_a_picture_of_the_same_ratio_needs_nothing_below_it(tmp_path: Path, clip: MakeClip) -> None:
    assert near(made(tmp_path, Edit((ClipRange(clip(RED), 0, 0.5),), width=160, fit="blur")).at(0), RED)


@pytest.fixture
def logo(tmp_path: Path) -> Path:
    Image.new("RGBA", (100, 50), (*ORANGE, 255)).save(tmp_path / "logo.png")
    return tmp_path / "logo.png"


PLACES: dict[Any, tuple[float, float]] = {
    "top-left": (0.1, 0.1), "top-right": (0.9, 0.1), "bottom-left": (0.1, 0.9), "bottom-right": (0.9, 0.9),
    "center": (0.5, 0.5),
}  # fmt: skip


@pytest.mark.parametrize("corner", PLACES)
def test_a_logo_lies_in_its_corner_in_its_seconds(tmp_path: Path, clip: MakeClip, logo: Path, corner: Any) -> None:
    seen = made(tmp_path, Edit((ClipRange(clip(BLUE)),), overlays=(Overlay(logo, corner, 0.2, start=0.5, end=1.5),)))

    for place, where in PLACES.items():
        shown = [near(seen.at(time, where), ORANGE, 30) for time in (0.4, 0.55, 1.4, 1.55)]
        assert shown == ([False, True, True, False] if place == corner else [False] * 4)


@pytest.mark.parametrize("edit_format", ["mp4", "webm", "gif", "png", "jpg"])
def test_a_logo_is_as_opaque_as_it_shall_be_in_every_format(
    tmp_path: Path, clip: MakeClip, logo: Path, edit_format: Any
) -> None:
    plan = Edit((ClipRange(clip(BLUE), 0, 0.5),), format=edit_format, overlays=(Overlay(logo, "center", 0.3, 0.5),))
    target = tmp_path / f"made.{edit_format}"
    edit(plan, target)

    mixed = tuple((one + other) // 2 for one, other in zip(ORANGE, BLUE, strict=True))
    assert near(Seen(target).at(0, (0.5, 0.5)), mixed, 24)


def test_a_tall_logo_is_no_higher_than_the_picture(tmp_path: Path, clip: MakeClip) -> None:
    Image.new("RGB", (100, 400), ORANGE).save(tmp_path / "tall.png")
    overlay = Overlay(tmp_path / "tall.png", "top-left", 0.5)
    seen = made(tmp_path, Edit((ClipRange(clip(BLUE), 0, 0.5),), overlays=(overlay,)))

    assert near(seen.at(0, (0.08, 0.95)), ORANGE, 40)


def test_captions_are_drawn_in_their_seconds_over_a_logo(tmp_path: Path, clip: MakeClip, logo: Path) -> None:
    plan = Edit(
        (ClipRange(clip(BLUE)),),
        captions=(Caption(0.5, 1.0, "MMMMMM"),),
        overlays=(Overlay(logo, "center", 0.2, start=0.75),),
    )
    seen = made(tmp_path, plan)

    def is_captioned(time: float) -> bool:
        frame = seen.frames[int(time * 24)].crop((0, 150, 320, 180)).convert("L")
        return frame.getextrema()[1] > 200  # type: ignore[operator]

    assert [is_captioned(time) for time in (0.4, 0.55, 0.95, 1.05)] == [False, True, True, False]
    assert [near(seen.at(time), ORANGE, 30) for time in (0.7, 0.8, 1.9)] == [False, True, True]


def test_an_overlay_that_is_no_picture_is_refused(tmp_path: Path, clip: MakeClip) -> None:
    (tmp_path / "logo.png").write_bytes(b"no picture")

    with pytest.raises(FileError, match="is not a picture that can be read"):
        edit(Edit((ClipRange(clip(BLUE)),), overlays=(Overlay(tmp_path / "logo.png"),)), tmp_path / "made.mp4")


@pytest.mark.parametrize("hdr", [PQ, HLG])
def test_a_logo_on_hdr_is_as_bright_as_paper(tmp_path: Path, hdr: int) -> None:
    grey = made_hdr(tmp_path / "hdr.mp4", hdr)
    Image.new("RGB", (100, 50), "white").save(tmp_path / "white.png")
    edit(Edit((ClipRange(grey),), overlays=(Overlay(tmp_path / "white.png", "center", 0.5),)), tmp_path / "made.mp4")

    with av.open(str(tmp_path / "made.mp4")) as container:
        frame = next(container.decode(video=0))
        assert frame.format.name == "yuv420p10le"
        plane, at = frame.planes[0], 90 * frame.planes[0].line_size + 160 * 2
        level = int.from_bytes(bytes(plane)[at : at + 2], "little")
    assert (level - 64) / 876 == pytest.approx({PQ: 0.58, HLG: 0.75}[hdr], abs=0.03)


def made_hdr(path: Path, transfer: int) -> Path:
    """A clip of 10 bits that is tagged as HDR."""
    with av.open(str(path), "w", format="mp4") as output:
        video: Any = output.add_stream("libx265", rate=24, options={"x265-params": "log-level=none"})
        video.width, video.height, video.pix_fmt = 320, 180, "yuv420p10le"
        Colours(BT2020, transfer, BT2020_MATRIX, is_full=False).tag(video.codec_context)
        for number in range(12):
            picture = av.VideoFrame.from_image(Image.new("RGB", (320, 180), (60, 60, 60)))
            frame = picture.reformat(format="yuv420p10le")
            frame.pts = number
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
    return path


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_white_is_paper_in_hdr(transfer: int) -> None:
    levels = sdr_levels(transfer)

    assert levels[0] == 0
    assert list(levels) == sorted(levels)
    assert levels[255] / 255 == pytest.approx({PQ: 0.58, HLG: 0.75}[transfer], abs=0.03)
    assert bar_colour((255, 0, 255), None) == (255, 0, 255)


def test_several_sounds_have_their_start_volume_and_loop(tmp_path: Path, clip: MakeClip) -> None:
    voice, music = sound_file(tmp_path / "voice.wav", 0.53), sound_file(tmp_path / "music.wav", 0.7, 220, 0.1)
    sounds = (Sound(voice, 0.5, 0, start=2.0), Sound(music, 1.0, 0, is_looped=True))
    seen = made(tmp_path, Edit((ClipRange(clip(RED, seconds=4.0)),), sounds=sounds))

    assert len(seen.levels) == pytest.approx(40, abs=1)
    assert min(seen.levels[1:38]) > 0.06, "the music is there all the time"
    assert max(seen.levels[1:19]) < 0.08
    assert min(seen.levels[21:24]) > 0.1
    assert max(seen.levels[27:39]) < 0.08


def test_a_sound_that_starts_behind_the_end_is_not_heard(tmp_path: Path, clip: MakeClip, music: Path) -> None:
    seen = made(tmp_path, Edit((ClipRange(clip(RED)),), sounds=(Sound(music, start=30.0),)))

    assert max(seen.levels) < 0.001


def test_a_looped_file_without_a_sample_ends(tmp_path: Path, clip: MakeClip) -> None:
    empty = sound_file(tmp_path / "empty.wav", 0)
    seen = made(tmp_path, Edit((ClipRange(clip(RED)),), sounds=(Sound(empty, is_looped=True),)))

    assert max(seen.levels) < 0.001


def test_music_ducks_under_a_voice_and_returns(tmp_path: Path, clip: MakeClip) -> None:
    music = sound_file(tmp_path / "music.wav", 8, 220, 0.3)
    voice = sound_file(tmp_path / "voice.wav", 2, 0, 0.3)
    voiced = clip(RED, tone=440, seconds=2.0)
    parts = (ClipRange(clip(BLUE)), ClipRange(voiced), ClipRange(clip(GREEN, seconds=4.0)))
    plain, ducked = (
        made(tmp_path, Edit(parts, sounds=(Sound(voice, 0, 0), Sound(music, 1.0, 0, is_ducked=ducks))))
        for ducks in (False, True)
    )

    assert sum(ducked.levels[5:18]) == pytest.approx(sum(plain.levels[5:18]), rel=0.05)
    assert sum(ducked.levels[25:38]) < 0.85 * sum(plain.levels[25:38])
    assert sum(ducked.levels[65:78]) == pytest.approx(sum(plain.levels[65:78]), rel=0.05)


def test_every_frame_rate_can_be_named(tmp_path: Path, clip: MakeClip) -> None:
    seen = made(tmp_path, Edit((ClipRange(clip(RED)),), rate=25.0))

    assert (seen.rate, len(seen.frames)) == (25, 50)


def noisy(path: Path, seconds: int = 2) -> Path:
    with av.open(str(path), "w", format="mp4") as output:
        video: Any = output.add_stream("libx264", rate=24, options={"crf": "18", "preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 320, 180, "yuv420p"
        for number in range(seconds * 24):
            frame = av.VideoFrame.from_image(
                Image.effect_noise((80, 45), 60 + number).resize((320, 180)).convert("RGB")
            )
            frame.pts = number
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
    return path


@pytest.mark.parametrize("edit_format", ["mp4", "webm"])
def test_a_file_is_no_larger_than_allowed(tmp_path: Path, clip: MakeClip, music: Path, edit_format: Any) -> None:
    source = noisy(tmp_path / "noisy.mp4")
    plan = Edit((ClipRange(source),), format=edit_format, max_bytes=250_000, sounds=(Sound(music),))
    seen = made(tmp_path, plan)

    assert (tmp_path / f"made.{edit_format}").stat().st_size <= 250_000 < source.stat().st_size
    assert len(seen.frames) == 48
    unlimited = Edit((ClipRange(source),), format=edit_format, width=320)
    assert edit_cost(plan).work_seconds > edit_cost(unlimited).work_seconds


def test_a_file_that_is_small_enough_is_only_copied(
    tmp_path: Path, clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(editing, "write_video", None)
    source = clip(RED)
    edit(Edit((ClipRange(source),), max_bytes=1_000_000), tmp_path / "made.mp4")

    assert (tmp_path / "made.mp4").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("max_bytes", [3_000, 8_500])
def test_a_size_at_which_nothing_could_be_seen_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_bytes: int
) -> None:
    """By the bits of a pixel, or after the last attempt."""
    monkeypatch.setattr(editing, "_ATTEMPTS", 1)
    with pytest.raises(FileError, match="2 s at 320x180 do not fit into") as caught:
        edit(Edit((ClipRange(noisy(tmp_path / "noisy.mp4")),), max_bytes=max_bytes), tmp_path / "made.mp4")
    assert "Name a smaller width" in caught.value.hint


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted on Linux")
def test_threads_do_not_grow_with_the_number_of_pieces(tmp_path: Path, clip: MakeClip, logo: Path) -> None:
    """Each graph of filters has some, which end with it."""
    status = Path("/proc/self/task")
    source = clip(RED, seconds=0.5)
    plan = Edit((ClipRange(source),) * 30, crossfade_seconds=0.1, fade_out_seconds=2.0)
    timeline = timelines.Timeline.of(plan, [inspect_file(source)] * 30)
    counts = [sum(1 for _ in status.iterdir()) for _ in frames_of(timeline, plan)]

    assert len(counts) == timeline.frames
    assert max(counts[len(counts) // 2 :]) <= max(counts[: len(counts) // 2]) + 8
