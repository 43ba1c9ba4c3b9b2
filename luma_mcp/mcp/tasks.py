"""A generation as an MCP task (`io.modelcontextprotocol/tasks`, protocol 2026-07-28).

A generation id is a durable handle already, so nothing is stored: the id of a task holds the name of the tool and the
generations that it waits for, and `tasks/get` polls Luma. Any process with the same token serves it, also after a
restart. The id carries a code that only such a process can make, so that no client can poll what was never its task.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, cast

from mcp import MCPError
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.extension import Extension, MethodBinding
from mcp.server.mcpserver import require_client_extension
from mcp.types import (
    HEADER_MISMATCH,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    RequestParams,
)
from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from luma_mcp.domain.errors import LumaError
from luma_mcp.domain.generation import FINAL_STATES, Generation
from luma_mcp.domain.person import Right
from luma_mcp.domain.signing import Signer
from luma_mcp.mcp.adapter import to_call_tool_result
from luma_mcp.mcp.persons import current_person
from luma_mcp.mcp.results import updated_purchase, wait_result
from luma_mcp.mcp.services import Services
from luma_mcp.mcp.spec import Call
from luma_mcp.mcp.tools.film_results import waited_film

IDENTIFIER = "io.modelcontextprotocol/tasks"
VERSION = "2026-07-28"
_WAIT_TOOL, _FILM_TOOL = "wait_for_generation", "wait_for_film"
_POLL_MS = 5000


class TaskParams(RequestParams):
    """The parameters of the three methods."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, defer_build=True)

    task_id: str = Field(max_length=4000)


@dataclass(frozen=True)
class Task:
    """The content of a task id."""

    tool: str
    generation_ids: tuple[str, ...]
    until: str
    purchase: dict[str, Any] | None = None
    """The result of a tool that spends; its state is updated."""
    person: str = ""
    """The person who may poll it, where persons do not share."""
    film_id: str = ""
    """The film that is waited for; then there are no generations."""


class Tasks(Extension):
    """Returns a task where a client declares the extension; other clients see no difference.

    Args:
        services: the services of the server.
        key: makes and checks the code in a task's id.
        rights: the right that each tool of this server needs.
    """

    identifier = IDENTIFIER

    def __init__(self, services: Services, key: bytes, rights: Mapping[str, Right]) -> None:
        self._services = services
        self._signer = Signer(key, "tasks")
        self._rights = rights

    def methods(self) -> list[MethodBinding]:
        """`tasks/get`, and the two that change nothing: Luma cannot cancel, and asks no questions."""
        versions = frozenset({VERSION})
        return [
            MethodBinding("tasks/get", TaskParams, self._get, versions),
            MethodBinding("tasks/cancel", TaskParams, self._acknowledge, versions),
            MethodBinding("tasks/update", TaskParams, self._acknowledge, versions),
        ]

    async def intercept_tool_call(
        self, params: CallToolRequestParams, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        """Turn a wait that would have to wait, or a purchase that is under way, into a task."""
        if not _declares_tasks(ctx):
            return await call_next(ctx)
        if params.name in (_WAIT_TOOL, _FILM_TOOL):
            # One poll: a final state, or an error, returns at once. The SDK passes exactly these params to the handler.
            params.arguments = {**(params.arguments or {}), "timeout_seconds": 0}
        result = await call_next(ctx)
        task = _task_of(params, result)
        return self._describe(task, "task", "working") if task else result

    async def _get(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> dict[str, Any]:
        task = self._read(ctx, params)
        if task.film_id:
            return await self._get_film(task)
        try:
            generations = [
                await self._services.backend.get_generation(generation_id) for generation_id in task.generation_ids
            ]
        except LumaError as error:
            raise MCPError(code=INTERNAL_ERROR, message=error.full_text) from error
        await self._services.purchases.record_final_states(*generations)
        final = [generation.is_final for generation in generations]
        is_over = any(final) if task.until == "any" else all(final)
        description = self._describe(task, "complete", "completed" if is_over else "working", generations)
        if is_over:
            description["result"] = _result(task, generations).model_dump(by_alias=True, mode="json", exclude_none=True)
        return description

    async def _get_film(self, task: Task) -> dict[str, Any]:
        """Continue a film: polling its task buys the shots that are ready, as its wait does.

        Raises: MCPError, if its wait may not be called: a read-only server may share the ledger and the account.
        """
        if self._rights.get(_FILM_TOOL) not in current_person().rights:
            raise MCPError(
                code=INVALID_PARAMS,
                message="You may not continue films here. Ask a server that may spend, as a person who may.",
            )
        call = Call(self._services, _SilentCaller(), current_person(), _FILM_TOOL)
        try:
            film = await waited_film(call, task.film_id, 0)
        except LumaError as error:
            raise MCPError(code=INTERNAL_ERROR, message=error.full_text) from error
        description = self._describe(task, "complete", "completed" if film.done else "working")
        description["statusMessage"] = ", ".join(f"shot {shot.number} {shot.state}" for shot in film.shots)
        if film.done:
            description["result"] = to_call_tool_result(film).model_dump(by_alias=True, mode="json", exclude_none=True)
        return description

    async def _acknowledge(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> dict[str, Any]:
        self._read(ctx, params)
        return {}

    def _describe(
        self, task: Task, result_type: str, status: str, generations: list[Generation] | None = None
    ) -> dict[str, Any]:
        now = datetime.fromtimestamp(self._services.clock.wall(), UTC).isoformat()
        created = [generation.created_at.isoformat() for generation in generations or [] if generation.created_at]
        states = ", ".join(f"{generation.id[:8]} {generation.state}" for generation in generations or [])
        return {
            "resultType": result_type,
            "taskId": self._write(task),
            "status": status,
            "statusMessage": states or f"Waiting for {', '.join(task.generation_ids) or task.film_id}",
            "createdAt": min(created, default=now),
            "lastUpdatedAt": now,
            "ttlMs": None,
            "pollIntervalMs": _POLL_MS,
        }

    def _write(self, task: Task) -> str:
        return self._signer.sign(asdict(task))

    def _read(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> Task:
        """The content of a task id. Raises: MCPError, if the id is not ours or the client may not poll it."""
        require_client_extension(ctx, IDENTIFIER)
        headers = getattr(ctx.request, "headers", None)
        if headers is not None and headers.get("mcp-name") != params.task_id:
            raise MCPError(code=HEADER_MISMATCH, message="The Mcp-Name header does not match params.taskId")
        read = self._signer.read(params.task_id)
        if read is None:
            raise MCPError(code=INVALID_PARAMS, message="Task not found")
        ids = tuple(read["generation_ids"])
        person, film_id = read.get("person", ""), read.get("film_id", "")
        task = Task(read["tool"], ids, read["until"], read["purchase"], person, film_id)
        if self._services.access.visible_person(current_person()) not in (None, task.person):
            raise MCPError(code=INVALID_PARAMS, message="Task not found")
        return task


class _SilentCaller:
    """A caller without progress reports: the state of a task is polled."""

    timeout_seconds = 0.0
    can_ask = False

    async def report(self, progress: float, message: str, states: Mapping[str, str] | None = None) -> None:
        """Report nothing."""
        del progress, message, states

    async def confirm(self, question: str, subject: str) -> str | None:
        """Never called: the purchases of a task were approved before."""
        raise NotImplementedError


def derive_key(account: str, secret: str) -> bytes:
    """A key that is the same in every process with the same secret, and another for every account."""
    return hashlib.sha256(f"tasks {account} {secret}".encode()).digest()


def _declares_tasks(ctx: ServerRequestContext[Any, Any]) -> bool:
    capabilities = ctx.session.client_capabilities
    extensions = (capabilities.extensions if capabilities else None) or {}
    return IDENTIFIER in extensions and ctx.protocol_version == VERSION


def _task_of(params: CallToolRequestParams, result: HandlerResult) -> Task | None:
    """The task for a result; None if the result is complete."""
    if not isinstance(result, CallToolResult) or result.is_error:
        return None
    fields = cast("dict[str, Any]", result.structured_content or {})
    if params.name == _WAIT_TOOL and not fields["done"]:
        ids = tuple(generation["generation_id"] for generation in fields["generations"])
        return Task(_WAIT_TOOL, ids, (params.arguments or {}).get("until", "all"), person=current_person().name)
    if params.name == _FILM_TOOL:
        is_over = fields["done"] or fields["state"] == "in doubt"
        return None if is_over else Task(_FILM_TOOL, (), "all", None, current_person().name, fields["film_id"])
    if fields.get("dry_run") is False and fields["state"] not in FINAL_STATES:
        ids = fields.get("generation_ids") or [fields["generation_id"]]
        return Task(params.name, tuple(ids), "all", fields, current_person().name)
    return None


def _result(task: Task, generations: list[Generation]) -> CallToolResult:
    """The final result of the tool."""
    if task.purchase is None:
        return to_call_tool_result(wait_result(generations, task.until, 0))
    return to_call_tool_result(updated_purchase(task.purchase, generations))
