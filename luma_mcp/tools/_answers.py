"""What tools say of generations and purchases: the API's facts, our names, and the tool that goes on from there."""

from typing import Any

from luma_mcp.luma import wire
from luma_mcp.luma.models import Generation
from luma_mcp.luma.prices import Basis, Price, price_of_echo
from luma_mcp.studio.purchases import Purchase, Quote
from luma_mcp.tools._offers import offers_of
from luma_mcp.tools._toolset import Answer

_LONGEST_PROMPT_SHOWN = 200


class GenerationAnswer(Answer):
    """One generation."""

    generation_id: str
    state: str
    kind: str
    model: str | None = None
    video_url: str | None = None
    image_url: str | None = None
    preview_url: str | None = None
    failure_reason: str | None = None
    prompt: str | None = None
    price_usd: float | None = None
    created_at: str | None = None

    def say(self) -> str:
        price = f", {Price(self.price_usd, 'published')}" if self.price_usd is not None else ""
        lines = [f"{self.generation_id} is {self.state} ({self.kind}, {self.model or 'model unknown'}{price})."]
        if self.failure_reason:
            lines.append(f"Luma's reason: {self.failure_reason!r}. Luma refunds failed generations.")
        links = {"Video": self.video_url, "Image": self.image_url, "Preview": self.preview_url}
        lines += [f"{name}: {url}" for name, url in links.items() if url]
        return "\n".join(lines)


class OneGenerationAnswer(GenerationAnswer):
    """One generation, and what goes on from it."""

    next: str

    def say(self) -> str:
        return f"{super().say()}\nNext: {self.next}"


class PurchaseAnswer(Answer):
    """Something bought, or in a dry run, what would be."""

    dry_run: bool
    price_usd: float
    price_is_assumed: bool | None = None
    generation_id: str | None = None
    state: str | None = None
    request: str | None = None
    adopted: bool | None = None
    next: str

    def say(self) -> str:
        basis: Basis = "assumed" if self.price_is_assumed else "published"
        price = f"{Price(self.price_usd, basis)} ({basis})"
        if self.dry_run:
            return f"Dry run, nothing was bought. Price: {price}.\nRequest: {self.request}\nNext: {self.next}"
        how = "Bought before and found again, not bought twice:" if self.adopted else "Bought"
        return f"{how} {self.generation_id}, now {self.state}. Price: {price}.\nNext: {self.next}"


def of_one(generation: Generation) -> OneGenerationAnswer:
    """What is known of a generation, and the tool that goes on from there."""
    told = of_generation(generation)
    return OneGenerationAnswer(**told.model_dump(), next=_next(generation)).offering(lambda: told.offers)


def of_generation(generation: Generation) -> GenerationAnswer:
    """What is known of a generation."""
    assets = generation.assets
    price = price_of_echo(generation)
    prompt = generation.request.get("prompt")
    answer = GenerationAnswer(
        generation_id=generation.id,
        state=wire.quoted(generation.state, 40),
        kind=wire.quoted(generation.kind, 40),
        model=_quoted(generation.model, 60),
        video_url=_quoted(assets and assets.video, 2000),
        image_url=_quoted(assets and assets.image, 2000),
        preview_url=_quoted(assets and assets.progress_video, 2000),
        failure_reason=_quoted(generation.failure_reason, 500),
        prompt=_quoted(prompt, _LONGEST_PROMPT_SHOWN) if isinstance(prompt, str) else None,
        price_usd=price.usd if price else None,
        created_at=generation.created_at.isoformat() if generation.created_at else None,
    )
    return answer.offering(lambda: offers_of(generation))


def of_quote(quote: Quote) -> PurchaseAnswer:
    """The answer of a dry run."""
    said = wire.body(quote.request)
    return PurchaseAnswer(
        dry_run=True,
        price_usd=quote.price.usd,
        price_is_assumed=_is_assumed(quote.price),
        request=f"POST {wire.endpoint(quote.request)} {wire.as_json(said)}",
        next="call again without dry_run to buy it.",
    )


def of_purchase(purchase: Purchase) -> PurchaseAnswer:
    """The answer after buying."""
    generation = purchase.generation
    return PurchaseAnswer(
        dry_run=False,
        price_usd=purchase.price.usd,
        price_is_assumed=_is_assumed(purchase.price),
        generation_id=generation.id,
        state=wire.quoted(generation.state, 40),
        adopted=purchase.adopted or None,
        next=_next(generation),
    )


def _is_assumed(price: Price) -> bool | None:
    return price.basis == "assumed" or None


def settled(answer: dict[str, Any], generation: Generation) -> PurchaseAnswer:
    """The answer of a purchase, brought up to how its generation ended."""
    state = wire.quoted(generation.state, 40)
    return PurchaseAnswer.model_validate({**answer, "state": state, "next": _next(generation)})


def _next(generation: Generation) -> str:
    ids = f'generation_ids=["{generation.id}"]'
    if generation.state == "completed":
        return f"download_generation({ids}) saves the file."
    if generation.state == "failed":
        return "change the request before trying again; the same one may fail again."
    return f"wait_for_generation({ids})."


def _quoted(text: str | None, longest: int) -> str | None:
    return wire.quoted(text, longest) if text else None
