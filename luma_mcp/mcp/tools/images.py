"""Tools that make and change images. Each spends, unless `dry_run`."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from luma_mcp.domain.catalogue import DEFAULT_RATIO, IMAGE_MODELS, MAX_REFERENCES, LayerSize
from luma_mcp.domain.requests import ImageReference, ImageRequest, ReframeImageRequest
from luma_mcp.mcp.arguments.api_variants import differs
from luma_mcp.mcp.arguments.values import AsReference, AsReferences, AsSource, AsSources
from luma_mcp.mcp.results import PurchaseResult
from luma_mcp.mcp.spec import ALWAYS_LOADED, DREAM_MACHINE, SPENDS, Call, ToolSpec
from luma_mcp.mcp.tools.arguments import (
    Format,
    ImageModel,
    NewRatio,
    PictureRatio,
    PlacementFractions,
    Prompt,
    SpendingArguments,
    image_model,
    placement_of,
)
from luma_mcp.mcp.tools.purchase import purchase
from luma_mcp.sources.resolver import Resolution

# Only Dream Machine reframes pictures.
PhotonName = Literal["photon-1", "photon-flash-1"]


class Reference(BaseModel):
    """An image to imitate, and how much, 0 to 1."""

    model_config = ConfigDict(extra="forbid")

    source: str
    weight: Annotated[float | None, Field(ge=0, le=1)] = None


class CreateImageArguments(SpendingArguments):
    prompt: Prompt = None
    model: ImageModel = None
    aspect_ratio: PictureRatio = None
    format: Format = None
    image_refs: Annotated[
        list[Reference] | None,
        Field(
            max_length=9,
            description="Pictures to go by; sources as in create_video. uni-1 takes 9 without weights, photon-1 4.",
            json_schema_extra=differs(
                max_items={"dream_machine": MAX_REFERENCES},
                description={
                    "dream_machine": "Pictures to go by; sources as in create_video.",
                    "agents": "Pictures to go by; sources as in create_video. Say in the prompt what each is for.",
                },
            ),
        ),
        AsReferences,
    ] = None
    style_refs: Annotated[
        list[Reference] | None,
        Field(
            max_length=MAX_REFERENCES,
            description="Pictures for the style.",
            json_schema_extra=differs(only="dream_machine"),
        ),
        AsReferences,
    ] = None
    character_images: Annotated[
        list[str] | None,
        Field(
            max_length=MAX_REFERENCES,
            description="Pictures of one person.",
            json_schema_extra=differs(only="dream_machine"),
        ),
        AsSources,
    ] = None
    modify_image: Annotated[
        Reference | None,
        Field(
            description="Picture to change; photon-1: weight 1 stays close, 0-0.1 for new colours.",
            json_schema_extra=differs(
                description={
                    "dream_machine": "Picture to change; weight 1 stays close, 0-0.1 for new colours.",
                    "agents": "Picture to change. It keeps its ratio.",
                }
            ),
        ),
        AsReference,
    ] = None
    style: Annotated[
        Literal["manga"] | None,
        Field(
            description="uni-1 only.",
            json_schema_extra=differs(only="agents", description={"agents": "Default: none."}),
        ),
    ] = None
    web_search: Annotated[
        bool,
        Field(
            description="uni-1 only: look things up first.",
            json_schema_extra=differs(only="agents", description={"agents": "Look things up first."}),
        ),
    ] = False
    layers: Annotated[
        LayerSize | None,
        Field(
            description="uni-1 only: take modify_image apart into transparent PNGs of 1024 or 2048 pixels.",
            json_schema_extra=differs(
                only="agents",
                description={"agents": "Take modify_image apart into transparent PNGs of 1024 or 2048 pixels."},
            ),
        ),
    ] = None


async def create_image(call: Call, arguments: CreateImageArguments) -> PurchaseResult:
    """Make or draw a picture, photo or logo: text to image, from reference pictures, or edit one. Costs money."""
    model = image_model(call, arguments.model)
    backend = IMAGE_MODELS[model].backend
    sources = call.sources(backend)
    modify = await _references(sources, [arguments.modify_image] if arguments.modify_image else None)
    request = ImageRequest(
        model=model,
        prompt=arguments.prompt,
        # The Agents API chooses a ratio by the prompt and the pictures.
        aspect_ratio=arguments.aspect_ratio or (DEFAULT_RATIO if backend == "dream_machine" else None),
        format=arguments.format,
        image_references=await _references(sources, arguments.image_refs),
        style_references=await _references(sources, arguments.style_refs),
        character_images=tuple([await sources.image(source) for source in arguments.character_images or []]),
        modify_image=modify[0] if modify else None,
        style=arguments.style,
        web_search=arguments.web_search,
        layers=arguments.layers,
    )
    return await purchase(call, arguments, request, sources)


class ReframeImageArguments(SpendingArguments):
    source: Annotated[str, Field(description="Picture, at most 10 MB, as in create_video."), AsSource]
    aspect_ratio: NewRatio
    prompt: Prompt = None
    format: Format = None
    model: Annotated[PhotonName, Field(description="photon-flash-1: a quarter of it.")] = "photon-1"
    placement: PlacementFractions = None


async def reframe_image(call: Call, arguments: ReframeImageArguments) -> PurchaseResult:
    """Give a picture or photo another aspect ratio by expanding its borders. Costs money."""
    sources = call.sources("dream_machine")
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
    ToolSpec(create_image, CreateImageArguments, PurchaseResult, "Create an image", SPENDS, meta=ALWAYS_LOADED),
    ToolSpec(reframe_image, ReframeImageArguments, PurchaseResult, "Reframe an image", SPENDS, backends=DREAM_MACHINE),
)
