"""Writes the tables of the README from the code. A test fails when they differ."""

from pathlib import Path

from luma_mcp.server import TOOLS
from luma_mcp.settings import Settings

README = Path(__file__).parent.parent / "README.md"


def tools() -> str:
    """Every tool, what it does, and its effect."""
    lines = ["| tool | what it does | |", "|---|---|---|"]
    for toolset, declared in TOOLS.items():
        for one in declared:
            words = " ".join((one.function.__doc__ or "").split())
            lines.append(f"| `{one.function.__name__}` | {words} | {effect(one.effect)}, {toolset} |")
    return "\n".join(lines)


def effect(hints: object) -> str:
    """An effect in a word, from its hints."""
    if getattr(hints, "read_only_hint", False):
        return "reads"
    if not getattr(hints, "destructive_hint", True):
        return "writes a file"
    return "deletes" if getattr(hints, "idempotent_hint", False) else "spends"


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
            return "0"
        case tuple():
            return "all" if value else "-"
        case _:
            return f"`{value}`"


def written(text: str) -> str:
    """The README with its tables as the code has them."""
    for name, table in (("tools", tools()), ("settings", settings())):
        before, _, rest = text.partition(f"<!-- {name} -->\n")
        _, _, after = rest.partition(f"<!-- /{name} -->")
        text = f"{before}<!-- {name} -->\n{table}\n<!-- /{name} -->{after}"
    return text


if __name__ == "__main__":
    README.write_text(written(README.read_text()))
