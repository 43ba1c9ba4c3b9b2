"""Write the tables of the README and of the documents from the code. A test fails when they differ."""

import base64
import json
from pathlib import Path
from urllib.parse import quote, urlencode

from luma_mcp.cli.hosts import ARGUMENTS, COMMAND, HOSTS, KEY
from luma_mcp.config.settings import Settings
from luma_mcp.mcp.server import TITLE, TOOLSETS
from luma_mcp.mcp.spec import CONTINUES

ROOT = Path(__file__).parent.parent


def toolsets() -> str:
    """Every tool by its toolset, with its effect."""
    lines = ["| for | tools |", "|---|---|"]
    for toolset, declared in TOOLSETS.items():
        by_effect: dict[str, list[str]] = {}
        for item in declared:
            effect_name = "buys what was allowed" if item.annotations is CONTINUES else effect(item.annotations)
            by_effect.setdefault(effect_name, []).append(f"`{item.name}`")
        cells = [f"{', '.join(names)} ({effect_name})" for effect_name, names in by_effect.items()]
        lines.append(f"| {toolset} | {'; '.join(cells)} |")
    return "\n".join(lines)


def effect(hints: object) -> str:
    """An effect in a word, from its hints."""
    if getattr(hints, "read_only_hint", False):
        return "reads"
    if not getattr(hints, "destructive_hint", True):
        return "writes a file"
    return "deletes" if getattr(hints, "idempotent_hint", False) else "spends"


def hosts() -> str:
    """Every host, and the one thing to do there."""
    lines = ["| host | do this |", "|---|---|"]
    for host in HOSTS:
        done = BUTTONS[host.key]() if host.key in BUTTONS else f"`dream-machine-mcp config {host.key} --write`"
        more = f" {host.note}" if host.note and host.key not in BUTTONS else ""
        lines.append(f"| {host.title} | {done}{more} |")
    return "\n".join(lines)


def _vscode() -> str:
    message = json.loads(next(host for host in HOSTS if host.key == "vscode").text)
    query = urlencode(
        {
            "name": KEY,
            "inputs": json.dumps(message["inputs"], separators=(",", ":")),
            "config": json.dumps(message["servers"][KEY], separators=(",", ":")),
        },
        quote_via=quote,
    )
    return f"[Install in VS Code](https://vscode.dev/redirect/mcp/install?{query})"


def _cursor() -> str:
    message = json.loads(next(host for host in HOSTS if host.key == "cursor").text)["mcpServers"][KEY]
    config = base64.b64encode(json.dumps(message, separators=(",", ":")).encode()).decode()
    return f"[Install in Cursor](https://cursor.com/en/install-mcp?{urlencode({'name': KEY, 'config': config})})"


def _lmstudio() -> str:
    message = json.loads(next(host for host in HOSTS if host.key == "lmstudio").text)["mcpServers"][KEY]
    config = base64.b64encode(json.dumps(message, separators=(",", ":")).encode()).decode()
    return f"[Install in LM Studio](https://lmstudio.ai/install-mcp?{urlencode({'name': KEY, 'config': config})})"


def _goose() -> str:
    message = [("cmd", COMMAND), *(("arg", argument) for argument in ARGUMENTS), ("id", KEY), ("name", TITLE)]
    query = urlencode([*message, ("env", "LUMA_TOKEN=API key")], quote_via=quote)
    return f"open `goose://extension?{query}`"


BUTTONS = {
    "claude-code": lambda: f"`claude mcp add {KEY} --env LUMA_TOKEN=luma-... -- {COMMAND} {ARGUMENTS[0]}`",
    "vscode": _vscode,
    "cursor": _cursor,
    "lmstudio": _lmstudio,
    "goose": _goose,
}


def settings() -> str:
    """Every setting and its default."""
    lines = ["| variable | what it is | default |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        if not field.exclude:
            lines.append(f"| `LUMA_{name.upper()}` | {field.description} | {default(field.default)} |")
    return "\n".join(lines)


def default(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return str(int(value))
        case tuple():
            return "all" if value else "-"
        case _:
            return f"`{value}`"


PAGES = {
    "README.md": ("toolsets", toolsets),
    "docs/hosts.md": ("hosts", hosts),
    "docs/settings.md": ("settings", settings),
}
"""Each page with its table."""


def written(page: str, text: str) -> str:
    """Return a page with its table as the code has it."""
    name, table = PAGES[page]
    before, _, rest = text.partition(f"<!-- {name} -->\n")
    _, _, after = rest.partition(f"<!-- /{name} -->")
    return f"{before}<!-- {name} -->\n{table()}\n<!-- /{name} -->{after}"


if __name__ == "__main__":
    for page in PAGES:
        path = ROOT / page
        path.write_text(written(page, path.read_text(encoding="utf-8")), encoding="utf-8")
