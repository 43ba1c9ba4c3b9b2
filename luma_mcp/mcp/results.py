"""The results of tools about generations and purchases, and the tool to call next."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, TypedDict

from pydantic import Field, WithJsonSchema

from luma_mcp.domain.errors import LedgerError
from luma_mcp.domain.failures import step_after, step_without_file
from luma_mcp.domain.generation import WAITING, Generation
from luma_mcp.domain.pricing import Basis, Price, price_of_generation
from luma_mcp.domain.text import as_name, cleaned
from luma_mcp.mcp.app.actions import actions_of
from luma_mcp.mcp.arguments.api_variants import differs
from luma_mcp.mcp.spec import Call, Result
from luma_mcp.purchasing.orders import PurchaseRecord, Quote

_AS_IN_GET = "As get_generation."
_MAX_FULL_PROMPT_LENGTH = 6000
_MAX_PROMPT_LENGTH = 200
_LINK = re.compile(r"https?://[!-~]{1,4000}")


class GenerationResult(Result):
    """A generation."""

    generation_id: str
    state: str
    kind: str
    model: str | None = None
    video_url: str | None = None
    image_url: str | None = None
    preview_url: str | None = None
    more_urls: Annotated[list[str] | None, Field(json_schema_extra=differs(only="agents"))] = None
    failure_reason: str | None = None
    prompt: str | None = None
    price_usd: float | None = None
    created_at: str | None = None

    def text(self) -> str:
        price = f", {Price.of(self.price_usd, 'published')}" if self.price_usd is not None else ""
        lines = [f"{self.generation_id} is {self.state} ({self.kind}, {self.model or 'model unknown'}{price})."]
        if self.failure_reason and self.generation_id.startswith("purchase-"):
            lines.append(self.failure_reason)
        elif self.failure_reason:
            lines.append(f"Luma's reason: {self.failure_reason!r}.")
        links = {"Video": self.video_url, "Image": self.image_url, "Preview": self.preview_url}
        lines += [f"{name}: {url}" for name, url in links.items() if url]
        lines += [f"More: {url}" for url in self.more_urls or ()]
        return "\n".join(lines)


class GenerationDetailsResult(GenerationResult):
    """A generation, and what to do next."""

    next: str

    def text(self) -> str:
        return f"{super().text()}\nNext: {self.next}"


# The schema of get_generation has the fields of a generation, once for all tools: every conversation pays for them.
GenerationResults = Annotated[
    list[GenerationResult], WithJsonSchema({"type": "array", "items": {"type": "object"}, "description": _AS_IN_GET})
]


class WaitResult(Result):
    """The generations after a wait."""

    done: bool
    waited_seconds: float
    generations: GenerationResults
    next: str

    def text(self) -> str:
        heading = "Done" if self.done else "Not done yet"
        lines = [f"{heading} after {self.waited_seconds:.0f} s."]
        lines += [generation.text() for generation in self.generations]
        return "\n".join([*lines, f"Next: {self.next}"])


class PurchaseResult(Result):
    """The purchase, or in a dry run, the purchase that would be made."""

    dry_run: bool
    price_usd: float
    price_is_assumed: bool | None = None
    generation_id: str | None = None
    state: str | None = None
    request: str | None = None
    quote_id: str | None = None
    recovered: bool | None = None
    next: str

    def text(self) -> str:
        basis: Basis = "assumed" if self.price_is_assumed else "published"
        price = f"{Price.of(self.price_usd, basis)} ({basis})"
        if self.dry_run:
            quoted = f"\nquote_id: {self.quote_id}" if self.quote_id else ""
            return f"Dry run, nothing was bought. Price: {price}.\nRequest: {self.request}{quoted}\nNext: {self.next}"
        if self.state == WAITING:
            waits = f"Luma has no slot for it yet; it waits as {self.generation_id}."
            return f"{waits} Price: {price}.\nNext: {self.next}"
        verb = "Bought before, not bought again:" if self.recovered else "Bought"
        return f"{verb} {self.generation_id}, now {self.state}. Price: {price}.\nNext: {self.next}"


class PurchasesResult(PurchaseResult):
    """The purchase, or several takes of one request; then `generation_ids` names them in order."""

    generation_ids: list[str] | None = None

    def text(self) -> str:
        if self.generation_ids is None:
            return super().text()
        basis: Basis = "assumed" if self.price_is_assumed else "published"
        verb = "Bought before, not bought again:" if self.recovered else "Bought"
        count = f"{len(self.generation_ids)} take" + ("s" if len(self.generation_ids) > 1 else "")
        numbered = ", ".join(f"{number} is {name}" for number, name in enumerate(self.generation_ids, 1))
        price = Price.of(self.price_usd, basis)
        return f"{verb} {count}: {numbered}. Price of all: {price} ({basis}).\nNext: {self.next}"


def generation_result(generation: Generation, *, max_prompt: int = _MAX_PROMPT_LENGTH) -> GenerationResult:
    """The facts of a generation. Text that comes from outside is cleaned and cut.

    Args:
        generation: the generation.
        max_prompt: how many characters of its prompt are kept.
    """
    price = price_of_generation(generation)
    result = GenerationResult(
        generation_id=generation.id,
        state=shown_state(generation),
        kind=as_name(generation.kind, 24),
        model=as_name(generation.model, 40) if generation.model else None,
        video_url=_link(generation.url("video")),
        image_url=_link(generation.url("image")),
        preview_url=_link(generation.url("preview")),
        more_urls=_more_urls(generation),
        failure_reason=_cleaned(generation.failure_reason, 500),
        prompt=None if generation.prompt is None else cleaned(generation.prompt, max_prompt),
        price_usd=price.usd if price else None,
        created_at=generation.created_at.isoformat() if generation.created_at else None,
    )
    return result.set_actions(lambda: actions_of(generation))


def _more_urls(generation: Generation) -> list[str] | None:
    """The other layers of a picture, and the EXR frames of a clip."""
    main_urls = [generation.url(kind) for kind in ("video", "image", "preview")]
    links = [_link(output.url) for output in generation.outputs if output.url not in main_urls]
    return [link for link in links if link] or None


def details_result(generation: Generation) -> GenerationDetailsResult:
    """The facts of a generation, and what to do next."""
    facts = generation_result(generation, max_prompt=_MAX_FULL_PROMPT_LENGTH)
    return GenerationDetailsResult(**facts.model_dump(), next=_next(generation)).set_actions(lambda: facts.actions)


def wait_result(generations: Sequence[Generation], until: str, seconds: float) -> WaitResult:
    """The result of a wait that ends with these generations."""
    final = [generation.is_final for generation in generations]
    done = any(final) if until == "any" else all(final)
    running = [generation.id for generation in generations if not generation.is_final]
    places = [f"{generation.id} has place {generation.place}" for generation in generations if generation.place]
    completed = [generation.id for generation in generations if generation.outputs]
    empty = [each for each in generations if each.state == "completed" and not each.outputs]
    failed = [generation for generation in generations if generation.state == "failed"]
    if not done:
        queue = f" Of the queue {', '.join(places)}." if places else ""
        next_step = f"call wait_for_generation(generation_ids={_json_list(running)}) again.{queue}"
    elif completed:
        next_step = f"download_generation(generation_ids={_json_list(completed)}) saves the files."
    elif len(empty) == len(generations) == 1:
        next_step, empty = step_without_file(empty[0]), []
    elif len(failed) == len(generations) == 1:
        next_step, failed = step_after(failed[0]), []
    else:
        next_step = "some have no file."
    if done and failed:
        next_step = " ".join([next_step, *(f"{generation.id}: {step_after(generation)}" for generation in failed)])
    if done and empty:
        next_step = " ".join([next_step, *map(step_without_file, empty)])
    results = [generation_result(generation) for generation in generations]
    waited = WaitResult(done=done, waited_seconds=round(seconds, 1), generations=results, next=next_step)
    return waited.set_actions(lambda: [action for result in results for action in result.actions])


def quote_result(quote: Quote, quote_id: str | None = None) -> PurchaseResult:
    """The result of a dry run; with an id if the person has to approve it."""
    with_id = "tell the person the price; with the person's yes, call again with this quote_id and without dry_run."
    return PurchaseResult(
        dry_run=True,
        price_usd=quote.price.usd,
        price_is_assumed=price_is_assumed(quote.price),
        request=str(quote.encoded),
        quote_id=quote_id,
        next=with_id if quote_id else "call again without dry_run to buy it.",
    )


def purchase_result(purchase: PurchaseRecord) -> PurchaseResult:
    """The result of a purchase."""
    generation = purchase.generation
    return PurchaseResult(
        dry_run=False,
        price_usd=purchase.price.usd,
        price_is_assumed=price_is_assumed(purchase.price),
        generation_id=generation.id,
        state=shown_state(generation),
        recovered=purchase.recovered or None,
        next=_next_after(purchase),
    )


def _next_after(purchase: PurchaseRecord) -> str:
    if not purchase.recovered:
        return _next(purchase.generation)
    verb = "asked for" if purchase.generation.state == WAITING else "bought"
    another = f"{verb} {purchase.age_seconds or 0:.0f} s ago; for another take of it say take={purchase.take + 1}. "
    return another + _next(purchase.generation)


def updated_purchase(result: dict[str, Any], generations: Sequence[Generation]) -> PurchaseResult:
    """An earlier result of a purchase, or of several takes, with the present state of its generations."""
    first = generations[0]
    present: dict[str, Any] = {"generation_id": first.id, "state": shown_state(first), "next": _next(first)}
    if len(generations) > 1:
        present["generation_ids"] = [generation.id for generation in generations]
        present["state"] = ", ".join(dict.fromkeys(map(shown_state, generations)))
        present["next"] = wait_result(generations, "all", 0).next
    return PurchasesResult.model_validate({**result, **present})


class SpentToday(TypedDict, total=False):
    """The fields of a result that state the day's spending."""

    spent_today_usd: float
    reserved_usd: float


async def spent_today(call: Call) -> SpentToday:
    """The money that was spent today and that is reserved, as far as the caller may see it. Empty without a ledger."""
    try:
        spending = await call.services.purchases.spending(call.visible_person)
    except LedgerError:
        return {}
    return {"spent_today_usd": round(spending.spent_usd, 4), "reserved_usd": round(spending.reserved_usd, 4)}


def price_is_assumed(price: Price) -> bool | None:
    """Whether it is an upper estimate; None, and so left out, if it is not."""
    return price.basis == "assumed" or None


def _next(generation: Generation) -> str:
    ids = f'generation_ids=["{generation.id}"]'
    if generation.state == "completed":
        has_file = bool(generation.outputs)
        return f"download_generation({ids}) saves the file." if has_file else step_without_file(generation)
    if generation.state == "failed":
        return step_after(generation)
    if generation.state == WAITING:
        place = f"place {generation.place} of the queue: " if generation.place else ""
        return f"{place}wait_for_generation({ids}). It is sent when Luma has a slot; delete_generation cancels it."
    return f"wait_for_generation({ids})."


def _cleaned(text: str | None, max_length: int) -> str | None:
    return cleaned(text, max_length) if text else None


def shown_state(generation: Generation) -> str:
    """The state as a word, for it comes from Luma's response."""
    return as_name(generation.state, 24)


def _link(url: str | None) -> str | None:
    """A link, if it is one: nothing that can be read as a sentence."""
    return url if url and _LINK.fullmatch(url) else None


def _json_list(ids: list[str]) -> str:
    return "[" + ", ".join(f'"{generation_id}"' for generation_id in ids) + "]"
