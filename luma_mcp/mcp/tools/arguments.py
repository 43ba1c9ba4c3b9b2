"""Arguments that several tools share, each with the one description that every client shows."""

from typing import Annotated, cast

from pydantic import Field

from luma_mcp.domain import catalogue
from luma_mcp.domain.apis import APIS, BackendName
from luma_mcp.domain.requests import Placement
from luma_mcp.mcp.arguments.api_variants import Schema, differs
from luma_mcp.mcp.arguments.choices import (
    Models,
    OneOf,
    all_images,
    all_videos,
    by_catalogue,
    described,
    feature_field,
    names,
    names_by_api,
    only_field,
    union,
    union_by_api,
    with_feature,
)
from luma_mcp.mcp.arguments.values import AsConcepts, AsFractions, AsId, AsIds, AsSource
from luma_mcp.mcp.spec import Arguments, Call


def _prompt(*, is_alone: bool) -> Schema:
    """The schema of a prompt. One that stands alone is required where every request has a prompt."""
    lengths: dict[BackendName, tuple[int, int]] = {name: (api.min_prompt, api.max_prompt) for name, api in APIS.items()}
    alone: dict[BackendName, str] = {
        name: f"{minimum}-{maximum} characters." if minimum > 1 else f"Up to {maximum} characters."
        for name, (minimum, maximum) in lengths.items()
    }
    # The range that both accept.
    minimum, maximum = max(low for low, _ in lengths.values()), min(high for _, high in lengths.values())
    needing: list[BackendName] = [name for name, api in APIS.items() if api.needs_prompt]
    required = needing[0] if is_alone and len(needing) == 1 else None
    return {"description": f"{minimum}-{maximum} characters.", **differs(description=alone, required=required)}


def _ratios(models: Models) -> Schema:
    def describe(offered: Models) -> str:
        defaults = [APIS[model.backend].default_ratio for model in offered.values()]
        return next((f"Default {ratio}." for ratio in defaults if ratio), "Default: the model's choice.")

    return described(describe, models, choices=union_by_api(models, lambda model: model.ratios))


def video_ratios() -> list[str]:
    return union(model.ratios for model in catalogue.VIDEO_MODELS.values())


def picture_ratios() -> list[str]:
    return union(model.ratios for model in catalogue.IMAGE_MODELS.values())


def video_resolutions() -> list[str]:
    return union(model.resolutions for model in catalogue.VIDEO_MODELS.values())


def video_durations() -> list[str]:
    return union(model.durations for model in catalogue.VIDEO_MODELS.values())


def video_choices(field: str) -> dict[BackendName, list[str]]:
    """The values of an argument of videos at each API: the union over its models."""
    return union_by_api(all_videos(), lambda model: getattr(model, field))


def model_field(models: Models) -> Schema:
    """The schema of an argument that names one of these models; the first of each API is its default."""

    def describe(offered: Models) -> str:
        notes = [f"{name}: {model.note}." for name, model in offered.items() if model.note]
        return " ".join(notes) or "The model."

    chosen = names_by_api(models)
    defaults = {name: words[0] for name, words in chosen.items()}
    return described(describe, models, choices=chosen, default=defaults)


def _made_resolution() -> Schema:
    resolutions = union_by_api(
        with_feature("made_resolution", all_videos()), lambda model: cast("catalogue.VideoModel", model).resolutions
    )
    return feature_field(
        "made_resolution",
        all_videos(),
        f"default {catalogue.DEFAULT_RESOLUTION}.",
        choices=resolutions,
    )


GenerationId = Annotated[str, Field(description="Id of a generation."), AsId]
GenerationIds = Annotated[list[str], Field(min_length=1, max_length=20, description="Ids of generations."), AsIds]
Prompt = Annotated[str | None, Field(json_schema_extra=by_catalogue(lambda: _prompt(is_alone=True)))]
PicturePrompt = Annotated[str | None, Field(json_schema_extra=by_catalogue(lambda: _prompt(is_alone=False)))]
"""A prompt that a picture with layers can do without."""
Ratio = Annotated[str | None, Field(json_schema_extra=by_catalogue(lambda: _ratios(all_videos()))), OneOf(video_ratios)]
PictureRatio = Annotated[
    str | None, Field(json_schema_extra=by_catalogue(lambda: _ratios(all_images()))), OneOf(picture_ratios)
]
NewRatio = Annotated[
    str,
    Field(
        description="New ratio.",
        json_schema_extra=by_catalogue(lambda: differs(choices=video_choices("ratios"))),
    ),
    OneOf(video_ratios),
]
VideoModel = Annotated[
    str | None,
    Field(json_schema_extra=by_catalogue(lambda: model_field(all_videos()))),
    OneOf(lambda: names(all_videos())),
]
ImageModel = Annotated[
    str | None,
    Field(json_schema_extra=by_catalogue(lambda: model_field(all_images()))),
    OneOf(lambda: names(all_images())),
]
MadeResolution = Annotated[
    str | None, Field(json_schema_extra=by_catalogue(_made_resolution)), OneOf(video_resolutions)
]
Format = Annotated[
    catalogue.ImageFormat | None,
    Field(
        description="Default jpg.", json_schema_extra=differs(description={"agents": "Default: the model's choice."})
    ),
]
Concepts = Annotated[
    list[str] | None,
    Field(json_schema_extra=by_catalogue(lambda: only_field("concepts", all_videos(), "See list_concepts."))),
    AsConcepts,
]
Loop = Annotated[bool, Field(description="End as it begins; not with end_frame.")]
ImageSource = Annotated[str | None, Field(description="Picture, as in create_video."), AsSource]
CLIP = "Clip: https URL, local path or generation id."
"""The description of a source that must be a clip."""
PlacementFractions = Annotated[
    list[float] | None,
    Field(
        min_length=4,
        max_length=4,
        description="[left, top, width, height] of the source in fractions of the new canvas.",
    ),
    AsFractions,
]


def video_model(call: Call, name: str | None) -> str:
    """The model that was asked for, or the default of the first API that there is a key for.

    Raises:
        InvalidRequestError: there is no key for the API that sells it.
    """
    model = name or catalogue.default_video_model(call.services.backend.names[0])
    call.services.backend.of(catalogue.VIDEO_MODELS[model].backend)
    return model


def image_model(call: Call, name: str | None) -> str:
    """As `video_model`, for pictures."""
    model = name or catalogue.default_image_model(call.services.backend.names[0])
    call.services.backend.of(catalogue.IMAGE_MODELS[model].backend)
    return model


def without_limits(schema: Schema) -> None:
    """Leave out limits that nobody reaches, or that the description states: every conversation would pay for them."""
    for limit in ("minimum", "maximum"):
        schema.pop(limit, None)


class SpendingArguments(Arguments):
    """The arguments that every tool that spends has."""

    take: Annotated[
        int, Field(ge=1, le=1000, description="2, 3...: another of it.", json_schema_extra=without_limits)
    ] = 1
    dry_run: Annotated[bool, Field(description="Only the price.")] = False
    quote_id: Annotated[str | None, Field(description="Of the dry run that was approved.")] = None


def placement_of(fractions: list[float] | None) -> Placement | None:
    """The placement for the argument of that name. Raises: InvalidRequestError, if no such rectangle can be."""
    return Placement(*fractions) if fractions else None
