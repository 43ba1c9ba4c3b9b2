"""How long a client lets a call run, as far as is known. The table with its sources is in docs/waiting.md."""

# Below the shortest limit of the clients that say nothing of themselves.
UNKNOWN_CLIENT_SECONDS = 45.0

# By how the client's name begins, in small letters.
_BY_CLIENT: dict[str, float] = {
    "claude-code": 240,
    "codex": 240,
    "visual studio code": 240,
    "openai-mcp": 30,
    "gemini-cli": 20,
    "github-copilot-jetbrains": 20,
    "intellij": 20,
}


def seconds_for(client_name: str | None) -> float:
    """What a wait may take unless the caller says otherwise."""
    name = (client_name or "").lower()
    return next((seconds for begin, seconds in _BY_CLIENT.items() if name.startswith(begin)), UNKNOWN_CLIENT_SECONDS)
