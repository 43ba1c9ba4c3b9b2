"""The MCP server: its description, tools, resources, prompts, tasks and subscriptions."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

from mcp import MCPError
from mcp.server.caching import CacheHint
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.request_state import RequestStateSecurity
from mcp.types import INVALID_PARAMS, CallToolResult, GetPromptResult, Icon, InputRequiredResult, Prompt, Tool

from luma_mcp import __version__
from luma_mcp.domain.person import Right
from luma_mcp.domain.text import cleaned
from luma_mcp.mcp import prompts, resources
from luma_mcp.mcp.adapter import definition_of, run_tool
from luma_mcp.mcp.app import player
from luma_mcp.mcp.instructions import instructions
from luma_mcp.mcp.rights import require_rights
from luma_mcp.mcp.sdk_compat import keep_arguments_out_of_logs
from luma_mcp.mcp.services import Services
from luma_mcp.mcp.skills import Skills
from luma_mcp.mcp.spec import ToolSpec
from luma_mcp.mcp.subscriptions import Subscriptions
from luma_mcp.mcp.tasks import Tasks, derive_key
from luma_mcp.mcp.tools import account, editing, files, films, generations, images, videos

NAME = "luma"
TITLE = "Luma Dream Machine"
DESCRIPTION = "Make, extend, change and download videos and images with Luma AI: ray-3.2, uni-1, and Dream Machine."
# A URL, not the image itself: the SDK puts the icon into every result of protocol 2026-07-28.
ICON = Icon(src="https://lumalabs.ai/favicon.ico", mime_type="image/x-icon")

WEBSITE = "https://github.com/dream-machine-mcp/dream-machine-mcp"

# The tools by toolset, the names that LUMA_TOOLSETS accepts.
TOOLSETS: dict[str, tuple[ToolSpec, ...]] = {
    "video": videos.TOOLS,
    "image": images.TOOLS,
    "film": films.TOOLS,
    "generations": generations.TOOLS,
    "assets": (*files.TOOLS[:1], *editing.TOOLS, *files.TOOLS[1:]),
    "account": account.TOOLS,
}
# Tools of earlier versions, and those that a server does not offer, with what to call in their place.
_RENAMED = {"list_camera_motions": ("list_concepts", "list_concepts answers the camera motions too.")}
_ONE_HOUR = CacheHint(ttl_ms=3_600_000, scope="public")


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """The options of the server.

    Args:
        tools: the tools that are offered.
        withheld: why each of the others is not, as a sentence.
        account: names the account; the same in every replica.
        secret: the secret of this account's servers, for codes that clients must not be able to make.
        asset_origins: the origins of images and videos for the player, in addition to Luma's own hosts.
        log_level: how much is logged.
    """

    tools: Sequence[ToolSpec]
    withheld: Mapping[str, str]
    account: str
    secret: str
    asset_origins: Sequence[str] = ()
    log_level: Any = "WARNING"


def make_server(services: Services, options: ServerOptions) -> "ToolServer":
    """The server, ready to be run over any transport."""
    subscriptions = Subscriptions(services.poller, services.access, services.films, services.clock)

    @asynccontextmanager
    async def lifespan(_server: MCPServer[Services]) -> AsyncGenerator[Services]:
        async with services.running(), subscriptions.open():
            yield services

    server = ToolServer(
        NAME,
        options.tools,
        services,
        withheld=options.withheld,
        attach_prompts=prompts.attach,
        title=TITLE,
        description=DESCRIPTION,
        website_url=WEBSITE,
        instructions=instructions(services.backend.names),
        version=__version__,
        icons=[ICON],
        extensions=[
            Tasks(
                services, derive_key(options.account, options.secret), {spec.name: spec.right for spec in options.tools}
            ),
            player(options.asset_origins),
            Skills(),
        ],
        lifespan=lifespan,
        # The same key in every replica, so that the response to a question may arrive at another replica.
        request_state_security=RequestStateSecurity(keys=[derive_key(options.account, f"state {options.secret}")]),
        subscriptions=subscriptions.bus,
        middleware=[require_rights, refuse_cursor, subscriptions.middleware],
        cache_hints={
            "server/discover": _ONE_HOUR,
            "tools/list": _ONE_HOUR,
            "prompts/list": _ONE_HOUR,
            "resources/list": _ONE_HOUR,
            "resources/templates/list": _ONE_HOUR,
        },
        log_level=options.log_level,
    )
    resources.attach(server, services)
    subscriptions.attach(server)
    return server


async def refuse_cursor(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Refuse any cursor: each list is one page, so no cursor exists. Raises: MCPError."""
    params: Any = ctx.params
    if ctx.method.endswith("/list") and isinstance(params, dict) and cast("dict[str, Any]", params).get("cursor"):
        raise MCPError(code=INVALID_PARAMS, message="There is no such cursor: each list is a single page.")
    return await call_next(ctx)


class ToolServer(MCPServer[Services]):
    """An `MCPServer` with tools made from tool specs. Other options are those of `MCPServer`.

    Definitions of tools and prompts are made when a client first asks for them: making all schemas takes a twentieth of
    the start, and a host waits for the start of every server that it has.

    Args:
        name: the server's name.
        tools: the tools.
        services: the services of the tools.
        withheld: why each of the other tools is not offered.
        attach_prompts: adds the prompts to a server.
    """

    def __init__(
        self,
        name: str,
        tools: Sequence[ToolSpec],
        services: Services,
        *,
        withheld: Mapping[str, str],
        attach_prompts: Callable[[MCPServer[Any]], None],
        **options: Any,
    ) -> None:
        super().__init__(name, **options)
        keep_arguments_out_of_logs()
        self._attach_prompts: Callable[[MCPServer[Any]], None] | None = attach_prompts
        self._specs = {spec.name: spec for spec in tools}
        self._withheld = withheld
        self.services = services

    @property
    def rights(self) -> dict[str, Right]:
        """The right that each tool needs."""
        return {name: spec.right for name, spec in self._specs.items()}

    def end_waits(self) -> None:
        """End every open wait at once: the server is about to stop."""
        self.services.poller.end_waits()
        self.services.film_saves.end_waits()
        self.services.edits.end_waits()

    async def list_tools(self) -> list[Tool]:
        """The definition of every tool."""
        backends, with_quotes = self.services.backend.names, self.services.approvals.in_dry_runs
        return [definition_of(spec, backends, with_quotes=with_quotes) for spec in self._specs.values()]

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Services, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Raises: ToolError, with a sentence for the model to read."""
        newer, hint = _RENAMED.get(name, (name, ""))
        if newer in self._withheld:
            raise ToolError(f"Unknown tool: {name}. {self._withheld[newer]}")
        if hint:
            raise ToolError(hint)
        if name not in self._specs:
            return await super().call_tool(name, arguments, context)
        ctx = context or Context(mcp_server=self)
        return await run_tool(self._specs[name], self.services, self._specs, arguments, ctx)

    async def list_prompts(self) -> list[Prompt]:
        """The definition of every prompt."""
        self._make_prompts()
        return await super().list_prompts()

    async def get_prompt(
        self, name: str, arguments: dict[str, Any] | None = None, context: Context[Services, Any] | None = None
    ) -> GetPromptResult | InputRequiredResult:
        """A prompt, filled in."""
        self._make_prompts()
        try:
            return await super().get_prompt(name, arguments, context)
        except ValueError as error:
            # A prompt that does not exist, or an argument that is missing. The SDK would log a trace.
            raise MCPError(code=INVALID_PARAMS, message=cleaned(str(error), 300)) from error

    def _make_prompts(self) -> None:
        attach, self._attach_prompts = self._attach_prompts, None
        if attach is not None:
            attach(self)
