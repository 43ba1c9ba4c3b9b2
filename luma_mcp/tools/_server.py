"""An `MCPServer` whose tools are made when a client first asks for them, not when the process starts.

Making the schemas of all of them takes as long as a twentieth of the start, and a host waits for the start of every
server that it has.
"""

from collections.abc import Sequence
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.tools import Tool
from mcp.types import CallToolResult, InputRequiredResult
from mcp.types import Tool as Definition

from luma_mcp.studio import Studio
from luma_mcp.tools._toolset import Declared, build


class StudioServer(MCPServer[Studio]):
    """Offers declared tools that work with a studio. Options are those of `MCPServer`."""

    def __init__(self, name: str, declared: Sequence[Declared], studio: Studio, **options: Any) -> None:
        super().__init__(name, **options)
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
