"""The timeouts of clients for a call, as far as they are known. The table with its sources is in docs/waiting.md."""

# Below the shortest timeout of the clients that do not name themselves.
UNKNOWN_CLIENT_SECONDS = 45.0

# By the beginning of the client's name, in small letters.
_BY_CLIENT: dict[str, float] = {
    "claude-code": 240,
    "codex": 240,
    "visual studio code": 240,
    "openai-mcp": 30,
    "gemini-cli": 20,
    "github-copilot-jetbrains": 20,
    "intellij": 20,
}


def timeout_for(client_name: str | None) -> float:
    """The default length of a wait for a client, in seconds."""
    name = (client_name or "").lower()
    return next((seconds for prefix, seconds in _BY_CLIENT.items() if name.startswith(prefix)), UNKNOWN_CLIENT_SECONDS)
