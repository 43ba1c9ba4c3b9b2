"""Arguments whose values the catalogue has: checked and described by its entries as they are when a call comes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

from luma_mcp.domain.apis import APIS, BackendName
from luma_mcp.domain.catalogue import (
    IMAGE_MODELS,
    VIDEO_MODELS,
    Feature,
    ImageModel,
    VideoModel,
    image_models,
    video_models,
)
from luma_mcp.mcp.arguments.api_variants import Schema, differs
from luma_mcp.mcp.arguments.values import spelled

Models = Mapping[str, VideoModel | ImageModel]


@dataclass(frozen=True, slots=True)
class OneOf:
    """Accepts a text of a set, in any spelling; the set is computed at each call."""

    choices: Callable[[], Sequence[str]]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._check, handler(source))

    def _check(self, value: Any) -> Any:
        choices = self.choices()
        value = spelled(value, choices)
        if value is not None and value not in choices:
            raise PydanticKnownError("literal_error", {"expected": " or ".join(map(repr, choices))})
        return value


@dataclass(frozen=True, slots=True)
class AtMost:
    """Accepts a list of at most so many items; the number is computed at each call."""

    limit: Callable[[], int]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def _check(self, value: Any) -> Any:
        limit = self.limit()
        if value is not None and len(value) > limit:
            context = {"field_type": "List", "max_length": limit, "actual_length": len(value)}
            raise PydanticKnownError("too_long", context)
        return value


def by_catalogue(make: Callable[[], Schema]) -> Callable[[Schema], None]:
    """Part of a field's schema, for `json_schema_extra`, computed whenever the schema is."""

    def extend(schema: Schema) -> None:
        schema.update(make())

    return extend


def all_videos() -> Models:
    """All video models, those of the first API first."""
    return {name: VIDEO_MODELS[name] for backend in APIS for name in video_models(backend)}


def all_images() -> Models:
    """All image models, those of the first API first."""
    return {name: IMAGE_MODELS[name] for backend in APIS for name in image_models(backend)}


def with_feature(feature: Feature, models: Models) -> Models:
    """The models that have a feature."""
    return {name: model for name, model in models.items() if feature in model.features}


def names(models: Models) -> list[str]:
    """The names of models, for `OneOf`."""
    return list(models)


def names_by_api(models: Models) -> dict[BackendName, list[str]]:
    """The names of models by API, the default first."""
    return {backend: list(chosen) for backend, chosen in by_api(models).items()}


def by_api(models: Models) -> dict[BackendName, Models]:
    """Models by the API that sells them."""
    chosen: dict[BackendName, Models] = {
        name: {key: model for key, model in models.items() if model.backend == name} for name in APIS
    }
    return {name: sold for name, sold in chosen.items() if sold}


def union(values: Iterable[Sequence[str]]) -> list[str]:
    """All values, each once, in the order in which they come."""
    return list(dict.fromkeys(value for group in values for value in group))


def union_by_api(models: Models, values_of: Callable[[Any], Sequence[str]]) -> dict[BackendName, list[str]]:
    """The union of a field over the models of each API."""
    return {name: union(map(values_of, chosen.values())) for name, chosen in by_api(models).items()}


def described(describe: Callable[[Models], str], models: Models, **marks: Any) -> Schema:
    """A description of a field by the models that a server offers: of both APIs, or of one alone.

    Args:
        describe: the description for some models.
        models: the models that may have the argument.
        marks: as in `differs`.
    """
    alone: dict[BackendName, str] = {name: describe(chosen) for name, chosen in by_api(models).items()}
    return {"description": describe(models), **differs(description=alone, **marks)}


def feature_field(feature: Feature, models: Models, text: str = "", alone: str = "", **marks: Any) -> Schema:
    """The schema of an argument that only some models have: it names them where a server offers others too.

    Args:
        feature: the feature.
        models: all models that make the same.
        text: what the argument means, after the names.
        alone: the whole description where every model has it; `text` without one.
        marks: as in `differs`.
    """

    def describe(offered: Models) -> str:
        chosen = list(with_feature(feature, offered))
        if len(chosen) == len(offered):
            return alone or text[:1].upper() + text[1:]
        return f"{', '.join(chosen)} only{': ' + text if text else '.'}"

    return described(describe, models, only=only_api(with_feature(feature, models)), **marks)


def only_field(feature: Feature, models: Models, description: str) -> Schema:
    """The schema of an argument that only some models have, and whose description is the same for all."""
    return {"description": description, **differs(only=only_api(with_feature(feature, models)))}


def only_api(models: Models) -> BackendName | None:
    """The API that alone sells these models; None if several do."""
    apis = list(by_api(models))
    return apis[0] if len(apis) == 1 else None


def by_value(values: Mapping[str, Any], unit: str = "") -> str:
    """Values with the models that have each, as in `10 s (ray-2), 15 s (ray-flash-2)`; one value has no names."""
    groups: dict[Any, list[str]] = {}
    for name, value in values.items():
        groups.setdefault(value, []).append(name)
    if len(groups) == 1:
        return f"{next(iter(groups)):g}{unit}"
    return ", ".join(f"{value:g}{unit} ({', '.join(chosen)})" for value, chosen in sorted(groups.items()))
