"""What saved files are called: a template of the person's, filled in from the generation."""

import string
from dataclasses import dataclass
from pathlib import PurePosixPath

from luma_mcp.luma.models import Generation
from luma_mcp.studio.files import safe_name

DEFAULT_TEMPLATE = "{prompt}-{short_id}"
FIELDS = ("prompt", "id", "short_id", "kind", "model", "date", "time", "asset")
_LONGEST_PROMPT = 51
_MOST_FOLDERS = 8


@dataclass(frozen=True, slots=True)
class Naming:
    """A template such as `{date}/{prompt}-{short_id}`. A `/` makes a folder.

    Raises:
        ValueError: it has a field that is not known, or would name something outside its folder.
    """

    template: str = DEFAULT_TEMPLATE

    def __post_init__(self) -> None:
        known = ", ".join(f"{{{field}}}" for field in FIELDS)
        try:
            parts = list(string.Formatter().parse(self.template))
        except ValueError:
            raise ValueError(f"its braces do not match; the fields are {known}") from None
        fields = {field for _, field, _, _ in parts if field is not None}
        plain = all(not form and not conversion for _, field, form, conversion in parts if field is not None)
        if not fields <= set(FIELDS) or not plain:
            raise ValueError(f"its fields may be {known}")
        if not fields & {"id", "short_id"}:
            raise ValueError("it needs {id} or {short_id}, or files of the same prompt could not be told apart")
        pieces = self.template.split("/")
        if len(pieces) > _MOST_FOLDERS or any(not piece.strip(" .") for piece in pieces) or "\\" in self.template:
            raise ValueError("it must be a relative path with / between folders")

    def path_for(self, generation: Generation, asset: str | None = None) -> PurePosixPath:
        """Folders and file name, without ending. Each part is one that every operating system takes."""
        filled = self._filled(generation, asset)
        pieces = [safe_name(piece.format(**filled), longest=120) or "unnamed" for piece in self.template.split("/")]
        if asset is not None and "{asset}" not in self.template:
            pieces[-1] += f"-{asset}"
        return PurePosixPath(*pieces)

    def _filled(self, generation: Generation, asset: str | None) -> dict[str, str]:
        prompt, made = generation.request.get("prompt"), generation.created_at
        kind = safe_name(generation.kind)
        return {
            "prompt": safe_name(prompt if isinstance(prompt, str) else "", longest=_LONGEST_PROMPT) or kind,
            "id": safe_name(generation.id),
            "short_id": safe_name(generation.id)[:8],
            "kind": kind,
            "model": safe_name(generation.model or "no-model"),
            "date": made.date().isoformat() if made else "undated",
            "time": made.strftime("%H%M%S") if made else "undated",
            "asset": asset or ("image" if generation.is_picture else "video"),
        }
