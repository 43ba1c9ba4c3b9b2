"""What the emulated Agents API makes: opened, measured and looked at."""

import base64
from io import BytesIO
from typing import Any

import av
import httpx
import pytest
from PIL import Image, ImageChops, ImageStat

from luma_mcp.emulator.rendering.images import without_strip
from tests.emulator.agents.conftest import Api, World, still

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

CLIP = {"prompt": "a boat", "model": "ray-3.2", "type": "video"}
SMALL = {"resolution": "360p"}


def inline(data: bytes, media_type: str = "image/png") -> dict[str, Any]:
    return {"data": base64.b64encode(data).decode(), "media_type": media_type}


RED, BLUE = inline(still(colour="red")), inline(still(colour="blue"))


def frames(clip: bytes) -> list[Image.Image]:
    with av.open(BytesIO(clip)) as container:
        return [frame.to_image() for frame in container.decode(video=0)]


async def clip_of(api: Api, video: dict[str, Any]) -> list[Image.Image]:
    """The frames of a clip that is made so."""
    return frames(await api.output(await api.completed(**CLIP | {"video": video})))


def colour(picture: Image.Image) -> tuple[float, ...]:
    return tuple(ImageStat.Stat(without_strip(picture)).mean)


def is_red(picture: Image.Image) -> bool:
    red, _, blue = colour(picture)
    return red > 200 and blue < 60


def is_blue(picture: Image.Image) -> bool:
    red, _, blue = colour(picture)
    return blue > 200 and red < 60


@pytest.mark.parametrize(
    ("ratio", "resolution", "duration", "size"),
    [
        (None, "360p", "5s", (640, 360)),
        ("9:16", "540p", "5s", (540, 960)),
        ("21:9", "360p", "10s", (840, 360)),
    ],
)
async def test_a_clip_has_the_form_that_was_asked_for(
    api: Api, ratio: str | None, resolution: str, duration: str, size: tuple[int, int]
) -> None:
    video = {"resolution": resolution, "duration": duration}
    clip = await api.output(await api.completed(**CLIP | {"aspect_ratio": ratio, "video": video}))

    with av.open(BytesIO(clip)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == size
        assert stream.average_rate == 24
        assert not container.streams.audio
    assert len(frames(clip)) == 24 * int(duration.removesuffix("s"))


async def test_hdr_has_ten_bits_and_an_exr_beside_it(api: Api) -> None:
    made = await api.completed(**CLIP | {"video": {"hdr": True, "exr_export": True}})

    assert [output["type"] for output in made["output"]] == ["video", "exr"]
    with av.open(BytesIO(await api.output(made))) as container:
        context = container.streams.video[0].codec_context
        assert context.pix_fmt == "yuv420p10le"
        assert (context.color_primaries, context.color_trc) == (9, 16)
    exr = await api.output(made, 1)
    assert exr[:4] == bytes.fromhex("762f3101")
    decoder = av.CodecContext.create("exr", "r")
    (frame,) = decoder.decode(av.Packet(exr))
    assert (frame.width, frame.height) == (1280, 720)


async def test_start_end_and_loop(api: Api) -> None:
    both = frames(
        await api.output(await api.completed(**CLIP | {"video": SMALL | {"start_frame": RED, "end_frame": BLUE}}))
    )
    assert is_red(both[0])
    assert is_blue(both[-1])
    looped = frames(
        await api.output(await api.completed(**CLIP | {"video": SMALL | {"start_frame": RED, "loop": True}}))
    )
    assert is_red(looped[-1])
    free = await clip_of(api, SMALL | {"loop": True})
    difference = ImageChops.difference(without_strip(free[0]), without_strip(free[-1]))
    assert max(ImageStat.Stat(difference).mean) < 3


async def test_keyframes_are_met_at_their_indexes(api: Api) -> None:
    video = SMALL | {"keyframes": [RED, BLUE, RED], "keyframe_indexes": [12, 60, 110]}
    made = await clip_of(api, video)

    assert is_red(made[12])
    assert is_blue(made[60])
    assert is_red(made[110])
    assert not is_red(made[36])
    assert is_red(made[0])
    assert is_red(made[-1])


async def test_an_extended_clip_goes_on_from_the_last_frame(api: Api) -> None:
    first = await api.completed(
        **CLIP | {"aspect_ratio": "1:1", "video": SMALL | {"start_frame": RED, "end_frame": BLUE}}
    )
    frame = {"generation_id": first["id"]}
    forward = await clip_of(api, SMALL | {"start_frame": frame})
    assert is_blue(forward[0])
    assert forward[0].size == (480, 480), "the form of the clip before it"
    backward = await clip_of(api, SMALL | {"end_frame": frame})
    assert is_red(backward[-1])


async def test_the_strength_of_an_edit_shows(api: Api) -> None:
    source = await api.completed(**CLIP | {"video": SMALL})
    original = frames(await api.output(source))[60]
    distances: list[float] = []
    for strength in ("adhere_1", "reimagine_3"):
        body = CLIP | {"type": "video_edit", "source": {"generation_id": source["id"]}, "prompt": "at night"}
        edited = await api.completed(**body | {"video": SMALL | {"edit": {"strength": strength}}})
        picture = frames(await api.output(edited))[60]
        assert picture.size == original.size
        difference = ImageChops.difference(without_strip(picture), without_strip(original))
        distances.append(sum(ImageStat.Stat(difference).mean))

    assert 0 < distances[0] * 3 < distances[1]


async def test_an_edit_meets_its_keyframes_and_its_start(api: Api) -> None:
    source = await api.completed(**CLIP | {"video": SMALL})
    clip = inline(await api.output(source), "video/mp4")
    edit = {"keyframes": [BLUE], "keyframe_indexes": [40], "auto_controls": True}
    assert await api.refusal(**CLIP | {"video": {"start_frame": clip}}) == (
        422, "video.start_frame: a still is required",
    )  # fmt: skip
    body = CLIP | {"type": "video_edit", "source": clip, "video": SMALL | {"edit": edit}}
    assert is_blue(frames(await api.output(await api.completed(**body)))[40])
    started = body | {"video": SMALL | {"start_frame": RED}}
    assert is_red(frames(await api.output(await api.completed(**started)))[0])


@pytest.mark.parametrize("position", [None, {"x_norm": 0.25, "y_norm": 0, "w_norm": 0.5, "h_norm": 1}])
async def test_a_reframed_clip_lies_where_it_was_placed(api: Api, position: dict[str, float] | None) -> None:
    source = await api.completed(**CLIP | {"video": SMALL | {"start_frame": RED, "end_frame": RED}})
    body = CLIP | {"type": "video_reframe", "aspect_ratio": "1:1", "source": {"generation_id": source["id"]}}
    made = frames(await api.output(await api.completed(**body | {"video": SMALL | {"source_position": position}})))

    assert (made[0].size, len(made)) == ((480, 480), 120)
    assert is_red(made[0].crop((200, 100, 280, 400)))


@pytest.mark.parametrize(
    ("ratio", "size", "kind"),
    [(None, (2048, 2048), "PNG"), ("16:9", (2048, 1152), "PNG"), ("1:3", (683, 2048), "JPEG")],
)
async def test_a_still_has_2048_pixels(api: Api, ratio: str | None, size: tuple[int, int], kind: str) -> None:
    made = await api.completed(prompt="a boat", aspect_ratio=ratio, output_format=kind.lower(), style="auto")
    picture = Image.open(BytesIO(await api.output(made)))

    assert (picture.size, picture.format) == (size, kind)


async def test_manga_is_grey_and_references_show(api: Api) -> None:
    grey = Image.open(BytesIO(await api.output(await api.completed(prompt="a boat", style="manga"))))
    red, green, blue = colour(grey)
    assert max(red, green, blue) - min(red, green, blue) < 4
    plain = Image.open(BytesIO(await api.output(await api.completed(prompt="a boat"))))
    referred = Image.open(BytesIO(await api.output(await api.completed(prompt="a boat", image_ref=[RED]))))
    assert colour(referred)[0] > colour(plain)[0]


async def test_an_edited_still_keeps_its_size(api: Api) -> None:
    body = {"prompt": "at night", "type": "image_edit", "source": inline(still((640, 400)))}
    assert Image.open(BytesIO(await api.output(await api.completed(**body)))).size == (640, 400)
    assert Image.open(BytesIO(await api.output(await api.completed(**body, style="manga")))).size == (640, 400)


async def test_layers_are_transparent_and_lie_on_an_opaque_one(api: Api) -> None:
    still_id = (await api.completed(prompt="a boat", aspect_ratio="16:9"))["id"]
    body = {"type": "layering", "prompt": "", "source": {"generation_id": still_id}, "layering": {"resolution": "2k"}}
    made = await api.completed(**body)
    layers = [Image.open(BytesIO(await api.output(made, number))) for number in range(len(made["output"]))]

    assert 2 <= len(layers) <= 5
    assert {layer.size for layer in layers} == {(2048, 1152)}
    assert all(layer.getextrema()[3] == (0, 255) for layer in layers[:-1])
    assert layers[-1].getextrema()[3] == (255, 255)
    assert [output["layer"]["alpha_hint"] for output in made["output"]] == ["soft"] * (len(layers) - 1) + ["none"]


async def test_links_end_after_an_hour_and_are_made_anew(api: Api, http: httpx.AsyncClient, world: World) -> None:
    made = await api.completed(prompt="a boat")
    url = made["output"][0]["url"]
    assert (await http.get(url)).status_code == 200
    world.seconds += 3601
    ended = await http.get(url)
    assert (ended.status_code, "Request has expired" in ended.text) == (403, True)
    assert (await http.get((await api.get(made["id"]))["output"][0]["url"])).status_code == 200
    assert (await http.get(url.replace("Signature=", "Signature=0"))).status_code == 403
    assert (await http.get(url.replace(made["id"], "other"))).status_code == 403
