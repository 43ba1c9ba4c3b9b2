"""The rendering of the Agents API's generations: clips, stills, and the layers of a picture."""

from collections.abc import Iterator, Mapping
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageFilter, ImageOps

from luma_mcp.emulator.agents.account import Generation
from luma_mcp.emulator.agents.catalogue import FRAMES_PER_SECOND
from luma_mcp.emulator.rendering import camera, clips
from luma_mcp.emulator.rendering import images as pictures
from luma_mcp.emulator.rendering.files import RenderedFiles
from luma_mcp.emulator.rendering.images import Marker

Source = Path | bytes
_REFERENCE_WEIGHT = 0.35
# An edit with automatic controls, and one whose strength is not given.
_STRENGTH = "flex_2"


class OutputStore:
    """Every output rendered so far."""

    def __init__(self) -> None:
        self._files = RenderedFiles()

    def close(self) -> None:
        self._files.close()

    async def output(self, generation: Generation, name: str) -> Path:
        """The file of an output, by one of `Generation.output_names`."""

        async def make(target: Path) -> None:
            sources: dict[str, Source] = {}
            for field, media in generation.media.items():
                earlier = media.generation
                sources[field] = await self.output(earlier, earlier.output_names[0]) if earlier else media.data
            await self._files.render(partial(_make, generation, name, target, sources))

        return await self._files.get(f"{generation.id}-{name}", make)


def _make(generation: Generation, name: str, target: Path, sources: Mapping[str, Source]) -> None:
    if generation.body.type == "layering":
        layer = _layers(generation, sources)[int(name.removeprefix("layer").removesuffix(".png"))]
        layer.save(target, "PNG", compress_level=3)
    elif not generation.is_clip:
        target.write_bytes(pictures.encoded(_still(generation, sources), target.suffix.removeprefix(".")))
    elif name == "frames.exr":
        clips.write_exr(target, next(_frames(generation, sources)))
    else:
        clips.write_clip(target, _frames(generation, sources), generation.size, hdr=generation.body.settings.hdr)


def _caption(generation: Generation) -> str:
    body = generation.body
    facts = [
        body.model,
        body.type,
        "x".join(map(str, generation.size)),
        "HDR" if body.settings.hdr else "",
        body.prompt,
    ]
    return " · ".join(fact for fact in facts if fact)


def _open(source: Source) -> BinaryIO:
    return BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def _picture(source: Source) -> Image.Image:
    """A still; one of our own loses its strip, or it would show twice."""
    if isinstance(source, bytes):
        return pictures.open_picture(source)
    return pictures.without_strip(pictures.open_picture(source.read_bytes()))


def _still(generation: Generation, sources: Mapping[str, Source]) -> Image.Image:
    body = generation.body
    marker = Marker(generation.size, _caption(generation))
    if body.type == "image_edit":
        strength = "reimagine_1" if body.style == "manga" else "flex_1"
        picture = pictures.restyled(_picture(sources["source"]), strength, pictures.tint(body.prompt))
    else:
        picture = pictures.scene(body.prompt, marker.picture_size, generation.id)
        if body.style == "manga":
            picture = ImageOps.grayscale(picture).convert("RGB")
    for field, source in sources.items():
        if field.startswith("image_ref"):
            picture = pictures.blended(picture, _picture(source), _REFERENCE_WEIGHT)
    return marker.mark(picture)


def _layers(generation: Generation, sources: Mapping[str, Source]) -> list[Image.Image]:
    """A picture in layers by brightness, front to back; the last is the opaque background."""
    picture = pictures.covering(_picture(sources["source"]), generation.size)
    grey = ImageOps.equalize(ImageOps.grayscale(picture))
    bands = generation.layers - 1
    layers: list[Image.Image] = []
    for number in range(bands):
        low, high = 256 * number // (bands + 1), 256 * (number + 1) // (bands + 1)
        mask = grey.point([255 if low <= value < high else 0 for value in range(256)])
        layer = picture.convert("RGBA")
        layer.putalpha(mask.filter(ImageFilter.GaussianBlur(1)))
        layers.append(layer)
    return [*layers, picture.filter(ImageFilter.GaussianBlur(8)).convert("RGBA")]


def _frames(generation: Generation, sources: Mapping[str, Source]) -> Iterator[Image.Image]:
    marker = Marker(generation.size, _caption(generation))
    if generation.body.type == "video":
        return _filmed(generation, marker, sources)
    return _made_over(generation, marker, sources)


def _filmed(generation: Generation, marker: Marker, sources: Mapping[str, Source]) -> Iterator[Image.Image]:
    """A camera's way over a scene. Pictures that are given for certain frames are met there."""
    body = generation.body
    count = round(generation.seconds * FRAMES_PER_SECOND)
    met = _met(generation, marker, sources, count)
    moves = camera.moves_of([], body.prompt)
    path = camera.path(moves, from_whole=bool(met), to_whole=len(met) > 1, loop=body.settings.loop)
    room = (round(marker.picture_size[0] * camera.ROOM.zoom), round(marker.picture_size[1] * camera.ROOM.zoom))
    ground = pictures.scene(body.prompt, room, generation.id)
    indexes = sorted(met)
    for number in range(count):
        moment = number / (count - 1)
        if not met:
            yield marker.mark(camera.shoot(ground, path(moment), marker.picture_size), moment)
            continue
        before = max((index for index in indexes if index <= number), default=indexes[0])
        after = min((index for index in indexes if index > number), default=None)
        if after is None or before > number:
            away = abs(number - before) / count
            yield marker.mark(camera.shoot(met[before], camera.Pose(zoom=1 + 0.12 * away), marker.picture_size), moment)
            continue
        fraction = (number - before) / (after - before)
        yield marker.mark(Image.blend(met[before], met[after], fraction), moment)


def _met(generation: Generation, marker: Marker, sources: Mapping[str, Source], count: int) -> dict[int, Image.Image]:
    """The pictures that a clip shows at certain frames."""
    video = generation.body.settings
    met: dict[int, Image.Image] = {}
    if "video.start_frame" in sources:
        met[0] = _frame(generation, "video.start_frame", sources, marker)
    if "video.end_frame" in sources:
        met[count - 1] = _frame(generation, "video.end_frame", sources, marker)
    for number, index in enumerate(video.keyframe_indexes or ()):
        met[min(index, count - 1)] = _frame(generation, f"video.keyframes[{number}]", sources, marker)
    if video.loop and 0 in met:
        met[count - 1] = met[0]
    return met


def _frame(generation: Generation, field: str, sources: Mapping[str, Source], marker: Marker) -> Image.Image:
    """A picture; of a clip that is continued its last frame, of one that is led up to its first."""
    if generation.media[field].is_clip:
        with _open(sources[field]) as clip:
            frame = clips.first_frame(clip) if field == "video.end_frame" else clips.last_frame(clip)
        return pictures.covering(pictures.without_strip(frame), marker.picture_size)
    return pictures.covering(_picture(sources[field]), marker.picture_size)


def _made_over(generation: Generation, marker: Marker, sources: Mapping[str, Source]) -> Iterator[Image.Image]:
    """The frames of a clip, each edited or set into another ratio."""
    body, video = generation.body, generation.body.settings
    is_ours = generation.media["source"].generation is not None
    colour = pictures.tint(body.prompt)
    edit = video.edit
    met = {
        index: pictures.covering(_picture(sources[f"video.edit.keyframes[{number}]"]), marker.picture_size)
        for number, index in enumerate((edit.keyframe_indexes if edit else None) or ())
    }
    if "video.start_frame" in sources:
        met[0] = pictures.covering(_picture(sources["video.start_frame"]), marker.picture_size)
    count = max(1, round(generation.seconds * FRAMES_PER_SECOND))
    with _open(sources["source"]) as clip:
        for number, frame in enumerate(clips.frames_of(clip)):
            picture = pictures.without_strip(frame) if is_ours else frame
            if body.type == "video_reframe":
                picture = pictures.placed(picture, marker.picture_size, _box(generation, marker.picture_size))
            elif number in met:
                picture = met[number]
            else:
                picture = pictures.restyled(picture, (edit.strength if edit else None) or _STRENGTH, colour)
            yield marker.mark(picture, min((number + 1) / count, 1.0))


def _box(generation: Generation, size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """The position of a reframed source: left, top, right, bottom in pixels."""
    position = generation.body.settings.source_position
    if position is None:
        return None
    left, top = round(position.x_norm * size[0]), round(position.y_norm * size[1])
    return left, top, left + round(position.w_norm * size[0]), top + round(position.h_norm * size[1])
