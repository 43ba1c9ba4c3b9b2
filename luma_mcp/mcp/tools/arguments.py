"""Arguments that several tools share, each with the one description that every client shows."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_core import from_json

from luma_mcp.domain import catalogue
from luma_mcp.domain.requests import Placement
from luma_mcp.mcp.tool_spec import Arguments


def _parse_json(value: Any) -> Any:
    """Read a list or an object that comes as JSON in a string, as Claude Desktop sends them."""
    if isinstance(value, str) and value.lstrip().startswith(("[", "{")):
        try:
            return from_json(value)
        except ValueError:
            return value
    return value


MaybeJson = BeforeValidator(_parse_json)

GenerationId = Annotated[str, Field(description="Id of a generation.")]
GenerationIds = Annotated[list[str], Field(min_length=1, max_length=20, description="Ids of generations."), MaybeJson]
Prompt = Annotated[str | None, Field(description="3-5000 characters.")]
Ratio = Annotated[catalogue.AspectRatio | None, Field(description="Default 16:9.")]
NewRatio = Annotated[catalogue.AspectRatio, Field(description="New ratio.")]
VideoModel = Annotated[catalogue.VideoModelName, Field(description="ray-flash-2: a third of the price.")]
ImageModel = Annotated[catalogue.ImageModelName, Field(description="photon-flash-1: a quarter of it.")]
Format = Annotated[catalogue.ImageFormat | None, Field(description="Default jpg.")]
Concepts = Annotated[list[str] | None, Field(description="See list_concepts."), MaybeJson]
Loop = Annotated[bool, Field(description="End as it begins; not with end_frame.")]
ImageSource = Annotated[str | None, Field(description="Picture, as start_frame in create_video.")]
ClipSource = Annotated[str, Field(description="Clip: https URL, local path or video generation id.")]
PlacementFractions = Annotated[
    list[float] | None,
    Field(
        min_length=4,
        max_length=4,
        description="[left, top, width, height] of the source in fractions of the new canvas.",
    ),
    MaybeJson,
]


class SpendingArguments(Arguments):
    """What every tool that spends takes."""

    take: Annotated[int, Field(ge=1, le=1000, description="2, 3...: another of it.")] = 1
    dry_run: Annotated[bool, Field(description="Only show the price.")] = False


def placement_of(fractions: list[float] | None) -> Placement | None:
    """The placement for the argument of that name. Raises: InvalidRequestError, if no such rectangle can be."""
    return Placement(*fractions) if fractions else None
