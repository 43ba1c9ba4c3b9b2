"""The JSON bodies that the Agents API takes. An argument that is null is an argument that is not given.

Only the shapes are here; what goes with what is in `rules`. A body of another shape is answered with 422 in the form
that FastAPI gives it. That form is inferred, and so is that unknown fields are refused.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from luma_mcp.emulator.agents.catalogue import MAX_FILE_BYTES, GenerationType, Resolution, Strength

Fraction = Annotated[float, Field(ge=0, le=1)]


class Body(BaseModel):
    """An object of a request."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: item for name, item in value.items() if item is not None}  # pyright: ignore[reportUnknownVariableType]
        return value


class ImageRef(Body):
    """A picture or clip: exactly one of `url`, `data`, `generation_id` and `file_id`."""

    url: str | None = None
    data: str | None = None
    media_type: str | None = None
    generation_id: str | None = None
    file_id: str | None = None


class Pose(Body):
    enabled: bool
    strength: Literal["precise", "coarse"] | None = None


class Depth(Body):
    enabled: bool
    blur: Fraction | None = None


class Normals(Body):
    enabled: bool
    augmentation: Fraction | None = None


class Trajectory(Body):
    enabled: bool
    sparsity: Fraction | None = None


class Face(Body):
    enabled: bool


class Controls(Body):
    """The signals of its source that an edit keeps."""

    pose: Pose | None = None
    depth: Depth | None = None
    normals: Normals | None = None
    trajectory: Trajectory | None = None
    face: Face | None = None


class Edit(Body):
    auto_controls: bool | None = None
    strength: Strength | None = None
    controls: Controls | None = None
    keyframes: tuple[ImageRef, ...] | None = None
    keyframe_indexes: tuple[int, ...] | None = None


class SourcePosition(Body):
    """The position of the source in the new canvas, in fractions of it."""

    x_norm: Annotated[float, Field(ge=-2, le=2)]
    y_norm: Annotated[float, Field(ge=-2, le=2)]
    w_norm: Annotated[float, Field(gt=0, le=2)]
    h_norm: Annotated[float, Field(gt=0, le=2)]


class Video(Body):
    resolution: Resolution = "720p"
    duration: Literal["5s", "10s"] | None = None
    loop: bool = False
    hdr: bool = False
    exr_export: bool = False
    start_frame: ImageRef | None = None
    end_frame: ImageRef | None = None
    keyframes: tuple[ImageRef, ...] | None = None
    keyframe_indexes: tuple[int, ...] | None = None
    source_position: SourcePosition | None = None
    edit: Edit | None = None


class Layering(Body):
    resolution: Literal["1k", "2k"] = "1k"


class GenerationBody(Body):
    """`POST /generations`."""

    prompt: str = ""
    model: str = "uni-1"
    type: GenerationType = "image"
    aspect_ratio: str | None = None
    image_ref: tuple[ImageRef, ...] = ()
    source: ImageRef | None = None
    output_format: Literal["png", "jpeg"] | None = None
    style: Literal["auto", "manga"] = "auto"
    web_search: bool = False
    user_id: str | None = None
    layering: Layering | None = None
    video: Video | None = None

    @property
    def settings(self) -> Video:
        """The options of a clip, with their defaults."""
        return self.video or Video()


class FileBody(Body):
    """`POST /files` as JSON: the bytes follow by PUT."""

    mime_type: str
    size_bytes: Annotated[int, Field(ge=1, le=MAX_FILE_BYTES)]
    filename: str | None = None
    purpose: Literal["input", "reference"] = "input"
    expires_at: datetime | None = None
    user_id: str | None = None
