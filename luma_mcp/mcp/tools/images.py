"""Tools that make and change images. Each spends, unless `dry_run`."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from luma_mcp.domain.catalogue import DEFAULT_RATIO, MAX_REFERENCES
from luma_mcp.domain.requests import ImageReference, ImageRequest, ReframeImageRequest
from luma_mcp.mcp.results import PurchaseResult
from luma_mcp.mcp.tool_spec import SPENDS, Call, ToolSpec
from luma_mcp.mcp.tools.arguments import (
    Format,
    ImageModel,
    MaybeJson,
    NewRatio,
    PlacementFractions,
    Prompt,
    Ratio,
    SpendingArguments,
    placement_of,
)
from luma_mcp.mcp.tools.purchase import purchase
from luma_mcp.sources.resolver import Resolution


class Reference(BaseModel):
    """An image to imitate, and how much, 0 to 1."""

    model_config = ConfigDict(extra="forbid")

    source: str
    weight: Annotated[float | None, Field(ge=0, le=1)] = None


class CreateImageArguments(SpendingArguments):
    prompt: Prompt = None
    model: ImageModel = "photon-1"
    aspect_ratio: Ratio = None
    format: Format = None
    image_refs: Annotated[
        list[Reference] | None,
        Field(max_length=MAX_REFERENCES, description="Pictures to go by; sources as in create_video."),
        MaybeJson,
    ] = None
    style_refs: Annotated[
        list[Reference] | None, Field(max_length=MAX_REFERENCES, description="Pictures for the style."), MaybeJson
    ] = None
    character_images: Annotated[
        list[str] | None, Field(max_length=MAX_REFERENCES, description="Pictures of one person."), MaybeJson
    ] = None
    modify_image: Annotated[
        Reference | None,
        Field(description="Picture to change; weight 1 stays close, 0-0.1 for new colours."),
        MaybeJson,
    ] = None


async def create_image(call: Call, arguments: CreateImageArguments) -> PurchaseResult:
    """Make a picture from words, from reference pictures, or by changing one. Costs money."""
    sources = call.services.sources.begin()
    modify = await _references(sources, [arguments.modify_image] if arguments.modify_image else None)
    request = ImageRequest(
        model=arguments.model,
        prompt=arguments.prompt,
        aspect_ratio=arguments.aspect_ratio or DEFAULT_RATIO,
        format=arguments.format,
        image_references=await _references(sources, arguments.image_refs),
        style_references=await _references(sources, arguments.style_refs),
        character_images=tuple([await sources.image(source) for source in arguments.character_images or []]),
        modify_image=modify[0] if modify else None,
    )
    return await purchase(call, arguments, request, sources)


class ReframeImageArguments(SpendingArguments):
    source: Annotated[str, Field(description="Picture, at most 10 MB, as in create_video.")]
    aspect_ratio: NewRatio
    prompt: Prompt = None
    format: Format = None
    model: ImageModel = "photon-1"
    placement: PlacementFractions = None


async def reframe_image(call: Call, arguments: ReframeImageArguments) -> PurchaseResult:
    """Give a picture another ratio by outpainting. Costs money."""
    sources = call.services.sources.begin()
    request = ReframeImageRequest(
        model=arguments.model,
        media=await sources.image(arguments.source),
        aspect_ratio=arguments.aspect_ratio,
        prompt=arguments.prompt,
        format=arguments.format,
        placement=placement_of(arguments.placement),
    )
    return await purchase(call, arguments, request, sources)


async def _references(sources: Resolution, references: list[Reference] | None) -> tuple[ImageReference, ...]:
    return tuple(
        [ImageReference(await sources.image(reference.source), reference.weight) for reference in references or []]
    )


TOOLS = (
    ToolSpec(create_image, CreateImageArguments, PurchaseResult, "Create an image", SPENDS),
    ToolSpec(reframe_image, ReframeImageArguments, PurchaseResult, "Reframe an image", SPENDS),
)
