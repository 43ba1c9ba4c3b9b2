"""The report of a verification: Markdown that can be pasted into a public place."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from luma_mcp import __version__
from luma_mcp.cli.verify.facts import UNOBSERVED, Fact


def options(found: Sequence[Fact]) -> list[str]:
    """Return the emulator's options that make it do what the API did."""
    return list(dict.fromkeys(fact.option for fact in found if fact.differs and fact.option))


def markdown(found: Mapping[str, Sequence[Fact]], *, on_day: str) -> str:
    """Write the report.

    Args:
        found: the facts by the name of the API.
        on_day: the date.
    """
    lines = [f"# Luma's API on {on_day}, seen by dream-machine-mcp {__version__}", ""]
    for api, of_api in found.items():
        different = [fact for fact in of_api if fact.differs]
        observed = [fact for fact in of_api if fact.observed != UNOBSERVED]
        lines += [f"## {api}: {len(observed)} facts observed, {len(different)} otherwise than assumed", ""]
        lines += ["| fact | assumed | observed | |", "|---|---|---|---|"]
        for fact in of_api:
            mark = "**differs**" if fact.differs else ""
            lines.append(f"| {fact.name} | {_cell(fact.assumed)} | {_cell(fact.observed)} | {mark} |")
        lines.append("")
    flags = options([fact for of_api in found.values() for fact in of_api])
    if flags:
        lines += ["The emulator does the same with:", "", f"    dream-machine-mcp emulator {' '.join(flags)}", ""]
    else:
        lines += ["No option of the emulator is needed to make it do the same.", ""]
    return "\n".join(lines)


def as_json(found: Mapping[str, Sequence[Fact]], *, on_day: str) -> str:
    """Write the report for programs."""
    flags = options([fact for of_api in found.values() for fact in of_api])
    apis = {api: [asdict(fact) | {"differs": fact.differs} for fact in of_api] for api, of_api in found.items()}
    return json.dumps({"date": on_day, "version": __version__, "apis": apis, "options": flags}, indent=2)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
