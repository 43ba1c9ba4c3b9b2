"""The player that hosts with MCP Apps show for the results of some tools: one page, no outside script.

A host runs the page in a sandbox of its own, passes it the results of those tools and forwards its tool calls, so a
button of the page can do what the model could do and nothing more. Hosts without MCP Apps never see it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mcp.server.apps import APP_MIME_TYPE, Apps, ResourceCsp
from mcp.server.mcpserver.resources import FunctionResource

PLAYER_URI = "ui://luma/view"
# The hosts of Luma's files (from Luma's samples of 2024-2026), and their subdomains.
ASSET_HOSTS = ("https://storage.cdn-luma.com", "https://*.cdn-luma.com")
_HERE = Path(__file__).parent


def page() -> str:
    """The page with its style and its script in it."""
    html, style, script = ((_HERE / f"view.{ending}").read_text(encoding="utf-8") for ending in ("html", "css", "js"))
    return html.replace("/* view.css */\n", style).replace("// view.js\n", script)


def player(asset_origins: Sequence[str] = ()) -> Apps:
    """The extension that offers the page. It may load images and videos from Luma's hosts and those origins only."""
    csp = ResourceCsp(resource_domains=[*ASSET_HOSTS, *asset_origins]).model_dump(by_alias=True, exclude_none=True)
    apps = Apps()
    apps.add_resource(
        FunctionResource(
            uri=PLAYER_URI,
            name="view",
            title="Dream Machine player",
            description="Shows generations with their state, price and what can be done with them.",
            mime_type=APP_MIME_TYPE,
            fn=page,
            # ChatGPT also reads the policy under a name of its own.
            meta={"ui": {"csp": csp, "prefersBorder": True}, "openai/widgetCSP": _as_chatgpt_reads(csp)},
        )
    )
    return apps


def _as_chatgpt_reads(csp: dict[str, Any]) -> dict[str, list[str]]:
    """The same policy as `openai/widgetCSP`, in which nothing may be connected to."""
    return {"connect_domains": [], "resource_domains": csp["resourceDomains"]}
