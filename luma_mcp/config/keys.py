"""Luma's API keys, as people set them in the environment."""

from collections.abc import Mapping

from luma_mcp.config.variables import is_left_blank, is_placeholder_key, unexpanded_part, unquoted
from luma_mcp.domain.apis import BackendName
from luma_mcp.domain.text import cleaned

TOKEN_NAMES = ("LUMA_TOKEN", "LUMAAI_API_KEY", "LUMA_API_KEY")
AGENTS_KEY_NAME = "LUMA_AGENTS_API_KEY"
AGENTS_KEY_PREFIX = "luma-api-"
_KEYS_PAGE = "https://platform.lumalabs.ai"
RETIRING = "Luma is retiring Dream Machine; new keys, which begin with luma-api-, are for the Luma Agents API."


def read_keys(variables: Mapping[str, str]) -> dict[str, object]:
    """The keys of both APIs, and the hints for a missing or refused key."""
    keys: dict[BackendName, tuple[str, str]] = {}
    problems: list[str] = []
    for name in (*TOKEN_NAMES, AGENTS_KEY_NAME):
        text = unquoted(variables.get(name, ""))
        if is_left_blank(text):
            continue
        if (part := unexpanded_part(text)) is not None:
            problems.append(f"{name} holds the text {part}, which the host did not replace by its value.")
        elif is_placeholder_key(text):
            problems.append(f"{name} holds {cleaned(text, 40)!r}, which only stands for a key.")
        elif not text.isascii() or not text.isprintable() or " " in text:
            problems.append(f"{name} holds characters that cannot be in a key.")
        else:
            is_agents = name == AGENTS_KEY_NAME or text.startswith(AGENTS_KEY_PREFIX)
            keys.setdefault("agents" if is_agents else "dream_machine", (text, name))
    missing = " ".join(
        [
            *problems,
            f"Get an API key at {_KEYS_PAGE}, set LUMA_TOKEN to it in this server's environment and restart it.",
        ]
    )
    values: dict[str, object] = {"token_hint": missing, "agents_hint": missing}
    if "dream_machine" in keys:
        values["token"], name = keys["dream_machine"]
        values["token_variable"] = name
        values["token_hint"] = f"The token came from {name}. Check that it is a valid Dream Machine API key. {RETIRING}"
    if "agents" in keys:
        values["agents_api_key"], name = keys["agents"]
        values["agents_key_variable"] = name
        values["agents_hint"] = f"The token came from {name}. Check that it is a valid key of the Luma Agents API."
    return values
