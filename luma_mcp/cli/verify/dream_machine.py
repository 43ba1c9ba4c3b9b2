"""The facts about Dream Machine that this project infers."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from luma_mcp.cli.verify import facts
from luma_mcp.cli.verify.facts import UNOBSERVED, Fact, json_of, object_of, refusal
from luma_mcp.cli.verify.plan import Planned
from luma_mcp.cli.verify.world import MAX_WAIT_SECONDS, UNKNOWN_ID, Bought, World

_STATES = frozenset({"queued", "dreaming", "completed", "failed"})
_PARTIAL = frozenset({"generation_type", "model", "prompt"})
_CONCEPTS, _CAMERA_MOTIONS = 34, 15
_MAX_PAGE = 100
_CENT_ROUNDING = 0.005


async def examine(world: World, planned: Sequence[Planned]) -> list[Fact]:
    """Go through every fact. Raises: nothing; what cannot be observed is told as such."""
    world.on_step("Dream Machine: reads that cost nothing")
    found = await _free(world)
    bought: list[Bought] = []
    for purchase in planned:
        world.on_step(f"Dream Machine: buying, {purchase.role} (at most ${purchase.usd:.4f})")
        balance = object_of(await world.probe("GET", "/credits")).get("credit_balance")
        made = await world.buy(purchase)
        bought.append(made)
        if made.id:
            await world.follow(made, has_list=True, balance_before=balance)
            after = object_of(await world.probe("GET", "/credits")).get("credit_balance")
            if purchase.role == "unreadable":
                found.append(_refund(made, balance, after))
            else:
                await world.describe(made)
                found.append(_price(made, balance, after))
    world.on_step("Dream Machine: what was bought, and the list")
    found += _of_purchases(bought)
    found += await _of_list(world)
    return found + await _deletion(world, bought)


async def _free(world: World) -> list[Fact]:
    ping = await world.probe("GET", "/ping")
    unknown = await world.probe("GET", f"/generations/{UNKNOWN_ID}")
    wrong_key = await world.probe_with_wrong_key("/ping", "luma-verify-no-key")
    invalid = await world.probe_purchase("/generations/image", {"model": "no-such-model", "prompt": "x"})
    html = "--habit errors=html" if facts.is_html(unknown) else ""
    concepts = json_of(await world.probe("GET", "/generations/concepts/list"))
    motions = json_of(await world.probe("GET", "/generations/camera_motion/list"))
    credit = object_of(await world.probe("GET", "/credits")).get("credit_balance")
    return [
        Fact("ping", "200, pong", f"{ping.status}, {object_of(ping).get('message')}" if ping else UNOBSERVED),
        Fact("an id that does not exist", "404, 'Generation not found'", refusal(unknown), html),
        Fact("a wrong key", "401, 'Invalid API key is provided'", refusal(wrong_key), html),
        Fact("a request that the schema forbids", "422, a list of errors", refusal(invalid), html),
        Fact("credit", "a number", "a number" if isinstance(credit, int | float) else type(credit).__name__),
        Fact("camera concepts", f"{_CONCEPTS}", _count(concepts)),
        Fact("camera motions", f"{_CAMERA_MOTIONS}", _count(motions)),
    ]


def _count(content: Any) -> str:
    return str(len(cast("list[Any]", content))) if isinstance(content, list) else "no list"


def _of_purchases(bought: Sequence[Bought]) -> list[Fact]:
    made = [purchase for purchase in bought if purchase.created is not None and purchase.id]
    found = [Fact(f"{purchase.planned.role}: refused", "", facts.without_secrets(purchase.error))
             for purchase in bought if purchase.error]  # fmt: skip
    if not made:
        return found
    first = made[0]
    created = object_of(first.created)
    dates = facts.date_form(created.get("created_at"))
    names = [state for purchase in made for state in (object_of(purchase.created).get("state"), *purchase.states)]
    states = facts.state_names(names, _STATES)
    echo = _echo(made)
    of_purchase: Mapping[str, str] = first.created.headers if first.created else {}
    headers = [name for name in of_purchase if "ratelimit" in name.lower()]
    return [
        *found,
        Fact("status of a purchase", "201", str(first.created.status if first.created else 0)),
        Fact("first state", "queued", facts.without_secrets(str(created.get("state"))).lower()),
        Fact("headers about limits", "none", ", ".join(sorted(headers)) or "none"),
        Fact("date of a generation", "utc", dates, f"--habit dates={dates}"),
        Fact("names of states", "documented", states, f"--habit states={states}"),
        Fact("echo of the request", "faithful", echo, f"--habit echo={echo}"),
        _lag("found by its id", "get_lag", [purchase.found_after for purchase in made]),
        _lag("listed", "list_lag", [purchase.listed_after for purchase in made]),
        _lag("in the balance", "balance_lag", [purchase.charged_after for purchase in made if purchase.states]),
        *(_file(purchase) for purchase in made if purchase.description),
        *(_reason(purchase) for purchase in made if purchase.planned.role == "unreadable"),
    ]


def _lag(name: str, habit: str, seconds: Sequence[float | None]) -> Fact:
    """Return the longest lag; one of less than two seconds is none, for each poll takes one."""
    known = [value for value in seconds if value is not None]
    if not known:
        return Fact(name, "at once", f"not within {MAX_WAIT_SECONDS:.0f} s")
    longest = max(known)
    return Fact(name, "at once", facts.seconds(longest), f"--habit {habit}={math.floor(longest)}")


def _file(bought: Bought) -> Fact:
    output = cast("Mapping[str, Any]", object_of(bought.final).get("assets") or {})
    link = facts.link_form(output.get("video") or output.get("image"))
    return Fact(f"{bought.planned.role}: its file", "", ", ".join((*bought.description, link)))


def _reason(bought: Bought) -> Fact:
    final = object_of(bought.final)
    reason = facts.without_secrets(str(final.get("failure_reason")))
    return Fact("a picture that cannot be fetched", "failed, 'Failed to read user input frames'",
                f"{str(final.get('state')).lower().replace('error', 'failed')}, {reason!r}")  # fmt: skip


def _price(bought: Bought, before: object, after: object) -> Fact:
    """Return whether a price is at most what this project counts: published prices are rounded to cents."""
    name, most = f"{bought.planned.role}: price in cents", bought.planned.usd * 100
    assumed = f"at most {most:.2f}"
    if not isinstance(before, int | float) or not isinstance(after, int | float):
        return Fact(name, assumed, UNOBSERVED)
    charged = before - after
    return Fact(name, assumed, assumed if 0 < charged < most + _CENT_ROUNDING else f"{charged:.2f}")


def _refund(bought: Bought, before: object, after: object) -> Fact:
    failed = bool(bought.states) and bought.states[-1].lower() in ("failed", "error")
    if not failed:
        return Fact("a failed generation is refunded", "yes", UNOBSERVED)
    return Fact("a failed generation is refunded", "yes", "yes" if before == after else "not at once")


def _echo(made: Sequence[Bought]) -> str:
    """Classify how requests are echoed, as the emulator's habit `echo` does."""
    kinds = {purchase.planned.role: _echo_of(purchase) for purchase in made}
    if kinds.get("clip") == "rewritten" and kinds.get("image") == "faithful":
        return "enhanced"
    return next((kind for kind in kinds.values() if kind != "faithful"), "faithful")


def _echo_of(bought: Bought) -> str:
    sent = (bought.created.sent if bought.created else None) or {}
    echoed = object_of(bought.created).get("request")
    if echoed is None:
        return "missing"
    if isinstance(echoed, str):
        return "string"
    echo = cast("Mapping[str, Any]", echoed if isinstance(echoed, dict) else {})
    if any(name != name.lower() for name in echo):
        return "camel"
    if set(echo) <= _PARTIAL:
        return "partial"
    if any(type(echo.get(name)) is int for name in ("loop", "sync", "duration", "resolution")):
        return "types"
    prompt, echoed_prompt = str(sent.get("prompt")), str(echo.get("prompt"))
    if prompt != echoed_prompt:
        return "trimmed" if echoed_prompt == " ".join(prompt.split()) else "rewritten"
    if _links(sent) != _links(echo):
        return "copies"
    return "faithful"


def _links(value: Any) -> list[str]:
    return sorted(text for text in json.dumps(value).split('"') if text.startswith(("http://", "https://")))


async def _of_list(world: World) -> list[Fact]:
    page = object_of(await world.probe("GET", "/generations", {"limit": _MAX_PAGE, "offset": 0}))
    first = object_of(await world.probe("GET", "/generations", {"limit": 1, "offset": 0}))
    entries = cast("list[Mapping[str, Any]]", page.get("generations") or [])
    dates = [str(entry.get("created_at")) for entry in entries]
    order = _order(dates)
    more = _more(first.get("has_more")) if len(entries) > 1 else UNOBSERVED
    size = await _page_size(world, entries)
    return [
        Fact("order of the list", "newest", order, f"--habit order={order}"),
        Fact("has_more", "true", more, f"--habit more={more}"),
        Fact("entries of a page", "as asked", size, f"--habit page={len(entries)}"),
    ]


def _more(has_more: object) -> str:
    """Classify the `has_more` of a page behind which there is more, as the emulator's habit `more` does."""
    return "missing" if has_more is None else "true" if has_more is True else "never"


def _order(dates: Sequence[str]) -> str:
    if len(set(dates)) < 2 or "None" in dates:
        return UNOBSERVED
    if list(dates) == sorted(dates, reverse=True):
        return "newest"
    return "oldest" if list(dates) == sorted(dates) else "shuffled"


async def _page_size(world: World, entries: Sequence[Mapping[str, Any]]) -> str:
    """Return whether a page has fewer entries than were asked for, though there are more."""
    if not entries:
        return UNOBSERVED
    behind = object_of(await world.probe("GET", "/generations", {"limit": 1, "offset": len(entries)}))
    if len(entries) < _MAX_PAGE and behind.get("generations"):
        return f"at most {len(entries)}"
    return "as asked"


async def _deletion(world: World, bought: Sequence[Bought]) -> list[Fact]:
    """Delete the generation that failed, which nobody misses."""
    failed = next((purchase for purchase in bought if purchase.planned.role == "unreadable" and purchase.id), None)
    if failed is None:
        return []
    deleted = await world.probe("DELETE", f"/generations/{failed.id}")
    after = await world.probe("GET", f"/generations/{failed.id}")
    observed = f"{deleted.status if deleted else 0}, then {after.status if after else 0}"
    return [Fact("a generation that is deleted", "204, then 404", observed)]
