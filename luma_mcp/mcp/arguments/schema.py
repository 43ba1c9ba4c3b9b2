"""JSON Schemas that every client can read.

Some clients fail on `$ref`, on `anyOf` with null, on `const` or on `additionalProperties`; titles cost tokens and add
nothing. These schemas have only keywords that all of them read: a root object, typed properties, enums, descriptions.
"""

from typing import Any, cast

Schema = dict[str, Any]

# Keywords that pydantic adds and no reader needs.
_DROPPED = frozenset({"title", "additionalProperties", "$defs"})

# Limits that nobody would go below.
_OBVIOUS = (("minimum", 0), ("minimum", 1), ("minItems", 1))


def simplified(schema: Schema) -> Schema:
    """The same schema without references, nulls and dropped keywords. The root's description is the tool's own."""
    definitions = cast("Schema", schema.get("$defs", {}))
    root = {key: value for key, value in schema.items() if key != "description"}
    plain = _simplified(root, definitions)
    plain.setdefault("properties", {})
    return plain


def _simplified(node: Schema, definitions: Schema) -> Schema:
    if "$ref" in node:
        definition = definitions[str(node["$ref"]).removeprefix("#/$defs/")]
        definition = {key: value for key, value in definition.items() if key != "description"}
        return _simplified({**definition, **{key: value for key, value in node.items() if key != "$ref"}}, definitions)
    if "anyOf" in node:
        branches = [branch for branch in node["anyOf"] if branch.get("type") != "null"]
        if len(branches) == 1:
            rest = {key: value for key, value in node.items() if key != "anyOf"}
            return _simplified({**branches[0], **rest}, definitions)
    simple: Schema = {}
    for key, value in node.items():
        # A flag that is absent is off, and an absent number is the lowest one.
        is_obvious = key == "default" and (not value or value == node.get("minimum"))
        if key in _DROPPED or is_obvious or (key, value) in _OBVIOUS:
            continue
        if key == "const":
            simple["enum"] = [value]
        elif key == "properties":
            simple[key] = {name: _simplified(inner, definitions) for name, inner in value.items()}
        elif key == "items":
            simple[key] = _simplified(value, definitions)
        else:
            simple[key] = value
    return simple


def compact(schema: Schema) -> Schema:
    """The schema of a result, whose inner objects do not repeat the fields that they always have."""
    return {key: _compact(value) if key == "properties" else value for key, value in schema.items()}


def _compact(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    inner = cast("Schema", node)
    return {key: _compact(value) for key, value in inner.items() if not (key == "required" and "properties" in inner)}
