"""How a tool spec becomes a tool of MCP: its definition, the check of its arguments, its result and its errors.

Tools are made by hand from their own models. The SDK's `Tool.from_function` reads a function's signature, parses every
string as JSON that is not annotated as exactly `str`, drops unknown arguments and puts a prefix before errors.
"""

import base64
import inspect
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from mcp.server.apps import client_supports_apps
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import CallToolResult, ContentBlock, ImageContent, InputRequiredResult, TextContent, Tool
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from luma_mcp.domain.catalogue import BackendName
from luma_mcp.domain.errors import LumaError
from luma_mcp.mcp.confirmation import ContextCaller, QuestionAskedError
from luma_mcp.mcp.modes import adapted
from luma_mcp.mcp.schema import simplified
from luma_mcp.mcp.sdk_compat import UnexpectedToolError
from luma_mcp.mcp.services import Services
from luma_mcp.mcp.tool_spec import Call, Result, ToolSpec

PLAYER_URI = "ui://luma/view"
# In `_meta` of a result, which a host passes to the player and not to the model.
ACTIONS_META = "dream-machine-mcp/offers"

_PLACEMENT = "It is now placement: [left, top, width, height] as fractions of the new canvas."
# Arguments of earlier versions, with the sentence that names the new one.
_RENAMED: dict[str, str] = {
    "patience_seconds": "It is now timeout_seconds.",
    **dict.fromkeys(
        (
            "grid_position_x", "grid_position_y", "x_start", "x_end", "y_start", "y_end", "resized_width",
            "resized_height",
        ),
        _PLACEMENT,
    ),
}  # fmt: skip


def definition_of(spec: ToolSpec, backends: Sequence[BackendName]) -> Tool:
    """What `tools/list` says of a tool of a server that has keys for these APIs."""
    return Tool(
        name=spec.name,
        title=spec.title,
        description=inspect.cleandoc(spec.run.__doc__ or ""),
        input_schema=adapted(simplified(spec.arguments.model_json_schema()), backends),
        # A result is made by its model, so it always fits.
        output_schema=adapted(simplified(spec.result.model_json_schema()), backends),
        annotations=spec.annotations,
        _meta={"ui": {"resourceUri": PLAYER_URI}} if spec.in_player else None,
    )


async def run_tool(
    spec: ToolSpec,
    services: Services,
    offered: Collection[str],
    sent_arguments: Mapping[str, Any],
    ctx: Context[Any, Any],
) -> CallToolResult | InputRequiredResult:
    """Check the arguments, run the tool and translate what comes of it.

    Args:
        spec: the tool.
        services: what it works with.
        offered: the names of all tools that this server has; the player's buttons call no others.
        sent_arguments: the arguments as the client sent them.
        ctx: the SDK's context of the request.

    Raises:
        ToolError: a sentence for the model to read.
    """
    known = spec.arguments.model_fields
    for name in sent_arguments:
        if name not in known:
            raise ToolError(_unknown_argument(name, spec.name, list(known)))
    try:
        # Many clients send null for an optional argument that they do not use.
        arguments = spec.arguments.model_validate(
            {name: value for name, value in sent_arguments.items() if value is not None}
        )
    except ValidationError as error:
        raise ToolError(_explanation(error, spec.name)) from None
    try:
        result = await spec.run(Call(services, ContextCaller(ctx)), arguments)
    except QuestionAskedError as error:
        return error.question
    except LumaError as error:
        raise ToolError(error.full_text) from error
    except Exception as error:
        raise UnexpectedToolError(
            f"{spec.name} failed through a mistake in this server. Its log has the details. If it was a purchase, "
            "list_generations shows whether it was made."
        ) from error
    answer = to_call_tool_result(result)
    actions = [action for action in result.actions if action.tool in offered] if client_supports_apps(ctx) else []
    if actions:
        answer.meta = {ACTIONS_META: [action.model_dump(mode="json", exclude_none=True) for action in actions]}
    return answer


def to_call_tool_result(result: Result) -> CallToolResult:
    """A result as MCP carries it: structured, as text, and with its image."""
    content: list[ContentBlock] = [TextContent(type="text", text=result.text())]
    if result.jpeg is not None:
        data = base64.b64encode(result.jpeg).decode()
        content.append(ImageContent(type="image", data=data, mime_type="image/jpeg"))
    return CallToolResult(content=content, structured_content=result.model_dump(mode="json", exclude_none=True))


def _unknown_argument(name: str, tool: str, known: list[str]) -> str:
    """A misspelt argument of a call that costs money must not vanish."""
    import difflib  # noqa: PLC0415 - rarely needed, and the start of the process shall not pay for it

    if name in _RENAMED:
        return f"{tool} has no argument {name!r} any more. {_RENAMED[name]} Nothing was done."
    near = difflib.get_close_matches(name, known, n=1)
    advice = f"Did you mean {near[0]}?" if near else f"It takes {', '.join(known) or 'no arguments'}."
    return f"{tool} has no argument {name[:60]!r}. {advice} Nothing was done."


def _explanation(error: ValidationError, tool: str) -> str:
    """What is wrong with the arguments, a sentence for each."""
    return " ".join(_sentence(problem, tool) for problem in error.errors(include_url=False)[:5])


def _sentence(problem: ErrorDetails, tool: str) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"{tool}: {where} is not an argument."
    if problem["type"] == "missing":
        return f"{tool} needs the argument {where}."
    shown = repr(problem["input"])
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return f"{tool}: {where} cannot be {shown}: {problem['msg']}."
