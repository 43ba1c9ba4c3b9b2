"""The client of a call: progress reports to it, and questions to its user."""

import hashlib
import secrets
from collections.abc import Mapping
from typing import Any

from mcp.server.mcpserver import Context
from mcp.types import (
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
    ProgressNotification,
    ProgressNotificationParams,
)
from mcp.types.version import is_version_at_least
from pydantic import BaseModel, ConfigDict, Field

from luma_mcp.domain.errors import BudgetError
from luma_mcp.domain.person import OWNER, Person
from luma_mcp.mcp.arguments.schema import simplified
from luma_mcp.mcp.client.timeouts import timeout_for

# The key of the states in `_meta` of a progress notification.
STATES_META = "dream-machine-mcp/states"
_KEY = "confirm"
# From this protocol version on a server cannot send requests, so a question is asked by the result of the call.
_FIRST_WITHOUT_SERVER_REQUESTS = "2026-07-28"


class Confirmation(BaseModel):
    """The form for the user."""

    model_config = ConfigDict(defer_build=True)

    buy: bool = Field(description="Buy it?")


class QuestionAskedError(Exception):
    """The user must be asked first, by a result that is a question. The client calls again with the response."""

    def __init__(self, question: InputRequiredResult) -> None:
        super().__init__("the person must be asked")
        self.question = question


class UnansweredError(BudgetError):
    """The question whether to buy was closed without a response. Hosts without a user do so."""

    def __init__(self) -> None:
        super().__init__(
            "This needs the user's approval (LUMA_CONFIRM_ABOVE_USD), and nobody answered the question: the host "
            "closed it.",
            "Nothing was bought. Tell the user what it costs, and call again when somebody can answer; or ask for "
            "something cheaper. A host that runs without a user cannot approve: only the user can change the setting.",
        )


class McpCaller:
    """A caller, by the SDK's context of its request."""

    def __init__(self, ctx: Context[Any, Any], person: Person = OWNER) -> None:
        self._ctx = ctx
        self._person = person
        self._last_progress = -1.0

    @property
    def timeout_seconds(self) -> float:
        """The longest time of a call before this client may time out, in seconds."""
        params = self._ctx.session.client_params
        return timeout_for(params.client_info.name if params else None)

    async def report(self, progress: float, message: str, states: Mapping[str, str] | None = None) -> None:
        """Report the progress of a long call. The protocol demands that the numbers rise.

        The states are in `_meta` of the notification; the SDK's own report has no room for them. A client in this
        process that names no token has a callback, which receives the sentence only.
        """
        self._last_progress = max(progress, self._last_progress + 0.001)
        token = (self._ctx.request_context.meta or {}).get("progress_token")
        if token is None:
            await self._ctx.report_progress(self._last_progress, message=message)
            return
        params = ProgressNotificationParams(
            progress_token=token, progress=self._last_progress, message=message,
            _meta={STATES_META: dict(states)} if states else None,
        )  # fmt: skip
        notification = ProgressNotification(params=params)
        await self._ctx.session.send_notification(notification, related_request_id=self._ctx.request_id)

    @property
    def can_ask(self) -> bool:
        """Whether this client can ask the person a question."""
        capabilities = self._ctx.client_capabilities
        elicitation = capabilities.elicitation if capabilities is not None else None
        # A client that names URLs only must not be sent a form. Before 2025-11-25 a capability had no fields.
        return elicitation is not None and (elicitation.form is not None or elicitation.url is None)

    async def confirm(self, question: str, subject: str) -> str | None:
        """Ask the user: by a request to the client, or from 2026-07-28 on by the result of the call.

        An approval has a name that is valid once, for one subject and one caller.

        Raises:
            BudgetError: this client cannot ask.
            UnansweredError: the question was closed without a response.
            QuestionAskedError: the question is the result of this call.
        """
        if not self.can_ask:
            raise BudgetError(
                "The person wants to be asked before this is bought (LUMA_CONFIRM_ABOVE_USD); this client cannot ask.",
                "Nothing was bought. Make something cheaper, or ask the person to change the setting.",
            )
        if not is_version_at_least(self._ctx.protocol_version or "", _FIRST_WITHOUT_SERVER_REQUESTS):
            return secrets.token_hex(16) if await self._ask(question) else None
        # The response must be to exactly this question of this caller; the SDK signs the state.
        digest = hashlib.sha256(f"{subject}\n{self._identity}\n{question}".encode()).hexdigest()
        consent, _, asked_for = (self._ctx.request_state or "").partition(":")
        responses = self._ctx.input_responses or {}
        response = responses.get(_KEY) if asked_for == digest else None
        if response is None:
            raise QuestionAskedError(_question_result(question, f"{secrets.token_hex(16)}:{digest}"))
        return consent if isinstance(response, ElicitResult) and _approves(response.action, response.content) else None

    async def _ask(self, question: str) -> bool:
        """Send the form to the user; return whether the user approves. Raises: UnansweredError."""
        try:
            response = await self._ctx.elicit(question, Confirmation)
        except ValueError:
            # Accepted without the required field.
            raise UnansweredError from None
        return _approves(response.action, response.data.model_dump() if response.action == "accept" else None)

    @property
    def _identity(self) -> str:
        """The caller as the transport knows it: a name, else a digest of the bearer token; empty over stdio."""
        if self._person.name:
            return self._person.name
        headers = self._ctx.headers or {}
        token = headers.get("authorization") or headers.get("x-api-key", "")
        return hashlib.sha256(token.encode()).hexdigest() if token else ""


def _approves(action: str, content: Mapping[str, Any] | None) -> bool:
    """Return True for an approval and False for a refusal. Raises: UnansweredError, if it is neither."""
    if action == "decline":
        return False
    buy = (content or {}).get("buy") if action == "accept" else None
    if not isinstance(buy, bool):
        raise UnansweredError
    return buy


def _question_result(question: str, state: str) -> InputRequiredResult:
    schema = simplified(Confirmation.model_json_schema())
    params = ElicitRequestFormParams(message=question, requested_schema=schema)
    return InputRequiredResult(input_requests={_KEY: ElicitRequest(params=params)}, request_state=state)
