"""A film as a result, and waiting for it: for the tools, for tasks and for resources."""

from functools import partial
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json

from luma_mcp.domain.errors import LumaError
from luma_mcp.domain.pricing import Price
from luma_mcp.domain.text import as_name, cleaned
from luma_mcp.domain.usd import Usd
from luma_mcp.files.fetcher import OnBytes
from luma_mcp.film.film import Film, FilmShot
from luma_mcp.film.saving import SavedFilm, save_film
from luma_mcp.mcp.spec import Action, Call, Result

_MAX_PROMPT_LENGTH = 120
# A film that is complete when the time is up is saved nevertheless, if that needs no longer.
_MIN_SAVE_SECONDS = 5.0


class FilmShotResult(BaseModel):
    """A shot as it is now."""

    model_config = ConfigDict(extra="forbid")

    number: int
    state: str
    price_usd: float
    waits_for: list[int] | None = None
    generation_id: str | None = None
    prompt: str | None = None
    reason: str | None = None

    def text(self) -> str:
        waits = f", waits for shot {', '.join(map(str, self.waits_for))}" if self.waits_for else ""
        made = f" {self.generation_id}" if self.generation_id else ""
        reason = f" {self.reason}" if self.reason else ""
        return f"Shot {self.number}: {self.state}{made}, {Price.of(self.price_usd, 'published')}{waits}.{reason}"


class FilmResult(Result):
    """A film."""

    film_id: str | None = None
    done: bool
    state: str
    dry_run: bool | None = None
    price_usd: Annotated[float, Field(description="Of all shots.")]
    price_is_assumed: bool | None = None
    spent_usd: float | None = None
    quote_id: str | None = None
    recovered: bool | None = None
    shots: list[FilmShotResult]
    path: str | None = None
    sheet_path: str | None = None
    link: str | None = None
    problem: str | None = None
    plan: dict[str, Any] | None = None
    next: str

    def text(self) -> str:
        price = Price.of(self.price_usd, "assumed" if self.price_is_assumed else "published")
        if self.dry_run and self.film_id:
            bought = [shot for shot in self.shots if shot.price_usd]
            heading = (
                f"Dry run, nothing was bought. Price of the {len(bought)} of {len(self.shots)} shots that would be "
                f"bought: {price} ({price.basis}). Spent on this film so far: {Usd.of(self.spent_usd or 0)}."
            )
        elif self.dry_run:
            heading = f"Dry run, nothing was bought. Price of all shots: {price} ({price.basis})."
        else:
            spent = Usd.of(self.spent_usd or 0)
            heading = f"{self.film_id} is {self.state}. Price of all shots: {price}, spent: {spent}."
        lines = [heading, *(shot.text() for shot in self.shots)]
        lines += [f"Film: {self.path}"] if self.path else []
        lines += [f"Link: {self.link}"] if self.link else []
        lines += [self.problem] if self.problem else []
        lines += [f"quote_id: {self.quote_id}"] if self.quote_id else []
        lines += [f"Plan: {to_json(self.plan).decode()}"] if self.plan else []
        return "\n".join([*lines, f"Next: {self.next}"])


def _as_in_create(schema: dict[str, Any]) -> None:
    """Describe the shots once, in create_film: every conversation pays for the list of tools."""
    schema["items"] = {"type": "object"}


class WaitedFilmResult(FilmResult):
    """A film that was waited for; its shots are those of a film."""

    shots: Annotated[list[FilmShotResult], Field(description="As create_film.", json_schema_extra=_as_in_create)]


async def waited_film(call: Call, film_id: str, timeout_seconds: float) -> FilmResult:
    """Continue a film for so long, and save it once every shot is there.

    A film that is not saved in time is saved in the background, and is not `done`.

    Raises:
        NotFoundError: there is no such film.
        LumaError: Luma cannot be asked, or the ledger cannot be used.
    """

    async def report(film: Film, seconds: float, problem: str | None) -> None:
        await call.caller.report(seconds, progress_of(film, seconds, problem), states_of(film))

    started_at = call.services.clock.now()
    film = await call.services.films.wait(
        film_id, call.visible_person, timeout_seconds=timeout_seconds, sources_of=call.sources, on_film=report
    )
    if film.state != "completed":
        return film_result(film)
    remaining_seconds = timeout_seconds - (call.services.clock.now() - started_at)

    async def on_bytes(size: int, _length: int | None) -> None:
        await call.caller.report(0, f"Saving the film: {size:,} bytes")

    try:
        save = call.services.film_saves.start(call.folder, film.id, partial(_save, call, film))
        saved = await save.wait(max(remaining_seconds, _MIN_SAVE_SECONDS), on_bytes)
    except LumaError as error:
        return film_result(film).model_copy(update={"problem": f"The film is not saved. {error.full_text}"})
    if saved is None:
        again = f'wait_for_film(film_id="{film.id}"); the film is complete and is being saved.'
        return film_result(film).model_copy(update={"done": False, "next": again})
    return await _saved_result(call, film, saved)


async def _save(call: Call, film: Film, on_bytes: OnBytes) -> SavedFilm:
    backend = call.services.backend
    generations = [await backend.get_generation(shot.generation_id or "") for shot in film.shots]
    return await save_film(call.downloads, film, generations, on_bytes)


async def _saved_result(call: Call, film: Film, saved: SavedFilm) -> FilmResult:
    result = film_result(film)
    result.path, result.sheet_path = str(saved.file.path.absolute()), str(saved.sheet.absolute())
    result.next = "tell the person the path; edit_video cuts, cross-fades and adds music."
    shared = await call.services.share_file(saved.file)
    result.link = shared.link
    result.problem = f"The film is saved and has no link. {shared.problem}" if shared.problem else None
    jpeg = saved.jpeg if call.services.previews.inline else None
    return result.set_links(shared.resource_links).set_image(jpeg)


def film_result(film: Film, *, recovered: bool = False) -> FilmResult:
    """The facts of a film, and the next step. Text that comes from outside is cleaned and cut."""
    result = FilmResult(
        film_id=film.id,
        done=film.is_over,
        state=film.state,
        price_usd=film.plan.usd,
        price_is_assumed=film.plan.price.basis == "assumed" or None,
        spent_usd=film.spent_usd,
        recovered=recovered or None,
        shots=[_shot_result(shot) for shot in film.shots],
        next=_next(film),
    )
    return result.set_actions(lambda: _actions(film))


def _shot_result(shot: FilmShot) -> FilmShotResult:
    prompt = shot.planned.shot.prompt
    return FilmShotResult(
        number=shot.number,
        state=as_name(shot.state, 24),
        price_usd=shot.planned.usd,
        waits_for=list(shot.waits_for) or None,
        generation_id=shot.generation_id,
        prompt=cleaned(prompt, _MAX_PROMPT_LENGTH) if prompt else None,
        reason=cleaned(shot.reason, 300) if shot.reason else None,
    )


def _next(film: Film) -> str:
    again = f'wait_for_film(film_id="{film.id}")'
    if film.state == "running":
        return f"{again}; it buys what has become ready."
    if film.state == "completed":
        return f"{again} saves it."
    unmade = ", ".join(str(shot.number) for shot in film.shots if shot.state != "completed")
    if film.state == "in doubt":
        rows = [shot.purchase.id for shot in film.shots if shot.state == "in doubt" and shot.purchase]
        settle = ", ".join(f"dream-machine-mcp purchases settle {row}" for row in rows)
        return f"{again} looks again. What nobody can say the person settles: {settle} --bought ID, or --not-bought."
    return (
        f'shots {unmade} were not made. create_film(film_id="{film.id}", changes=[{{number, prompt}}]) changes them: '
        "only what changed, was not made, or depends on it is bought."
    )


def states_of(film: Film) -> dict[str, str]:
    """The states of a film's shots, by "shot N"."""
    return {f"shot {shot.number}": as_name(shot.state, 24) for shot in film.shots}


def progress_of(film: Film, seconds: float, problem: str | None) -> str:
    """A film in a line: the states of its shots, and the present problem."""
    states = ", ".join(f"{shot} {state}" for shot, state in states_of(film).items())
    return f"{seconds:.0f} s: {states}" + (f"; {cleaned(problem, 200)}" if problem else "")


def arguments_of(film: Film) -> dict[str, Any]:
    """The arguments of `create_film` that plan a film as it is planned."""
    film_format = film.plan.form
    fields = {
        "aspect_ratio": film_format.aspect_ratio,
        "resolution": film_format.resolution,
        "model": film_format.model,
    }
    shots = [_present(_shot_arguments(shot)) for shot in film.shots]
    return {"film_id": film.id, "shots": shots, **_present(fields)}


def _shot_arguments(shot: FilmShot) -> dict[str, Any]:
    planned = shot.planned.shot
    return {
        "prompt": planned.prompt,
        "duration": planned.duration,
        "start": planned.start,
        "end": planned.end,
        "concepts": list(planned.concepts) or None,
        "take": planned.take if planned.take > 1 else None,
    }


def _actions(film: Film) -> list[Action]:
    """Another take of each shot, with the price of everything that depends on it."""
    return [_retake(film, shot) for shot in film.shots] if film.is_over else []


def _retake(film: Film, shot: FilmShot) -> Action:
    arguments = arguments_of(film)
    # A failed shot is made again by the same plan; a completed one, by a new take.
    take = shot.planned.shot.take
    if shot.state == "completed":
        arguments["shots"][shot.number - 1]["take"] = take + 1
    made_again = _dependents(film, shot) | {other.number for other in film.shots if other.state != "completed"}
    usd = round(sum(other.planned.usd for other in film.shots if other.number in made_again), 6)
    return Action(
        generation_id=f"{film.id}#{shot.number}",
        action="re-take",
        tool="create_film",
        arguments=arguments,
        price_usd=usd,
        price_basis=film.plan.price.basis,
    )


def _dependents(film: Film, shot: FilmShot) -> set[int]:
    """The numbers of a shot and of all that depend on it."""
    numbers = {shot.number}
    while True:
        more = {other.number for other in film.shots if numbers & {need + 1 for need in other.planned.needs}} - numbers
        if not more:
            return numbers
        numbers |= more


def _present(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
