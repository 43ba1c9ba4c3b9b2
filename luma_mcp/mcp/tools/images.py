"""Tools that make and change images. Each spends, unless `dry_run`."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from luma_mcp.domain.apis import APIS, BackendName, apis_with
from luma_mcp.domain.catalogue import IMAGE_MODELS, LayerSize
from luma_mcp.domain.catalogue import ImageModel as CatalogueImageModel
from luma_mcp.domain.requests import ImageReference, ImageRequest, ReframeImageRequest
from luma_mcp.mcp.arguments.api_variants import Schema, differs
from luma_mcp.mcp.arguments.choices import (
    AtMost,
    Models,
    OneOf,
    all_images,
    by_api,
    by_catalogue,
    by_value,
    described,
    feature_field,
    names,
    only_api,
    only_field,
    with_feature,
)
from luma_mcp.mcp.arguments.values import AsReference, AsReferences, AsSource, AsSources
from luma_mcp.mcp.results import PurchaseResult, PurchasesResult
from luma_mcp.mcp.spec import ALWAYS_LOADED, SPENDS, Call, ToolSpec
from luma_mcp.mcp.tools.arguments import (
    Format,
    ImageModel,
    NewRatio,
    PicturePrompt,
    PictureRatio,
    PlacementFractions,
    Prompt,
    SpendingArguments,
    image_model,
    model_field,
    placement_of,
)
from luma_mcp.mcp.tools.candidates import CandidateArguments, purchase_candidates
from luma_mcp.mcp.tools.purchase import purchase
from luma_mcp.sources.resolver import Resolution


def _reframers() -> Models:
    return with_feature("reframe_image", all_images())


def _max_references(models: Models) -> int:
    return max((model.max_references for model in models.values() if isinstance(model, CatalogueImageModel)), default=0)


def _image_refs() -> Schema:
    def describe(offered: Models) -> str:
        counts = {
            name: model.max_references for name, model in offered.items() if isinstance(model, CatalogueImageModel)
        }
        weighted = with_feature("weights", offered)
        text = "Pictures to go by; sources as in create_video."
        if not weighted:
            return f"{text} Say in the prompt what each is for."
        limits = f" Most: {by_value(counts)}." if len(set(counts.values())) > 1 else ""
        return text + limits

    models = all_images()
    alone = {name: _max_references(chosen) for name, chosen in by_api(models).items()}
    return {**described(describe, models, max_items=alone), "maxItems": _max_references(models)}


def _feature_list(feature: Literal["style_references", "character_images"], text: str) -> Schema:
    models = all_images()
    limit = _max_references(with_feature(feature, models))
    return {**only_field(feature, models, text), "maxItems": limit}


def _modify_image() -> Schema:
    def describe(offered: Models) -> str:
        weighted = with_feature("weights", offered)
        weight = "weight 1 stays close, 0-0.1 for new colours."
        if not weighted:
            return "Picture to change. It keeps its ratio."
        named = "" if len(weighted) == len(offered) else f"{next(iter(weighted))}: "
        return f"Picture to change; {named}{weight}"

    return described(describe, all_images())


_REFRAMING = apis_with("reframe_image")


def _weighing() -> BackendName | None:
    return only_api(with_feature("weights", all_images()))


class Reference(BaseModel):
    """An image to imitate, and how much, 0 to 1."""

    model_config = ConfigDict(extra="forbid")

    source: str
    weight: Annotated[
        float | None, Field(ge=0, le=1, json_schema_extra=by_catalogue(lambda: differs(only=_weighing())))
    ] = None


class CreateImageArguments(CandidateArguments):
    prompt: PicturePrompt = None
    model: ImageModel = None
    aspect_ratio: PictureRatio = None
    format: Format = None
    image_refs: Annotated[
        list[Reference] | None,
        Field(json_schema_extra=by_catalogue(_image_refs)),
        AtMost(lambda: _max_references(all_images())),
        AsReferences,
    ] = None
    style_refs: Annotated[
        list[Reference] | None,
        Field(json_schema_extra=by_catalogue(lambda: _feature_list("style_references", "Pictures for the style."))),
        AtMost(lambda: _max_references(with_feature("style_references", all_images()))),
        AsReferences,
    ] = None
    character_images: Annotated[
        list[str] | None,
        Field(json_schema_extra=by_catalogue(lambda: _feature_list("character_images", "Pictures of one person."))),
        AtMost(lambda: _max_references(with_feature("character_images", all_images()))),
        AsSources,
    ] = None
    modify_image: Annotated[Reference | None, Field(json_schema_extra=by_catalogue(_modify_image)), AsReference] = None
    style: Annotated[
        Literal["manga"] | None,
        Field(json_schema_extra=by_catalogue(lambda: feature_field("style", all_images(), alone="Default: none."))),
    ] = None
    web_search: Annotated[
        bool,
        Field(
            json_schema_extra=by_catalogue(lambda: feature_field("web_search", all_images(), "look things up first."))
        ),
    ] = False
    layers: Annotated[
        LayerSize | None,
        Field(
            json_schema_extra=by_catalogue(
                lambda: feature_field(
                    "layers",
                    all_images(),
                    "take modify_image apart into transparent PNGs of 1024 or 2048 pixels.",
                )
            )
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
        aspect_ratio=arguments.aspect_ratio or APIS[backend].default_ratio,
        format=arguments.format,
        image_references=await _references(sources, arguments.image_refs),
        style_references=await _references(sources, arguments.style_refs),
        character_images=tuple([await sources.image(source) for source in arguments.character_images or []]),
        modify_image=modify[0] if modify else None,
        style=arguments.style,
        web_search=arguments.web_search,
        layers=arguments.layers,
    )
    return await purchase_candidates(call, arguments, request, sources)


class ReframeImageArguments(SpendingArguments):
    source: Annotated[str, Field(description="Picture, at most 10 MB, as in create_video."), AsSource]
    aspect_ratio: NewRatio
    prompt: Prompt = None
    format: Format = None
    model: Annotated[
        str | None,
        Field(json_schema_extra=by_catalogue(lambda: model_field(_reframers()))),
        OneOf(lambda: names(_reframers())),
    ] = None
    placement: PlacementFractions = None


async def reframe_image(call: Call, arguments: ReframeImageArguments) -> PurchaseResult:
    """Give a picture or photo another aspect ratio by expanding its borders. Costs money."""
    model = image_model(call, arguments.model or names(_reframers())[0])
    sources = call.sources(IMAGE_MODELS[model].backend)
    request = ReframeImageRequest(
        model=model,
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
    ToolSpec(create_image, CreateImageArguments, PurchasesResult, "Create an image", SPENDS, meta=ALWAYS_LOADED),
    ToolSpec(
        reframe_image,
        ReframeImageArguments,
        PurchaseResult,
        "Reframe an image",
        SPENDS,
        backends=_REFRAMING,
    ),
)
