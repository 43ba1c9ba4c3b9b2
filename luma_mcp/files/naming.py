"""The names of saved files: a template that the person set, filled in from the generation."""

from dataclasses import dataclass
from pathlib import PurePosixPath

from luma_mcp.domain.file_names import DEFAULT_TEMPLATE, check_template
from luma_mcp.domain.generation import Generation
from luma_mcp.files.atomic_file import safe_name

_MAX_PROMPT_LENGTH = 51


@dataclass(frozen=True, slots=True)
class Naming:
    """A template such as `{date}/{prompt}-{short_id}`. A `/` makes a folder.

    Raises:
        ValueError: it has an unknown field or would name something outside its folder.
    """

    template: str = DEFAULT_TEMPLATE

    def __post_init__(self) -> None:
        check_template(self.template)

    def path_for(self, generation: Generation, asset: str | None = None) -> PurePosixPath:
        """Folders and file name, without ending. Each part is one that every operating system takes."""
        fields = self._fields(generation, asset)
        pieces = [safe_name(piece.format(**fields), max_length=120) or "unnamed" for piece in self.template.split("/")]
        if asset is not None and "{asset}" not in self.template:
            pieces[-1] += f"-{asset}"
        return PurePosixPath(*pieces)

    def _fields(self, generation: Generation, asset: str | None) -> dict[str, str]:
        created = generation.created_at
        kind = safe_name(generation.kind)
        return {
            "prompt": safe_name(generation.prompt or "", max_length=_MAX_PROMPT_LENGTH) or kind,
            "id": safe_name(generation.id),
            "short_id": safe_name(generation.id)[:8],
            "kind": kind,
            "model": safe_name(generation.model or "no-model"),
            "date": created.date().isoformat() if created else "undated",
            "time": created.strftime("%H%M%S") if created else "undated",
            "asset": asset or generation.main_output,
        }
