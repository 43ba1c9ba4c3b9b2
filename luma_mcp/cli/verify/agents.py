"""The facts about the Agents API that this project infers."""

import io
from collections.abc import Mapping, Sequence
from typing import Any, cast

from luma_mcp.cli.verify import facts
from luma_mcp.cli.verify.facts import UNOBSERVED, Fact, object_of, refusal
from luma_mcp.cli.verify.plan import Planned
from luma_mcp.cli.verify.world import UNKNOWN_ID, Bought, World

_STATES = frozenset({"queued", "processing", "completed", "failed"})
_FIELDS = "created_at, failure_code, failure_reason, id, model, output, state, type"
_PER_MINUTE = "30"
_AT_ONCE = 10


async def examine(world: World, planned: Sequence[Planned]) -> list[Fact]:
    """Go through every fact. Raises: nothing; what cannot be observed is told as such."""
    world.on_step("Agents API: reads that cost nothing")
    found = [*await _free(world), *await _files(world)]
    bought: list[Bought] = []
    for purchase in planned:
        world.on_step(f"Agents API: buying, {purchase.role} (at most ${purchase.usd:.4f})")
        made = await world.buy(purchase)
        bought.append(made)
        if made.id:
            await world.follow(made)
            await world.describe(made)
    return [*found, *await _of_purchases(world, bought)]


async def _free(world: World) -> list[Fact]:
    unknown = await world.probe("GET", f"/generations/{UNKNOWN_ID}")
    wrong_key = await world.probe_with_wrong_key("/files?limit=1", "verify-no-key")
    invalid = await world.probe_purchase("/generations", {"model": "no-such-model", "prompt": ""})
    version = unknown.headers.get("x-api-version") if unknown else None
    return [
        Fact("an id that does not exist", "404, 'Generation not found'", refusal(unknown)),
        Fact("a wrong key", "401, 'Missing or invalid API key'", refusal(wrong_key)),
        Fact("a model that does not exist", "400, 'Unknown model: no-such-model'", refusal(invalid)),
        Fact("version of the API", "2026-04-01", facts.without_secrets(str(version))),
        Fact("a list of generations", "404 or 405", _status(await world.probe("GET", "/generations"))),
    ]


def _status(exchange: Any) -> str:
    if exchange is None:
        return UNOBSERVED
    return "404 or 405" if exchange.status in (404, 405) else str(exchange.status)


async def _files(world: World) -> list[Fact]:
    """Announce a file, and delete it again; nothing is uploaded."""
    body = {"mime_type": "image/png", "size_bytes": len(_picture()), "filename": "verify.png", "purpose": "input"}
    created = await world.probe("POST", "/files", json=body)
    answer = object_of(created)
    page = await world.probe("GET", "/files", {"limit": 1})
    found = [
        Fact("status of a new file", "201", str(created.status) if created else UNOBSERVED),
        Fact("state of a new file", "pending", facts.without_secrets(str(answer.get("state")))),
        Fact("fields of the list of files", "data, has_more, next_cursor", facts.field_names(object_of(page))),
    ]
    file_id = answer.get("id")
    if isinstance(file_id, str) and file_id.replace("-", "").isalnum():
        deleted = await world.probe("DELETE", f"/files/{file_id}")
        found.append(Fact("a file that is deleted", "204", str(deleted.status) if deleted else UNOBSERVED))
    return found


def _picture() -> bytes:
    from PIL import Image  # noqa: PLC0415 - only this command needs it

    data = io.BytesIO()
    Image.new("RGB", (64, 64), (128, 128, 128)).save(data, "PNG")
    return data.getvalue()


async def _of_purchases(world: World, bought: Sequence[Bought]) -> list[Fact]:
    made = [purchase for purchase in bought if purchase.created is not None and purchase.id]
    found = [Fact(f"{purchase.planned.role}: refused", "", facts.without_secrets(purchase.error))
             for purchase in bought if purchase.error]  # fmt: skip
    if not made:
        return found
    first = made[0]
    headers: Mapping[str, str] = first.created.headers if first.created else {}
    created = object_of(first.created)
    names = [state for purchase in made for state in (object_of(purchase.created).get("state"), *purchase.states)]
    per_minute = facts.without_secrets(str(headers.get("x-ratelimit-limit", "not told")))
    limits = f"--limits {per_minute},{_AT_ONCE}" if per_minute.isdecimal() else ""
    again = object_of(await world.probe("GET", f"/generations/{first.id}"))
    return [
        *found,
        Fact("status of a purchase", "201", str(first.created.status if first.created else 0)),
        Fact("first state", "queued", facts.without_secrets(str(created.get("state")))),
        Fact("names of states", "documented", facts.state_names(names, _STATES)),
        Fact("date of a generation", "utc", facts.date_form(created.get("created_at"))),
        Fact("fields of a generation", _FIELDS, facts.field_names(created)),
        Fact("creations a minute, by X-RateLimit-Limit", _PER_MINUTE, per_minute, limits),
        Fact("X-Request-Id comes back", "yes", "yes" if headers.get("x-request-id") else "no"),
        Fact("found by its id", "at once", facts.seconds(first.found_after)),
        Fact("each read has a new link", "yes", _new_links(object_of(first.final), again)),
        *(_file(purchase) for purchase in made if purchase.description),
    ]


def _new_links(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    return {True: "yes", False: "no"}[_link(one) != _link(other)] if _link(one) else UNOBSERVED


def _link(generation: Mapping[str, Any]) -> Any:
    outputs = cast("list[Mapping[str, Any]]", generation.get("output") or [])
    return outputs[0].get("url") if outputs else None


def _file(bought: Bought) -> Fact:
    link = facts.link_form(_link(object_of(bought.final)))
    return Fact(f"{bought.planned.role}: its file", "", ", ".join((*bought.description, link)))
