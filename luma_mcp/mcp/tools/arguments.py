"""Arguments that several tools share, each with the one description that every client shows."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from luma_mcp.domain import catalogue
from luma_mcp.domain.catalogue import BackendName
from luma_mcp.domain.requests import Placement
from luma_mcp.mcp.arguments.api_variants import differs
from luma_mcp.mcp.arguments.values import AsConcepts, AsFractions, AsId, AsIds, AsSource
from luma_mcp.mcp.spec import Arguments, Call


def _names(models: Mapping[Any, catalogue.VideoModel | catalogue.ImageModel]) -> dict[BackendName, list[str]]:
    """The names of models by API."""
    names: dict[BackendName, list[str]] = {}
    for name, model in models.items():
        names.setdefault(model.backend, []).append(name)
    return names


GenerationId = Annotated[str, Field(description="Id of a generation."), AsId]
GenerationIds = Annotated[list[str], Field(min_length=1, max_length=20, description="Ids of generations."), AsIds]
Prompt = Annotated[
    str | None,
    Field(
        description="3-5000 characters.", json_schema_extra=differs(description={"agents": "Up to 6000 characters."})
    ),
]
# What the video models of each API take.
_Words = dict[BackendName, tuple[str, ...]]
VIDEO_RATIOS: _Words = {model.backend: model.ratios for model in catalogue.VIDEO_MODELS.values()}
VIDEO_RESOLUTIONS: _Words = {model.backend: model.resolutions for model in catalogue.VIDEO_MODELS.values()}
VIDEO_DURATIONS: _Words = {model.backend: model.durations for model in catalogue.VIDEO_MODELS.values()}
Ratio = Annotated[
    catalogue.AspectRatio | None,
    Field(
        description="Default 16:9.",
        json_schema_extra=differs(choices=VIDEO_RATIOS, description={"agents": "Default: the model's choice."}),
    ),
]
PictureRatio = Annotated[
    catalogue.AspectRatio | None,
    Field(
        description="Default 16:9.",
        json_schema_extra=differs(
            choices={model.backend: model.ratios for model in catalogue.IMAGE_MODELS.values()},
            description={"agents": "Default: the model's choice."},
        ),
    ),
]
NewRatio = Annotated[
    catalogue.AspectRatio, Field(description="New ratio.", json_schema_extra=differs(choices=VIDEO_RATIOS))
]
VideoModel = Annotated[
    catalogue.VideoModelName | None,
    Field(
        description="ray-3.2: Luma's newest. ray-flash-2: a third of ray-2's price.",
        json_schema_extra=differs(
            choices=_names(catalogue.VIDEO_MODELS),
            default=catalogue.DEFAULT_VIDEO_MODELS,
            description={"dream_machine": "ray-flash-2: a third of the price.", "agents": "The model."},
        ),
    ),
]
ImageModel = Annotated[
    catalogue.ImageModelName | None,
    Field(
        description="uni-1-max: finer, at 2.5 times the price. photon-flash-1: a quarter of photon-1's.",
        json_schema_extra=differs(
            choices=_names(catalogue.IMAGE_MODELS),
            default=catalogue.DEFAULT_IMAGE_MODELS,
            description={
                "dream_machine": "photon-flash-1: a quarter of it.",
                "agents": "uni-1-max: 2.5 times the price.",
            },
        ),
    ),
]
# Of clips that are made of others, only the Agents API takes a resolution.
MadeResolution = Annotated[
    catalogue.Resolution | None,
    Field(
        description="Of the new clip; ray-3.2 only. Default 720p.",
        json_schema_extra=differs(
            only="agents",
            choices={"agents": catalogue.VIDEO_MODELS["ray-3.2"].resolutions},
            description={"agents": "Of the new clip. Default 720p."},
        ),
    ),
]
Format = Annotated[
    catalogue.ImageFormat | None,
    Field(
        description="Default jpg.", json_schema_extra=differs(description={"agents": "Default: the model's choice."})
    ),
]
Concepts = Annotated[
    list[str] | None,
    Field(description="See list_concepts.", json_schema_extra=differs(only="dream_machine")),
    AsConcepts,
]
Loop = Annotated[bool, Field(description="End as it begins; not with end_frame.")]
ImageSource = Annotated[str | None, Field(description="Picture, as start_frame in create_video."), AsSource]
CLIP = "Clip: https URL, local path or generation id."
"""What a source is that must be a clip."""
PlacementFractions = Annotated[
    list[float] | None,
    Field(
        min_length=4,
        max_length=4,
        description="[left, top, width, height] of the source in fractions of the new canvas.",
    ),
    AsFractions,
]


def video_model(call: Call, name: catalogue.VideoModelName | None) -> catalogue.VideoModelName:
    """The model that was asked for, or the default of the first API that there is a key for.

    Raises:
        InvalidRequestError: there is no key for the API that sells it.
    """
    model = name or catalogue.DEFAULT_VIDEO_MODELS[call.services.backend.names[0]]
    call.services.backend.of(catalogue.VIDEO_MODELS[model].backend)
    return model


def image_model(call: Call, name: catalogue.ImageModelName | None) -> catalogue.ImageModelName:
    """As `video_model`, for pictures."""
    model = name or catalogue.DEFAULT_IMAGE_MODELS[call.services.backend.names[0]]
    call.services.backend.of(catalogue.IMAGE_MODELS[model].backend)
    return model


class SpendingArguments(Arguments):
    """What every tool that spends takes."""

    take: Annotated[int, Field(ge=1, le=1000, description="2, 3...: another of it.")] = 1
    dry_run: Annotated[bool, Field(description="Only show the price.")] = False
    quote_id: Annotated[str | None, Field(description="Of the dry run that the person said yes to.")] = None


def placement_of(fractions: list[float] | None) -> Placement | None:
    """The placement for the argument of that name. Raises: InvalidRequestError, if no such rectangle can be."""
    return Placement(*fractions) if fractions else None
