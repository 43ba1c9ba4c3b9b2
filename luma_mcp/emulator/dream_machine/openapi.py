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
from luma_mcp.emulator.dream_machine.responses import DetailResponse, ProblemsResponse

PATH = "/openapi.json"
_REFERENCE = "#/components/schemas/{model}"


@dataclass(frozen=True)
class Endpoint:
    """A method of the API. `answer` is None where the body is empty."""

    method: str
    path: str
    handler: Callable[[Request], Awaitable[Response]]
    response_model: type[BaseModel] | None
    status: int = 200
    body: type[Body] | None = None
    query: tuple[str, ...] = ()

    @property
    def names_generation(self) -> bool:
        """True if the path has a generation's id in it."""
        return "{id}" in self.path


def describe(endpoints: Sequence[Endpoint], prefix: str) -> dict[str, Any]:
    """The description, in OpenAPI 3.1."""
    bodies: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        (endpoint.body, "validation") for endpoint in endpoints if endpoint.body
    ]
    response_models: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        *((endpoint.response_model, "serialization") for endpoint in endpoints if endpoint.response_model),
        (DetailResponse, "serialization"),
        (ProblemsResponse, "serialization"),
    ]
    schemas, definitions = models_json_schema([*bodies, *response_models], ref_template=_REFERENCE)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(prefix + endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, schemas)
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


def _operation(endpoint: Endpoint, schemas: Mapping[Any, Any]) -> dict[str, Any]:
    def response(status: int, model: type[BaseModel] | None) -> tuple[str, dict[str, Any]]:
        content = {} if model is None else {"content": _json(schemas[model, "serialization"])}
        return str(status), {"description": model.__name__ if model else "Nothing to say", **content}

    refusals = [response(401, DetailResponse), response(403, DetailResponse)]
    if endpoint.names_generation:
        refusals.append(response(404, DetailResponse))
    if endpoint.body:
        refusals += [response(400, DetailResponse), response(429, DetailResponse)]
    if endpoint.body or endpoint.query:
        refusals.append(response(422, ProblemsResponse))
    whole = {"type": "integer", "minimum": 0}
    path_id = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    parameters = [
        *([path_id] if endpoint.names_generation else []),
        *({"name": name, "in": "query", "schema": whole} for name in endpoint.query),
    ]
    body = {"required": True, "content": _json(schemas[endpoint.body, "validation"])} if endpoint.body else None
    return {
        "operationId": re.sub(r"\W+", "_", f"{endpoint.method.lower()}{endpoint.path}").strip("_"),
        "parameters": parameters,
        **({"requestBody": body} if body else {}),
        "responses": dict([response(endpoint.status, endpoint.response_model), *refusals]),
    }


def _json(schema: Any) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
