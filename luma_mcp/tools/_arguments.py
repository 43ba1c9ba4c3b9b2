"""Arguments that several tools share, each with the one description that every client shows."""

from typing import Annotated

from pydantic import Field

from luma_mcp.luma.models import AspectRatio, ImageModel, VideoModel

GenerationId = Annotated[str, Field(description="Id of a generation.")]
GenerationIds = Annotated[list[str], Field(min_length=1, max_length=20, description="Ids of generations.")]
DryRun = Annotated[bool, Field(description="Only show request and price.")]
Prompt = Annotated[str | None, Field(description="3-5000 characters.")]
Ratio = Annotated[AspectRatio | None, Field(description="Default 16:9.")]
VideoModelName = Annotated[VideoModel, Field(description="ray-flash-2: a third of the price.")]
ImageModelName = Annotated[ImageModel, Field(description="photon-flash-1: a quarter of it.")]
Concepts = Annotated[list[str] | None, Field(description="Camera concepts, see list_concepts.")]
Loop = Annotated[bool, Field(description="End as it begins; not with end_frame.")]
PictureSource = Annotated[str | None, Field(description="Picture, as start_frame in create_video.")]
ClipSource = Annotated[str, Field(description="Clip: https URL, local path or video generation id.")]
Pixels = Annotated[int | None, Field(description="px.")]
