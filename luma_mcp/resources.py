"""What a client may read without calling a tool: the camera's words, the models and their prices, any generation."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, TypeVar, get_args

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.types import Completion, CompletionArgument, CompletionContext, PromptReference, ResourceTemplateReference
from pydantic_core import to_json

from luma_mcp.luma.errors import InvalidRequestError, LumaError, NotFoundError
from luma_mcp.luma.models import Duration, ImageFormat, ImageRequest, VideoRequest
from luma_mcp.luma.prices import CANVASES, HEIGHTS, IMAGE_RATES, MODIFY_RATES, SIZES_AT_720P, VIDEO_RATES, price_of
from luma_mcp.luma.rules import LONGEST_PROMPT, MOST_REFERENCES, SHORTEST_PROMPT
from luma_mcp.studio import Studio
from luma_mcp.tools._answers import of_one

GENERATION = "luma://generations/{generation_id}"
_JSON = "application/json"
_MOST_COMPLETIONS = 25
_MOST_PURCHASES = 100
_T = TypeVar("_T")


def attach(server: MCPServer[Any], studio: Studio) -> None:
    """Offer them on a server."""

    @server.resource(
        "luma://camera-motions",
        title="Camera motions",
        description="Camera motions that a video's prompt may name.",
        mime_type=_JSON,
    )
    async def camera_motions() -> str:
        heard = await studio.vocabulary.camera_motions()
        return _json({"camera_motions": heard.words, "from_luma": heard.from_luma})

    @server.resource(
        "luma://concepts",
        title="Camera concepts",
        description="Camera concepts that a video's `concepts` takes.",
        mime_type=_JSON,
    )
    async def concepts() -> str:
        heard = await studio.vocabulary.concepts()
        return _json({"concepts": heard.words, "from_luma": heard.from_luma})

    @server.resource(
        "luma://models",
        title="Models",
        description="What each model takes and what it costs in US dollars.",
        mime_type=_JSON,
    )
    async def models() -> str:
        return _json(describe_models())

    @server.resource(
        "luma://spending",
        title="Spending",
        description="What was bought today through this server and its siblings, and the caps.",
        mime_type=_JSON,
    )
    async def spending() -> str:
        return _json(await _translated(lambda: describe_spending(studio)))

    @server.resource(
        GENERATION, title="Generation", description="How a generation stands, with its links.", mime_type=_JSON
    )
    async def generation(generation_id: str) -> str:
        found = await _translated(lambda: studio.luma.get_generation(generation_id))
        return _json(of_one(found).model_dump(mode="json", exclude_none=True))

    @server.completion()
    async def complete(
        ref: PromptReference | ResourceTemplateReference,
        argument: CompletionArgument,
        _context: CompletionContext | None,
    ) -> Completion | None:
        if isinstance(ref, PromptReference):
            ratios = [one for one in SIZES_AT_720P if one.startswith(argument.value)]
            return Completion(values=ratios) if argument.name == "aspect_ratio" else None
        if ref.uri != GENERATION:
            return None
        try:
            page = await studio.luma.list_generations(limit=_MOST_COMPLETIONS)
        except LumaError:
            return None
        ids = [one.id for one in page.generations if one.id.startswith(argument.value)]
        return Completion(values=ids, total=None, has_more=page.has_more)


async def describe_spending(studio: Studio) -> dict[str, Any]:
    """The day's money, and its last purchases: a model reads this, and a busy day has many."""
    today = await studio.purchases.spending()
    rows = await studio.purchases.newest_today(_MOST_PURCHASES)
    purchases = [
        {
            "at": datetime.fromtimestamp(row.sent_at, UTC).isoformat(timespec="seconds"),
            "kind": row.kind,
            "usd": row.usd,
            "basis": row.basis,
            "state": row.state,
            "generation_id": row.generation_id,
        }
        for row in rows
    ]
    return {
        "spent_today_usd": round(today.spent_usd, 4),
        "reserved_usd": round(today.reserved_usd, 4),
        "caps_usd": asdict(studio.purchases.budget),
        "purchases_today": today.purchases,
        "purchases": purchases,
    }


def describe_models() -> dict[str, Any]:
    """The models, from the same tables that prices are computed by."""
    clips = {
        model: {
            "makes": "video",
            "aspect_ratios": list(SIZES_AT_720P),
            "resolutions": list(HEIGHTS),
            "durations": list(get_args(Duration)),
            "usd_for_16:9": {
                f"{resolution} {duration}": price_of(
                    VideoRequest(model=model, prompt="...", resolution=resolution, duration=duration)
                ).usd
                for resolution in HEIGHTS
                for duration in get_args(Duration)
            },
            "usd_per_megapixel_modified": MODIFY_RATES[model],
        }
        for model in VIDEO_RATES
    }
    stills = {
        model: {
            "makes": "image",
            "aspect_ratios": list(CANVASES),
            "formats": list(get_args(ImageFormat)),
            "most_references": MOST_REFERENCES,
            "usd": price_of(ImageRequest(model=model, prompt="...")).usd,
        }
        for model in IMAGE_RATES
    }
    return {
        "models": {**clips, **stills},
        "prompt_characters": [SHORTEST_PROMPT, LONGEST_PROMPT],
        "note": "Prices are computed from Luma's list of 2025-2026. Upscaling and audio have no published price.",
    }


async def _translated(read: Callable[[], Awaitable[_T]]) -> _T:
    """What was read; our errors become the protocol's."""
    try:
        return await read()
    except (NotFoundError, InvalidRequestError) as error:
        raise ResourceNotFoundError(error.in_full) from error
    except LumaError as error:
        raise ResourceError(error.in_full) from error


def _json(value: Any) -> str:
    return to_json(value).decode()
