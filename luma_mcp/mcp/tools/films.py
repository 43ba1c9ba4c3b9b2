"""Tools for films: several shots as one plan, with one price and one approval."""

from typing import Annotated

from pydantic import Field

from luma_mcp.domain.catalogue import DEFAULT_RATIO, DEFAULT_RESOLUTION
from luma_mcp.domain.errors import InvalidRequestError
from luma_mcp.domain.pricing import Price
from luma_mcp.domain.text import cleaned
from luma_mcp.film.film import Film
from luma_mcp.film.plan import FilmFormat, Plan, Shot
from luma_mcp.mcp.arguments.api_variants import differs
from luma_mcp.mcp.arguments.choices import OneOf, all_videos, by_catalogue, only_api, with_feature
from luma_mcp.mcp.arguments.values import AsConcepts, AsFilmId, AsShots
from luma_mcp.mcp.spec import CONTINUES, SPENDS, Arguments, Call, ToolSpec
from luma_mcp.mcp.tools.arguments import (
    SpendingArguments,
    VideoModel,
    video_choices,
    video_durations,
    video_model,
    video_ratios,
    video_resolutions,
)
from luma_mcp.mcp.tools.concepts import checked_concepts
from luma_mcp.mcp.tools.consent import ConsentRequest, buy_with_consent, quote_id_for
from luma_mcp.mcp.tools.film_results import FilmResult, FilmShotResult, film_result, waited_film
from luma_mcp.work.films import FILM

_MAX_PROMPT_ASKED = 200


class ShotArgument(Arguments):
    prompt: str | None = None
    duration: Annotated[
        str | None,
        Field(json_schema_extra=by_catalogue(lambda: differs(choices=video_choices("durations")))),
        OneOf(video_durations),
    ] = None
    start: Annotated[
        str | None,
        Field(
            description='"continue": from the last frame of the shot before. Or a source, as start_frame. None: a cut.'
        ),
    ] = None
    end: Annotated[
        str | None, Field(description='"next": ends on the first picture of the next shot. Or a source.')
    ] = None
    concepts: Annotated[
        list[str] | None,
        Field(json_schema_extra=by_catalogue(lambda: differs(only=only_api(with_feature("concepts", all_videos()))))),
        AsConcepts,
    ] = None
    take: Annotated[int, Field(ge=1, le=1000)] = 1


FilmId = Annotated[str, Field(description="Id of a film."), AsFilmId]


class CreateFilmArguments(SpendingArguments):
    shots: Annotated[list[ShotArgument], Field(min_length=1, max_length=100, description="In order."), AsShots]
    model: VideoModel = None
    aspect_ratio: Annotated[
        str | None,
        Field(
            description="Default 16:9.",
            json_schema_extra=by_catalogue(lambda: differs(choices=video_choices("ratios"))),
        ),
        OneOf(video_ratios),
    ] = None
    resolution: Annotated[
        str | None,
        Field(
            description="Default 720p.",
            json_schema_extra=by_catalogue(lambda: differs(choices=video_choices("resolutions"))),
        ),
        OneOf(video_resolutions),
    ] = None
    film_id: Annotated[
        str | None,
        Field(description="Change this film: only what changed, was not made or depends on it is bought."),
        AsFilmId,
    ] = None


async def create_film(call: Call, arguments: CreateFilmArguments) -> FilmResult:
    """Plan a film (movie, story, sequence) of several shots: one price, one yes, each shot bought once. Costs money.

    Then call wait_for_film until done.
    """
    films = call.services.films
    film = await films.get(arguments.film_id, call.visible_person) if arguments.film_id else None
    plan = await films.plan(await _format(call, arguments, film), await _shots(call, arguments), call.sources)
    usd = plan.usd if film is None else await films.unpaid_usd(film, plan)
    price = Price.of(usd, plan.price.basis)
    subject = f"film {arguments.film_id or ''} {plan.fingerprint} {arguments.take}"
    if arguments.dry_run:
        return _quoted(film, plan, usd, quote_id_for(call, usd, subject))
    films.check(usd, f"{price} ({price.basis})")
    request = ConsentRequest(
        subject,
        usd,
        _question(plan, price, arguments.take),
        declined="The person was asked and did not want this film.",
    )
    return await buy_with_consent(
        call, arguments, request, lambda consent: _create(call, arguments, film, plan, usd, consent)
    )


async def _create(
    call: Call, arguments: CreateFilmArguments, film: Film | None, plan: Plan, usd: float, consent: str | None
) -> FilmResult:
    films = call.services.films
    if film is not None:
        changed = await films.change(film, plan, approved_usd=usd, consent=consent)
        await call.services.runner.start(FILM, changed.id)
        return film_result(changed)
    created, is_new = await films.create(plan, take=arguments.take, person=call.person.name, consent=consent)
    await call.services.runner.start(FILM, created.id)
    return film_result(created, recovered=not is_new)


async def _format(call: Call, arguments: CreateFilmArguments, film: Film | None) -> FilmFormat:
    """The format of all shots; if a film is changed, that of the film is the default."""
    if film is None:
        return FilmFormat(
            video_model(call, arguments.model),
            arguments.aspect_ratio or DEFAULT_RATIO,
            arguments.resolution or DEFAULT_RESOLUTION,
        )
    film_format = film.plan.form
    return FilmFormat(
        video_model(call, arguments.model or film_format.model),
        arguments.aspect_ratio or film_format.aspect_ratio,
        arguments.resolution or film_format.resolution,
    )


async def _shots(call: Call, arguments: CreateFilmArguments) -> list[Shot]:
    """The requested shots. Raises: InvalidRequestError, naming the shot."""
    shots: list[Shot] = []
    for number, shot in enumerate(arguments.shots, start=1):
        try:
            concepts = await checked_concepts(call, shot.concepts)
        except InvalidRequestError as error:
            raise InvalidRequestError(f"Shot {number}: {error}", error.hint) from None
        shots.append(Shot(shot.prompt, shot.duration, shot.start, shot.end, concepts, shot.take))
    return shots


def _quoted(film: Film | None, plan: Plan, usd: float, quote_id: str | None) -> FilmResult:
    """The result of a dry run."""
    with_id = "tell the person the price; with the person's yes, call again with this quote_id and without dry_run."
    return FilmResult(
        film_id=film.id if film else None,
        done=False,
        state="planned",
        dry_run=True,
        price_usd=usd,
        price_is_assumed=plan.price.basis == "assumed" or None,
        quote_id=quote_id,
        shots=[
            FilmShotResult(
                number=number,
                state="planned",
                price_usd=shot.usd,
                waits_for=[need + 1 for need in shot.needs] or None,
            )
            for number, shot in enumerate(plan.shots, start=1)
        ],
        next=with_id if quote_id else "call again without dry_run to allow it.",
    )


def _question(plan: Plan, price: Price, take: int) -> str:
    """The question to the user: the purchase, the price, and every shot."""
    basis = "" if price.basis == "published" else ", an upper estimate"
    film_format = plan.form
    sentences = [f"Buy a film of {len(plan.shots)} shots at Luma with {film_format.model} for {price}{basis}?"]
    sentences += [f"Take {take} of it."] if take > 1 else []
    sentences.append(f"{film_format.aspect_ratio}, {film_format.resolution}.")
    for number, planned in enumerate(plan.shots, start=1):
        shot = planned.shot
        facts = [
            f"{name}: {cleaned(value, 100)}" for name, value in (("start", shot.start), ("end", shot.end)) if value
        ]
        prompt = repr(cleaned(shot.prompt, _MAX_PROMPT_ASKED)) if shot.prompt else "no prompt"
        sentences.append(f"Shot {number} ({', '.join([shot.duration or '5s', *facts])}): {prompt}.")
    return " ".join(sentences)


class WaitForFilmArguments(Arguments):
    film_id: FilmId
    timeout_seconds: Annotated[float | None, Field(ge=0, le=1800, description="Longest wait.")] = None


async def wait_for_film(call: Call, arguments: WaitForFilmArguments) -> FilmResult:
    """Carry on with a film: buy the shots that have become ready, wait, and at the end save it as one file.

    After the timeout done is false: call again, nothing is lost.
    """
    timeout = call.caller.timeout_seconds if arguments.timeout_seconds is None else arguments.timeout_seconds
    return await waited_film(call, arguments.film_id, timeout)


TOOLS = (
    ToolSpec(create_film, CreateFilmArguments, FilmResult, "Create a film", SPENDS, in_player=True),
    ToolSpec(wait_for_film, WaitForFilmArguments, FilmResult, "Wait for a film", CONTINUES, in_player=True),
)
