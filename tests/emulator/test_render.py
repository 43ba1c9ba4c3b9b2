"""What is rendered is what was asked for. Small: the pictures are looked at by numbers."""

from collections.abc import Awaitable, Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import httpx
import pytest
from PIL import Image, ImageChops, ImageStat

from luma_mcp.emulator.dream_machine.catalogue import CAMERA_MOTIONS, CONCEPTS, IMAGE_SIZES, video_size
from luma_mcp.emulator.rendering import camera, clips
from luma_mcp.emulator.rendering import images as pictures
from tests.support.agent import INTERNET, HeldClock

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

Make = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def anyio_backend() -> str:
    """Rendering is the same work on any loop."""
    return "asyncio"


@pytest.fixture
def make(http: httpx.AsyncClient, clock: HeldClock) -> Make:
    """Create and let the time pass; the completed generation."""

    async def create(path: str, **body: Any) -> dict[str, Any]:
        made = (await http.post(path, json=body)).json()
        clock.seconds += 200
        result = (await http.get(f"/generations/{made['id']}")).json()
        assert result["state"] == "completed", result
        return result

    return create


async def video(http: httpx.AsyncClient, generation: dict[str, Any]) -> bytes:
    answer = await http.get(generation["assets"]["video"])
    assert answer.headers["content-type"] == "video/mp4"
    return answer.content


def small(prompt: str, **more: Any) -> dict[str, Any]:
    return {"model": "ray-2", "prompt": prompt, "resolution": "540p", **more}


def difference(item: Image.Image, other: Image.Image) -> float:
    """Mean difference of the pictures above the strip, 0 to 255."""
    item, other = pictures.without_strip(item), pictures.without_strip(other)
    return sum(ImageStat.Stat(ImageChops.difference(item, other)).mean) / 3


@pytest.mark.parametrize("ratio", ["16:9", "9:21", "4:3", "1:1"])
async def test_a_clip_measures_what_was_asked(make: Make, http: httpx.AsyncClient, ratio: str) -> None:
    made = await make("/generations/video", **small("a boat", aspect_ratio=ratio))
    data = await video(http, made)

    with av.open(BytesIO(data)) as container:
        (stream,) = container.streams
        assert stream.codec_context.name == "h264"
        assert (stream.width, stream.height) == video_size(ratio, "540p")
        assert stream.average_rate == 24
        assert stream.frames == 5 * 24
    assert data.index(b"moov") < data.index(b"mdat"), "players cannot start at once"


async def test_nine_seconds_are_nine_seconds(make: Make, http: httpx.AsyncClient) -> None:
    data = await video(http, await make("/generations/video", **small("a boat", duration="9s")))

    assert clips.size_and_seconds(BytesIO(data)) == ((960, 540), 9.0)


@pytest.mark.parametrize(("kind", "pillow"), [("jpg", "JPEG"), ("png", "PNG")])
async def test_a_picture_has_the_format_and_ratio(make: Make, http: httpx.AsyncClient, kind: str, pillow: str) -> None:
    made = await make("/generations/image", model="photon-1", prompt="a boat", aspect_ratio="21:9", format=kind)
    picture = Image.open(BytesIO((await http.get(made["assets"]["image"])).content))

    assert (picture.format, picture.size) == (pillow, IMAGE_SIZES["21:9"])


async def test_every_asset_says_that_it_is_emulated(make: Make, http: httpx.AsyncClient) -> None:
    """The strip's amber letters stand at the foot of the picture."""
    made = await make("/generations/image", model="photon-1", prompt="a boat", format="png")
    picture = Image.open(BytesIO((await http.get(made["assets"]["image"])).content))
    foot = picture.crop((0, picture.height - pictures.strip_height(picture.height), 400, picture.height))

    colours = {colour for _, colour in foot.getcolors(100_000) or []}
    assert any(red > 220 and green > 150 and blue < 90 for red, green, blue in colours)


async def test_each_take_of_the_same_words_is_another_picture_in_like_colours(
    make: Make, http: httpx.AsyncClient
) -> None:
    async def picture(prompt: str) -> Image.Image:
        made = await make("/generations/image", model="photon-flash-1", prompt=prompt, format="png")
        return Image.open(BytesIO((await http.get(made["assets"]["image"])).content))

    first, second, other = [await picture(prompt) for prompt in ("a boat", "a boat", "a port")]
    assert difference(first, second) > 3
    assert difference(first, other) > 5
    assert difference(pictures.scene("a boat", (64, 36), "1"), pictures.scene("a boat", (64, 36), "1")) == 0


async def test_an_extension_goes_on_where_its_source_ends(make: Make, http: httpx.AsyncClient) -> None:
    first = await make("/generations/video", **small("a boat", concepts=[{"key": "pan_left"}]))
    frames = {"frame0": {"type": "generation", "id": first["id"]}}
    second = await make("/generations/video", **small("it goes on", keyframes=frames))
    end = clips.last_frame(BytesIO(await video(http, first)))
    begin = clips.first_frame(BytesIO(await video(http, second)))

    assert difference(end, begin) < 3
    assert difference(begin, clips.last_frame(BytesIO(await video(http, second)))) > 3


async def test_a_backward_extension_ends_where_its_source_begins(make: Make, http: httpx.AsyncClient) -> None:
    source = await make("/generations/video", **small("a boat", concepts=[{"key": "pan_left"}]))
    frames = {"frame1": {"type": "generation", "id": source["id"]}}
    before = await make("/generations/video", **small("before", keyframes=frames))

    begin = clips.first_frame(BytesIO(await video(http, source)))
    assert difference(begin, clips.last_frame(BytesIO(await video(http, before)))) < 3


async def test_a_clip_goes_from_one_picture_to_another(make: Make, http: httpx.AsyncClient) -> None:
    INTERNET["https://a.example/red.png"] = solid((200, 20, 20))
    INTERNET["https://a.example/blue.png"] = solid((20, 20, 200))
    frames = {
        "frame0": {"type": "image", "url": "https://a.example/red.png"},
        "frame1": {"type": "image", "url": "https://a.example/blue.png"},
    }
    data = await video(http, await make("/generations/video", **small("from red to blue", keyframes=frames)))

    red = clips.first_frame(BytesIO(data)).getpixel((100, 100))
    blue = clips.last_frame(BytesIO(data)).getpixel((100, 100))
    assert red[0] > 150
    assert red[2] < 60
    assert blue[2] > 150
    assert blue[0] < 60


def solid(colour: tuple[int, int, int]) -> bytes:
    return pictures.encoded(Image.new("RGB", (320, 180), colour), "png")


async def test_a_loop_ends_as_it_begins(make: Make, http: httpx.AsyncClient) -> None:
    data = await video(
        http, await make("/generations/video", **small("a boat", loop=True, concepts=[{"key": "pan_right"}]))
    )
    frames = list(clips.frames_of(BytesIO(data)))

    assert difference(frames[0], frames[-1]) < 3
    assert difference(frames[0], frames[60]) > 5


async def test_upscaling_makes_the_same_clip_larger(make: Make, http: httpx.AsyncClient) -> None:
    source = await make("/generations/video", **small("a boat"))
    larger = await make(f"/generations/{source['id']}/upscale", resolution="720p")
    data = await video(http, larger)

    assert clips.size_and_seconds(BytesIO(data)) == ((1280, 720), 5.0)
    shrunk = clips.first_frame(BytesIO(data)).resize((960, 540))
    assert difference(shrunk, clips.first_frame(BytesIO(await video(http, source)))) < 5


async def test_added_audio_can_be_heard_and_the_picture_stays(make: Make, http: httpx.AsyncClient) -> None:
    source = await make("/generations/video", **small("a boat"))
    sounding = await make(f"/generations/{source['id']}/audio", prompt="waves")
    data = await video(http, sounding)

    with av.open(BytesIO(data)) as container:
        assert sorted(stream.type for stream in container.streams) == ["audio", "video"]
        assert container.streams.audio[0].codec_context.name == "aac"
        loudest = max(abs(frame.to_ndarray()).max() for frame in container.decode(audio=0)) if has_numpy() else 1
        assert loudest > 0.05
    before = list(clips.frames_of(BytesIO(await video(http, source))))
    after = list(clips.frames_of(BytesIO(data)))
    assert len(before) == len(after)
    assert difference(before[60], after[60]) == 0


def has_numpy() -> bool:
    import importlib.util

    return importlib.util.find_spec("numpy") is not None


@pytest.mark.parametrize("mode", ["adhere_1", "flex_2", "reimagine_3"])
async def test_modifying_repaints_the_source(make: Make, http: httpx.AsyncClient, mode: str) -> None:
    source = await make("/generations/video", **small("a boat"))
    modified = await make(
        "/generations/video/modify", generation_type="modify_video", model="ray-2", mode=mode, prompt="oil painting",
        media={"url": source["assets"]["video"]},
    )  # fmt: skip
    data = await video(http, modified)

    assert clips.size_and_seconds(BytesIO(data)) == ((960, 540), 5.0)
    changed = difference(clips.first_frame(BytesIO(await video(http, source))), clips.first_frame(BytesIO(data)))
    assert changed > {"adhere_1": 1, "flex_2": 5, "reimagine_3": 8}[mode]


async def test_a_clip_from_elsewhere_is_taken(make: Make, http: httpx.AsyncClient) -> None:
    source = await make("/generations/video", **small("a boat"))
    INTERNET["https://a.example/clip.mp4"] = await video(http, source)
    reframed = await make(
        "/generations/video/reframe", generation_type="reframe_video", model="ray-2", aspect_ratio="1:1",
        media={"url": "https://a.example/clip.mp4"}, x_start=100, x_end=900, y_start=100, y_end=700,
    )  # fmt: skip

    assert clips.size_and_seconds(BytesIO(await video(http, reframed))) == ((960, 960), 5.0)


async def test_a_reframed_picture_sits_where_it_was_put(make: Make, http: httpx.AsyncClient) -> None:
    INTERNET["https://a.example/red.png"] = solid((200, 20, 20))
    reframed = await make(
        "/generations/image/reframe", generation_type="reframe_image", model="photon-1", aspect_ratio="1:1",
        media={"url": "https://a.example/red.png"}, grid_position_x=100, grid_position_y=50, resized_width=200,
        resized_height=100, format="png",
    )  # fmt: skip
    picture = Image.open(BytesIO((await http.get(reframed["assets"]["image"])).content))

    assert picture.size == (1536, 1536)
    assert picture.getpixel((200, 100)) == (200, 20, 20)


async def test_references_show_by_their_weight(make: Make, http: httpx.AsyncClient) -> None:
    INTERNET["https://a.example/red.png"] = solid((200, 20, 20))

    async def made_with(weight: float) -> Image.Image:
        made = await make(
            "/generations/image", model="photon-1", prompt="a boat", format="png",
            modify_image_ref={"url": "https://a.example/red.png", "weight": weight},
        )  # fmt: skip
        return Image.open(BytesIO((await http.get(made["assets"]["image"])).content))

    assert (await made_with(1.0)).getpixel((500, 500)) == (200, 20, 20)
    assert (await made_with(0.0)).getpixel((500, 500)) != (200, 20, 20)


async def test_a_reference_without_a_link_changes_nothing(
    make: Make, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Luma's own SDK lets one be sent."""
    scene = pictures.scene
    monkeypatch.setattr(pictures, "scene", lambda prompt, size, _take: scene(prompt, size))
    plain = await make("/generations/image", model="photon-1", prompt="a boat")
    weighed = await make("/generations/image", model="photon-1", prompt="a boat", image_ref=[{"weight": 0.5}])
    contents = [(await http.get(item["assets"]["image"])).content for item in (plain, weighed)]

    assert contents[0] == contents[1]


async def test_a_preview_is_a_small_clip(http: httpx.AsyncClient, clock: HeldClock) -> None:
    made = (await http.post("/generations/video", json=small("a boat"))).json()
    clock.seconds += 40
    result = (await http.get(f"/generations/{made['id']}")).json()
    data = (await http.get(result["assets"]["progress_video"])).content

    assert clips.size_and_seconds(BytesIO(data)) == ((240, 134), 1.0)


@pytest.mark.parametrize("content", [b"not a picture", b"\x89PNG\r\n\x1a\n broken", b""])
async def test_an_input_that_is_no_picture_makes_nothing(make: Make, http: httpx.AsyncClient, content: bytes) -> None:
    INTERNET["https://a.example/bad.png"] = content
    frames = {"frame0": {"type": "image", "url": "https://a.example/bad.png"}}
    made = await make("/generations/video", **small("a boat", keyframes=frames))

    answer = await http.get(made["assets"]["video"])
    assert answer.status_code == 404
    assert "not a readable picture" in answer.json()["detail"]


async def test_an_input_that_is_no_clip_makes_nothing(make: Make, http: httpx.AsyncClient) -> None:
    """A playlist is not followed to where it leads."""
    INTERNET["https://a.example/bad.mp4"] = b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n"
    made = await make(
        "/generations/video/modify", generation_type="modify_video", model="ray-2", mode="flex_1",
        media={"url": "https://a.example/bad.mp4"},
    )  # fmt: skip

    assert (await http.get(made["assets"]["video"])).status_code == 404


def track_of(kind: str) -> bytes:
    """An MP4 with one empty track."""
    out = BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream: Any = container.add_stream(*(("libx264", 24) if kind == "video" else ("aac", 44100)))
        if kind == "video":
            stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        container.start_encoding()
    return out.getvalue()


@pytest.mark.parametrize("kind", ["video", "audio"])
@pytest.mark.parametrize("look", [clips.first_frame, clips.last_frame])
def test_a_clip_without_a_frame_is_said_to_be_one(look: Callable[[BytesIO], object], kind: str) -> None:
    with pytest.raises(pictures.UnreadableMediaError, match="no picture track"):
        look(BytesIO(track_of(kind)))


async def test_what_is_reframed_without_a_place_sits_in_the_middle(make: Make, http: httpx.AsyncClient) -> None:
    INTERNET["https://a.example/red.png"] = solid((255, 0, 0))
    made = await make(
        "/generations/image/reframe", generation_type="reframe_image", model="photon-1", aspect_ratio="16:9",
        media={"url": "https://a.example/red.png"},
    )  # fmt: skip
    picture = Image.open(BytesIO((await http.get(made["assets"]["image"])).content)).convert("RGB")

    red, green, _ = picture.getpixel((picture.width // 2, picture.height // 2))
    assert red > 200
    assert green < 60


def test_a_picture_just_below_a_bomb_is_refused_too() -> None:
    large = BytesIO()
    Image.new("1", (9_000, 9_000)).save(large, "PNG")

    with pytest.raises(pictures.UnreadableMediaError, match="too many pixels"):
        pictures.open_picture(large.getvalue())


def test_a_picture_with_too_many_pixels_is_refused() -> None:
    bomb = BytesIO()
    Image.new("1", (12_000, 12_000)).save(bomb, "PNG")

    with pytest.raises(pictures.UnreadableMediaError):
        pictures.open_picture(bomb.getvalue())


def test_every_concept_and_motion_is_a_move() -> None:
    for concept in CONCEPTS:
        assert camera.moves_of([concept], None) == [concept]
    for motion in CAMERA_MOTIONS:
        if " " in motion:
            assert camera.moves_of([], f"A boat, camera {motion.lower()}.") == [motion.lower().replace(" ", "_")]


@pytest.mark.parametrize(
    "concept",
    [each_concept for each_concept in CONCEPTS if camera.MOVES[each_concept][0] != camera.MOVES[each_concept][1]],
)
def test_a_move_moves(concept: str) -> None:
    ground = pictures.scene("a boat", (640, 360))
    path = camera.path([concept], from_whole=False, to_whole=False, loop=False)
    begin, end = (camera.shoot(ground, path(moment), (320, 180)) for moment in (0, 1))

    assert difference(begin, end) > 3


def test_handheld_trembles_and_static_does_not() -> None:
    handheld = camera.path(["handheld"], from_whole=False, to_whole=False, loop=False)
    static = camera.path(["static"], from_whole=False, to_whole=False, loop=False)

    assert len({handheld(moment / 10) for moment in range(11)}) > 5
    assert len({static(moment / 10) for moment in range(11)}) == 1


@pytest.mark.parametrize("concept", CONCEPTS)
def test_a_clip_between_pictures_shows_them_whole(concept: str) -> None:
    begins = camera.path([concept], from_whole=True, to_whole=False, loop=False)
    ends = camera.path([concept], from_whole=False, to_whole=True, loop=False)

    assert begins(0) == camera.WHOLE
    assert ends(1).zoom == pytest.approx(1)


def test_the_camera_never_sees_beyond_the_picture() -> None:
    white = Image.new("RGB", (400, 300), "white")
    for pose in (
        camera.Pose(),
        camera.Pose(x=5, y=-5, zoom=1.2),
        camera.Pose(x=-1, zoom=1, angle=30),
        camera.Pose(y=1, angle=-20),
    ):
        assert camera.shoot(white, pose, (200, 150)).getextrema() == ((255, 255),) * 3


def test_an_hdr_clip_is_pq_and_comes_back_as_it_was(tmp_path: Path) -> None:
    source = Image.new("RGB", (64, 36), (180, 90, 40))
    clips.write_clip(tmp_path / "hdr.mp4", [source] * 3, (64, 36), hdr=True)
    clips.write_clip(tmp_path / "sdr.mp4", [source] * 3, (64, 36))

    for name, tags in (("hdr.mp4", (9, 16, 9, 1)), ("sdr.mp4", (1, 1, 1, 1))):
        with av.open(str(tmp_path / name)) as container:
            codec = container.streams.video[0].codec_context
            assert (codec.color_primaries, codec.color_trc, codec.colorspace, codec.color_range) == tags
        with (tmp_path / name).open("rb") as file:
            found = clips.first_frame(file).getpixel((32, 18))
        assert all(abs(a - b) <= 4 for a, b in zip(found, (180, 90, 40), strict=True)), found  # type: ignore[arg-type]
