"""JSON Schemas that every client can take.

Some clients choke on `$ref`, on `anyOf` with null, on `const`, on `additionalProperties`; titles cost words and say
nothing. What is left is what all of them read: a root object, typed properties, enums, descriptions.
"""

from typing import Any, cast

Schema = dict[str, Any]

# Said by pydantic, of no use to a reader.
_NOISE = frozenset({"title", "additionalProperties", "$defs"})


def simplified(schema: Schema) -> Schema:
    """The same schema, without references, nulls and noise. The root's description is the tool's own."""
    definitions = cast("Schema", schema.get("$defs", {}))
    return _plain({key: value for key, value in schema.items() if key != "description"}, definitions)


def _plain(node: Schema, definitions: Schema) -> Schema:
    if "$ref" in node:
        definition = definitions[str(node["$ref"]).removeprefix("#/$defs/")]
        definition = {key: value for key, value in definition.items() if key != "description"}
        return _plain({**definition, **{key: value for key, value in node.items() if key != "$ref"}}, definitions)
    if "anyOf" in node:
        arms = [arm for arm in node["anyOf"] if arm.get("type") != "null"]
        if len(arms) == 1:
            rest = {key: value for key, value in node.items() if key != "anyOf"}
            return _plain({**arms[0], **rest}, definitions)
    plain: Schema = {}
    for key, value in node.items():
        if key in _NOISE or (key == "default" and (value in (None, [], "") or value is False)):
            continue
        if key == "const":
            plain["enum"] = [value]
        elif key == "properties":
            plain[key] = {name: _plain(one, definitions) for name, one in value.items()}
        elif key == "items":
            plain[key] = _plain(value, definitions)
        else:
            plain[key] = value
    return plain
