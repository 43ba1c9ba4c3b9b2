"""An `MCPServer` whose tools and prompts are made when a client first asks for them, not when the process starts.

Making the schemas of all of them takes as long as a twentieth of the start, and a host waits for the start of every
server that it has.
"""

from collections.abc import Callable, Sequence
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.tools import Tool
from mcp.types import CallToolResult, GetPromptResult, InputRequiredResult, Prompt
from mcp.types import Tool as Definition

from luma_mcp.studio import Studio
from luma_mcp.tools._toolset import Declared, build


class StudioServer(MCPServer[Studio]):
    """Offers declared tools that work with a studio, and prompts. Other options are those of `MCPServer`.

    Args:
        name: what the server calls itself.
        declared: the tools.
        studio: what they work with.
        attach_prompts: offers the prompts on a server.
    """

    def __init__(
        self,
        name: str,
        declared: Sequence[Declared],
        studio: Studio,
        *,
        attach_prompts: Callable[[MCPServer[Any]], None],
        **options: Any,
    ) -> None:
        super().__init__(name, **options)
        self._attach_prompts: Callable[[MCPServer[Any]], None] | None = attach_prompts
        self._declared = {one.function.__name__: one for one in declared}
        self._studio = studio
        self._made: dict[str, Tool] = {}

    async def list_tools(self) -> list[Definition]:
        """The definition of every tool."""
        return [_definition(self._tool(name)) for name in self._declared]

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Studio, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Raises: ToolError, with a sentence for the model to read."""
        if name not in self._declared:
            return await super().call_tool(name, arguments, context)
        return await self._tool(name).run(arguments, context or Context(mcp_server=self), convert_result=True)

    async def list_prompts(self) -> list[Prompt]:
        """The definition of every prompt."""
        self._make_prompts()
        return await super().list_prompts()

    async def get_prompt(
        self, name: str, arguments: dict[str, Any] | None = None, context: Context[Studio, Any] | None = None
    ) -> GetPromptResult | InputRequiredResult:
        """A prompt, filled in."""
        self._make_prompts()
        return await super().get_prompt(name, arguments, context)

    def _make_prompts(self) -> None:
        attach, self._attach_prompts = self._attach_prompts, None
        if attach is not None:
            attach(self)

    def _tool(self, name: str) -> Tool:
        if name not in self._made:
            self._made[name] = build(self._declared[name], self._studio, self._declared)
        return self._made[name]


def _definition(tool: Tool) -> Definition:
    return Definition(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.parameters,
        output_schema=tool.output_schema,
        annotations=tool.annotations,
        _meta=tool.meta,
    )
