"""The rights that requests need, in one place: tools by their specs, everything else by its method."""

from collections.abc import Mapping
from typing import Any

from mcp import MCPError
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.types import INVALID_REQUEST

from luma_mcp.domain.person import DELETE_SCOPE, Person, Right
from luma_mcp.mcp.persons import current_person

METRICS_PERSON = "metrics"
"""The name of the token that reads the metrics, and does nothing else."""
# Lists of definitions and the texts of prompts hold no data of persons, and need no right.
_RIGHTS_OF_METHODS: Mapping[str, Right] = {
    "resources/read": "read",
    "resources/subscribe": "read",
    "resources/unsubscribe": "read",
    "subscriptions/listen": "read",
    "completion/complete": "read",
    "tasks/get": "read",
    "tasks/cancel": "read",
    "tasks/update": "read",
}
_SENTENCES: Mapping[Right, str] = {
    "read": "You may not read here. Ask who runs this server.",
    "spend": "You may not spend here. Sign in again and allow it, or ask who runs this server.",
    "delete": f"You may not delete here. Sign in again with the scope {DELETE_SCOPE}, which this client must be "
    "registered with, or ask who runs this server to set LUMA_HTTP_DELETE=1.",
}


def refusal_of(person: Person, right: Right) -> str | None:
    """Why a person may not do something that needs a right, as a sentence; None if they may."""
    return None if right in person.rights else _SENTENCES[right]


def may_read_metrics(person: Person) -> bool:
    """Check whether a person may read the metrics, which are about all persons."""
    return person.is_owner or person.name == METRICS_PERSON


async def require_rights(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Refuse a request whose person may not make it; calls of tools are checked with their arguments.

    Raises:
        MCPError: the person may not.
    """
    right = _RIGHTS_OF_METHODS.get(ctx.method)
    refusal = refusal_of(current_person(), right) if right else None
    if refusal:
        raise MCPError(code=INVALID_REQUEST, message=refusal)
    return await call_next(ctx)
