"""The skill of this server over MCP (`io.modelcontextprotocol/skills`, SEP-2640, protocol 2026-07-28).

A skill instructs a model how to work with the tools. It is one file, read as a resource; `skills/list` and `skills/get`
return its address, its frontmatter and its digest. The manifests ship the same file.
"""

import hashlib
from pathlib import Path
from typing import Any

from mcp import MCPError
from mcp.server.context import ServerRequestContext
from mcp.server.extension import Extension, MethodBinding, ResourceBinding
from mcp.server.mcpserver.resources import TextResource
from mcp.types import INVALID_PARAMS, PaginatedRequestParams, RequestParams
from pydantic import ConfigDict

IDENTIFIER = "io.modelcontextprotocol/skills"
VERSION = "2026-07-28"
NAME = "dream-machine"
URI = f"skill://{NAME}/SKILL.md"
FILE = Path(__file__).parent / NAME / "SKILL.md"
# The skill changes with the version of this server only.
_FRESH = {"ttlMs": 3_600_000, "cacheScope": "public"}


class SkillParams(RequestParams):
    """The parameters of `skills/get`."""

    model_config = ConfigDict(defer_build=True)

    uri: str


class Skills(Extension):
    """Offers the skill; clients that do not know the extension see an ordinary resource."""

    identifier = IDENTIFIER

    def __init__(self) -> None:
        self._text = FILE.read_text(encoding="utf-8")

    def resources(self) -> list[ResourceBinding]:
        """The file of the skill."""
        frontmatter = frontmatter_of(self._text)
        return [
            ResourceBinding(
                TextResource(
                    uri=URI,
                    name=frontmatter["name"],
                    title="How to work with these tools",
                    description=frontmatter["description"],
                    mime_type="text/markdown",
                    text=self._text,
                )
            )
        ]

    def methods(self) -> list[MethodBinding]:
        """`skills/list` and `skills/get`."""
        versions = frozenset({VERSION})
        return [
            MethodBinding("skills/list", PaginatedRequestParams, self._list, versions),
            MethodBinding("skills/get", SkillParams, self._get, versions),
        ]

    async def _list(self, _ctx: ServerRequestContext[Any, Any], _params: PaginatedRequestParams) -> dict[str, Any]:
        return {"resultType": "complete", "skills": [self._entry()], **_FRESH}

    async def _get(self, _ctx: ServerRequestContext[Any, Any], params: SkillParams) -> dict[str, Any]:
        if params.uri != URI:
            raise MCPError(code=INVALID_PARAMS, message="There is no such skill. skills/list shows the one there is.")
        return {"resultType": "complete", "skill": self._entry(), **_FRESH}

    def _entry(self) -> dict[str, Any]:
        data = self._text.encode()
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        return {
            "uri": URI,
            "frontmatter": frontmatter_of(self._text),
            "resources": [{"uri": URI, "digest": digest, "size": len(data)}],
        }


def frontmatter_of(text: str) -> dict[str, str]:
    """The fields at the head of the skill. Ours are lines of a name and a text, so no reader of YAML is loaded."""
    lines = text.split("---\n", 2)[1].splitlines()
    return {name: value for name, _, value in (line.partition(": ") for line in lines)}
