"""The template that saved files are named by. It is checked here and filled in by `files.naming`."""

import string

DEFAULT_TEMPLATE = "{prompt}-{short_id}"
FIELDS = ("prompt", "id", "short_id", "kind", "model", "date", "time", "asset")
_MAX_FOLDERS = 8


def check_template(template: str) -> None:
    """Raises: ValueError, if it has an unknown field or would name something outside its folder."""
    known = ", ".join(f"{{{field}}}" for field in FIELDS)
    try:
        fields_of_template = list(string.Formatter().parse(template))
    except ValueError:
        raise ValueError(f"its braces do not match; the fields are {known}") from None
    fields = {field for _, field, _, _ in fields_of_template if field is not None}
    plain = all(
        not format_spec and not conversion
        for _, field, format_spec, conversion in fields_of_template
        if field is not None
    )
    if not fields <= set(FIELDS) or not plain:
        raise ValueError(f"its fields may be {known}")
    if not fields & {"id", "short_id"}:
        raise ValueError("it needs {id} or {short_id}, or files of the same prompt would have one name")
    pieces = template.split("/")
    if len(pieces) > _MAX_FOLDERS or any(not piece.strip(" .") for piece in pieces) or "\\" in template:
        raise ValueError("it must be a relative path with / between folders")
