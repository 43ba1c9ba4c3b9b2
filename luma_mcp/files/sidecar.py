"""The sidecar: a JSON file next to each saved file that says what it shows, how it was made and from what.

A year later the file still exists, and Luma's list may not. A sidecar holds no signed link and nothing that opens the
account.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from luma_mcp import __version__
from luma_mcp.domain.generation import Generation
from luma_mcp.domain.pricing import price_of_generation
from luma_mcp.domain.requests import Request
from luma_mcp.domain.text import cleaned
from luma_mcp.domain.url_signatures import without_signatures
from luma_mcp.media.origin import source_uri

ENDING = ".json"
_MAX_PROMPT_LENGTH = 5000
_MAX_SIDECAR_BYTES = 1024**2
# Fields with an entry of their own, and the callback, which may hold a secret.
_NOT_SETTINGS = frozenset({"prompt", "model", "generation_id", "callback_url"})


def render(generation: Generation, asset: str, *, made_from: Sequence[str], file: Mapping[str, Any]) -> str:
    """The text of the sidecar of what a generation made."""
    price = price_of_generation(generation)
    fields: dict[str, Any] = {
        "generation_id": generation.id,
        "asset": asset,
        "kind": cleaned(generation.kind, 40),
        "model": cleaned(generation.model, 60) if generation.model else None,
        "prompt": cleaned(generation.prompt, _MAX_PROMPT_LENGTH) if generation.prompt is not None else None,
        "settings": _settings(generation.request),
        "made_from": list(made_from),
        "created_at": generation.created_at.isoformat() if generation.created_at else None,
        "price_usd": price.usd if price else None,
        "digital_source_type": source_uri("trainedAlgorithmicMedia"),
    }
    return _written(fields, file)


def render_edited(
    made_of: Sequence[Generation], how: Mapping[str, Any], about: Mapping[str, Any], *, file: Mapping[str, Any]
) -> str:
    """The text of the sidecar of a file that was made of parts of clips. The price is that of all generations in it.

    Args:
        made_of: the generations in it; one may be there twice.
        how: its parts, and what was done with them.
        about: more facts, which come first and win.
        file: the facts of the file.
    """
    made = {source.id: source for source in made_of}.values()
    prices = [price_of_generation(generation) for generation in made]
    fields: dict[str, Any] = {
        **how,
        "prompts": [cleaned(source.prompt, _MAX_PROMPT_LENGTH) for source in made if source.prompt],
        "price_usd": round(sum(price.usd for price in prices if price), 4) if all(prices) else None,
    }
    fields = {**about, **fields, **about}  # first, and last where both have it
    return _written(fields, file)


def _written(fields: dict[str, Any], file: Mapping[str, Any]) -> str:
    fields |= {"file": dict(file), "saved_by": f"dream-machine-mcp {__version__}"}
    present = {name: value for name, value in fields.items() if value not in (None, [], {})}
    return json.dumps(present, indent=2, ensure_ascii=False) + "\n"


def read(file: Path) -> dict[str, Any]:
    """The content of a file's sidecar; empty if it has none."""
    path = file.with_name(file.name + ENDING)
    try:
        if path.stat().st_size > _MAX_SIDECAR_BYTES:
            return {}
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", content) if isinstance(content, dict) else {}


def _settings(request: Request | None) -> dict[str, Any]:
    """The fields of the request that ask for something."""
    fields = asdict(request) if request else {}
    settings = {name: value for name, value in fields.items() if value and name not in _NOT_SETTINGS}
    return without_signatures(settings)
