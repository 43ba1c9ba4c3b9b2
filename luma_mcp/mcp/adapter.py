"""Tool specs as tools of MCP: the definition, the check of the arguments, the result and the errors.

Tools are made by hand from their own models. The SDK's `Tool.from_function` reads a function's signature, parses every
string as JSON that is not annotated as exactly `str`, drops unknown arguments and puts a prefix before errors.
"""

import base64
import inspect
import time
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from mcp.server.apps import client_supports_apps
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import CallToolResult, ContentBlock, ImageContent, InputRequiredResult, TextContent, Tool
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from luma_mcp.domain.apis import BackendName
from luma_mcp.domain.catalogue import edition
from luma_mcp.domain.errors import InternalError, InvalidRequestError, LumaError
from luma_mcp.domain.person import Person
from luma_mcp.mcp.app import PLAYER_URI
from luma_mcp.mcp.arguments.api_variants import adapted, is_offered
from luma_mcp.mcp.arguments.names import Names, tidied
from luma_mcp.mcp.arguments.schema import compact, simplified
from luma_mcp.mcp.arguments.values import AsId, AsIds
from luma_mcp.mcp.client.caller import McpCaller, QuestionAskedError
from luma_mcp.mcp.persons import current_person
from luma_mcp.mcp.rights import refusal_of
from luma_mcp.mcp.sdk_compat import UnexpectedToolError
from luma_mcp.mcp.services import Services
from luma_mcp.mcp.spec import SPENDS, Action, Arguments, Call, Result, ToolSpec

# In `_meta` of a result, which a host passes to the player and not to the model.
ACTIONS_META = "dream-machine-mcp/offers"
FIELDS_META = "dream-machine-mcp/fields"
# Sent by the player's buttons; models see it only where dry runs return it.
QUOTE_ID = "quote_id"


def definition_of(spec: ToolSpec, backends: tuple[BackendName, ...], *, with_quotes: bool = False) -> Tool:
    """The definition of a tool in `tools/list` of a server that has keys for these APIs.

    Args:
        spec: the tool.
        backends: the APIs.
        with_quotes: whether dry runs return quotes.
    """
    return _definition_of(spec, backends, with_quotes, edition())


@cache
def _definition_of(spec: ToolSpec, backends: tuple[BackendName, ...], with_quotes: bool, _edition: object) -> Tool:
    """The same, made once for each edition of the catalogue."""
    hidden = frozenset[str]() if with_quotes else frozenset({QUOTE_ID})
    return Tool(
        name=spec.name,
        title=spec.title,
        description=inspect.cleandoc(spec.run.__doc__ or ""),
        input_schema=_without(adapted(simplified(spec.arguments.model_json_schema()), backends), hidden),
        # A result is made by its model, so it always fits.
        output_schema=_output_schema(spec, backends, hidden),
        annotations=spec.annotations,
        _meta=({"ui": {"resourceUri": PLAYER_URI}} if spec.in_player else {}) | dict(spec.meta) or None,
    )


async def run_tool(
    spec: ToolSpec,
    services: Services,
    offered: Collection[str],
    sent_arguments: Mapping[str, Any],
    ctx: Context[Any, Any],
) -> CallToolResult | InputRequiredResult:
    """Check the arguments, run the tool, translate its result or its error, and count the call.

    Args:
        spec: the tool.
        services: the services of the server.
        offered: the names of all tools that this server has; the player's buttons call no others.
        sent_arguments: the arguments as the client sent them.
        ctx: the SDK's context of the request.

    Raises:
        ToolError: a sentence for the model to read.
    """
    person = current_person()
    with _counted(services, spec, person):
        refusal = refusal_of(person, spec.right_for(sent_arguments))
        if refusal:
            raise ToolError(refusal)
        arguments = _checked(spec, services, sent_arguments)
        try:
            await services.access.check(person, _ids_in(arguments))
            result = await spec.run(Call(services, McpCaller(ctx, person), person, spec.name), arguments)
        except QuestionAskedError as error:
            return error.question
        except InternalError as error:
            raise UnexpectedToolError(error.full_text) from error
        except LumaError as error:
            raise ToolError(error.full_text) from error
        except Exception as error:
            raise UnexpectedToolError(
                f"{spec.name} failed through a mistake in this server. Its log has the details. If it was a purchase, "
                "list_generations shows whether it was made."
            ) from error
    response = to_call_tool_result(result)
    actions = [action for action in result.actions if action.tool in offered] if client_supports_apps(ctx) else []
    if actions:
        offers = [_for_player(action, services, person) for action in actions]
        response.meta = {**(response.meta or {}), ACTIONS_META: offers}
    return response


@contextmanager
def _counted(services: Services, spec: ToolSpec, person: Person) -> Generator[None]:
    """Count a call by how it ends."""
    started_at, outcome = time.monotonic(), "failed"
    try:
        yield
        outcome = "done"
    except UnexpectedToolError:
        raise
    except ToolError:
        outcome = "refused"
        raise
    finally:
        services.meter.count_call(spec.name, person.name, outcome, time.monotonic() - started_at)


def _checked(spec: ToolSpec, services: Services, sent_arguments: Mapping[str, Any]) -> Arguments:
    """The arguments as the tool's model has them. Raises: ToolError."""
    backends = services.backend.names
    # Arguments that only the other API has are known, and refused with a hint; they are not advertised.
    offered = _offered_names(spec, backends, edition())
    names = Names(
        spec.arguments.model_fields, [name for name in offered if name != QUOTE_ID or services.approvals.in_dry_runs]
    )
    try:
        return spec.arguments.model_validate(
            tidied(spec.name, sent_arguments, names, guess=spec.annotations is not SPENDS)
        )
    except InvalidRequestError as error:
        raise ToolError(error.full_text) from None
    except ValidationError as error:
        # The definition that the client has: it is made once.
        definition = definition_of(spec, backends, with_quotes=services.approvals.in_dry_runs)
        raise ToolError(_explanation(error, spec.name, definition.input_schema)) from None


@cache
def _offered_names(spec: ToolSpec, backends: tuple[BackendName, ...], _edition: object) -> tuple[str, ...]:
    """The arguments that a server with these APIs has, computed once for each edition of the catalogue."""
    return tuple(name for name, field in spec.arguments.model_fields.items() if is_offered(field, backends))


def _for_player(action: Action, services: Services, person: Person) -> dict[str, Any]:
    """An action as the player gets it. Pressing its button is the user's approval, if the settings demand one."""
    limit = services.purchases.budget.confirm_above_usd
    if limit is not None and action.price_usd > limit:
        quote_id = services.approvals.button_approval(
            action.tool, action.arguments, action.price_usd, person, asks_for_prompt=action.prompt is not None
        )
        action = action.model_copy(update={"arguments": {**action.arguments, "quote_id": quote_id}})
    return action.model_dump(mode="json", exclude_none=True)


def _ids_in(arguments: Arguments) -> Iterator[str]:
    """The ids of generations among the arguments; those in sources are checked when they are resolved."""
    for name, field in type(arguments).model_fields.items():
        value = getattr(arguments, name)
        if AsId in field.metadata:
            yield value
        elif AsIds in field.metadata:
            yield from value


def _output_schema(spec: ToolSpec, backends: Sequence[BackendName], hidden: Collection[str]) -> dict[str, Any] | None:
    if not spec.result.is_structured:
        return None
    return compact(_without(adapted(simplified(spec.result.model_json_schema()), backends), hidden))


def _without(schema: dict[str, Any], hidden: Collection[str]) -> dict[str, Any]:
    properties = {name: node for name, node in schema["properties"].items() if name not in hidden}
    return {**schema, "properties": properties}


def to_call_tool_result(result: Result) -> CallToolResult:
    """A result as MCP carries it: structured, as text, and with its image."""
    content: list[ContentBlock] = [TextContent(type="text", text=result.text())]
    if result.jpeg is not None:
        data = base64.b64encode(result.jpeg).decode()
        content.append(ImageContent(type="image", data=data, mime_type="image/jpeg"))
    content += result.links
    fields = result.model_dump(mode="json", exclude_none=True)
    if not result.is_structured:
        return CallToolResult(content=content, _meta={FIELDS_META: fields})
    return CallToolResult(content=content, structured_content=fields)


def _explanation(error: ValidationError, tool: str, schema: Mapping[str, Any]) -> str:
    """A sentence for each error of the arguments. `schema` is the one that this client has."""
    return " ".join(_sentence(problem, tool, schema) for problem in error.errors(include_url=False)[:5])


def _sentence(problem: ErrorDetails, tool: str, schema: Mapping[str, Any]) -> str:
    name = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        return f"{tool}: {name} is not an argument."
    if problem["type"] == "missing":
        return f"{tool} needs the argument {name}."
    if problem["type"] == "value_error":
        return f"{tool}: {name}: {problem['msg'].removeprefix('Value error, ')}."
    if problem["type"] == "model_type":
        return f"{tool}: {name} must be an object."
    value = repr(problem["input"])
    value = value if len(value) <= 60 else value[:57] + "..."
    choices = schema["properties"].get(name, {}).get("enum") if problem["type"] == "literal_error" else None
    expected = f"Input should be {_alternatives(choices)}" if choices else problem["msg"]
    return f"{tool}: {name} cannot be {value}: {expected}."


def _alternatives(values: Sequence[str]) -> str:
    *first, last = map(repr, values)
    return f"{', '.join(first)} or {last}" if first else last
