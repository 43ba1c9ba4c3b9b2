"""The responses of the API, as they go over the wire."""

from typing import Any, Literal

from pydantic import BaseModel, RootModel

from luma_mcp.emulator.dream_machine.account import DreamMachineAccount, Generation
from luma_mcp.emulator.lifecycle import Ended, Running
from luma_mcp.emulator.rendering.assets import main_asset


class Assets(BaseModel):
    video: str | None = None
    image: str | None = None
    progress_video: str | None = None


class GenerationResponse(BaseModel):
    id: str
    generation_type: Literal["video", "image"]
    state: Running | Ended
    failure_reason: str | None
    created_at: str
    assets: Assets | None
    model: str
    request: dict[str, Any]


class PageResponse(BaseModel):
    has_more: bool
    count: int
    limit: int
    offset: int
    generations: list[GenerationResponse]


class CreditsResponse(BaseModel):
    credit_balance: float
    """US cents."""


class PingResponse(BaseModel):
    message: Literal["pong"] = "pong"


class ConceptsResponse(RootModel[list[str]]):
    """The camera concepts, or the camera motions."""


class DetailResponse(BaseModel):
    """Why something was refused."""

    detail: str


class Problem(BaseModel):
    type: str
    loc: list[str | int]
    msg: str
    input: str


class ProblemsResponse(BaseModel):
    """The errors of a body with their locations, or one sentence about a query."""

    detail: list[Problem] | str


def generation_response(account: DreamMachineAccount, generation: Generation, origin: str) -> GenerationResponse:
    """A generation as the API answers it; `origin` is where its assets are."""
    links = f"{origin}/assets/{generation.id}"
    state = account.state(generation)
    assets: Assets | None = None
    if state == "completed":
        image = f"{links}/{main_asset(generation) if generation.makes_image else 'image.jpg'}"
        assets = Assets(video=None if generation.makes_image else f"{links}/video.mp4", image=image)
    elif account.shows_preview(generation):
        assets = Assets(progress_video=f"{links}/preview.mp4")
    return GenerationResponse(
        id=generation.id,
        generation_type="image" if generation.makes_image else "video",
        state=state,
        failure_reason=generation.failure_reason,
        created_at=generation.created_at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        assets=assets,
        model=generation.model,
        request=generation.body.model_dump(mode="json"),
    )
