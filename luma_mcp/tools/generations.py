"""Tools for what was made already: look, wait, list, delete."""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

from pydantic import Field

from luma_mcp.luma import wire
from luma_mcp.luma.models import Generation
from luma_mcp.studio import Studio
from luma_mcp.studio.watch import Look, Until, pace_of
from luma_mcp.tools._answers import GenerationAnswer, OneGenerationAnswer, of_generation, of_one
from luma_mcp.tools._arguments import GenerationId, GenerationIds
from luma_mcp.tools._effects import DELETES, READS
from luma_mcp.tools._money import spending
from luma_mcp.tools._toolset import Answer, Caller, Declared

# Luma's list is known to answer 500 for a limit of 100, and it has no filters.
_PAGE = 25
_MOST_LOOKED_THROUGH = 200


class WaitAnswer(Answer):
    """How the generations stand after waiting."""

    done: bool
    waited_seconds: float
    generations: list[GenerationAnswer]
    next: str

    def say(self) -> str:
        heading = "Done" if self.done else "Not done yet"
        lines = [f"{heading} after {self.waited_seconds:.0f} s."]
        lines += [one.say() for one in self.generations]
        return "\n".join([*lines, f"Next: {self.next}"])


class ListAnswer(Answer):
    """Part of the list of generations, newest first."""

    generations: list[GenerationAnswer]
    next_offset: Annotated[int | None, Field(description="There is more.")] = None
    spent_today_usd: float | None = None
    reserved_usd: float | None = None

    def say(self) -> str:
        lines = [f"{one.created_at or 'time unknown'} {one.say()}" for one in self.generations] or ["No generations."]
        if self.next_offset is not None:
            lines.append(f"There are more: offset={self.next_offset}.")
        if self.spent_today_usd is not None:
            lines.append(f"Spent today: ${self.spent_today_usd:.2f}, reserved: ${self.reserved_usd or 0:.2f}.")
        return "\n".join(lines)


class DeletedAnswer(Answer):
    """A generation that is gone."""

    generation_id: str
    deleted: bool

    def say(self) -> str:
        return f"{self.generation_id} is deleted at Luma. Files that were downloaded stay."


async def get_generation(studio: Studio, generation_id: GenerationId) -> OneGenerationAnswer:
    """How a generation stands, with links to what was made."""
    generation = await studio.luma.get_generation(generation_id)
    await studio.purchases.observe(generation)
    return of_one(generation)


async def wait_for_generation(
    studio: Studio,
    caller: Caller,
    generation_ids: GenerationIds,
    until: Annotated[Until, Field(description="For all, or the first.")] = "all",
    patience_seconds: Annotated[
        float | None, Field(ge=0, le=1800, description="Longest wait; the default suits the client.")
    ] = None,
) -> WaitAnswer:
    """Wait until generations are completed or failed. If patience runs out it says so: call again, nothing is lost.

    A picture takes about 10 s, a clip one to two minutes. Costs nothing.
    """

    async def tell(look: Look) -> None:
        await caller.report(look.elapsed_seconds, _progress(look))

    patience = caller.patience_seconds if patience_seconds is None else patience_seconds
    look = await studio.watch.wait(generation_ids, until=until, patience_seconds=patience, on_look=tell)
    await studio.purchases.observe(*look.generations)
    return waited(look.generations, until, look.elapsed_seconds)


def _progress(look: Look) -> str:
    """How things stand, in a line: states first, then what is usual, what can be seen already, what is odd."""
    states = ", ".join(f"{one.id[:8]} {wire.quoted(one.state, 40)}" for one in look.generations)
    running = [one for one in look.generations if not one.is_final]
    notes = list(dict.fromkeys(pace_of(one).usual for one in running))
    notes += [f"preview {one.assets.progress_video}" for one in running if one.assets and one.assets.progress_video]
    notes += [f"{one[:8]} has been in this state unusually long" for one in look.stalled]
    notes += [look.trouble] if look.trouble else []
    return f"{look.elapsed_seconds:.0f} s: {states or 'no answer yet'}" + "".join(f"; {note}" for note in notes)


def waited(generations: Sequence[Generation], until: str, seconds: float) -> WaitAnswer:
    """What a wait answers that has found them so."""
    final = [one.is_final for one in generations]
    done = any(final) if until == "any" else all(final)
    running = [one.id for one in generations if not one.is_final]
    completed = [one.id for one in generations if one.state == "completed"]
    if not done:
        then = f"call wait_for_generation(generation_ids={_listed(running)}) again."
    elif completed:
        then = f"download_generation(generation_ids={_listed(completed)}) saves the files."
    else:
        then = "change the request before trying again."
    told = [of_generation(one) for one in generations]
    answer = WaitAnswer(done=done, waited_seconds=round(seconds, 1), generations=told, next=then)
    return answer.offering(lambda: [offer for one in told for offer in one.offers])


def _listed(ids: list[str]) -> str:
    return "[" + ", ".join(f'"{one}"' for one in ids) + "]"


async def list_generations(
    studio: Studio,
    limit: Annotated[int, Field(ge=1, le=100, description="At most.")] = 10,
    offset: Annotated[int, Field(ge=0, description="Newest ones to skip.")] = 0,
    state: Annotated[
        Literal["queued", "dreaming", "completed", "failed"] | None, Field(description="Only these.")
    ] = None,
    kind: Annotated[
        Literal["video", "image", "modify_video", "reframe_video", "reframe_image", "upscale_video", "add_audio"]
        | None,
        Field(description="Only these."),
    ] = None,
) -> ListAnswer:
    """Your generations at Luma, newest first: also those that other programs made. Finds an id that got lost."""

    def fits(generation: Generation) -> bool:
        return state in (None, generation.state) and kind in (None, generation.kind)

    found, next_offset = await _look_through(studio, offset, limit, fits)
    told = [of_generation(one) for one in found]
    answer = ListAnswer(generations=told, next_offset=next_offset, **await spending(studio))
    return answer.offering(lambda: [offer for one in told for offer in one.offers])


async def _look_through(
    studio: Studio, offset: int, limit: int, fits: Callable[[Generation], bool]
) -> tuple[list[Generation], int | None]:
    """The first that fit, and where the rest begins; None if there is no rest."""
    found: list[Generation] = []
    position = offset
    while True:
        page = await studio.luma.list_generations(limit=_PAGE, offset=position)
        for generation in page.generations:
            if len(found) == limit or position - offset == _MOST_LOOKED_THROUGH:
                return found, position
            position += 1
            if fits(generation):
                found.append(generation)
        if not page.has_more or not page.generations:
            return found, None


async def delete_generation(studio: Studio, generation_id: GenerationId) -> DeletedAnswer:
    """Delete a generation at Luma for good. It does not refund, and a running one may still be charged."""
    await studio.luma.delete_generation(generation_id)
    return DeletedAnswer(generation_id=generation_id, deleted=True)


TOOLS = (
    Declared(get_generation, "Get a generation", READS, shown=True),
    Declared(wait_for_generation, "Wait for generations", READS, shown=True),
    Declared(list_generations, "List generations", READS, shown=True),
    Declared(delete_generation, "Delete a generation", DELETES),
)
