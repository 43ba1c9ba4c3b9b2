"""The emulator's endpoints as an OpenAPI description, made from what it checks bodies with and answers by."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from starlette.requests import Request
from starlette.responses import Response

from luma_mcp.emulator.dream_machine.bodies import Body
from luma_mcp.emulator.dream_machine.responses import DetailAnswer, ProblemsAnswer

PATH = "/openapi.json"
_REFERENCE = "#/components/schemas/{model}"


@dataclass(frozen=True)
class Endpoint:
    """One of the API's methods. `answer` is None where there is nothing to say."""

    method: str
    path: str
    handler: Callable[[Request], Awaitable[Response]]
    answer: type[BaseModel] | None
    status: int = 200
    body: type[Body] | None = None
    query: tuple[str, ...] = ()

    @property
    def names_one(self) -> bool:
        """Whether the path has a generation's id in it."""
        return "{id}" in self.path


def describe(endpoints: Sequence[Endpoint], prefix: str) -> dict[str, Any]:
    """The description, in OpenAPI 3.1."""
    bodies: list[tuple[type[BaseModel], JsonSchemaMode]] = [(one.body, "validation") for one in endpoints if one.body]
    answers: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        *((one.answer, "serialization") for one in endpoints if one.answer),
        (DetailAnswer, "serialization"),
        (ProblemsAnswer, "serialization"),
    ]
    schemas, definitions = models_json_schema([*bodies, *answers], ref_template=_REFERENCE)
    paths: dict[str, dict[str, Any]] = {}
    for one in endpoints:
        paths.setdefault(prefix + one.path, {})[one.method.lower()] = _operation(one, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Dream Machine, emulated", "version": "1"},
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(one: Endpoint, schemas: Mapping[Any, Any]) -> dict[str, Any]:
    def said(status: int, model: type[BaseModel] | None) -> tuple[str, dict[str, Any]]:
        content = {} if model is None else {"content": _json(schemas[model, "serialization"])}
        return str(status), {"description": model.__name__ if model else "Nothing to say", **content}

    refusals = [said(401, DetailAnswer), said(403, DetailAnswer)]
    if one.names_one:
        refusals.append(said(404, DetailAnswer))
    if one.body:
        refusals += [said(400, DetailAnswer), said(429, DetailAnswer)]
    if one.body or one.query:
        refusals.append(said(422, ProblemsAnswer))
    whole = {"type": "integer", "minimum": 0}
    parameters = [
        *([{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}] if one.names_one else []),
        *({"name": name, "in": "query", "schema": whole} for name in one.query),
    ]
    return {
        "operationId": re.sub(r"\W+", "_", f"{one.method.lower()}{one.path}").strip("_"),
        "parameters": parameters,
        **({"requestBody": {"required": True, "content": _json(schemas[one.body, "validation"])}} if one.body else {}),
        "responses": dict([said(one.status, one.answer), *refusals]),
    }


def _json(schema: Any) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
