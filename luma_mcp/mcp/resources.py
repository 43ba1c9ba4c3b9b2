"""The resources of the server: camera vocabulary, models with prices, spending, generations and films."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, TypeVar

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.types import Completion, CompletionArgument, CompletionContext, PromptReference, ResourceTemplateReference
from pydantic_core import to_json

from luma_mcp.domain import catalogue
from luma_mcp.domain.apis import APIS
from luma_mcp.domain.errors import InvalidRequestError, LumaError, NotFoundError
from luma_mcp.domain.generation import Generation
from luma_mcp.domain.pricing import price_of
from luma_mcp.domain.requests import ImageRequest, VideoRequest
from luma_mcp.ledger import reports
from luma_mcp.ledger.states import IN_DOUBT
from luma_mcp.mcp.persons import current_person
from luma_mcp.mcp.results import details_result
from luma_mcp.mcp.services import Services
from luma_mcp.mcp.tools.film_results import arguments_of, film_result

GENERATION = "luma://generations/{generation_id}"
FILM = "luma://films/{film_id}"
_JSON = "application/json"
_MAX_COMPLETIONS = 25
_MAX_PURCHASES = 100
_MAX_FILMS = 20
# The number of days of spending, today among them.
_DAYS = 7
_T = TypeVar("_T")


def attach(server: MCPServer[Any], services: Services) -> None:
    """Offer them on a server."""

    @server.resource(
        "luma://camera-motions",
        title="Camera motions",
        description="Camera motions that a video's prompt may name.",
        mime_type=_JSON,
    )
    async def camera_motions() -> str:
        vocabulary = await services.vocabulary.camera_motions()
        return _json({"camera_motions": vocabulary.words, "from_luma": vocabulary.from_luma})

    @server.resource(
        "luma://concepts",
        title="Camera concepts",
        description="Camera concepts that a video's `concepts` takes.",
        mime_type=_JSON,
    )
    async def concepts() -> str:
        vocabulary = await services.vocabulary.concepts()
        return _json({"concepts": vocabulary.words, "from_luma": vocabulary.from_luma})

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
        description="What was bought today by all servers of this ledger, and the caps.",
        mime_type=_JSON,
    )
    async def spending() -> str:
        return _json(await _translated(lambda: describe_spending(services)))

    @server.resource(
        GENERATION, title="Generation", description="Status and asset URLs of a generation.", mime_type=_JSON
    )
    async def generation(generation_id: str) -> str:
        generation = await _translated(lambda: _visible_generation(services, generation_id))
        return _json(details_result(generation).model_dump(mode="json", exclude_none=True))

    @server.resource("luma://films", title="Films", description="The last films that were planned.", mime_type=_JSON)
    async def films() -> str:
        person = services.access.visible_person(current_person())
        newest = await _translated(lambda: services.films.newest(_MAX_FILMS, person))
        return _json({"films": [film_result(film).model_dump(mode="json", exclude_none=True) for film in newest]})

    @server.resource(FILM, title="Film", description="State of a film, shot by shot.", mime_type=_JSON)
    async def film(film_id: str) -> str:
        person = services.access.visible_person(current_person())
        state = await _translated(lambda: services.films.get(film_id, person))
        return _json(film_result(state).model_dump(mode="json", exclude_none=True) | {"plan": arguments_of(state)})

    @server.completion()
    async def complete(
        ref: PromptReference | ResourceTemplateReference,
        argument: CompletionArgument,
        _context: CompletionContext | None,
    ) -> Completion | None:
        if isinstance(ref, PromptReference):
            ratios = [ratio for ratio in catalogue.SIZES_AT_720P if ratio.startswith(argument.value)]
            return Completion(values=ratios) if argument.name == "aspect_ratio" else None
        person = services.access.visible_person(current_person())
        try:
            if ref.uri == FILM:
                films = await services.films.newest(_MAX_COMPLETIONS, person)
                return Completion(values=[film.id for film in films if film.id.startswith(argument.value)])
            if ref.uri != GENERATION:
                return None
            if person is None:
                page = await services.backend.list_generations(limit=_MAX_COMPLETIONS)
            else:
                page = await services.backend.list_of_person(person, limit=_MAX_COMPLETIONS, offset=0)
        except LumaError:
            return None
        ids = [listed.id for listed in page.generations if listed.id.startswith(argument.value)]
        return Completion(values=ids, total=None, has_more=page.has_more)


async def _visible_generation(services: Services, generation_id: str) -> Generation:
    """A generation that the person may see. Raises: NotFoundError, LedgerError."""
    await services.access.check(current_person(), [generation_id])
    return await services.backend.get_generation(generation_id)


async def describe_spending(services: Services) -> dict[str, Any]:
    """The day's money, and its last purchases: a model reads this, and a busy day has many.

    A person who sees only their own purchases gets those and their own cap.
    """
    person = services.access.visible_person(current_person())
    today = await services.purchases.spending(person)
    rows = await services.purchases.newest_today(_MAX_PURCHASES, person)
    days = reports.usd_by(reports.day_of, await services.purchases.totals(_DAYS - 1, person))
    of_today = await services.purchases.totals(0, person)
    purchases = [
        {
            "id": row.id,
            "at": datetime.fromtimestamp(row.reserved_at, UTC).isoformat(timespec="seconds"),
            "kind": row.kind,
            "usd": row.usd,
            "basis": row.basis,
            "state": row.state,
            "take": row.take,
            **({"person": row.person} if row.person else {}),
            "generation_id": row.generation_id,
            **({"in_doubt": row.note, "request_id": row.request_id} if row.state in IN_DOUBT else {}),
        }
        for row in rows
    ]
    return {
        "spent_today_usd": round(today.spent_usd, 4),
        "reserved_usd": round(today.reserved_usd, 4),
        "caps_usd": asdict(services.purchases.budget),
        "usd_by_model_today": reports.usd_by(reports.model_of, of_today),
        "usd_by_day": dict(sorted(days.items())),
        **({"usd_by_person_today": reports.usd_by(reports.person_of, of_today)} if person is None else {}),
        "purchases_today": today.purchases,
        "purchases": purchases,
    }


def describe_models() -> dict[str, Any]:
    """The models, from the catalogue."""
    videos = {
        name: {
            "makes": "video",
            "api": model.backend,
            "aspect_ratios": list(model.ratios),
            "resolutions": list(model.resolutions),
            "durations": list(model.durations),
            "usd_for_16:9": {
                f"{resolution} {duration}": price_of(
                    VideoRequest(model=name, prompt="...", resolution=resolution, duration=duration)
                ).usd
                for resolution in model.resolutions
                for duration in model.durations
            },
            **_modifying(model),
        }
        for name, model in catalogue.VIDEO_MODELS.items()
    }
    images = {
        name: {
            "makes": "image",
            "api": model.backend,
            "aspect_ratios": list(model.ratios),
            "formats": list(model.formats),
            "most_references": model.max_references,
            "usd": price_of(ImageRequest(model=name, prompt="...")).usd,
        }
        for name, model in catalogue.IMAGE_MODELS.items()
    }
    return {
        "models": {**videos, **images},
        "prompt_characters": {name: [api.min_prompt, api.max_prompt] for name, api in APIS.items()},
        "note": "Prices are computed from Luma's list of 2025-2026. Upscaling and audio have no published price.",
    }


def _modifying(model: catalogue.VideoModel) -> dict[str, Any]:
    """The price of changing a clip."""
    prices = model.prices
    if isinstance(prices, catalogue.PixelPrices):
        return {"usd_per_megapixel_modified": prices.modify.dollars}
    return {
        "usd_modified_5s_and_10s": {
            name: [amount.dollars for amount in amounts] for name, amounts in prices.modify.items()
        },
        "usd_reframed_per_second": {name: amount.dollars for name, amount in prices.reframe_per_second.items()},
        "hdr_factor": prices.hdr_factor,
        "hdr_with_exr_factor": prices.exr_factor,
    }


async def _translated(read: Callable[[], Awaitable[_T]]) -> _T:
    """Read; our errors become the protocol's."""
    try:
        return await read()
    except (NotFoundError, InvalidRequestError) as error:
        raise ResourceNotFoundError(error.full_text) from error
    except LumaError as error:
        raise ResourceError(error.full_text) from error


def _json(value: Any) -> str:
    return to_json(value).decode()
