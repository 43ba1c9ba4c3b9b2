"""The schemas of tools, by the APIs that the server has keys for.

One model of arguments serves them all. A field that only one API has, or whose values, default or description differ,
is marked with `differs`; `adapted` makes the schema for the APIs of a server.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from pydantic.fields import FieldInfo

from luma_mcp.domain.apis import BackendName

Schema = dict[str, Any]
_KEY = "x-by-api"


def differs(
    *,
    only: BackendName | None = None,
    choices: Mapping[BackendName, Sequence[str]] | None = None,
    default: Mapping[BackendName, Any] | None = None,
    description: Mapping[BackendName, str] | None = None,
    max_items: Mapping[BackendName, int] | None = None,
    required: BackendName | None = None,
    shared: bool = False,
) -> Schema:
    """The differences between the APIs, for `json_schema_extra` of a field.

    Args:
        only: the API that alone has it.
        choices: its values at each API.
        default: its default at each API. With both, that of the first that has one counts.
        description: its description at each API. With both, the field's own description counts.
        max_items: how many items it may have at each API. With both, the field's own number counts.
        required: the API at which it must be present.
        shared: whether only a server with several APIs has it.
    """
    marks = {"only": only, "choices": choices, "default": default, "required": required, "shared": shared}
    alone = {"description": description, "maxItems": max_items}
    return {_KEY: {**marks, "alone": {word: values for word, values in alone.items() if values}}}


def is_offered(field: FieldInfo, backends: Sequence[BackendName]) -> bool:
    """Check whether a server with these APIs has a field."""
    extra, schema = field.json_schema_extra, cast("Schema", {})
    if callable(extra):
        extra(schema)
    elif extra is not None:
        schema = cast("Schema", extra)
    return schema.get(_KEY, {}).get("only") in (None, *backends)


def adapted(schema: Schema, backends: Sequence[BackendName]) -> Schema:
    """A schema without references, for a server with these APIs, without the marks of differences."""
    if "items" in schema:
        return {**schema, "items": adapted(schema["items"], backends)}
    if "properties" not in schema:
        return schema
    properties: dict[str, Schema] = {}
    required: list[str] = list(schema.get("required", ()))
    for name, whole in cast("dict[str, Schema]", schema["properties"]).items():
        node = dict(whole)
        marks = cast("Schema", node.pop(_KEY, {}))
        if marks.get("only") not in (None, *backends) or (marks.get("shared") and len(backends) == 1):
            continue
        properties[name] = adapted(_adapted_field(node, marks, backends), backends)
        if (marks.get("required"),) == tuple(backends):
            required.append(name)
    return {**schema, "properties": properties, **({"required": required} if required else {})}


def _adapted_field(node: Schema, marks: Schema, backends: Sequence[BackendName]) -> Schema:
    if marks.get("choices"):
        node["enum"] = list(dict.fromkeys(word for name in backends for word in marks["choices"].get(name, ())))
    defaults = [marks["default"][name] for name in backends if name in (marks.get("default") or ())]
    if defaults:
        node["default"] = defaults[0]
    if len(backends) == 1:
        alone = cast("dict[str, Mapping[str, Any]]", marks.get("alone", {}))
        node |= {word: values[backends[0]] for word, values in alone.items() if backends[0] in values}
    return node
