"""What stands beside a saved file, as JSON: what it shows, what it was made with and what it was made from.

A year later the file is still there, and Luma's list may not be. No link is kept with its signature, and nothing that
opens the account.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from luma_mcp import __version__
from luma_mcp.luma.models import Generation
from luma_mcp.luma.prices import price_of_echo
from luma_mcp.luma.wire import quoted
from luma_mcp.studio.links import all_unsigned

ENDING = ".json"
_LONGEST_PROMPT = 5000
_LONGEST_SIDECAR_BYTES = 1024**2
# Said elsewhere, or nobody's business.
_NO_SETTING = frozenset({"prompt", "model", "generation_type", "type", "callback_url"})


def written(
    generation: Generation, asset: str, *, made_from: Sequence[str], file: Mapping[str, Any], joined: Sequence[str] = ()
) -> str:
    """The text beside a file. `joined` are the clips of a file that is several, one after the other."""
    price = price_of_echo(generation)
    prompt = generation.request.get("prompt")
    told: dict[str, Any] = {
        "generation_id": generation.id,
        "asset": asset,
        "kind": quoted(generation.kind, 40),
        "model": quoted(generation.model, 60) if generation.model else None,
        "prompt": quoted(prompt, _LONGEST_PROMPT) if isinstance(prompt, str) else None,
        "settings": _settings(generation.request),
        "made_from": list(made_from),
        "joined": list(joined),
        "created_at": generation.created_at.isoformat() if generation.created_at else None,
        "price_usd": price.usd if price else None,
        "file": dict(file),
        "saved_by": f"dream-machine-mcp {__version__}",
    }
    kept = {name: value for name, value in told.items() if value not in (None, [], {})}
    return json.dumps(kept, indent=2, ensure_ascii=False) + "\n"


def read(file: Path) -> dict[str, Any]:
    """What stands beside a file; nothing if there is nothing of ours."""
    path = file.with_name(file.name + ENDING)
    try:
        if path.stat().st_size > _LONGEST_SIDECAR_BYTES:
            return {}
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", told) if isinstance(told, dict) else {}


def _settings(request: Mapping[str, Any]) -> dict[str, Any]:
    said = {name: value for name, value in request.items() if value is not None and name not in _NO_SETTING}
    return all_unsigned(said)
