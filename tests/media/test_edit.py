"""Editing by the pictures and sounds that come out."""

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from luma_mcp.domain.errors import FileError
from luma_mcp.media import audio_track, encoder, sound_blocks, video_track
from luma_mcp.media import edit as editing
from luma_mcp.media import timeline as timelines
from luma_mcp.media.edit import edit
from luma_mcp.media.edit_plan import ClipRange, Edit, Sound
from luma_mcp.media.formats import sniff_sound
from luma_mcp.media.probe import inspect_file, open_clip
from luma_mcp.media.timeline import Timeline
from tests.support.edited import BLUE, GREEN, RED, MakeClip, Seen, made, near, tone_of

pytestmark = pytest.mark.medium


def test_parts_follow_one_another_frame_by_frame(tmp_path: Path, clip: MakeClip) -> None:
    seen = made(tmp_path, Edit((ClipRange(clip(RED), 0.5, 1.5), ClipRange(clip(BLUE)), ClipRange(clip(GREEN), 1.0))))

    assert (seen.codec, seen.size, seen.rate) == ("h264", (320, 180), 24)
    assert len(seen.frames) == 24 + 48 + 24
    expected = ((0, RED), (23 / 24, RED), (1, BLUE), (2.99, BLUE), (3, GREEN))
    assert [near(seen.at(time), colour) for time, colour in expected] == [True] * 5
    assert not seen.has_sound


@pytest.mark.parametrize("begin", [0.0, 0.5, 1.0, 2.25, 3.96])
def test_a_part_begins_at_its_very_frame(tmp_path: Path, clip: MakeClip, begin: float) -> None:
    """Also after a seek to an earlier key frame: each frame's brightness is its number."""
    source = clip(lambda time: (round(time * 50) + 20,) * 3, seconds=4.5)
    seen = made(tmp_path, Edit((ClipRange(source, begin),)))

    for number in (0, len(seen.frames) - 1):
        expected = round((round(begin * 24) + number) / 24 * 50) + 20
        assert abs(seen.at(number / 24 + 0.001)[0] - expected) <= 3
    assert len(seen.frames) == round((4.5 - begin) * 24)


def test_one_goes_over_into_the_next(tmp_path: Path, clip: MakeClip) -> None:
    seen = made(
        tmp_path, Edit((ClipRange(clip(RED)), ClipRange(clip(BLUE)), ClipRange(clip(GREEN))), crossfade_seconds=0.5)
    )
    middle = tuple((one + other) // 2 for one, other in zip(RED, BLUE, strict=True))

    assert len(seen.frames) == 3 * 48 - 2 * 12
    assert near(seen.at(1.4), RED)
    assert near(seen.at(1.73), middle, 20)
    assert near(seen.at(2.1), BLUE)
    reds = [seen.at(number / 24 + 0.001)[0] for number in range(36, 48)]
    assert reds == sorted(reds, reverse=True), "it goes over step by step"


@pytest.mark.parametrize(("fit", "at_the_edge"), [("contain", (0, 0, 0)), ("cover", BLUE)])
def test_another_ratio_gets_bars_or_is_cropped(
    tmp_path: Path, clip: MakeClip, fit: Any, at_the_edge: tuple[int, int, int]
) -> None:
    seen = made(tmp_path, Edit((ClipRange(clip(RED)), ClipRange(clip(BLUE, size=(180, 180)))), fit=fit))

    assert seen.size == (320, 180)
    assert near(seen.at(3), BLUE)
    assert near(seen.at(3, (0.02, 0.5)), at_the_edge)


def test_another_rate_and_length_come_out_in_time(tmp_path: Path, clip: MakeClip) -> None:
    seen = made(tmp_path, Edit((ClipRange(clip(RED, rate=30)), ClipRange(clip(BLUE, rate=25, seconds=1.0)))))

    assert seen.rate == 30
    assert len(seen.frames) == 60 + 30
    assert [near(seen.at(1.97), RED), near(seen.at(2.0), BLUE)] == [True, True]


def test_the_sound_of_each_part_is_where_the_part_is(tmp_path: Path, clip: MakeClip) -> None:
    seen = made(tmp_path, Edit((ClipRange(clip(RED)), ClipRange(clip(BLUE, tone=440), 0.5), ClipRange(clip(GREEN)))))

    assert len(seen.levels) == pytest.approx(55, abs=2)
    assert max(seen.levels[:18]) < 0.01
    assert sum(seen.levels[22:33]) / 11 == pytest.approx(0.3 / math.sqrt(2), rel=0.05), "as loud as it was"
    assert max(seen.levels[38:54]) < 0.01


def test_sounds_go_over_into_one_another(tmp_path: Path, clip: MakeClip) -> None:
    seen = made(
        tmp_path, Edit((ClipRange(clip(RED, tone=440)), ClipRange(clip(BLUE, tone=660))), crossfade_seconds=1.0)
    )

    assert len(seen.frames) == 72
    assert len(seen.levels) == pytest.approx(30, abs=1)
    assert min(seen.levels[1:28]) > 0.08, "there is no gap"


@pytest.mark.parametrize("own", [None, 880])
def test_a_sound_lies_under_it_and_fades_out(tmp_path: Path, clip: MakeClip, music: Path, own: int | None) -> None:
    plan = Edit((ClipRange(clip(RED, tone=own, seconds=4.0)),), sounds=(Sound(music, 0.5, 1.0),))
    seen = made(tmp_path, plan)

    assert len(seen.levels) == pytest.approx(40, abs=1)
    if own is None:
        assert sum(seen.levels[5:25]) / 20 == pytest.approx(0.3 * 0.5 / math.sqrt(2), rel=0.15)
        assert seen.levels[38] < 0.25 * seen.levels[25]
    else:
        assert min(seen.levels[5:39]) > 0.15
    assert max(seen.levels) < 1


def test_a_sound_that_is_shorter_than_the_clip_ends(tmp_path: Path, clip: MakeClip) -> None:
    short = clip(GREEN, tone=500, seconds=1.0)
    seen = made(tmp_path, Edit((ClipRange(clip(RED, seconds=3.0)),), sounds=(Sound(short, 1.0, 0),)))

    assert len(seen.frames) == 72
    assert min(seen.levels[1:9]) > 0.15
    assert max(seen.levels[13:]) < 0.01


def test_webm(tmp_path: Path, clip: MakeClip, music: Path) -> None:
    seen = made(
        tmp_path, Edit((ClipRange(clip(RED)), ClipRange(clip(BLUE))), format="webm", width=160, sounds=(Sound(music),))
    )

    assert (seen.codec, seen.size) == ("vp9", (160, 90))
    assert len(seen.frames) == 96
    assert seen.has_sound
    assert [near(seen.at(1), RED, 20), near(seen.at(3), BLUE, 20)] == [True, True]


def test_a_gif_has_the_colours_of_its_clips(tmp_path: Path, clip: MakeClip) -> None:
    seen = made(tmp_path, Edit((ClipRange(clip(RED)), ClipRange(clip(BLUE))), format="gif", width=161))

    assert seen.size == (160, 90)
    assert len(seen.frames) == 40
    for frame, colour in ((0, RED), (19, RED), (20, BLUE), (39, BLUE)):
        assert near(seen.frames[frame].getpixel((80, 45)), colour)  # type: ignore[arg-type]


def test_a_poster_is_the_first_frame(tmp_path: Path, clip: MakeClip) -> None:
    source = clip(lambda time: RED if time < 1 else BLUE)
    edit(Edit((ClipRange(source, 1.5),), format="jpg"), tmp_path / "poster.jpg")
    with Image.open(tmp_path / "poster.jpg") as poster:
        assert poster.size == (320, 180)
        assert near(poster.convert("RGB").getpixel((10, 10)), BLUE)  # type: ignore[arg-type]


def test_equal_clips_that_are_only_joined_are_not_encoded_again(
    tmp_path: Path, clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(editing, "write_video", None)
    seen = made(tmp_path, Edit((ClipRange(clip(RED)), ClipRange(clip(BLUE)))))

    assert len(seen.frames) == 96


@pytest.mark.parametrize(
    ("plan", "sentence"),
    [
        (
            lambda clip: Edit((ClipRange(clip(RED), 2.5),)),
            "Clip 1 is 2.00 s long, so there is nothing between 2.5 s and 2 s",
        ),
        (
            lambda clip: Edit((ClipRange(clip(RED)), ClipRange(clip(RED), 1, 1.05))),
            "Clip 2 is 2.00 s long, so there is nothing",
        ),
        (
            lambda clip: Edit((ClipRange(clip(RED)), ClipRange(clip(BLUE), 0, 1)), crossfade_seconds=0.8),
            "Clip 2 has 1.00 s here",
        ),
        (
            lambda clip: Edit((ClipRange(clip(RED, seconds=31, rate=10)),), format="gif"),
            "31 s long; a gif may have 30 s",
        ),
    ],
)
def test_what_cannot_be_made_is_said_with_the_clip(tmp_path: Path, clip: MakeClip, plan: Any, sentence: str) -> None:
    with pytest.raises(FileError) as caught:
        edit(plan(clip), tmp_path / "made.mp4")

    assert sentence in str(caught.value)


def test_an_edit_that_would_take_too_long_is_refused(
    tmp_path: Path, clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timelines, "MAX_WORK_SECONDS", 0.01)

    with pytest.raises(FileError, match=r"This edit of 4 s at 100x56 may take 0 minutes; an edit may take 0"):
        edit(Edit((ClipRange(clip(RED)), ClipRange(clip(BLUE))), width=100), tmp_path / "made.mp4")


def test_a_cross_fade_has_to_fit_into_memory(tmp_path: Path, clip: MakeClip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timelines, "_MAX_HELD_BYTES", 10 * 320 * 180 * 1.5)

    with pytest.raises(FileError) as caught:
        edit(Edit((ClipRange(clip(RED)), ClipRange(clip(BLUE))), crossfade_seconds=0.5), tmp_path / "made.mp4")
    assert "Cross-fades of 0.50 s are too long for 320x180" in str(caught.value)
    assert "At most 0.4 s fit" in caught.value.hint
    edit(Edit((ClipRange(clip(RED)), ClipRange(clip(BLUE))), crossfade_seconds=0.4), tmp_path / "made.mp4")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"#EXTM3U\nhttp://127.0.0.1/a\n", "is no MP3"),
        (b"ID3" + b"\x00" * 2000, "A sound cannot be read"),
        (b"RIFF\x00\x00\x00\x00WAVE" + b"x" * 2000, "sound"),
        (b"OggS" + b"\x00" * 2000, "A sound cannot be read"),
        (b"", "is no MP3"),
    ],
)
def test_what_is_no_sound_is_refused(tmp_path: Path, clip: MakeClip, content: bytes, sentence: str) -> None:
    (tmp_path / "sound").write_bytes(content)

    with pytest.raises(FileError, match=sentence):
        edit(Edit((ClipRange(clip(RED)),), sounds=(Sound(tmp_path / "sound"),)), tmp_path / "made.mp4")


def test_a_clip_without_sound_is_no_sound_file(tmp_path: Path, clip: MakeClip) -> None:
    with pytest.raises(FileError, match="has no sound in it"):
        edit(Edit((ClipRange(clip(RED)),), sounds=(Sound(clip(BLUE)),)), tmp_path / "made.mp4")


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"ID3\x04", "mp3"),
        (b"\xff\xfb\x90\x00", "mp3"),
        (b"\xff\xf3\x90\x00", "mp3"),
        (b"\xff\xd8\xff\xe0", None),
        (b"fLaC", "flac"),
        (b"OggS", "ogg"),
        (b"RIFF....WAVE", "wav"),
        (b"RIFF....WEBP", None),
        (b"\x00\x00\x00\x20ftypM4A ", "m4a"),
        (b"\xff", None),
        (b"", None),
    ],
)
def test_sounds_are_told_by_their_first_bytes(head: bytes, kind: str | None) -> None:
    assert sniff_sound(head) == kind


def test_memory_does_not_grow_with_the_length(tmp_path: Path, clip: MakeClip) -> None:
    """Frames are not kept: only those of a cross-fade are."""
    import gc

    alive: list[int] = []
    source = clip(RED, seconds=4.0)
    frames = video_track.frames_of(Timeline.of(Edit((ClipRange(source),)), [inspect_file(source)]), Edit(()))
    for number, _ in enumerate(frames):
        if number % 32 == 31:
            gc.collect()
            alive.append(sum(isinstance(thing, av.VideoFrame) for thing in gc.get_objects()))
    assert max(alive) <= 12


def test_a_part_may_be_the_last_frame_alone(tmp_path: Path, clip: MakeClip) -> None:
    source = clip(lambda time: BLUE if time > 1.85 else RED, rate=10)
    seen = made(tmp_path, Edit((ClipRange(source, 1.9),)))

    assert len(seen.frames) == 1
    assert near(seen.at(0), BLUE)


def test_the_sound_of_a_late_part_is_that_part_s(tmp_path: Path, clip: MakeClip) -> None:
    seen = made(tmp_path, Edit((ClipRange(clip(RED, tone=440, seconds=3.0), 1.5),)))

    assert len(seen.levels) == pytest.approx(15, abs=1)
    assert min(seen.levels[1:14]) > 0.15


def test_a_part_without_a_frame_is_refused(clip: MakeClip, monkeypatch: pytest.MonkeyPatch) -> None:
    source = clip(RED)
    timeline = Timeline.of(Edit((ClipRange(source),)), [inspect_file(source)])
    monkeypatch.setattr(video_track, "decoded_from", lambda *_: iter([]))

    with pytest.raises(FileError, match="has no frames in the part"):
        list(video_track.frames_of(timeline, Edit(())))


class Broken:
    """A sound file whose decoder fails."""

    class streams:  # noqa: N801 - as libav names it
        audio = (type("Stream", (), {"codec_context": True}),)

    def __init__(self, error: Exception) -> None:
        self._error = error

    def decode(self, _stream: object) -> Any:
        raise self._error
        yield


def test_a_sound_that_breaks_off_is_said_and_memory_is_no_fault_of_it(
    tmp_path: Path, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken: Any = Broken(av.error.InvalidDataError(1, "x"))
    with pytest.raises(FileError, match="A sound cannot be read"):
        next(sound_blocks.decoded(broken, 1.0))
    short: Any = Broken(MemoryError())
    with pytest.raises(MemoryError):
        next(sound_blocks.decoded(short, 1.0))

    def no_memory(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(av, "open", no_memory)
    with pytest.raises(MemoryError), music.open("rb") as file, sound_blocks.open_sound(file):
        pass


def test_a_sound_that_ends_before_the_picture(tmp_path: Path) -> None:
    def frames() -> Any:
        for _ in range(24):
            yield av.VideoFrame.from_image(Image.new("RGB", (64, 64), RED)).reformat(format="yuv420p")

    timeline = Timeline((), Fraction(24), (64, 64))
    encoder.write_video("mp4", frames(), iter([]), timeline, tmp_path / "made.mp4")
    assert len(Seen(tmp_path / "made.mp4").frames) == 24


def test_a_lack_of_memory_says_nothing_about_the_clip(clip: MakeClip) -> None:
    with pytest.raises(MemoryError), clip(RED).open("rb") as file, open_clip(file):
        raise MemoryError


def test_clips_in_webm_are_encoded_again_for_an_mp4(tmp_path: Path, clip: MakeClip) -> None:
    parts = []
    for number, colour in enumerate((RED, BLUE)):
        parts.append(tmp_path / f"part-{number}.webm")
        edit(Edit((ClipRange(clip(colour, seconds=1.0)),), format="webm"), parts[-1])
    seen = made(tmp_path, Edit(tuple(map(ClipRange, parts))))

    assert seen.codec == "h264"
    assert len(seen.frames) == 48
    assert near(seen.at(0.5), RED)
    assert near(seen.at(1.5), BLUE)


@pytest.fixture
def late_picture(tmp_path: Path) -> Path:
    """A clip of five seconds of sound, whose picture starts after three: red for a second, and then blue."""
    path = tmp_path / "late.mp4"
    with av.open(str(path), "w", format="mp4") as output:
        video: Any = output.add_stream("libx264", rate=24, options={"crf": "10"})
        video.width, video.height = 320, 180
        video.pix_fmt = "yuv420p"
        audio: Any = output.add_stream("aac", rate=44_100)
        audio.layout = "mono"
        samples = tone_of(440, 5.0, 44_100)
        sound = av.AudioFrame(format="s16", layout="mono", samples=len(samples) // 2)
        sound.planes[0].update(samples)
        sound.sample_rate, sound.pts, sound.time_base = 44_100, 0, Fraction(1, 44_100)
        packets = [*audio.encode(sound), *audio.encode(None)]
        for number in range(48):
            frame = av.VideoFrame.from_image(Image.new("RGB", (320, 180), RED if number < 24 else BLUE))
            frame.pts, frame.time_base = 72 + number, Fraction(1, 24)
            packets += video.encode(frame)
        for packet in sorted([*packets, *video.encode(None)], key=lambda packet: packet.dts * packet.time_base):
            output.mux(packet)
    return path


def test_a_part_from_before_the_first_picture_shows_the_first_picture_until_the_next(
    tmp_path: Path, late_picture: Path
) -> None:
    assert inspect_file(late_picture).start == pytest.approx(0, abs=0.05)
    seen = made(tmp_path, Edit((ClipRange(late_picture, 2.0),)))

    assert len(seen.frames) == pytest.approx(72, abs=1)
    assert [near(seen.at(second), RED) for second in (0.1, 1.0, 1.9)] == [True, True, True]
    assert near(seen.at(2.2), BLUE)


def test_sound_with_time_stamps_is_moved_to_the_start_and_other_sound_is_not() -> None:
    frame = av.AudioFrame(format="fltp", layout="stereo", samples=1024)
    frame.pts, frame.time_base = 96_000, Fraction(1, 48_000)
    assert audio_track._earlier(frame, Fraction(3, 2)).pts == 24_000

    frame.pts = None
    assert audio_track._earlier(frame, Fraction(3, 2)).pts is None
