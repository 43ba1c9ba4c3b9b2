"""The assets of generations: rendered when first asked for, one at a time in a worker thread, and stored."""

from collections.abc import Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from luma_mcp.emulator.dream_machine.account import Generation
from luma_mcp.emulator.dream_machine.bodies import (
    AddAudioBody,
    GenerationKeyframe,
    ImageBody,
    ModifyVideoBody,
    ReframeImageBody,
    Reframing,
    VideoBody,
)
from luma_mcp.emulator.dream_machine.catalogue import FRAMES_PER_SECOND, IMAGE_SIZES
from luma_mcp.emulator.dream_machine.operations import OutputFormat
from luma_mcp.emulator.rendering import camera, clips
from luma_mcp.emulator.rendering import images as pictures
from luma_mcp.emulator.rendering.files import RenderedFiles

_PREVIEW_SCALE = 4
_PREVIEW_SECONDS = 1.0


class NoSuchAssetError(Exception):
    """That generation has no asset of that name."""


class AssetStore:
    """Every asset rendered so far, in a temporary folder that is deleted on closing."""

    def __init__(self) -> None:
        self._files = RenderedFiles()

    def close(self) -> None:
        self._files.close()

    async def asset(self, generation: Generation, name: str) -> Path:
        """The file of an asset: `video.mp4`, `preview.mp4`, `image.jpg` or `image.png`.

        Raises:
            NoSuchAssetError: that generation has no such asset.
            UnreadableMediaError: an input was not a picture or clip.
        """
        if name not in names_of(generation):
            raise NoSuchAssetError(name)

        async def make(target: Path) -> None:
            sources: dict[str, Path | bytes] = {}
            if name.endswith(".mp4") or generation.makes_image:
                for role, media in generation.inputs.items():
                    sources[role] = media if isinstance(media, bytes) else await self.asset(media, main_asset(media))
                for role, source in self._source_generations(generation):
                    sources[role] = await self.asset(source, main_asset(source))
            else:
                sources["video"] = await self.asset(generation, "video.mp4")
            await self._files.render(partial(_make, generation, name, target, sources))

        return await self._files.get(f"{generation.id}-{name}", make)

    def _source_generations(self, generation: Generation) -> Iterator[tuple[str, Generation]]:
        if generation.source is not None:
            yield "source", generation.source
        yield from generation.continued.items()


def main_asset(generation: Generation) -> str:
    """The asset that a generation was asked for."""
    return f"image.{generation.image_format}" if generation.makes_image else "video.mp4"


def names_of(generation: Generation) -> tuple[str, ...]:
    """Every asset it has."""
    if generation.makes_image:
        return (main_asset(generation),)
    previews = ("preview.mp4",) if isinstance(generation.body, VideoBody) else ()
    return ("video.mp4", "image.jpg", *previews)


def caption(generation: Generation) -> str:
    """The text of the strip after EMULATED."""
    body = generation.body
    facts = [generation.model, generation.kind, "x".join(map(str, generation.output_format.size))]
    if isinstance(body, VideoBody):
        facts += [concept.key for concept in body.concepts or []]
    facts += [getattr(body, "mode", "") or "", getattr(body, "prompt", "") or ""]
    return " · ".join(fact for fact in facts if fact)


def _make(generation: Generation, name: str, target: Path, sources: dict[str, Path | bytes]) -> None:
    if name == "image.jpg" and not generation.makes_image:
        with _open(sources["video"]) as clip:
            target.write_bytes(pictures.encoded(clips.first_frame(clip), "jpg"))
    elif isinstance(generation.body, ImageBody):
        picture = _painted(generation, generation.body, sources)
        target.write_bytes(pictures.encoded(picture, generation.image_format))
    elif isinstance(generation.body, ReframeImageBody):
        picture = _reframed(generation, generation.body, _picture(sources["media"]))
        target.write_bytes(pictures.encoded(picture, generation.image_format))
    elif isinstance(generation.body, AddAudioBody):
        with _open(sources["source"]) as clip:
            clips.add_sound(clip, target, generation.body.prompt or "")
    else:
        output_format = generation.output_format
        if name == "preview.mp4":
            output_format = OutputFormat(
                (_smaller(output_format.size[0]), _smaller(output_format.size[1])),
                _PREVIEW_SECONDS,
                output_format.resolution,
            )
        clips.write_clip(target, _frames(generation, output_format, sources), output_format.size)


def _smaller(side: int) -> int:
    return side // _PREVIEW_SCALE // 2 * 2


def _open(source: Path | bytes) -> BinaryIO:
    return BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def _picture(source: Path | bytes) -> Image.Image:
    """A still given as an input; one of our own loses its strip, or it would show twice."""
    if isinstance(source, bytes):
        return pictures.open_picture(source)
    return pictures.without_strip(pictures.open_picture(source.read_bytes()))


def _painted(generation: Generation, body: ImageBody, sources: dict[str, Path | bytes]) -> Image.Image:
    marker = pictures.Marker(generation.output_format.size, caption(generation))
    picture = pictures.scene(body.prompt or "", marker.picture_size, generation.id)
    weights = {f"image_ref{n}": reference.weight for n, reference in enumerate(body.image_ref or [])}
    weights |= {f"style_ref{n}": reference.weight for n, reference in enumerate(body.style_ref or [])}
    if body.modify_image_ref:
        weights["modify_image_ref"] = body.modify_image_ref.weight
    for role, source in sources.items():
        weight = weights.get(role)
        picture = pictures.blended(picture, _picture(source), 0.6 if weight is None else weight)
    return marker.mark(picture)


def _reframed(generation: Generation, body: ReframeImageBody, picture: Image.Image) -> Image.Image:
    marker = pictures.Marker(generation.output_format.size, caption(generation))
    return marker.mark(pictures.placed(picture, marker.picture_size, _box(body, generation.output_format.size)))


def _box(body: Reframing, size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """The position of a reframed source, scaled from the documented canvas to the size that is rendered."""
    corners = (body.x_start, body.y_start, body.x_end, body.y_end)
    if any(corner is None for corner in corners):
        if None in (body.grid_position_x, body.grid_position_y, body.resized_width, body.resized_height):
            return None
        left, top = body.grid_position_x or 0, body.grid_position_y or 0
        corners = (left, top, left + (body.resized_width or 0), top + (body.resized_height or 0))
    canvas = IMAGE_SIZES[body.aspect_ratio]
    scales = (size[0] / canvas[0], size[1] / canvas[1]) * 2
    left, top, right, bottom = (round((corner or 0) * scale) for corner, scale in zip(corners, scales, strict=True))
    return left, top, right, bottom


def _frames(
    generation: Generation, output_format: OutputFormat, sources: dict[str, Path | bytes]
) -> Iterator[Image.Image]:
    """The marked frames of a clip that is painted anew, or made over from another clip."""
    body = generation.body
    marker = pictures.Marker(output_format.size, caption(generation))
    if isinstance(body, VideoBody):
        yield from _filmed(body, output_format, marker, sources, generation.id)
        return
    media = sources.get("source") or sources["media"]
    ours = not isinstance(media, bytes)
    colour = pictures.tint(getattr(body, "prompt", None) or "")
    with _open(media) as clip:
        seconds = clips.size_and_seconds(clip)[1]
    count = max(1, round(seconds * FRAMES_PER_SECOND))
    with _open(media) as clip:
        for number, frame in enumerate(clips.frames_of(clip)):
            picture = pictures.without_strip(frame) if ours else frame
            if isinstance(body, ModifyVideoBody):
                picture = pictures.restyled(picture, body.mode, colour)
            elif isinstance(body, Reframing):
                picture = pictures.placed(picture, marker.picture_size, _box(body, marker.picture_size))
            yield marker.mark(picture, min((number + 1) / count, 1.0))


def _filmed(
    body: VideoBody, output_format: OutputFormat, marker: pictures.Marker, sources: dict[str, Path | bytes], take: str
) -> Iterator[Image.Image]:
    """A camera's way over a scene, or over the pictures that the clip begins and ends with."""
    start = _keyframe(body, "frame0", sources, marker)
    end = _keyframe(body, "frame1", sources, marker)
    moves = camera.moves_of([concept.key for concept in body.concepts or []], body.prompt)
    path = camera.path(moves, from_whole=start is not None, to_whole=end is not None, loop=body.loop)
    room = tuple(round(side * camera.ROOM.zoom) for side in marker.picture_size)
    ground = start or end or pictures.scene(body.prompt or "", (room[0], room[1]), take)
    count = round(output_format.seconds * FRAMES_PER_SECOND)
    for number in range(count):
        moment = number / (count - 1)
        picture = camera.shoot(ground, path(moment), marker.picture_size)
        if start is not None and end is not None:
            arriving = camera.shoot(end, path(1 - moment), marker.picture_size)
            picture = Image.blend(picture, arriving, moment)
        yield marker.mark(picture, moment)


def _keyframe(
    body: VideoBody, role: str, sources: dict[str, Path | bytes], marker: pictures.Marker
) -> Image.Image | None:
    """The picture that a clip begins (`frame0`) or ends (`frame1`) with: a still, or the neighbour's nearest frame."""
    if role not in sources or body.keyframes is None:
        return None
    if isinstance(getattr(body.keyframes, role), GenerationKeyframe):
        with _open(sources[role]) as clip:
            frame = clips.last_frame(clip) if role == "frame0" else clips.first_frame(clip)
        return pictures.covering(pictures.without_strip(frame), marker.picture_size)
    return pictures.covering(_picture(sources[role]), marker.picture_size)
