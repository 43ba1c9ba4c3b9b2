"""Tools for films: several shots as one plan, with one price and one approval."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, ValidationError

from luma_mcp.domain.catalogue import DEFAULT_RATIO, DEFAULT_RESOLUTION
from luma_mcp.domain.errors import InvalidRequestError
from luma_mcp.domain.pricing import Price
from luma_mcp.domain.text import cleaned
from luma_mcp.film.changes import Change, changed_shots, reasons_to_buy
from luma_mcp.film.film import Film
from luma_mcp.film.plan import FilmFormat, Plan, Shot
from luma_mcp.mcp.arguments.api_variants import differs
from luma_mcp.mcp.arguments.choices import OneOf, all_videos, by_catalogue, only_api, with_feature
from luma_mcp.mcp.arguments.values import AsChanges, AsConcepts, AsFilmId, AsShots
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
from luma_mcp.mcp.tools.film_results import (
    FilmResult,
    FilmShotResult,
    WaitedFilmResult,
    arguments_of,
    film_result,
    waited_film,
)
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


class ChangeArgument(ShotArgument):
    """A change of one shot; a field that is left out stays."""

    number: Annotated[int | None, Field(ge=1)] = None
    after: Annotated[int | None, Field(ge=0)] = None
    remove: bool = False


class CreateFilmArguments(SpendingArguments):
    shots: Annotated[
        list[ShotArgument] | None, Field(min_length=1, max_length=100, description="In order."), AsShots
    ] = None
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
    changes: Annotated[
        list[dict[str, Any]] | None,
        Field(
            min_length=1,
            max_length=200,
            description="Of film_id, in place of shots: {number, fields of the shot}, {number, remove: true}, "
            '{after, shot}. start "cut", end "open".',
        ),
        AsChanges,
    ] = None
    cancel: Annotated[bool, Field(description="Of film_id: give back what is not bought.")] = False


async def create_film(call: Call, arguments: CreateFilmArguments) -> FilmResult:
    """Plan a film (movie, story, sequence) of several shots: one price, one yes, each shot bought once. Costs money.

    Then call wait_for_film until done.
    """
    films = call.services.films
    film = await films.get(arguments.film_id, call.visible_person) if arguments.film_id else None
    if arguments.cancel:
        return film_result(await films.cancel(_required(film, "cancel")))
    plan = await films.plan(await _format(call, arguments, film), await _shots(call, arguments, film), call.sources)
    unpaid = None if film is None else films.unpaid(film, plan)
    usd = plan.usd if unpaid is None else sum(item.micros for item in unpaid) / 1e6
    reasons = reasons_to_buy(film, plan, [item.key for item in unpaid]) if film and unpaid is not None else None
    price = Price.of(usd, plan.price.basis)
    subject = f"film {arguments.film_id or ''} {plan.fingerprint} {arguments.take}"
    if arguments.dry_run:
        return _quoted(film, plan, usd, quote_id_for(call, usd, subject), reasons)
    films.check(usd, f"{price} ({price.basis})")
    request = ConsentRequest(
        subject,
        usd,
        _question(plan, price, arguments.take, reasons),
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


async def _shots(call: Call, arguments: CreateFilmArguments, film: Film | None) -> list[Shot]:
    """The requested shots, or those of the film after the changes. Raises: InvalidRequestError, naming the shot."""
    if (arguments.shots is None) == (arguments.changes is None):
        raise InvalidRequestError("A film needs shots; a film that is changed needs shots or changes.", "Name one.")
    if arguments.shots is not None:
        fields = [await _fields(call, f"Shot {number}", shot) for number, shot in enumerate(arguments.shots, start=1)]
        return [Shot(**of_shot) for of_shot in fields]
    film = _required(film, "changes")
    changes: list[Change] = []
    for number, sent in enumerate(arguments.changes or (), start=1):
        change = _change(number, sent)
        shot = await _fields(call, f"Change {number}", change)
        named = {name: shot[name] for name in change.model_fields_set & shot.keys()}
        changes.append(Change(change.number, change.after, change.remove, named))
    return changed_shots([shot.planned.shot for shot in film.shots], changes)


async def _fields(call: Call, name: str, shot: ShotArgument) -> dict[str, Any]:
    """The fields of a shot, checked. Raises: InvalidRequestError, naming it."""
    try:
        concepts = await checked_concepts(call, shot.concepts)
    except InvalidRequestError as error:
        raise InvalidRequestError(f"{name}: {error}", error.hint) from None
    return {
        "prompt": shot.prompt, "duration": shot.duration, "start": shot.start, "end": shot.end,
        "concepts": concepts, "take": shot.take,
    }  # fmt: skip


def _change(number: int, sent: dict[str, Any]) -> ChangeArgument:
    """A change as it was sent, checked. Raises: InvalidRequestError, naming it."""
    try:
        return ChangeArgument.model_validate(sent)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(item) for item in problem["loc"]) or "it"
        raise InvalidRequestError(
            f"Change {number}: {cleaned(where, 40)}: {cleaned(problem['msg'], 200)}.",
            "A change is {number, fields of the shot}, {number, remove: true} or {after, fields of the new shot}.",
        ) from None


def _required(film: Film | None, name: str) -> Film:
    """The film that is changed. Raises: InvalidRequestError, if none is named."""
    if film is None:
        raise InvalidRequestError(f"{name} is for a film that exists.", "Give its film_id.")
    return film


def _quoted(
    film: Film | None, plan: Plan, usd: float, quote_id: str | None, reasons: Mapping[int, str] | None
) -> FilmResult:
    """The result of a dry run. Of a film that is changed, only what is bought has a price."""
    with_id = "tell the person the price; with the person's yes, call again with this quote_id and without dry_run."
    made = {shot.planned.key: shot for shot in film.shots} if film else {}
    return FilmResult(
        film_id=film.id if film else None,
        done=False,
        state="planned",
        dry_run=True,
        price_usd=usd,
        price_is_assumed=plan.price.basis == "assumed" or None,
        spent_usd=film.spent_usd if film else None,
        quote_id=quote_id,
        shots=[
            FilmShotResult(
                number=number,
                state="planned" if reasons is None or number in reasons else made[shot.key].state,
                price_usd=shot.usd if reasons is None or number in reasons else 0,
                waits_for=[need + 1 for need in shot.needs] or None,
                generation_id=made[shot.key].generation_id if shot.key in made else None,
                reason=None if reasons is None else reasons.get(number, "it stays"),
            )
            for number, shot in enumerate(plan.shots, start=1)
        ],
        next=with_id if quote_id else "call again without dry_run to allow it.",
    )


def _question(plan: Plan, price: Price, take: int, reasons: Mapping[int, str] | None) -> str:
    """The question to the user: the purchase, the price, and every shot that is bought."""
    basis = "" if price.basis == "published" else ", an upper estimate"
    film_format = plan.form
    count = len(plan.shots) if reasons is None else len(reasons)
    work = f"a film of {count} shots" if reasons is None else f"{count} of the {len(plan.shots)} shots of a film"
    sentences = [f"Buy {work} at Luma with {film_format.model} for {price}{basis}?"]
    sentences += [f"Take {take} of it."] if take > 1 else []
    sentences.append(f"{film_format.aspect_ratio}, {film_format.resolution}.")
    for number, planned in enumerate(plan.shots, start=1):
        if reasons is not None and number not in reasons:
            continue
        shot = planned.shot
        facts = [
            f"{name}: {cleaned(value, 100)}" for name, value in (("start", shot.start), ("end", shot.end)) if value
        ]
        facts += [reasons[number]] if reasons is not None else []
        prompt = repr(cleaned(shot.prompt, _MAX_PROMPT_ASKED)) if shot.prompt else "no prompt"
        sentences.append(f"Shot {number} ({', '.join([shot.duration or '5s', *facts])}): {prompt}.")
    return " ".join(sentences)


class WaitForFilmArguments(Arguments):
    film_id: FilmId
    timeout_seconds: Annotated[float | None, Field(ge=0, le=1800, description="Longest wait.")] = None
    plan: Annotated[bool, Field(description="Return its plan too, as create_film takes it.")] = False


async def wait_for_film(call: Call, arguments: WaitForFilmArguments) -> FilmResult:
    """Carry on with a film: buy the shots that have become ready, wait, and at the end save it as one file.

    After the timeout done is false: call again, nothing is lost.
    """
    timeout = call.caller.timeout_seconds if arguments.timeout_seconds is None else arguments.timeout_seconds
    result = await waited_film(call, arguments.film_id, timeout)
    if arguments.plan:
        film = await call.services.films.get(arguments.film_id, call.visible_person)
        result.plan = arguments_of(film)
    return result


TOOLS = (
    ToolSpec(create_film, CreateFilmArguments, FilmResult, "Create a film", SPENDS, in_player=True),
    ToolSpec(wait_for_film, WaitForFilmArguments, WaitedFilmResult, "Wait for a film", CONTINUES, in_player=True),
)
