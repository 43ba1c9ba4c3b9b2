"""How a function becomes a tool.

A tool is a typed `async` function that takes the studio first and returns an `Answer`. Here it gets its name, title,
effect and schemas; its arguments are made strict; what it returns becomes structured content and a short text; and
`LumaError`s become the errors that a model reads. Nothing else in this package knows how MCP wants a tool.
"""

import base64
import functools
import inspect
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self, get_args, get_origin, get_type_hints

from mcp.server.apps import client_supports_apps
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError, UnexpectedToolError
from mcp.server.mcpserver.tools import Tool
from mcp.server.mcpserver.utilities.func_metadata import FuncMetadata
from mcp.types import (
    CallToolResult,
    ContentBlock,
    ImageContent,
    InputRequiredResult,
    TextContent,
    ToolAnnotations,
)
from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError
from pydantic_core import ErrorDetails

from luma_mcp.luma.errors import LumaError
from luma_mcp.studio import Studio
from luma_mcp.tools._caller import AnswerNeeded, ContextCaller
from luma_mcp.tools._schema import simplified

APP_URI = "ui://luma/view"
# In `_meta` of a result, which a host passes to the app and not to the model.
OFFERS = "dream-machine-mcp/offers"


class Caller(Protocol):
    """Who called a tool, and the person behind it."""

    @property
    def patience_seconds(self) -> float:
        """How long a call may take before this client is known, or feared, to give up."""
        ...

    async def report(self, progress: float, message: str) -> None:
        """Tell how a long call is getting on. `progress` only rises; what it counts is up to the tool."""
        ...

    async def confirm(self, question: str) -> bool:
        """Ask the person; whether the answer is yes. Raises: BudgetError, if this client cannot ask."""
        ...


class Offer(BaseModel):
    """Something that can be done with a generation: a button of the app."""

    model_config = ConfigDict(defer_build=True)

    generation_id: str
    action: Literal["extend", "upscale", "add audio", "animate", "variation"]
    tool: str
    arguments: dict[str, Any]
    price_usd: float
    price_basis: Literal["published", "assumed"]
    prompt: Literal["required", "optional"] | None = None
    """Whether the person should be asked for words first."""


class Answer(BaseModel):
    """What a tool returns. Its fields are the structured content, absent ones left out; `say` is the text."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=(), defer_build=True)

    _jpeg: bytes | None = PrivateAttr(None)
    _offers: Callable[[], Iterable[Offer]] = PrivateAttr(tuple)

    def say(self) -> str:
        """The same for clients that show only text."""
        raise NotImplementedError

    def showing(self, jpeg: bytes | None) -> Self:
        """The same with a picture beside the text. It is never in the structured content, which would double it."""
        self._jpeg = jpeg
        return self

    def offering(self, offers: Callable[[], Iterable[Offer]]) -> Self:
        """The same with what a person may do next: for the buttons of the app, worked out only where there is one."""
        self._offers = offers
        return self

    @property
    def jpeg(self) -> bytes | None:
        return self._jpeg

    @property
    def offers(self) -> tuple[Offer, ...]:
        return tuple(self._offers())


ToolFunction = Callable[..., Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Declared:
    """A function that is to be a tool. Its docstring is the description, its name the name.

    `shown` says that hosts with MCP Apps show its answers in the app.
    """

    function: ToolFunction
    title: str
    effect: ToolAnnotations
    shown: bool = False


def build(declared: Declared, studio: Studio, offered: Collection[str]) -> Tool:
    """The tool, working with that studio. `offered` are the names of all tools that this server has."""
    function = declared.function
    tool = StudioTool.from_function(
        _bound(function, studio, offered),
        name=function.__name__,
        title=declared.title,
        description=inspect.cleandoc(function.__doc__ or ""),
        annotations=declared.effect,
        meta={"ui": {"resourceUri": APP_URI}} if declared.shown else None,
        structured_output=False,
    )
    tool.parameters = simplified(tool.parameters)
    tool.fn_metadata = _StrictMetadata(arg_model=tool.fn_metadata.arg_model)
    return tool


@functools.cache
def _schema_of(answer: type[Answer]) -> dict[str, Any]:
    """Worked out once, and not before a client asks: several tools return the same kind of answer."""
    return simplified(answer.model_json_schema())


def _bound(function: ToolFunction, studio: Studio, offered: Collection[str]) -> Callable[..., Awaitable[Any]]:
    """The function as the SDK wants it: the studio is given, the context is asked for, the result is MCP's."""
    signature = inspect.signature(function)
    hints = get_type_hints(function, include_extras=True)
    wants_caller = "caller" in hints
    own = ("studio", "caller")

    @functools.wraps(function)
    async def call(ctx: Context[Any, Any], **arguments: Any) -> CallToolResult | InputRequiredResult:
        if wants_caller:
            arguments["caller"] = ContextCaller(ctx)
        try:
            answer = await function(studio, **arguments)
        except AnswerNeeded as needed:
            return needed.question
        except LumaError as error:
            raise ToolError(error.in_full) from error
        result = as_result(answer)
        offers = [one for one in answer.offers if one.tool in offered] if client_supports_apps(ctx) else []
        if offers:
            result.meta = {OFFERS: [one.model_dump(mode="json", exclude_none=True) for one in offers]}
        return result

    given = [
        parameter.replace(annotation=hints[name]) for name, parameter in signature.parameters.items() if name not in own
    ]
    context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=Context[Any, Any])
    del call.__wrapped__
    call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [*(one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in given), context],
        return_annotation=CallToolResult,
    )
    call.__annotations__ = {one.name: one.annotation for one in (*given, context)} | {"return": hints["return"]}
    return call


def as_result(answer: Answer) -> CallToolResult:
    """An answer as MCP carries it: structured, and as text."""
    content: list[ContentBlock] = [TextContent(type="text", text=answer.say())]
    if answer.jpeg is not None:
        data = base64.b64encode(answer.jpeg).decode()
        content.append(ImageContent(type="image", data=data, mime_type="image/jpeg"))
    return CallToolResult(
        content=content,
        structured_content=answer.model_dump(mode="json", exclude_none=True),
    )


class StudioTool(Tool):
    """A tool whose errors are sentences: the SDK puts a prefix before ours and pydantic's are for programmers."""

    @functools.cached_property
    def output_schema(self) -> dict[str, Any]:
        """The schema of what its function answers. What is answered is built by that model, so it always fits."""
        return _schema_of(get_type_hints(self.fn)["return"])

    async def run(self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool = False) -> Any:
        """Raises: ToolError, with text for the model to read."""
        known = self.fn_metadata.arg_model.model_fields
        for name in arguments:
            if name not in known:
                raise ToolError(_unknown(name, self.name, list(known)))
        try:
            return await super().run(arguments, context, convert_result)
        except UnexpectedToolError:
            raise
        except ToolError as error:
            cause = error.__cause__
            if isinstance(cause, ValidationError):
                raise ToolError(_explained(cause, self.name)) from None
            raise ToolError(str(cause)) from None


class _StrictMetadata(FuncMetadata):
    """Leaves strings alone where a string is wanted.

    The SDK parses any string as JSON unless its parameter is annotated as exactly `str`, so that `"null"` for an
    optional prompt becomes None. Lists that come as JSON in a string, as Claude Desktop sends them, are still parsed.
    """

    def pre_parse_json(self, data: dict[str, Any]) -> dict[str, Any]:
        parsed = super().pre_parse_json(data)
        strings = {name for name, field in self.arg_model.model_fields.items() if _takes_strings(field.annotation)}
        return {name: data[name] if name in strings else value for name, value in parsed.items()}


def _takes_strings(annotation: Any) -> bool:
    if annotation is str:
        return True
    if get_origin(annotation) is Literal:
        return all(isinstance(word, str) for word in get_args(annotation))
    return get_origin(annotation) is not list and any(_takes_strings(arm) for arm in get_args(annotation))


def _unknown(name: str, tool: str, known: list[str]) -> str:
    """A typo in a call that costs money must not vanish."""
    import difflib  # noqa: PLC0415 - rarely needed, and the start of the process shall not pay for it

    near = difflib.get_close_matches(name, known, n=1)
    instead = f"Did you mean {near[0]}?" if near else f"It takes {', '.join(known) or 'no arguments'}."
    return f"{tool} has no argument {name[:60]!r}. {instead} Nothing was done."


def _explained(error: ValidationError, tool: str) -> str:
    """What is wrong with the arguments, one sentence for each."""
    return " ".join(_sentence(one, tool) for one in error.errors(include_url=False)[:5])


def _sentence(problem: ErrorDetails, tool: str) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"{tool}: {where} is not an argument."
    if problem["type"] == "missing":
        return f"{tool} needs the argument {where}."
    given = repr(problem["input"])
    shown = given if len(given) <= 60 else given[:57] + "..."
    return f"{tool}: {where} cannot be {shown}: {problem['msg']}."
