"""Tools that make and change pictures. Each spends, unless `dry_run`."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from luma_mcp.luma.models import AspectRatio, ImageFormat, ImageReference, ImageRequest, Placement, ReframeImageRequest
from luma_mcp.studio import Studio
from luma_mcp.studio.media import Sources
from luma_mcp.tools._answers import PurchaseAnswer
from luma_mcp.tools._arguments import DryRun, ImageModelName, Pixels, Prompt, Ratio
from luma_mcp.tools._buying import buy, sources_for
from luma_mcp.tools._effects import SPENDS
from luma_mcp.tools._toolset import Caller, Declared


class Reference(BaseModel):
    """A picture to go by, and how much, 0 to 1."""

    model_config = ConfigDict(extra="forbid")

    source: str
    weight: Annotated[float | None, Field(ge=0, le=1)] = None


Format = Annotated[ImageFormat | None, Field(description="Default jpg.")]


async def create_image(
    studio: Studio,
    caller: Caller,
    prompt: Prompt = None,
    model: ImageModelName = "photon-1",
    aspect_ratio: Ratio = None,
    format: Format = None,  # noqa: A002 - the API's word
    image_refs: Annotated[
        list[Reference] | None,
        Field(
            max_length=4,
            description="Pictures to go by; sources as in create_video.",
        ),
    ] = None,
    style_refs: Annotated[list[Reference] | None, Field(max_length=4, description="Pictures for the style.")] = None,
    character_images: Annotated[list[str] | None, Field(max_length=4, description="Pictures of one person.")] = None,
    modify_image: Annotated[
        Reference | None, Field(description="Picture to change; weight 1 stays close, 0-0.1 for new colours.")
    ] = None,
    dry_run: DryRun = False,
) -> PurchaseAnswer:
    """Make a picture from words, from reference pictures, or by changing one. Costs money."""
    find = sources_for(studio, dry_run=dry_run)
    request = ImageRequest(
        model=model,
        prompt=prompt,
        aspect_ratio=aspect_ratio or "16:9",
        format=format,
        image_ref=await _references(find, image_refs),
        style_ref=await _references(find, style_refs),
        character_images=tuple([await find.picture(one) for one in character_images or []]),
        modify_image_ref=(await _references(find, [modify_image]))[0] if modify_image else None,
    )
    references = [one.source for one in (*(image_refs or ()), *(style_refs or ()), modify_image) if one]
    named = (*references, *(character_images or ()))
    return await buy(studio, caller, request, sources=named, dry_run=dry_run)


async def reframe_image(
    studio: Studio,
    caller: Caller,
    source: Annotated[str, Field(description="Picture, at most 10 MB, as in create_video.")],
    aspect_ratio: Annotated[AspectRatio, Field(description="New ratio.")],
    prompt: Prompt = None,
    format: Format = None,  # noqa: A002 - the API's word
    model: ImageModelName = "photon-1",
    grid_position_x: Pixels = None,
    grid_position_y: Pixels = None,
    x_start: Pixels = None,
    x_end: Pixels = None,
    y_start: Pixels = None,
    y_end: Pixels = None,
    resized_width: Pixels = None,
    resized_height: Pixels = None,
    dry_run: DryRun = False,
) -> PurchaseAnswer:
    """Give a picture another ratio by painting around it; without pixels it is fitted in, centred. Costs money."""
    request = ReframeImageRequest(
        model=model,
        media=await sources_for(studio, dry_run=dry_run).picture(source),
        aspect_ratio=aspect_ratio,
        prompt=prompt,
        format=format,
        placement=Placement(
            grid_position_x, grid_position_y, x_start, x_end, y_start, y_end, resized_width, resized_height
        ),
    )
    return await buy(studio, caller, request, sources=(source,), dry_run=dry_run)


async def _references(find: Sources, given: list[Reference] | None) -> tuple[ImageReference, ...]:
    return tuple([ImageReference(await find.picture(one.source), one.weight) for one in given or []])


TOOLS = (
    Declared(create_image, "Create an image", SPENDS),
    Declared(reframe_image, "Reframe an image", SPENDS),
)
