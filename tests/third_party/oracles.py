"""Two judges of tool schemas that nobody here wrote: OpenAI's strict form, and Google's."""

import copy
import sys

import anyio
from agents.strict_schema import ensure_strict_json_schema
from google.genai import types
from mcp import Client

from luma_mcp.composition import build_server
from luma_mcp.config.settings import Settings


async def main() -> int:
    async with Client(build_server(Settings.from_environment({}))) as client:
        tools = (await client.list_tools()).tools
    for tool in tools:
        ensure_strict_json_schema(copy.deepcopy(tool.input_schema))
        types.Schema.from_json_schema(
            json_schema=types.JSONSchema(**tool.input_schema), raise_error_on_unsupported_field=True
        )
    print(f"{len(tools)} tools pass both")
    return 0


if __name__ == "__main__":
    sys.exit(anyio.run(main))
