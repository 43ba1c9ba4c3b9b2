"""Tools for earlier generations: get, wait, list, delete."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field

from luma_mcp.domain.apis import APIS, BackendName
from luma_mcp.domain.errors import InvalidRequestError, LumaError
from luma_mcp.domain.generation import PURCHASE_ID, Generation, Page
from luma_mcp.domain.person import Right
from luma_mcp.domain.requests import Kind
from luma_mcp.domain.usd import Usd
from luma_mcp.mcp.arguments.api_variants import differs
from luma_mcp.mcp.results import (
    GenerationDetailsResult,
    GenerationResults,
    WaitResult,
    details_result,
    generation_result,
    shown_state,
    spent_today,
    wait_result,
)
from luma_mcp.mcp.rights import refusal_of
from luma_mcp.mcp.spec import ALWAYS_LOADED, DELETES, READS, Arguments, Call, Result, ToolSpec
from luma_mcp.mcp.tools.arguments import GenerationId, GenerationIds
from luma_mcp.polling.poller import Snapshot, Until
from luma_mcp.polling.schedule import schedule_of

# Luma's list returns 500 for a limit of 100, and it has no filters.
_PAGE = 25
_MAX_SEARCHED = 200


class Pages(Protocol):
    """A list of generations, newest first, that is read by pages."""

    def __call__(self, *, limit: int, offset: int) -> Awaitable[Page]: ...


class ListResult(Result):
    """Part of the list of generations, newest first."""

    generations: GenerationResults
    next_offset: Annotated[int | None, Field(description="There is more.")] = None
    unavailable: Annotated[str | None, Field(json_schema_extra=differs(shared=True))] = None
    spent_today_usd: float | None = None
    reserved_usd: float | None = None

    def text(self) -> str:
        lines = [f"{listed.created_at or 'time unknown'} {listed.text()}" for listed in self.generations]
        lines = lines or ["No generations."]
        lines += [self.unavailable] if self.unavailable else []
        if self.next_offset is not None:
            lines.append(f"There are more: offset={self.next_offset}.")
        if self.spent_today_usd is not None:
            lines.append(f"Spent today: {Usd.of(self.spent_today_usd)}, reserved: {Usd.of(self.reserved_usd or 0)}.")
        return "\n".join(lines)


class DeletedResult(Result):
    """A generation that was deleted."""

    generation_id: str
    deleted: bool

    def text(self) -> str:
        if PURCHASE_ID.fullmatch(self.generation_id):
            return f"{self.generation_id} is cancelled. Nothing was bought, and its money is free again."
        return f"{self.generation_id} is deleted at Luma. Files that were downloaded stay."


class GetGenerationArguments(Arguments):
    generation_id: GenerationId


async def get_generation(call: Call, arguments: GetGenerationArguments) -> GenerationDetailsResult:
    """Status of a generation, and links to its finished video or picture."""
    generation = await call.services.purchases.get_generation(arguments.generation_id)
    return details_result(generation)


class WaitForGenerationArguments(Arguments):
    generation_ids: GenerationIds
    until: Annotated[Until, Field(description="For all, or the first.")] = "all"
    timeout_seconds: Annotated[
        float | None, Field(ge=0, le=1800, description="Longest wait; default suits the client.")
    ] = None


async def wait_for_generation(call: Call, arguments: WaitForGenerationArguments) -> WaitResult:
    """Wait until a video or picture is ready. After the timeout done is false: call again, nothing is lost.

    A picture takes 10 to 30 s, a clip one to two minutes.
    """

    async def report(snapshot: Snapshot) -> None:
        states = {generation.id: shown_state(generation) for generation in snapshot.generations}
        await call.caller.report(snapshot.elapsed_seconds, _progress(snapshot), states)

    timeout = call.caller.timeout_seconds if arguments.timeout_seconds is None else arguments.timeout_seconds
    snapshot = await call.services.poller.wait(
        arguments.generation_ids, until=arguments.until, timeout_seconds=timeout, on_snapshot=report
    )
    await call.services.purchases.record_final_states(*snapshot.generations)
    return wait_result(snapshot.generations, arguments.until, snapshot.elapsed_seconds)


def _progress(snapshot: Snapshot) -> str:
    """A snapshot in a line: states, then the usual duration, previews, and problems."""
    states = ", ".join(f"{_short(generation.id)} {shown_state(generation)}" for generation in snapshot.generations)
    running = [generation for generation in snapshot.generations if not generation.is_final]
    notes = list(dict.fromkeys(schedule_of(generation).usual for generation in running))
    notes += [f"preview {url}" for generation in running if (url := generation.url("preview"))]
    notes += [f"{stalled[:8]} has been in this state unusually long" for stalled in snapshot.stalled]
    notes += [snapshot.problem] if snapshot.problem else []
    return f"{snapshot.elapsed_seconds:.0f} s: {states or 'no answer yet'}" + "".join(f"; {note}" for note in notes)


def _short(generation_id: str) -> str:
    """The start of an id, as much as differs."""
    return generation_id.removeprefix("purchase-")[:8]


class ListGenerationsArguments(Arguments):
    limit: Annotated[int, Field(ge=1, le=100, description="At most.")] = 10
    offset: Annotated[int, Field(ge=0, description="Newest ones to skip.")] = 0
    state: Annotated[
        Literal["waiting", "queued", "dreaming", "completed", "failed"] | None, Field(description="Only these.")
    ] = None
    kind: Annotated[Kind | None, Field(description="Only these.")] = None


async def list_generations(call: Call, arguments: ListGenerationsArguments) -> ListResult:
    """Find earlier videos and pictures at Luma, recent ones first, also those of other programs."""

    def matches(generation: Generation) -> bool:
        return arguments.state in (None, generation.state) and arguments.kind in (None, generation.kind)

    unavailable: dict[BackendName, LumaError] = {}
    matching, next_offset = await _search(_pages(call), arguments.offset, arguments.limit, matches, unavailable)
    results = [generation_result(generation) for generation in matching]
    missing = [f"Generations of {APIS[name].name} are missing: {error}" for name, error in unavailable.items()]
    listed = ListResult(
        generations=results, next_offset=next_offset, unavailable=" ".join(missing) or None, **await spent_today(call)
    )
    return listed.set_actions(lambda: [action for result in results for action in result.actions])


def _pages(call: Call) -> Pages:
    """The list that the person sees, by pages."""
    apis, person = call.services.backend, call.visible_person
    return apis.list_generations if person is None else partial(apis.list_of_person, person)


async def _search(
    pages: Pages,
    offset: int,
    limit: int,
    matches: Callable[[Generation], bool],
    unavailable: dict[BackendName, LumaError],
) -> tuple[list[Generation], int | None]:
    """The first generations that match, and the offset of the rest; None if there is no rest.

    `unavailable` gets the APIs whose generations are missing.
    """
    matching: list[Generation] = []
    position = offset
    while True:
        page = await pages(limit=_PAGE, offset=position)
        unavailable |= page.unavailable
        for generation in page.generations:
            if len(matching) == limit or position - offset == _MAX_SEARCHED:
                return matching, position
            position += 1
            if matches(generation):
                matching.append(generation)
        if not page.has_more or not page.generations:
            return matching, None


class DeleteGenerationArguments(Arguments):
    generation_id: GenerationId


def right_of_deletion(arguments: Mapping[str, Any]) -> Right:
    """Whoever may spend may cancel what was not bought yet."""
    return "spend" if PURCHASE_ID.fullmatch(str(arguments.get("generation_id"))) else "delete"


async def delete_generation(call: Call, arguments: DeleteGenerationArguments) -> DeletedResult:
    """Delete a clip or picture at Luma for good, without a refund; or cancel a purchase that still waits."""
    if PURCHASE_ID.fullmatch(arguments.generation_id):
        found = await call.services.purchases.queue.cancel(arguments.generation_id)
        if isinstance(found, Generation) and found.state == "failed":
            return DeletedResult(generation_id=arguments.generation_id, deleted=True)
        if refusal := refusal_of(call.person, "delete"):
            raise InvalidRequestError(f"Purchase {arguments.generation_id} does not wait any more.", refusal)
    await call.services.backend.delete_generation(arguments.generation_id)
    await call.services.purchases.deleted(arguments.generation_id)
    return DeletedResult(generation_id=arguments.generation_id, deleted=True)


TOOLS = (
    ToolSpec(
        get_generation, GetGenerationArguments, GenerationDetailsResult, "Get a generation", READS, in_player=True
    ),
    ToolSpec(
        wait_for_generation,
        WaitForGenerationArguments,
        WaitResult,
        "Wait for generations",
        READS,
        in_player=True,
        meta=ALWAYS_LOADED,
    ),
    ToolSpec(list_generations, ListGenerationsArguments, ListResult, "List generations", READS, in_player=True),
    ToolSpec(
        delete_generation,
        DeleteGenerationArguments,
        DeletedResult,
        "Delete a generation",
        DELETES,
        right_of=right_of_deletion,
    ),
)
